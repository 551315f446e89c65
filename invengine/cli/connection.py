"""How commands reach a server: the options that they all share, and the client that these make."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invengine.cli.output import PANEL, fail_usage

if TYPE_CHECKING:
    from invengine.client import Client

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="INVENGINE_SERVER",
        help="Where the engine is: HOST:PORT or unix:PATH.",
        rich_help_panel=PANEL,
    ),
]
Channel = Annotated[
    str,
    typer.Option(
        "--channel", envvar="INVENGINE_CHANNEL", help="Who asks: a channel of the network.", rich_help_panel=PANEL
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout-seconds", min=0.1, help="Seconds to wait for each answer.", rich_help_panel=PANEL)
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="INVENGINE_TOKEN_FILE",
        help="File with the token that says who calls; or set INVENGINE_TOKEN.",
        rich_help_panel=PANEL,
    ),
]
TlsOn = Annotated[
    bool,
    typer.Option("--tls", envvar="INVENGINE_TLS", help="Encrypt, by whom this machine trusts.", rich_help_panel=PANEL),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="INVENGINE_CA",
        help="Encrypt; who vouches for the server (PEM).",
        rich_help_panel=PANEL,
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate",
        envvar="INVENGINE_CLIENT_CERTIFICATE",
        help="Certificate of the caller (PEM), where the server asks for one.",
        rich_help_panel=PANEL,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key", envvar="INVENGINE_CLIENT_KEY", help="Key of that certificate (PEM).", rich_help_panel=PANEL
    ),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is, who asks, and what protects the wire."""

    server: str
    channel: str
    timeout_seconds: float
    retry_seconds: float
    token_file: Path | None = None
    tls: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def client(self) -> Client:
        """A client of that server. Ends the command where a file cannot be read or a token would go unencrypted."""
        from invengine.client import Client, Tls, TokenInClear

        tls: Tls | bool = self.tls
        try:
            if self.tls_ca or self.tls_certificate or self.tls_key:
                tls = Tls.read(ca=self.tls_ca, certificate=self.tls_certificate, key=self.tls_key)
            return Client(
                self.server,
                channel=self.channel,
                timeout_seconds=self.timeout_seconds,
                retry_seconds=self.retry_seconds,
                token=self._token(),
                tls=tls,
            )
        except TokenInClear as refused:
            fail_usage(f"{str(refused).capitalize()} (--tls-ca FILE or --tls).")
        except ValueError as fault:
            fail_usage(f"{str(fault).capitalize()}: --tls-certificate FILE and --tls-key FILE.")
        except OSError as fault:
            fail_usage(f"Cannot read {fault.filename}: {fault.strerror}.")

    def _token(self) -> str:
        """The token of the file, else of the environment, else none. It is never an argument: others see those."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="utf-8").strip()
        return os.environ.get("INVENGINE_TOKEN", "").strip()


def options(timeout_seconds: float) -> list[inspect.Parameter]:
    """The options that every command has which talks to a server, after its own."""
    shared: Mapping[str, tuple[Any, Any]] = {
        "server": (Server, "127.0.0.1:50051"),
        "channel": (Channel, ""),
        "timeout_seconds": (Timeout, timeout_seconds),
        "token_file": (TokenFile, None),
        "tls": (TlsOn, False),
        "tls_ca": (TlsCa, None),
        "tls_certificate": (TlsCertificate, None),
        "tls_key": (TlsKey, None),
    }
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in shared.items()
    ]


def taken(given: dict[str, Any], retry_seconds: float) -> Connection:
    """The connection that the command line describes; its options are taken out of `given`."""
    timeout = given.pop("timeout_seconds")
    names = ("server", "channel", "token_file", "tls", "tls_ca", "tls_certificate", "tls_key")
    values = {name: given.pop(name) for name in names}
    return Connection(timeout_seconds=timeout, retry_seconds=min(timeout, retry_seconds), **values)
