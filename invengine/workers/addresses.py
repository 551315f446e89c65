"""Addresses that several processes are going to listen on, held for them by one that does not listen."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from invengine.settings import split_address
from invengine.workers.link import Broken


class HeldAddresses:
    """HOST:PORT addresses; while they are held, workers of this user may listen there and no other server may start."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def hold(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Takes all of them; as bound, with the real port where 0 was asked for. Broken when one cannot be had."""
        return tuple([self._hold(address) for address in addresses])

    def close(self) -> None:
        """Lets them go; safe to repeat."""
        for held in self._sockets:
            held.close()
        self._sockets.clear()

    def _hold(self, address: str) -> str:
        host, port = split_address(address)
        missing: OSError | None = None
        is_held = False
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, *_, place in found:
                try:
                    port = self._hold_one(family, (str(place[0]), port))
                    is_held = True
                except OSError as fault:
                    if fault.errno == errno.EADDRINUSE:
                        raise
                    missing = fault  # of a name's addresses this machine may not have all
            if not is_held:
                raise missing or OSError(f"{host} has no address")
        except OSError as fault:
            raise Broken(_sentence(address, fault), is_lasting=True) from None
        return f"{address.rpartition(':')[0]}:{port}"

    def _hold_one(self, family: int, place: tuple[str, int]) -> int:
        """Holds one place, and answers its port.

        The kernel lets two sockets have a place when both say SO_REUSEPORT, or when both say SO_REUSEADDR and neither
        listens. So the first one is bound as any other server's, which fails where somebody listens. What then holds
        says the former only: workers, which say both, come in; a server that is no worker, and another supervisor,
        do not. Connections of a server before us that are not quite over (TIME_WAIT) let no such second one in; then
        the first one stays, and takes back what it said: what it was judged by at its binding counts no more.
        """
        first = _bound(family, place, socket.SO_REUSEADDR)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held = _bound(family, first.getsockname()[:2], socket.SO_REUSEPORT)
            first.close()
        except OSError:
            held = first
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self._sockets.append(held)
        port: int = held.getsockname()[1]
        return port


def _bound(family: int, place: tuple[str, int], option: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made


def _sentence(address: str, fault: OSError) -> str:
    if fault.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        return f"cannot listen on {address}: another program is listening there, or the address is not this machine's"
    return f"cannot listen on {address}: {fault.strerror or fault}"
