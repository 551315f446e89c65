"""Receipts, backorders, holds, broken promises, states, open returns: what the replayed logs come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import ReservationState
from invengine.domain.partitions import partition_of
from invengine.services.integrity_report import NOWHERE, Place, Replayed
from invengine.services.replay_log import LogReader, PartitionLog
from invengine.store.records import Unreadable, open_allocations

if TYPE_CHECKING:
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 5
LEGS_PER_REVISION: Final = 65_536
"""A leg is the revision in which it was made times this, and its place in the call."""

Name = tuple[int, str]
"""Partition, and the name that its log uses."""

Tell = Callable[[Place, str], None]


@dataclass(frozen=True)
class Kind:
    """One kind of promise, or of units in states: how to read all that are stored, what a log remembers, when a name or
    text was last written at least (0: not known), and how to tell a name.
    """

    word: str
    read: Callable[[], Awaitable[dict[Name, str]]]
    of: Callable[[PartitionLog], dict[str, str]]
    revision: Callable[[str, str], int]
    place: Callable[[str, str], Place]


class PromisesReplay:
    """The comparison, after all logs were replayed."""

    def __init__(self, store: RedisStore, logs: list[PartitionLog], reader: LogReader, tell: Tell) -> None:
        self._store = store
        self._logs = logs
        self._reader = reader
        self._tell = tell

    async def run(self, replayed: Replayed) -> None:
        """Judges every kind."""
        for kind in (
            Kind("receipt", self._receipts, lambda log: log.receipts, _revision_of_receipt, _place_of_receipt),
            Kind("hold", self._holds, lambda log: log.holds, _revision_of_leg, _place_of_hold),
            Kind("broken promise", self._broken, lambda log: log.broken, _revision_of_leg, _place_of_broken),
            Kind("return", self._returns, lambda log: log.returns, _revision_of_return, lambda *_: NOWHERE),
            Kind("state", self._states, lambda log: log.states, _revision_of_state, _place_of_receipt),
        ):
            await self._judge(kind, replayed)

    async def _judge(self, kind: Kind, replayed: Replayed) -> None:
        """Compares all of a kind; what differs is looked at again, and counts when it stood still meanwhile."""
        stored = await kind.read()
        suspects = self._differing(kind, stored, set(stored) | self._known(kind))
        settled = set(stored) - suspects
        for _ in range(ROUNDS_MAX):
            if not suspects:
                break
            before = await kind.read()
            for partition in sorted({partition for partition, _ in suspects}):
                await self._reader.follow(self._logs[partition])
            after = await kind.read()
            moved = {name for name in suspects if before.get(name) != after.get(name)}
            differing = self._differing(kind, after, suspects - moved)
            moved |= await self._moved_again(kind, differing)
            for name in sorted(differing - moved):
                self._violation(kind, name, after.get(name, ""))
            settled |= (suspects - moved) & set(after)
            suspects = moved
        replayed.promises_not_covered += len(suspects)
        for name in settled:
            if self._is_covered(kind, name, stored.get(name, "")):
                replayed.promises_covered += 1
            else:
                replayed.promises_not_covered += 1

    async def _moved_again(self, kind: Kind, names: Collection[Name]) -> set[Name]:
        """Those of which the log has more by now: what was not there before nor after may have come and gone."""
        known = {name: kind.of(self._logs[name[0]]).get(name[1], "") for name in names}
        for partition in sorted({partition for partition, _ in names}):
            await self._reader.follow(self._logs[partition])
        return {name for name, text in known.items() if kind.of(self._logs[name[0]]).get(name[1], "") != text}

    def _known(self, kind: Kind) -> set[Name]:
        return {(log.partition, name) for log in self._logs for name in kind.of(log)}

    def _differing(self, kind: Kind, stored: dict[Name, str], names: Collection[Name]) -> set[Name]:
        """Those of the names that are covered by the log and not what it says."""
        found = set()
        for name in names:
            text = stored.get(name, "")
            if self._is_covered(kind, name, text) and kind.of(self._logs[name[0]]).get(name[1], "") != text:
                found.add(name)
        return found

    def _is_covered(self, kind: Kind, name: Name, text: str) -> bool:
        """Whether the log has all that made this so."""
        log = self._logs[name[0]]
        return log.first == 1 or name[1] in kind.of(log) or log.covers(kind.revision(name[1], text))

    def _violation(self, kind: Kind, name: Name, stored: str) -> None:
        known = kind.of(self._logs[name[0]]).get(name[1], "")
        title = f"{kind.word} {name[1].replace(chr(9), ' ')}"
        if not stored:
            what = f"{title} is {known!r} by the log and not stored"
        elif not known:
            what = f"{title} is stored as {stored!r}, the log does not have it"
        else:
            what = f"{title} is {stored!r} in the store, the log comes to {known!r}"
        self._tell(kind.place(name[1], stored or known), what)

    # Readings

    async def _receipts(self) -> dict[Name, str]:
        found: dict[Name, str] = {}
        async for chunk in self._store.snapshot_incoming_texts():
            for sku, stored in chunk:
                partition = partition_of(sku, self._store.partitions)
                found.update({(partition, f"{sku}\t{name}"): text for name, text in stored.items()})
        return found

    async def _states(self) -> dict[Name, str]:
        found: dict[Name, str] = {}
        async for chunk in self._store.snapshot_unsellable_texts():
            for sku, stored in chunk:
                partition = partition_of(sku, self._store.partitions)
                found.update({(partition, f"{sku}\t{name}"): text for name, text in stored.items()})
        return found

    async def _returns(self) -> dict[Name, str]:
        found: dict[Name, str] = {}
        for home in range(self._store.partitions):
            async for chunk in self._store.open_returns(home):
                found.update({(home, return_id): text for return_id, text in chunk})
        return found

    async def _holds(self) -> dict[Name, str]:
        found: dict[Name, str] = {}
        for home in range(self._store.partitions):
            async for records in self._store.live_records(home):
                for reservation_id, text in records:
                    found.update(_holds_of(reservation_id, text))
        return found

    async def _broken(self) -> dict[Name, str]:
        return {
            (partition, leg): text
            for partition in range(self._store.partitions)
            for leg, text in (await self._store.broken_texts(partition)).items()
        }


def _holds_of(reservation_id: str, text: str) -> dict[Name, str]:
    """The holds of a record, as rows tell them; none where it cannot be read, which the rest of the check tells."""
    try:
        state, expires_at, allocations = open_allocations(reservation_id, text)
    except Unreadable:
        return {}
    if state is not ReservationState.HELD:
        return {}
    return {
        (its.partition, str(its.leg)): (
            f"{its.sku}\t{its.location}\t{its.units}\t{expires_at}\t{its.source.fenced}\t{its.source.fence_channel}"
        )
        for its in allocations
        if its.is_on_hand
    }


def _revision_of_receipt(_name: str, text: str) -> int:
    revision = text.split(",", 4)[3:4]
    return int(revision[0]) if revision and revision[0].isdecimal() else 0


def _revision_of_state(_name: str, text: str) -> int:
    numbers = text.split(",")
    return int(numbers[1]) if len(numbers) == 3 and numbers[1].isdecimal() else 0


def _revision_of_return(_name: str, text: str) -> int:
    fields = text.split("\t", 2)
    return int(fields[1]) if len(fields) == 3 and fields[1].isdecimal() else 0


def _revision_of_leg(name: str, _text: str) -> int:
    return int(name) // LEGS_PER_REVISION if name.isdecimal() else 0


def _place_of_receipt(name: str, _text: str) -> Place:
    sku, location, _ = name.split("\t")
    return sku, location


def _place_of_hold(_name: str, text: str) -> Place:
    sku, location, *_ = text.split("\t")
    return sku, location


def _place_of_broken(_name: str, text: str) -> Place:
    fields = text.split("\t")
    return (fields[3], fields[4]) if len(fields) > 4 else NOWHERE
