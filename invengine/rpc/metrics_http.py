"""/metrics, /readyz and /livez over HTTP, on a port of their own: few pages, so a few lines on asyncio do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

logger = logging.getLogger(__name__)

HEAD_BYTES_MAX: Final = 16 * 1024
SECONDS_MAX: Final = 5.0
TEXT: Final = "text/plain; charset=utf-8"


class MetricsHttp:
    """The HTTP server; `serving` says whether /readyz, which /healthz is too, answers 200."""

    def __init__(self, registry: CollectorRegistry, serving: Callable[[], bool]) -> None:
        self._registry = registry
        self._serving = serving
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listens; answers the port, the real one where 0 was asked for. OSError when the address cannot be had."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=HEAD_BYTES_MAX)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

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
            return "200 OK", CONTENT_TYPE_LATEST, await asyncio.to_thread(generate_latest, self._registry)
        if path == b"/livez":  # that it is answered says all
            return "200 OK", TEXT, b"ALIVE\n"
        if path in (b"/healthz", b"/readyz"):
            if self._serving():
                return "200 OK", TEXT, b"SERVING\n"
            return "503 Service Unavailable", TEXT, b"NOT_SERVING\n"
        return "404 Not Found", TEXT, b"/metrics, /readyz, /livez or /healthz\n"
