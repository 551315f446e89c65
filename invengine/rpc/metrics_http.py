"""/metrics, /readyz and /livez over HTTP, on a port of their own: few pages, so a few lines on asyncio do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from invengine.settings import split_address

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

logger = logging.getLogger(__name__)

HEAD_BYTES_MAX: Final = 16 * 1024
SECONDS_MAX: Final = 5.0
TEXT: Final = "text/plain; charset=utf-8"


class MetricsHttp:
    """The HTTP server. `figures` is /metrics; `health` says whether /readyz and /healthz answer 200, and what."""

    def __init__(self, figures: Callable[[], Awaitable[bytes]], health: Callable[[], tuple[bool, str]]) -> None:
        self._figures = figures
        self._health = health
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, address: str) -> str:
        """Listens at HOST:PORT; the address as bound, with the real port where 0 was asked for. OSError when it cannot
        be had.
        """
        host, port = split_address(address)
        self._server = await asyncio.start_server(self._accept, host, port, limit=HEAD_BYTES_MAX)
        return f"{address.rpartition(':')[0]}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stops listening and ends the connections that are open."""
        if self._server is None:
            return
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)
        await self._server.wait_closed()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One request a connection."""
        try:
            async with asyncio.timeout(SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = await self._page(head)
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                if not head.startswith(b"HEAD "):
                    writer.write(body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as gone:
            logger.debug("a metrics connection ended early: %r", gone)
        finally:
            writer.close()

    async def _page(self, head: bytes) -> tuple[str, str, bytes]:
        """Status, content type and body of the answer."""
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return "405 Method Not Allowed", TEXT, b"only GET\n"
        if path == b"/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, await self._figures()
        if path == b"/livez":  # that it is answered says all
            return "200 OK", TEXT, b"ALIVE\n"
        if path in (b"/healthz", b"/readyz"):
            is_serving, text = self._health()
            return "200 OK" if is_serving else "503 Service Unavailable", TEXT, text.encode()
        return "404 Not Found", TEXT, b"/metrics, /readyz, /livez or /healthz\n"
