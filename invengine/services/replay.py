"""The change log replayed into an empty model of the state, and the model compared with the store.

Partition by partition the whole log is read: every change is added up, from nothing where the log still begins at the
beginning, and what a row says must be what the changes before it come to. The model then says what each position and
each reservation should be. Nothing is locked: what differs at a first look is looked at again between two reads, with
the log read up in between, and counts only when both reads agree. The revision is part of what is read, so nothing
moved then, and the log up to there contains whatever made it so.

A log that was trimmed has lost its beginning. What changed since is judged by its newest row; what did not is not
covered, and counted as such. Memory, while it runs: some 300 bytes per position, and one partition's reservations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final, TypeVar

from invengine.domain.orders import Reservation
from invengine.domain.partitions import partition_of
from invengine.domain.stock import UNITS_MAX
from invengine.services.integrity_report import LOG_REPLAYS, NOWHERE, Place, Replayed, Violate
from invengine.services.replay_log import LogReader, PartitionLog
from invengine.services.replay_positions import NUMBERS, difference, text_of
from invengine.services.replay_promises import PromisesReplay
from invengine.store.records import Unreadable, read_reservation

if TYPE_CHECKING:
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 5
READS_AT_ONCE: Final = 50
POSITIONS_A_TURN: Final = 500
"""Compared before others have their turn: a millisecond."""

REVISION_FIELD: Final = 4
"""Of a reservation record."""

AnswerT = TypeVar("AnswerT")

Stored = str | Reservation | None
"""A record in the store: the text of a live one, a closed one, or none. Two of them say whether it moved."""


class Replay:
    """One replay of all logs and its comparison."""

    def __init__(self, store: RedisStore, report: Violate) -> None:
        self._store = store
        self._report = report
        self._reader = LogReader(store, report)
        self._logs = [PartitionLog(partition) for partition in range(store.partitions)]
        self._replayed = Replayed()

    async def run(self) -> Replayed:
        """Replays every log, then judges its reservations; then all positions."""
        for log in self._logs:
            await self._reader.follow(log)
            await self._judge_records(log)
        await self._judge_positions()
        await PromisesReplay(self._store, self._logs, self._reader, self._violation).run(self._replayed)
        self._replayed.entries = sum(log.applied - log.first + 1 for log in self._logs)
        return self._replayed

    # Reservations

    async def _judge_records(self, log: PartitionLog) -> None:
        """Compares the reservations whose home is this partition with the model."""
        suspects: set[str] = set()
        seen: set[str] = set()
        async for records in self._store.live_records(log.partition):
            for reservation_id, text in records:
                if reservation_id not in seen:
                    seen.add(reservation_id)
                    if not self._is_as_replayed(log, reservation_id, text):
                        suspects.add(reservation_id)
        unseen = {name: record for name, record in log.records.items() if name not in seen}
        suspects.update(name for name, record in unseen.items() if record.is_live)  # lost, or closed meanwhile
        closed, witness = await self._closed_suspects(
            log, [name for name, record in unseen.items() if not record.is_live]
        )
        suspects |= closed
        for _ in range(ROUNDS_MAX):
            if not suspects:
                break
            before = await self._records(log, suspects)
            await self._reader.follow(log)
            after = await self._records(log, suspects)
            is_witnessed = bool(witness) and await self._closed_record(witness) is not None
            moved = set()
            for name in sorted(suspects):
                if before[name] != after[name]:
                    moved.add(name)
                else:
                    self._judge_record(log, name, after[name], is_witnessed)
            suspects = moved
        self._replayed.reservations_not_covered += len(suspects)
        log.drop_records()

    def _is_as_replayed(self, log: PartitionLog, reservation_id: str, text: str) -> bool:
        """Whether a live record needs no second look: it is as replayed, or what made it so is not in the log."""
        known = log.records.get(reservation_id)
        if known is None and not log.covers(_revision(text)):
            self._replayed.reservations_not_covered += 1
            return True
        if known is None or known.text != text:
            return False
        self._replayed.reservations_covered += 1
        return True

    async def _closed_suspects(self, log: PartitionLog, closed: list[str]) -> tuple[set[str], str]:
        """Closed records that are not as replayed, or gone while one that closed before them is still there: the
        witness, the second answer.

        Closed records are forgotten in the order in which they closed, so a gone one alone says nothing.
        """
        stored = await _all_of(closed, self._closed_record)
        witness, oldest = "", UNITS_MAX
        for name in closed:
            if stored[name] is not None and log.records[name].recorded_at_ms < oldest:
                witness, oldest = name, log.records[name].recorded_at_ms
        suspects = set()
        for name in closed:
            if stored[name] is None:
                if log.records[name].recorded_at_ms >= oldest:
                    suspects.add(name)
            elif stored[name] != _read(name, log.records[name].text):
                suspects.add(name)
        return suspects, witness

    async def _records(self, log: PartitionLog, wanted: Collection[str]) -> dict[str, Stored]:
        """What the store has of these reservations of one home now."""
        found: dict[str, Stored] = {}
        async for records in self._store.live_records(log.partition):
            found.update((name, text) for name, text in records if name in wanted)
        found.update(await _all_of(sorted(set(wanted) - set(found)), self._closed_record))
        return found

    async def _closed_record(self, reservation_id: str) -> Stored:
        try:
            return await self._store.reservation(reservation_id)
        except Unreadable as fault:
            return str(fault)

    def _judge_record(self, log: PartitionLog, reservation_id: str, stored: Stored, is_witnessed: bool) -> None:
        """Judges one that stood still. A closed record that is gone was forgotten unless a witness says otherwise."""
        known = log.records.get(reservation_id)
        is_live = isinstance(stored, str)
        if known is None:
            if isinstance(stored, str) and log.covers(_revision(stored)):
                self._violation(NOWHERE, f"the log never mentions reservation {reservation_id}")
                self._replayed.reservations_covered += 1
            else:
                self._replayed.reservations_not_covered += is_live
            return
        self._replayed.reservations_covered += is_live
        if stored is None:
            if known.is_live or is_witnessed:
                self._violation(NOWHERE, f"reservation {reservation_id} is {known.state} by the log and not stored")
        elif stored != (known.text if is_live else _read(reservation_id, known.text)):
            self._violation(
                NOWHERE,
                f"reservation {reservation_id} differs from what the log says: {known.state} of revision "
                f"{_revision(known.text)}",
            )

    # Positions

    async def _judge_positions(self) -> None:
        """Compares all positions with the models."""
        suspects: set[Place] = set()
        judged: set[str] = set()
        turn = 0
        async for chunk in self._store.snapshot_positions():
            for sku, stored in chunk:
                if sku not in judged:
                    judged.add(sku)
                    suspects |= self._suspects_of(sku, stored)
                turn += len(stored)
                if turn > POSITIONS_A_TURN:
                    turn = 0
                    await asyncio.sleep(0)
        for log in self._logs:
            for sku, places in log.positions.items():
                if places is not None and sku not in judged:
                    suspects.update((sku, location) for location in places)
        for _ in range(ROUNDS_MAX):
            suspects = await self._settle_positions(suspects)
        self._replayed.positions_not_covered += len(suspects)

    async def _settle_positions(self, suspects: set[Place]) -> set[Place]:
        """Judges the suspects that stand still during this look; those that moved are left."""
        skus = sorted({sku for sku, _ in suspects})
        before = await _all_of(skus, self._positions_of)
        for partition in sorted({partition_of(sku, self._store.partitions) for sku in skus}):
            await self._reader.follow(self._logs[partition])
        after = await _all_of(skus, self._positions_of)
        moved = set()
        for sku, location in sorted(suspects):
            stored = after[sku].get(location)
            if before[sku].get(location) != stored:
                moved.add((sku, location))
            else:
                self._judge_position((sku, location), stored)
        return moved

    def _suspects_of(self, sku: str, stored: dict[bytes, bytes]) -> set[Place]:
        """Positions of a SKU that need a second look; without any the SKU is judged."""
        log = self._log_of(sku)
        replayed = log.positions.get(sku) or {}
        suspects = {(sku, location) for location in replayed if location.encode() not in stored}
        for name, text in stored.items():
            location = name.decode()
            if location not in replayed and not log.covers(_revision_of_position(text)):
                self._replayed.positions_not_covered += 1
            elif not _agrees(replayed.get(location, ""), text):
                suspects.add((sku, location))
            else:
                self._replayed.positions_covered += 1
        if not suspects:
            log.positions[sku] = None
        return suspects

    async def _positions_of(self, sku: str) -> dict[str, str]:
        """Texts of the positions of a SKU; none where one cannot be read, which the rest of the check tells."""
        try:
            positions = await self._store.positions(sku)
        except Unreadable:
            return {}
        return {location: text_of(position) for location, position in positions.items()}

    def _judge_position(self, place: Place, stored: str | None) -> None:
        """Judges one that stood still."""
        sku, location = place
        log = self._log_of(sku)
        known = (log.positions.get(sku) or {}).get(location)
        if stored is None:
            if known is not None:
                self._violation(place, "the log has this position, the store has none that can be read")
            return
        if known is None:
            revision = _revision_of_position(stored.encode())
            if log.covers(revision):
                self._replayed.positions_covered += 1
                self._violation(place, "the log never mentions this position", 0, revision)
            else:
                self._replayed.positions_not_covered += 1
            return
        self._replayed.positions_covered += 1
        differs = difference(known, stored)
        if differs:
            name, expected, actual = differs
            self._violation(place, f"{name} is {actual} in the store, the log comes to {expected}", expected, actual)

    def _log_of(self, sku: str) -> PartitionLog:
        return self._logs[partition_of(sku, self._store.partitions)]

    def _violation(self, place: Place, what: str, expected: int = 0, actual: int = 0) -> None:
        self._report(LOG_REPLAYS, place, what, expected, actual)


async def _all_of(names: list[str], ask: Callable[[str], Awaitable[AnswerT]]) -> dict[str, AnswerT]:
    """The answer for each name, a few at a time."""
    answers: dict[str, AnswerT] = {}
    for start in range(0, len(names), READS_AT_ONCE):
        part = names[start : start + READS_AT_ONCE]
        answers.update(zip(part, await asyncio.gather(*map(ask, part)), strict=True))
    return answers


def _read(reservation_id: str, text: str) -> Stored:
    """A record of the log as the store would hand it out."""
    try:
        return read_reservation(reservation_id, text)
    except Unreadable as fault:
        return str(fault)


def _revision(text: str) -> int:
    """The revision of a record; 0, which no log covers, where the record is damaged: the rest of the check tells."""
    fields = text.split("\t", REVISION_FIELD + 1)
    return int(fields[REVISION_FIELD]) if len(fields) > REVISION_FIELD and fields[REVISION_FIELD].isdecimal() else 0


def _agrees(replayed: str, stored: bytes) -> bool:
    """Whether a stored text is what the log comes to; a damaged one is looked at again."""
    try:
        return bool(replayed) and difference(replayed, stored.decode()) is None
    except ValueError:
        return False


def _revision_of_position(text: bytes) -> int:
    """The revision of a position; 0 where the text is damaged."""
    numbers = text.partition(b"\t")[0].split(b",")
    return int(numbers[2]) if len(numbers) == len(NUMBERS) and numbers[2].isdigit() else 0
