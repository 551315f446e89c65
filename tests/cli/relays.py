"""A relay between a client and a server that can be cut and made again: a restart, as a client feels it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Relay:
    """Passes bytes from a unix socket of its own to that of a server. Use it in a `with` block."""

    def __init__(self, path: Path, server: str) -> None:
        self.address = f"unix:{path}"
        self._path, self._server = path, server.removeprefix("unix:")
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Relay:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def listen(self) -> None:
        """Takes connections from now on."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        self._listener = listener
        self._begin(self._accept, listener)

    def cut(self) -> None:
        """Nobody is there any more: connections end, and new ones are refused."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        self._path.unlink()
        self._threads.pop(0).join()  # that which accepts: from here on there are no more ends
        for end in self._ends:
            with suppress(OSError):  # the other side ended already
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (listener, *self._ends):
            end.close()
        self._threads, self._ends = [], []

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server)
            self._ends += (near, far)
            for source, sink in ((near, far), (far, near)):
                self._begin(_pass, source, sink)

    def _begin(self, run: Callable[..., None], *given: socket.socket) -> None:
        thread = threading.Thread(target=run, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    """Passes bytes on until one side ends."""
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
