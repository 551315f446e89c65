"""The gRPC server: addresses, limits, health, reflection, drain. Which methods there are stands in servicers.py."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from invengine.errors import InventoryError, ShuttingDown, StoreUnavailable
from invengine.rpc.calls import METADATA
from invengine.rpc.endpoints import Streams, refusing
from invengine.rpc.health import Health
from invengine.rpc.reflection import Reflection
from invengine.rpc.tls import server_credentials

if TYPE_CHECKING:
    from invengine.rpc.admission import Admission
    from invengine.settings import Settings

logger = logging.getLogger(__name__)

UNIX: Final = "unix:"
QUIET_SECONDS: Final = 0.1
QUIET_SECONDS_MAX: Final = 1.0


class AddressTaken(Exception):
    """An address cannot be listened on; the sentence says why."""


class Router(grpc.GenericRpcHandler):
    """Finds the handler of a call; before `open` and after `close` every method is refused with the reason given."""

    def __init__(self, methods: Iterable[str], refusal: InventoryError) -> None:
        self._methods = frozenset(methods)
        self._handlers = dict.fromkeys(self._methods, refusing(refusal))
        self.found = 0

    def open(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Serves from now on; `handlers` by `/package.Service/Method`."""
        assert set(handlers) == self._methods, "every method of the contract is served"
        self._handlers = dict(handlers)

    def close(self, refusal: InventoryError) -> None:
        """Refuses new calls from now on; those that were begun go on."""
        self._handlers = dict.fromkeys(self._methods, refusing(refusal))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of one call, None for a method that does not exist."""
        self.found += 1
        if len(handler_call_details.invocation_metadata) > 1:  # every gRPC client says which program it is
            METADATA.set(handler_call_details.invocation_metadata)
        return self._handlers.get(handler_call_details.method)


class Server:
    """Listens at once, so that health can be asked while the data is loaded; serves from `open` until `drain`."""

    def __init__(
        self, settings: Settings, services: Sequence[str], methods: Iterable[str], *, shares_port: bool = False
    ) -> None:
        """`shares_port`: others listen on the same addresses, which somebody holds for all of them."""
        self._settings = settings
        self._services = services
        self._router = Router(methods, StoreUnavailable("the server is loading its data"))
        self._health = Health(services)
        self._server = grpc.aio.server(options=server_options(settings, shares_port=shares_port))
        self.streams = Streams()
        self._admission: Admission | None = None
        self._reflection: Reflection | None = None
        self._credentials: grpc.ServerCredentials | None = None
        self.addresses: tuple[str, ...] = ()
        self.is_serving = False

    async def start(self) -> None:
        """Listens, answering NOT_SERVING. AddressTaken when an address cannot be had, TlsUnusable."""
        self._server.add_generic_rpc_handlers((self._router,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._settings.reflects:
            names = (*self._services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
            servicer = Reflection((*names, reflection.SERVICE_NAME), asks=self._settings.asks_who_calls)
            servicer.admission, self._reflection = self._admission, servicer
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self._server)
        if self._settings.tls_certificate:
            self._credentials = server_credentials(self._settings)
        self.addresses = tuple([self._listen(address) for address in self._settings.listen])
        await self._server.start()

    def open(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]], admission: Admission | None = None) -> None:
        """Serves: everything is warm and the replica has caught up. `admission`: who may ask for reflection."""
        self._router.open(handlers)
        self._admission = admission
        if self._reflection is not None:
            self._reflection.admission = admission
        self.is_serving = True
        self._health.serve()

    async def drain(self) -> None:
        """Stops: says so, ends streams, takes nothing new, answers every call that was taken (within the grace)."""
        self.is_serving = False
        self._health.stop()
        self._router.close(ShuttingDown())
        self.streams.end()
        await self._quiet()
        await self.stop(self._settings.grace_seconds)

    async def stop(self, grace_seconds: float = 0.0) -> None:
        """Stops listening; calls that are not answered within the grace are cancelled. Safe to repeat."""
        await self._server.stop(grace_seconds)
        for address in self.addresses:
            if address.startswith(UNIX):
                _remove_socket(address.removeprefix(UNIX))
        self.addresses = ()

    async def _quiet(self) -> None:
        """Waits until no new calls come in, not for long: gRPC tells a call that comes while it stops CANCELLED."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(QUIET_SECONDS_MAX, self._settings.grace_seconds)
        found = -1
        while found != self._router.found and loop.time() < until:
            found = self._router.found
            await asyncio.sleep(QUIET_SECONDS)

    def _listen(self, address: str) -> str:
        """Listens on one address; the address as bound, with the real port where 0 was asked for."""
        if address.startswith(UNIX):
            _refuse_live_socket(address.removeprefix(UNIX))
        try:
            if self._credentials is None or address.startswith(UNIX):
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError:
            raise AddressTaken(
                f"cannot listen on {address}: another program is listening there, or the address is not this machine's"
            ) from None
        if address.startswith(UNIX):
            return address
        return f"{address.rpartition(':')[0]}:{port}"


def server_options(settings: Settings, *, shares_port: bool = False) -> list[tuple[str, Any]]:
    """What gRPC is told: sizes, streams and keepalive of a connection."""
    return [
        # 0: else a second server on the port starts without a word and takes half the calls
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", -1),  # answers are as large as questions allow; the peer's limit decides
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_concurrent_streams", 1000),  # of one connection
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 2),
    ]


def _refuse_live_socket(path: str) -> None:
    """Refuses a socket file that a program listens on; gRPC would take it over without a word. A dead one may go."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise AddressTaken(f"cannot listen on {UNIX}{path}: the path is there and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except OSError as fault:
            raise AddressTaken(f"cannot listen on {UNIX}{path}: {fault.strerror or fault}") from None
    raise AddressTaken(f"cannot listen on {UNIX}{path}: another program is listening there")


def _remove_socket(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        logger.debug("%s is gone already", path)
