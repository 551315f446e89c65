"""One partition's change log, replayed: every change added up, and what in the log itself does not add up."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import ReservationState
from invengine.domain.stock import UNITS_MAX
from invengine.services.integrity_report import LOG_REPLAYS, NOWHERE, READABLE, Place, Violate
from invengine.services.replay_positions import NUMBERS, with_fence, with_numbers
from invengine.store.records import LogEntry, LogTrimmed

if TYPE_CHECKING:
    from invengine.store.redis_store import RedisStore

LOG_CHUNK: Final = 200
ROWS_A_TURN: Final = 500
"""Replayed before others have their turn: a few milliseconds."""

KINDS: Final = frozenset("PRGFHIUTB")
POSITION_COLUMNS: Final = 15
HOLD_COLUMNS: Final = 9
FENCE_COLUMNS: Final = 6
INCOMING_COLUMNS: Final = (11, 12)  # the longer ones say where the units of a transfer left
BROKEN_COLUMNS: Final = 12
STATE_COLUMNS: Final = 8
RETURN_COLUMNS_LEAST: Final = 12
RECORD_COLUMNS_LEAST: Final = 13
HEAD_COLUMNS_LEAST: Final = 15
TOKEN_COLUMN: Final = 11
_ARRIVES: Final = ("RECEIVE", "COVER")
"""Kinds of I rows by which units arrive: those of pegs that are served have their own."""

_LIVE: Final = {ReservationState.HELD.value, ReservationState.CONFIRMED.value}


@dataclass(frozen=True, slots=True)
class Record:
    """What the log says last of a reservation."""

    text: str
    recorded_at_ms: int

    @property
    def state(self) -> str:
        """The word of its state."""
        return self.text.partition("\t")[0]

    @property
    def is_live(self) -> bool:
        """HELD or CONFIRMED."""
        return self.state in _LIVE


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the log itself that does not add up."""

    invariant: str
    place: Place
    what: str
    expected: int = 0
    actual: int = 0


