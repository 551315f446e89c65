"""Talking to Redis: commands go to the servers that serve their keys, repeated while one is away or slots move; every
failure is told as what it is.

A write may be repeated because every function remembers what it answered. What is not known is told as such: when an
attempt may have reached Redis and no later one got an answer, the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from redis.exceptions import AskError, MovedError, ResponseError

from invengine.errors import StoreUnavailable
from invengine.store import keys
from invengine.store.acting import BY
from invengine.store.failures import Fate, NotReplicated, Unsent, fate_of, refusal
from invengine.store.library import ANSWERS_VERSION, Library
from invengine.store.loading import Loader
from invengine.store.node import Command, Node
from invengine.store.records import NO_REPLICATION, Replication
from invengine.store.topology import StoreUnsuitable, Topology

PAUSE_SECONDS = 0.01
PAUSE_SECONDS_MAX = 0.25
REDIRECTIONS_MAX: Final = 4
"""MOVED or ASK answers to one call that are followed at once; from then on with pauses, since nodes disagree."""

SCANS_MAX: Final = 20
"""Times that a scan begins anew before the store counts as away."""

TIDYING: Final = frozenset({"invengine_expire", "invengine_forget", "invengine_due", "invengine_settle"})
"""Functions whose effect nobody was promised: lost in a failover, it is made again. They wait for no replica."""

_KEYLESS: Final = frozenset({"TIME", "INFO", "FUNCTION", "FCALL_RO", "CLIENT", "CLUSTER", "MULTI", "EXEC", "WAIT"})
_ASKING: Final[Command] = ("ASKING",)
_MULTI: Final[Command] = ("MULTI",)


class _Interrupted(Unsent):
    """A scan may have been answered by two processes, one after the other."""


@dataclass(slots=True)
class _Unit:
    """Commands that go out together, in order, over one connection; `read` makes one answer of their replies.

    node   where it goes; None: to the owner of `key`
    """

    commands: Sequence[Command]
    key: str | bytes | None
    read: Callable[[list[Any]], Any]
    node: Node | None = None
    stamp: Callable[[Command], Command] | None = None  # each command as it is when it goes out
    asked: Node | None = field(default=None)  # the node that an ASK named, for the next attempt only


class Calls:
    """The commands of one store."""

    def __init__(
        self, topology: Topology, retry_seconds: float, library: Library, replication: Replication = NO_REPLICATION
    ) -> None:
        self.topology = topology
        self._retry_seconds = retry_seconds
        self._loader = Loader(library)
        topology.greetings.append(self._loader.greet)
        self._replication = replication
        self.clock: Callable[[], int] = _unknown
        """The store's time as functions take it: see `begin` in lua/base.lua."""

    async def write(self, function: str, keys_of_call: Sequence[str | bytes], *arguments: str | bytes) -> Any:
        """The reply of a function. StoreUnavailable, StoreFull, OutcomeUnknown."""
        declared = self.topology.declared(list(keys_of_call))
        call: Command = ("FCALL", function, len(declared), *declared, *arguments)
        by = BY.get()
        stamp = partial(self._stamped, by=by) if by else self._stamped
        return await self._write([call], declared[0], promised=function not in TIDYING, stamp=stamp)

    async def read(self, *commands: Command, block_seconds: float = 0.0) -> list[Any]:
        """The replies of commands that change nothing, in order, in one round trip per server. StoreUnavailable.

        Those without a key go to the server of the first key of the others; where there is none, to that of the store's
        own key. So the TIME of a read alone is that server's clock, and beside others the clock that judged them.
        """
        if self.topology.is_whole:
            return list((await self._repeated([_Unit(commands, None, _all)], False, block_seconds))[0])
        named = [_key_of(command) for command in commands]
        usual = next((key for key in named if key is not None), None)
        units = [
            _Unit((command,), usual if key is None else key, _only)
            for command, key in zip(commands, named, strict=True)
        ]
        return await self._repeated(units, False, block_seconds)

    async def read_everywhere(self, command: Command) -> list[Any]:
        """The replies of every primary to a command that changes nothing. StoreUnavailable."""
        await self.read(("TIME",))  # knows the primaries then
        units = [_Unit((command,), None, _only, node) for node in self.topology.primaries()]
        return await self._repeated(units, False)

    async def scan(
        self, before: Command, after: Command, *, key: str | bytes = keys.STORE, node: Node | None = None
    ) -> AsyncIterator[Any]:
        """The pages of SCAN or HSCAN, whose cursor stands between `before` and `after`, of the owner of `key`; some may
        come twice. StoreUnavailable. Of `node`, where one is given: then what that one raises is raised.

        A cursor means something to the process alone that gave it. So the scan begins anew where a connection was made
        meanwhile, since behind that may be a server that was started again, and where the key went to another node.
        """
        asked: Node | None = None
        for attempt in range(SCANS_MAX):
            try:
                if node is None and asked is None:
                    if attempt:
                        await self.read(("EXISTS", key))  # until its owner is there again
                    await self.topology.ready()
                async for page in _pages(node or asked or self.topology.owner(key), asked is not None, before, after):
                    yield page
                return
            except AskError as error:
                to = self.topology.redirected(asked or self.topology.owner(key), error)
                asked = None if isinstance(error, MovedError) else to
            except Exception as error:
                if isinstance(error, _Interrupted):
                    continue
                if node is not None or fate_of(error) not in (Fate.NOT_DONE, Fate.UNKNOWN):
                    raise
                asked = None
                self.topology.doubt()
        raise StoreUnavailable("connections to Redis did not last for one scan")

    async def load_library(self) -> None:
        """Put the function library into every primary unless it has this version or a newer one; from now on into every
        one that is connected to and has none or an older one. StoreUnsuitable where old and new servers do not go
        together.
        """
        await self.read(("TIME",))  # knows the primaries then
        for node in self.topology.primaries():
            await self._load_library(node, is_opening=True)
        self._loader.greets = True

    @property
    def own_library(self) -> int:
        """The version of this engine's library."""
        return self._loader.library.version

    async def loaded_library(self) -> int:
        """The version of the library in the servers, the oldest of all primaries; none has an older one than this
        engine's afterwards.
        """
        versions = await self.read_everywhere(("FCALL_RO", ANSWERS_VERSION, 0))
        if min(versions) < self._loader.library.version:
            for node in self.topology.primaries():
                try:
                    await self._load_library(node)
                except StoreUnsuitable as newer:
                    raise StoreUnavailable(str(newer)) from newer
            versions = await self.read_everywhere(("FCALL_RO", ANSWERS_VERSION, 0))
        return int(min(versions))

    async def write_once(self, key: str | bytes, *commands: Command) -> list[Any]:
        """The replies of commands on one key in one transaction, each safe to repeat."""
        replies = await self._write([_MULTI, *commands, ("EXEC",)], key, promised=True)
        return list(replies)

    async def _write(
        self,
        commands: list[Command],
        key: str | bytes,
        *,
        promised: bool,
        stamp: Callable[[Command], Command] | None = None,
    ) -> Any:
        wanted = self._replication.replicas if promised else 0
        if not wanted:
            unit = _Unit(commands, key, _last, stamp=stamp)
            return (await self._repeated([unit], True))[0]
        # WAIT speaks of what this connection wrote. A call that repeats another one may write nothing, and what it
        # answers may have been written over another connection, or by another server: WAIT alone would confirm that at
        # once, replicated or not. So something is written behind the call: whatever the primary had executed before is
        # replicated before that, and a WAIT that covers it covers all. It is a copy: a command of two keys runs in
        # one place only while a slot is moved: a SET would run at either node, and the move would find the key twice.
        milliseconds = max(1, round(self._replication.seconds * 1000))
        barrier: Command = ("COPY", keys.barrier_source(key), keys.barrier(key), "REPLACE")
        behind: list[Command] = [barrier, ("WAIT", wanted, milliseconds)]
        unit = _Unit([*commands, *behind], key, _ReadReplicated(wanted), stamp=stamp)
        return (await self._repeated([unit], True, self._replication.seconds))[0]

    def _stamped(self, command: Command, by: str = "") -> Command:
        """A call of a function with the time at which it goes out: one that is repeated later says a later one. And
        with who has it made, where that is known; it stands behind the time.
        """
        now = self.clock() if command[0] == "FCALL" else 0
        if not now:
            return command
        return (*command, now, by) if by else (*command, now)

    async def _load_library(self, node: Node, *, is_opening: bool = False) -> None:
        (listed,) = await self._repeated([_Unit((self._loader.listing,), None, _only, node)], False)
        going = self._loader.going(listed)
        if going is None:
            return
        if going and is_opening:
            (clients,) = await self._repeated([_Unit((("CLIENT", "LIST"),), None, _only, node)], False)
            self._loader.refuse_to_strand(going, clients)
        await self._repeated([_Unit((self._loader.loading,), None, _only, node)], True)
        self._loader.loaded(node.name)

    async def _repeated(self, units: list[_Unit], may_change: bool, block_seconds: float = 0.0) -> list[Any]:
        """The answers of all units. What failed is repeated, and only that, until the time for it is over."""
        loop = asyncio.get_running_loop()
        deadline, pause, redirections = loop.time() + self._retry_seconds, PAUSE_SECONDS, 0
        may_be_done = False
        loaded: set[Node] = set()
        answers: list[Any] = [None] * len(units)
        left = list(range(len(units)))
        while True:
            failures = await self._attempt(units, left, answers, block_seconds)
            if not failures:
                return answers
            left = [place for place, _, _ in failures]
            fates = {fate_of(failure) for _, _, failure in failures}
            for place, node, failure in failures:
                fate = fate_of(failure)
                if fate is Fate.FAULT or (fate is Fate.NO_FUNCTION and (node is None or node in loaded)):
                    raise failure
                if isinstance(failure, AskError) and node is not None:
                    to = self.topology.redirected(node, failure)
                    # within a transaction ASKING would be queued: that one waits for the end of the move
                    is_followed = not isinstance(failure, MovedError) and units[place].commands[0] != _MULTI
                    units[place].asked = to if is_followed else None
            may_be_done |= may_change and Fate.UNKNOWN in fates
            missing = {node for _, node, failure in failures if node and fate_of(failure) is Fate.NO_FUNCTION}
            for node in missing:
                loaded.add(node)
                try:
                    await self._load_library(node)
                except StoreUnsuitable as newer:  # other servers can be asked; this one is to be upgraded
                    raise refusal(False, may_be_done, newer) from newer
            if fates <= {Fate.ELSEWHERE, Fate.NO_FUNCTION} and redirections < REDIRECTIONS_MAX:
                redirections += Fate.ELSEWHERE in fates
                continue
            is_full = Fate.FULL in fates
            if is_full or loop.time() + pause > deadline:
                failure = failures[0][2]
                raise refusal(is_full, may_be_done, failure) from failure
            self.topology.doubt()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _attempt(
        self, units: Sequence[_Unit], places: list[int], answers: list[Any], block_seconds: float
    ) -> list[tuple[int, Node | None, Exception]]:
        """Try the units at these places: fills in their answers; those that failed, with node and failure."""
        try:
            await self.topology.ready()
        except Unsent as error:
            return [(place, None, error) for place in places]
        failures: list[tuple[int, Node | None, Exception]] = []
        by_node: dict[Node, list[int]] = {}
        for place in places:
            unit = units[place]
            try:
                node = unit.asked or unit.node or self.topology.owner(unit.key)
            except Unsent as error:
                failures.append((place, None, error))
            else:
                by_node.setdefault(node, []).append(place)
        exchanges = [_exchanged(node, units, there, answers, block_seconds) for node, there in by_node.items()]
        if len(exchanges) == 1:
            return failures + await exchanges[0]
        for failed in await asyncio.gather(*exchanges):
            failures += failed
        return failures


