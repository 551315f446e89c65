"""A proxy on this machine, between a server and its Redis or between a client and its server, that breaks what passes.

What one side sends is held back while its direction is stalled, as packets are in a partition that heals later: nothing
is lost, it only comes late. What must be lost is lost with its connection: `reset` ends them with RST.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import Enum

CHUNK = 1 << 16


class Way(Enum):
    """A direction."""

    UP = "to the server"
    DOWN = "to the client"


@dataclass(eq=False)
class _Connection:
    """Both ends of one connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))

    def reset(self) -> None:
        for writer in (self.client, self.server):
            its = writer.get_extra_info("socket")
            if its is not None and its.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class FaultProxy:
    """Listens on `address` and passes everything on to `server`; both are HOST:PORT or the path of a unix socket.

    delay_seconds         each piece in either direction waits so long
    reset_after           bytes in a direction after which a connection is reset; None: never
    keeps_dead            a connection whose server is gone stays open towards its client: half open
    """

    def __init__(self, server: str, address: str = "127.0.0.1:0") -> None:
        self._server, self.address = server, address
        self.delay_seconds = 0.0
        self.reset_after: dict[Way, int | None] = dict.fromkeys(Way, None)
        self.keeps_dead = False
        self.accepted = 0
        self._flows = {way: asyncio.Event() for way in Way}
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        for flow in self._flows.values():
            flow.set()

    async def __aenter__(self) -> FaultProxy:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Takes connections (again), at the same address."""
        if self.address.startswith("/"):
            self._listener = await asyncio.start_unix_server(self._serve, self.address)
            return
        host, _, port = self.address.rpartition(":")
        self._listener = await asyncio.start_server(self._serve, host, int(port))
        self.address = f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def refuse(self) -> None:
        """Takes no connections and ends those that there are."""
        self._listener.close()
        self.reset()

    def stall(self, *ways: Way) -> None:
        """Holds back what is sent that way, both where none is named, in old connections and new ones."""
        for way in ways or tuple(Way):
            self._flows[way].clear()

    def reset(self) -> None:
        """Ends all connections at once."""
        for connection in list(self._connections):
            connection.reset()

    def heal(self) -> None:
        """Passes everything again; what was held back comes now."""
        self.delay_seconds, self.keeps_dead = 0.0, False
        self.reset_after = dict.fromkeys(Way, None)
        for flow in self._flows.values():
            flow.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            if self._server.startswith("/"):
                server_reader, server_writer = await asyncio.open_unix_connection(self._server)
            else:
                host, _, port = self._server.rpartition(":")
                server_reader, server_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, server_writer)
        self._connections.add(connection)
        up = asyncio.create_task(self._pass(reader, server_writer, connection, Way.UP))
        down = asyncio.create_task(self._pass(server_reader, writer, connection, Way.DOWN))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if down.done() and self.keeps_dead:
                await up
        up.cancel()
        down.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(up, down, return_exceptions=True)
        self._connections.discard(connection)
        connection.reset()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection, way: Way
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flows[way].wait()
                most = self.reset_after[way]
                if most is not None and connection.passed[way] + len(data) > most:
                    writer.write(data[: max(0, most - connection.passed[way])])
                    await writer.drain()
                    connection.reset()
                    return
                connection.passed[way] += len(data)
                if not (self.keeps_dead and writer.is_closing()):
                    writer.write(data)
                    await writer.drain()
