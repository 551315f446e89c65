"""Keeping the function library in the servers of a store: never older than this engine's, and serving all who call.

Servers of the release before and after this one may share the store. A function's name is its contract, so a library
serves each engine whose functions it has: see lua/README.md, "Versions".
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from redis.exceptions import ConnectionError, ResponseError

from invengine.store.library import ANSWERS_VERSION, Library, Listed
from invengine.store.node import Command
from invengine.store.topology import StoreUnsuitable

log = logging.getLogger(__name__)

CLIENT_NAME: Final = "invengine-"
"""What the name of a connection of an engine begins with; the version of its library follows."""

_NAMED: Final = re.compile(r"(?m)\bname=" + CLIENT_NAME + r"(\d+)\b")


class Loader:
    """Decides which library a server gets, and greets connections with it; not before `greets`: the store is open."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.greets = False

    @property
    def listing(self) -> Command:
        """Asks for the library that is there."""
        return "FUNCTION", "LIST", "LIBRARYNAME", self.library.name, "WITHCODE"

    @property
    def loading(self) -> Command:
        """Puts the library in the place of whatever is there."""
        return "FUNCTION", "LOAD", "REPLACE", self.library.code

    def going(self, answer: list[Any]) -> list[str] | None:
        """The functions that go where this library is loaded, by the answer to `listing`; None where the one that is
        there stays. StoreUnsuitable where this engine cannot work with that one.
        """
        listed = Listed.read(answer)
        if self.library.is_wanted(listed):
            return sorted(name for found in listed for name in found.functions - self.library.functions)
        for found in listed:
            missing = sorted(self.library.functions - found.functions)
            if missing:
                raise StoreUnsuitable(
                    f"the function library in Redis has version {found.version} and no {missing[0]} any more, which "
                    f"this server calls, whose own library has version {self.library.version}: use a newer release"
                )
        return None

    def refuse_to_strand(self, going: list[str], clients: bytes | str) -> None:
        """StoreUnsuitable where older engines are connected, by the answer to CLIENT LIST, that may call these."""
        text = clients.decode(errors="replace") if isinstance(clients, bytes) else clients
        older = [int(version) for version in _NAMED.findall(text) if int(version) < self.library.version]
        if older:
            raise StoreUnsuitable(
                f"servers with version {min(older)} of the function library are connected to this Redis and may call "
                f"{going[0]}, which version {self.library.version} has no more: stop them first, or upgrade over a "
                "release between"
            )

    def loaded(self, where: str) -> None:
        """Says so in the log."""
        log.info("the function library, version %d, is loaded into %s", self.library.version, where)

    async def greet(self, connection: Any) -> bool:
        """Name a new connection; where an older library stands behind it, since a replica took over that had not got
        this one yet, or a server joined, load this one first: it alone understands what is sent.

        False where it could not be loaded, since the server is a replica: it may be a primary the next time that it is
        asked, so that has to be over another connection.
        """
        naming: Command = ("CLIENT", "SETNAME", f"{CLIENT_NAME}{self.library.version}")
        if not self.greets:
            _, role = await _asked(connection, naming, ("ROLE",))
            return not (isinstance(role, list) and role[0] in (b"slave", "slave"))
        _, version = await _asked(connection, naming, ("FCALL_RO", ANSWERS_VERSION, "0"))
        if isinstance(version, ResponseError) and "Function not found" not in str(version):
            raise ConnectionError(f"no word of the function library: {version}")
        if isinstance(version, int) and version >= self.library.version:
            return True
        (listed,) = await _asked(connection, self.listing)
        if isinstance(listed, ResponseError):
            raise ConnectionError(f"no word of the function library: {listed}")
        try:
            if self.going(listed) is None:
                return True
        except StoreUnsuitable:
            return True  # the first call that misses its function says so
        (answer,) = await _asked(connection, self.loading)
        if not isinstance(answer, ResponseError):
            self.loaded("a server that had an older one")
            return True
        if str(answer).startswith("READONLY") or type(answer).__name__ == "ReadOnlyError":
            return False
        raise ConnectionError(f"the function library cannot be loaded: {answer}")


async def _asked(connection: Any, *commands: Command) -> list[Any]:
    """The replies; an error of Redis in the place of its reply, but for those that say that it is not up."""
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