async def _pages(node: Node, is_asked: bool, before: Command, after: Command) -> AsyncIterator[Any]:
    """One scan of a node from its beginning; _Interrupted when it is not sure that one process gave all pages."""
    cursor, connected = b"0", node.connected
    while True:
        command = (*before, cursor, *after)
        reply = (await node.exchange([_ASKING, command] if is_asked else [command]))[-1]
        next_cursor, page = _only([reply])
        if node.connected != connected:
            if cursor != b"0":
                raise _Interrupted(f"{node.name}: a connection was made during a scan")
            connected = node.connected  # perhaps for this very page, so that is asked for again
            continue
        cursor = next_cursor
        yield page
        if cursor == b"0":
            return


async def _exchanged(
    node: Node, units: Sequence[_Unit], places: Iterable[int], answers: list[Any], block_seconds: float
) -> list[tuple[int, Node | None, Exception]]:
    """Exchange the units at these places with a node: fills in their answers; those that failed."""
    commands: list[Command] = []
    ends: list[tuple[int, int, int]] = []
    for place in places:
        unit, start = units[place], len(commands)
        stamped = unit.commands if unit.stamp is None else [unit.stamp(command) for command in unit.commands]
        if unit.asked is None:
            commands.extend(stamped)
        else:
            for command in stamped:
                commands.extend((command,) if _key_of(command) is None else (_ASKING, command))
        ends.append((place, start, len(commands)))
    try:
        replies = await node.exchange(commands, block_seconds)
    except Exception as error:  # noqa: BLE001  # the caller judges it; a fault is raised again
        return [(place, node, error) for place, _, _ in ends]
    failed: list[tuple[int, Node | None, Exception]] = []
    for place, start, end in ends:
        unit, said = units[place], replies[start:end]
        if unit.asked is not None:
            said = [reply for n, reply in enumerate(said, start) if commands[n] is not _ASKING]
            unit.asked = None
        try:
            answers[place] = unit.read(said)
        except (ResponseError, NotReplicated) as error:
            failed.append((place, node, error))
    return failed