class PartitionLog:
    """The model of one partition: what its log comes to, from revision `first` to `applied`."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.first = 1
        self.applied = 0
        self.positions: dict[str, dict[str, str] | None] = {}
        """SKU -> location -> text as the store keeps it, after a ~ where only the ring-fences that changed are known;
        None: this SKU is judged, rows of it do not matter."""
        self.records: dict[str, Record] = {}
        self.heads: dict[str, Record] = {}
        """Of reservations in pieces; the records are their pieces then."""
        self.receipts: dict[str, str] = {}
        """`SKU TAB location TAB receipt_id` -> text as the store keeps it; empty: nothing of it is open any more."""
        self.holds: dict[str, str] = {}
        """Leg -> `sku TAB location TAB units TAB expires_at TAB fenced TAB channel`; empty: it is none any more."""
        self.broken: dict[str, str] = {}
        """Leg -> the row as the store keeps it; empty: it is not broken any more."""
        self._sent: Counter[tuple[str, str]] = Counter()
        """SKU and transfer -> units that left their source by the entry that is read and are not on the way yet."""
        self.states: dict[str, str] = {}
        """`SKU TAB location TAB state` -> text as the store keeps it."""
        self.returns: dict[str, str] = {}
        """Returns of which something waits for a decision, by id; empty: nothing does any more."""
        self._keeps_records = True
        self._faults: list[Fault] = []

    def begin_after(self, revision: int) -> None:
        """Forgets what is not judged: the log begins anew after `revision`, later than all that was replayed."""
        self.first, self.applied = revision + 1, revision
        self.positions = {sku: places for sku, places in self.positions.items() if places is None}
        for memory in (self.records, self.heads, self.receipts, self.holds, self.broken, self.states, self.returns):
            memory.clear()

    def covers(self, revision: int) -> bool:
        """Whether the entry of this revision was replayed or will be."""
        return revision >= self.first

    def apply(self, entry: LogEntry) -> int:
        """Replays the next entry; how many rows it has."""
        self.applied = entry.revision
        lines = entry.rows.split(b"\n")
        for line in lines[:-1]:
            try:
                self._apply_row(entry, line.decode().split("\t"))
            except ValueError as error:
                self._fault(READABLE, NOWHERE, f"row {line!r} of revision {entry.revision} cannot be read: {error}")
        for (sku, transfer_id), units in self._sent.items():
            if units:
                what = (
                    f"revision {entry.revision} has {units} units of transfer {transfer_id} leave and not be on the way"
                )
                self._fault(LOG_REPLAYS, (sku, ""), what, 0, units)
        self._sent.clear()
        if lines[-1]:
            self._fault(READABLE, NOWHERE, f"revision {entry.revision} ends within a row: {lines[-1]!r}")
        return len(lines)

    def drop_records(self) -> None:
        """The reservations are judged: nothing of them is kept from now on."""
        self.records.clear()
        self.heads.clear()
        self._keeps_records = False

    def faults_to_tell(self) -> list[Fault]:
        """What did not add up since this was asked before. No entry is read twice, so nothing is told twice."""
        found, self._faults = self._faults, []
        return found

    def _apply_row(self, entry: LogEntry, row: list[str]) -> None:
        kind, count = row[0], len(row)
        if kind == "P" and count == POSITION_COLUMNS:
            self._apply_position(entry.revision, row)
        elif kind == "R" and count >= RECORD_COLUMNS_LEAST:
            self._apply_record(entry, row, self.records)
        elif kind == "G" and count >= HEAD_COLUMNS_LEAST:
            self._apply_record(entry, row, self.heads)
        elif kind == "F" and count == FENCE_COLUMNS:
            self._apply_fence(entry.revision, row)
        elif kind == "H" and count == HOLD_COLUMNS:
            self._apply_promise(self.holds, row[1], "\t".join(row[2:-1]), is_there=int(row[4]) > 0)
        elif kind == "I" and count in INCOMING_COLUMNS:
            self._apply_receipt(entry.revision, row)
        elif kind == "U" and count == STATE_COLUMNS:
            self._apply_state(entry.revision, row)
        elif kind == "T" and count >= RETURN_COLUMNS_LEAST:
            self._apply_promise(self.returns, row[1], "\t".join(row[2:-1]), is_there=row[2] == "OPEN")
        elif kind == "B" and count == BROKEN_COLUMNS:
            self._apply_promise(self.broken, row[1], "\t".join(row[2:-1]), is_there=bool(row[8]))
        elif kind in KINDS or not (len(kind) == 1 and "A" <= kind <= "Z"):  # else of a newer library, and passed over
            raise ValueError(f"{count} columns of kind {kind!r}")

    def _apply_position(self, revision: int, row: list[str]) -> None:
        sku, location = row[1], row[2]
        on_hand, reserved, counted_at_ms, units, set_aside = map(int, row[3:8])
        if row[8] == "TRANSFER_OUT":
            self._sent[sku, row[10]] -= units
        places = self.positions.setdefault(sku, {})
        if places is None:
            return
        before = places.get(location) or ("0,0" if self.first == 1 else "")
        if before:
            known = [int(number) for number in before.lstrip("~").partition("\t")[0].split(",")[:2]]
            said = [on_hand - units, reserved - set_aside]
            for name, expected, actual in zip(NUMBERS, known, said, strict=False):
                if expected != actual:
                    what = f"revision {revision} changes {name} from {actual}, the changes before it come to {expected}"
                    self._fault(LOG_REPLAYS, (sku, location), what, expected, actual)
        if row[8] == "FORGET":  # slots of a day that is over: they are kept nowhere any more
            places.pop(location, None)
            return
        places[intern(location)] = with_numbers(before or "~", f"{on_hand},{reserved},{revision},{counted_at_ms}")

    def _apply_fence(self, revision: int, row: list[str]) -> None:
        sku, location, channel, units = row[1], row[2], row[3], int(row[4])
        places = self.positions.setdefault(sku, {})
        if places is None:
            return
        if units < 0 or location not in places:
            self._fault(LOG_REPLAYS, (sku, location), f"revision {revision} leaves {units} units fenced for {channel}")
        else:
            places[location] = with_fence(places[location], channel, units)

    def _apply_receipt(self, revision: int, row: list[str]) -> None:
        sku, location, receipt_id, day, quantity, pegged = row[1], row[2], row[3], *map(int, row[4:7])
        text = f"{day},{quantity},{pegged},{revision}"
        if len(row) == INCOMING_COLUMNS[-1] and row[10]:
            text += f",{row[10]}"
            self._judge_transit(revision, row, quantity)
        self._apply_promise(self.receipts, "\t".join(row[1:4]), text, is_there=bool(quantity or pegged))
        if pegged < 0 or (not receipt_id and quantity):
            self._fault(READABLE, (sku, location), f"revision {revision} says {text!r} of receipt {receipt_id!r}")

    def _judge_transit(self, revision: int, row: list[str], quantity: int) -> None:
        """Units of a transfer get on the way by leaving their source, and off it by being received; not otherwise."""
        sku, location, transfer_id, kind, name = row[1], row[2], row[3], row[7], "\t".join(row[1:4])
        before: int | None = 0
        if known := self.receipts.get(name):
            before = int(known.split(",")[1])
        elif self.first > 1 and name not in self.receipts:
            before = None  # it may have been there before this log begins
        if kind == "TRANSFER_OUT":
            rise = self._sent.pop((sku, transfer_id), 0)
            if before is not None and quantity - before != rise:
                what = (
                    f"revision {revision} has {rise} units of transfer {transfer_id} leave, {quantity - before} more go"
                )
                self._fault(LOG_REPLAYS, (sku, location), what, rise, quantity - before)
        elif before is not None and (quantity > before or (quantity < before and kind not in _ARRIVES)):
            what = f"revision {revision} changes what is on the way of transfer {transfer_id} from {before} by {kind}"
            self._fault(LOG_REPLAYS, (sku, location), what, before, quantity)

    def _apply_state(self, revision: int, row: list[str]) -> None:
        name, units, change, counted_at_ms = "\t".join(row[1:4]), *map(int, row[4:7])
        place = row[1], row[2]
        before = self.states.get(name) or ("0,0,0" if self.first == 1 else "")
        known = int(before.partition(",")[0]) if before else units - change
        if known != units - change:
            said = f"revision {revision} changes units in {row[3]} from {units - change}"
            what = f"{said}, the changes before it come to {known}"
            self._fault(LOG_REPLAYS, place, what, known, units - change)
        if units < 0 or self._has_no(place):
            self._fault(LOG_REPLAYS, place, f"revision {revision} leaves {units} units in {row[3]} of no position")
        self.states[name] = f"{units},{revision},{counted_at_ms}"

    def _has_no(self, place: Place) -> bool:
        """Whether there is no such position; one that is judged is not looked at any more."""
        places = self.positions.get(place[0], {})
        return places is not None and place[1] not in places

    def _apply_promise(self, memory: dict[str, str], name: str, text: str, *, is_there: bool) -> None:
        """What is gone is forgotten, unless it may have been there before this log begins."""
        if is_there:
            memory[name] = text
        elif self.first > 1:
            memory[name] = ""
        else:
            memory.pop(name, None)

    def _apply_record(self, entry: LogEntry, row: list[str], records: dict[str, Record]) -> None:
        if not self._keeps_records:
            return
        reservation_id, state_before = row[1], row[2]
        known = records.get(reservation_id)
        before = known.state if known else ""
        is_reused = not state_before and known and not known.is_live  # the closed one with this id was forgotten
        if before != state_before and (known or self.first == 1) and not is_reused:
            what = (
                f"revision {entry.revision} changes reservation {reservation_id} from {state_before or 'nothing'}, "
                f"the changes before it come to {before or 'nothing'}"
            )
            self._fault(LOG_REPLAYS, NOWHERE, what)
        records[reservation_id] = Record("\t".join(row[3:-1]), entry.recorded_at_ms)
        if row[0] == "R" and row[TOKEN_COLUMN].startswith("!"):  # a piece that was never committed is kept nowhere
            del records[reservation_id]

    def _fault(self, invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0) -> None:
        what = f"the log of partition {self.partition}: {what}"
        self._faults.append(Fault(invariant, place, what, expected, actual))

    def fault_of_log(self, what: str) -> None:
        """The log is not whole."""
        self._fault(LOG_REPLAYS, NOWHERE, what)


class LogReader:
    """Reads logs of a store into their models."""

    def __init__(self, store: RedisStore, report: Violate) -> None:
        self._store = store
        self._report = report

    async def follow(self, log: PartitionLog) -> None:
        """Replays a log up to the revision that the store has now; tells what in it does not add up."""
        newest = (await self._store.revisions())[log.partition]
        restarts = rows = 0
        while log.applied < newest:
            try:
                entries = await self._after(log, log.applied, LOG_CHUNK)
            except LogTrimmed:
                await self._begin_anew(log, newest, restarts)
                restarts += 1
                continue
            if not entries:
                at = log.applied
                log.begin_after(newest)
                log.fault_of_log(f"ends at revision {at}, the store is at {newest}")
            for entry in entries:
                if entry.revision != log.applied + 1:
                    gap = f"revisions {log.applied + 1} to {entry.revision - 1} are missing"
                    log.begin_after(entry.revision - 1)
                    log.fault_of_log(gap)
                rows += log.apply(entry)
                if rows > ROWS_A_TURN:
                    rows = 0
                    await asyncio.sleep(0)
        for fault in log.faults_to_tell():
            self._report(fault.invariant, fault.place, fault.what, fault.expected, fault.actual)

    async def _begin_anew(self, log: PartitionLog, newest: int, restarts: int) -> None:
        """Goes to where the log begins now; further in with every restart, since writers trim while this reads."""
        at = log.applied
        is_gap = bool(at) and await self._has(log, at)
        gone, there = at, newest  # entries after `gone` are missing, those after `there` are not
        while there - gone > 1:
            middle = (gone + there) // 2
            try:
                await self._after(log, middle, 1)
            except LogTrimmed:
                gone = middle
            else:
                there = middle
        log.begin_after(there + (newest - there) * min(restarts, 8) // 8)
        if is_gap:
            log.fault_of_log(f"revisions after {at} are missing")

    async def _has(self, log: PartitionLog, revision: int) -> bool:
        """Whether the log still has this entry: then what is missing after it was not trimmed."""
        try:
            return bool(await self._after(log, revision - 1, 1))
        except LogTrimmed:
            return False

    async def _after(self, log: PartitionLog, revision: int, count: int) -> list[LogEntry]:
        """Entries of one log: nothing of the others is after their end."""
        after = [UNITS_MAX] * self._store.partitions
        after[log.partition] = revision
        return await self._store.read_log(after, 0, count)
