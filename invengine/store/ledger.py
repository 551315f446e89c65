"""The ledger: what changed stock, read back from the change log; one SKU's newest first, everything oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from invengine.domain.stock import LedgerEntry, LedgerFilter, StateChange
from invengine.store import keys
from invengine.store.acting import name_in
from invengine.store.inspection import Inspection
from invengine.store.reads import log_entry
from invengine.store.records import LogEntry

BY_ITSELF = frozenset({"EXPIRE", "COVER", "FORGET"})
"""Kinds of changes that the engine makes by itself, whoever's call it was that met them."""

LEDGER_CHUNK = 200
LEDGER_ENTRIES_MAX = 20_000
"""Entries that one page of a ledger looks at: a SKU that seldom moves must not make one call read a whole log."""

ROWS_PER_ENTRY = 65_536
"""A place in a ledger is revision x this + place in the entry, from 1."""

_EVERYTHING = LedgerFilter()


class LedgerStart(NamedTuple):
    """The oldest entry that a log still has; zeros where nothing was ever written."""

    revision: int = 0
    recorded_at_ms: int = 0


class Ledger(Inspection):
    """Adds readings of the change log as a ledger."""

    async def ledger(
        self,
        sku: str,
        location: str = "",
        before: int = 0,
        limit: int = 100,
        *,
        which: LedgerFilter = _EVERYTHING,
    ) -> tuple[list[LedgerEntry], int]:
        """Changes of a SKU, newest first, and the place to continue `before`; 0 at the end. A page may be empty."""
        partition = self._of(sku)
        needle = f"P\t{sku}\t".encode()
        if location:
            which = LedgerFilter(location, which.since_ms, which.until_ms, which.kinds, which.actor)
        entries: list[LedgerEntry] = []
        revision, row = divmod(before, ROWS_PER_ENTRY)
        newest = f"{revision}-0" if before else "+"
        for _ in range(0, LEDGER_ENTRIES_MAX, LEDGER_CHUNK):
            (chunk,) = await self._calls.read(("XREVRANGE", keys.log(partition), newest, "-", "COUNT", LEDGER_CHUNK))
            for entry_id, fields in chunk:
                entry = log_entry(partition, entry_id, fields)
                if entry.recorded_at_ms < which.since_ms:
                    return entries, 0
                changes = list(changes_in(entry, needle))
                last = row - 1 if before and entry.revision == revision else len(changes)
                for change in reversed(changes[:last]):
                    if not which.matches(change):
                        continue
                    if len(entries) == limit:
                        return entries, entry.revision * ROWS_PER_ENTRY + change.place + 1
                    entries.append(change)
            if len(chunk) < LEDGER_CHUNK:
                return entries, 0
            newest = f"({chunk[-1][0].decode()}"
        return entries, int(chunk[-1][0].split(b"-")[0]) * ROWS_PER_ENTRY + 1

    async def ledger_start(self, sku: str) -> LedgerStart:
        """Where the log of the SKU's partition begins."""
        partition = self._of(sku)
        (found,) = await self._calls.read(("XRANGE", keys.log(partition), "-", "+", "COUNT", 1))
        if not found:
            return LedgerStart()
        entry = log_entry(partition, *found[0])
        return LedgerStart(entry.revision, entry.recorded_at_ms)

    async def last_changes(self, sku: str, revisions: Mapping[str, int]) -> dict[str, LedgerEntry]:
        """By location, the change that gave its position of the SKU this revision; without those that were trimmed."""
        partition = self._of(sku)
        wanted = sorted(set(revisions.values()) - {0})
        if not wanted:
            return {}
        replies = await self._calls.read(
            *(("XRANGE", keys.log(partition), f"{revision}-0", f"{revision}-0") for revision in wanted)
        )
        needle = f"P\t{sku}\t".encode()
        found = {}
        for reply in replies:
            for entry_id, fields in reply:
                for change in changes_in(log_entry(partition, entry_id, fields), needle):
                    if revisions.get(change.location) == change.revision:
                        found[change.location] = change  # of several in one step, the last
        return found

    async def log_between(self, partition: int, after: int, until: int, count: int) -> list[LogEntry]:
        """Entries after one revision up to another, the oldest first, at most `count`."""
        (found,) = await self._calls.read(
            ("XRANGE", keys.log(partition), f"({after}-0", f"{until}-0", "COUNT", count),
        )
        return [log_entry(partition, entry_id, fields) for entry_id, fields in found]


def changes_in(entry: LogEntry, needle: bytes = b"P\t") -> Iterator[LedgerEntry]:
    """The changes of positions in an entry whose rows begin with `needle`, in their order."""
    places: dict[str, int] = {}
    change: LedgerEntry | None = None
    for line in entry.rows.split(b"\n"):
        if line.startswith(b"P\t"):
            if change is not None:
                yield change
            change = _ledger_entry(entry, line, places) if line.startswith(needle) else None
        elif change is not None and line.startswith(b"U\t"):  # it stands behind the change that it belongs to
            change = replace(change, states=(*change.states, _state_change(line)))
    if change is not None:
        yield change


def _state_change(line: bytes) -> StateChange:
    _, _, _, state, units, by, _, _ = line.decode().split("\t")
    return StateChange(state, int(units) - int(by), int(units))


def _ledger_entry(entry: LogEntry, line: bytes, places: dict[str, int]) -> LedgerEntry:
    columns = line.decode().split("\t")
    (
        _,
        sku,
        location,
        on_hand,
        reserved,
        _,
        units,
        set_aside,
        kind,
        actor,
        cause,
        reason,
        reference,
        occurred_at_ms,
        _,
    ) = columns
    places[sku] = place = places.get(sku, 0) + 1
    name = name_in(entry.by, cause) if entry.by and kind not in BY_ITSELF else ""
    return LedgerEntry(
        location=location,
        kind=kind,
        actor=name or actor,
        cause=cause,
        reason=reason,
        reference=reference,
        occurred_at_ms=int(occurred_at_ms),
        recorded_at_ms=entry.recorded_at_ms,
        on_hand_before=int(on_hand) - int(units),
        on_hand_after=int(on_hand),
        reserved_before=int(reserved) - int(set_aside),
        reserved_after=int(reserved),
        revision=entry.revision,
        sku=sku,
        place=place,
        source=actor if name else "",
    )
