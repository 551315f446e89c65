"""What a supervisor and a worker say to each other: JSON objects over a pair of sockets, each under its word.

worker -> supervisor                                   supervisor -> worker
warm                  the kernels are loaded           lead               do what is done once for all workers
serving               it listens and serves            metrics  id        what have you counted?
draining              it takes nothing new
broken   sentence     it cannot go on, and why
         is_lasting   no other one could, either
metrics  id families  what it has counted (joining)
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

HEAD: Final = struct.Struct(">I")
Message = dict[str, Any]


class Broken(Exception):
    """The engine cannot start or go on; the sentence says why. Lasting: it will not by itself, however often tried."""

    def __init__(self, sentence: str, *, is_lasting: bool = False) -> None:
        super().__init__(sentence)
        self.is_lasting = is_lasting


class Link:
    """One end. What is told to an end that is gone is lost: its process is, too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Link:
        """The link over one end of a pair of sockets, which it closes."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def tell(self, word: str, **more: object) -> None:
        """Sends a message, in the background."""
        content = json.dumps({"word": word, **more}).encode()
        if not self._writer.is_closing():
            self._writer.write(HEAD.pack(len(content)) + content)

    async def heard(self) -> AsyncIterator[Message]:
        """What the other end tells, until it is gone."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
                yield json.loads(await self._reader.readexactly(length))

    async def flush(self) -> None:
        """Returns when all that was told has left this process, or the other end is gone."""
        with suppress(ConnectionError):
            await self._writer.drain()

    def close(self) -> None:
        """Ends it, for both."""
        self._writer.close()