def _unknown() -> int:
    """The time of a store that nobody estimates."""
    return 0


def _only(replies: list[Any]) -> Any:
    """The reply of the one command."""
    if isinstance(replies[0], ResponseError):
        raise replies[0]
    return replies[0]


def _all(replies: list[Any]) -> list[Any]:
    """The replies; the first error is raised."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies


def _last(replies: list[Any]) -> Any:
    """The reply of the last command, that of a transaction; the first error is raised."""
    return _all(replies)[-1]


@dataclass(frozen=True, slots=True)
class _ReadReplicated:
    """The reply of the commands before the barrier and the WAIT. NotReplicated where too few replicas answered."""

    wanted: int

    def __call__(self, replies: list[Any]) -> Any:
        answer = _last(replies[:-2])
        barrier, acknowledged = replies[-2:]
        for reply in (barrier, acknowledged):
            if isinstance(reply, ResponseError):  # the call itself was done
                raise NotReplicated(str(reply))
        if acknowledged < self.wanted:
            raise NotReplicated(f"written, but {acknowledged} of {self.wanted} replicas said in time that they have it")
        return answer


def _key_of(command: Command) -> str | bytes | None:
    """The first key of a command, None where it has none."""
    name = command[0]
    if name in _KEYLESS:
        return None
    if name == "FCALL":
        place = 3
    elif name == "XREAD":
        place = command.index("STREAMS") + 1
    else:
        place = 1
    key = command[place]
    assert not isinstance(key, int)
    return key
