"""What protects a connection: TLS, and the token that says who calls."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import grpc
import grpc.aio

_KEPT_IN: Final = ("unix:", "unix-abstract:")


class TokenInClear(ValueError):
    """A token would travel unencrypted to another machine; nothing was sent."""

    def __init__(self, server: str) -> None:
        super().__init__(f"the token would go unencrypted to {server}: use TLS")


@dataclass(frozen=True, slots=True)
class Tls:
    """How the wire is encrypted; all in PEM.

    `ca`: who vouches for the server, empty: whom this machine trusts. `certificate` and `key`: who calls, where the
    server asks for that (mTLS).
    """

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("a client's certificate and its key go together")

    @classmethod
    def read(
        cls, *, ca: Path | str | None = None, certificate: Path | str | None = None, key: Path | str | None = None
    ) -> Self:
        """The same from files. OSError when one cannot be read."""
        return cls(*(Path(file).read_bytes() if file else b"" for file in (ca, certificate, key)))

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC takes them."""
        return grpc.ssl_channel_credentials(self.ca or None, self.key or None, self.certificate or None)


def open_wire(
    server: str, options: Any, *, token: str, tls: Tls | bool | None, token_in_clear: bool = False
) -> grpc.aio.Channel:
    """A channel to the server. TokenInClear where a token is to go unencrypted to another machine and nobody said that
    it may. `tls` True: as this machine trusts.
    """
    if tls:
        protection = tls if isinstance(tls, Tls) else Tls()
        wire = grpc.aio.secure_channel(server, protection.credentials, options=options)
    elif token and not token_in_clear and _is_beyond_this_machine(server):
        raise TokenInClear(server)
    else:
        wire = grpc.aio.insecure_channel(server, options=options)
    return _Signed(wire, token) if token else wire  # type: ignore[return-value]  # as much of it as stubs use


def _is_beyond_this_machine(server: str) -> bool:
    if server.startswith(_KEPT_IN):
        return False
    host = server.rpartition(":")[0].strip("[]").rpartition("/")[2] or server
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


class _Signed:
    """A channel whose every call brings the token. An interceptor would cost each call several times as much."""

    def __init__(self, wire: grpc.aio.Channel, token: str) -> None:
        self._wire = wire
        self._metadata = (("authorization", f"Bearer {token}"),)
        self.unary_unary = self._signing(wire.unary_unary)
        self.unary_stream = self._signing(wire.unary_stream)
        self.stream_unary = self._signing(wire.stream_unary)
        self.stream_stream = self._signing(wire.stream_stream)

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel."""
        await self._wire.close(grace)

    def _signing(self, opening: Callable[..., Any]) -> Callable[..., Any]:
        def multicallable(*args: Any, **kwargs: Any) -> Callable[..., Any]:
            method = opening(*args, **kwargs)

            def call(*given: Any, **options: Any) -> Any:
                return method(*given, metadata=self._metadata, **options)

            return call

        return multicallable
