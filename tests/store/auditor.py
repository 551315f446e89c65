"""Follows the change log row by row, from nothing, and judges each row by rules of its own.

It knows no verb and no model: only what the rows say was done, and what may never be done. What it has at the end is
what the store must have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from invengine.domain.capacity import is_capacity
from invengine.domain.orders import Candidate
from invengine.domain.stock import Position, Unsellable, safety_units
from invengine.store.records import LogEntry
from tests.store.model.stock import NOTHING, Place, Source

TAKING = ("RESERVE", "AMEND", "REBIND")
Floors = Mapping[tuple[str, str, str], Sequence[Candidate]]
"""Reservation, SKU, location -> the candidates that let it take there."""


@dataclass(frozen=True)
class Change:
    """One P row, with what its F rows do."""

    kind: str
    actor: str
    cause: str
    place: Place
    units: int
    set_aside: int
    before: Position
    after: Position

    @property
    def out_of_fences(self) -> dict[str, int]:
        """Units by which ring-fences fell (below 0: rose), by channel."""
        before, after = dict(self.before.fences), dict(self.after.fences)
        change = {name: before.get(name, 0) - after.get(name, 0) for name in before | after}
        return {name: units for name, units in change.items() if units}

    @property
    def pool(self) -> int:
        """Unreserved units that are fenced for nobody."""
        return self.after.on_hand - self.after.reserved - sum(units for _, units in self.after.fences)


class Auditor:
    """What the rows come to."""

    def __init__(self) -> None:
        self.positions: dict[Place, Position] = {}
        self.receipts: dict[Source, tuple[int, int, int, int, str]] = {}  # day, quantity, pegged, revision, from where
        self.sent: Counter[tuple[str, str]] = Counter()  # by transfer and SKU: units that left their source
        self.arrived: Counter[tuple[str, str]] = Counter()  # likewise: units that arrived or were written off
        self.holds: dict[tuple[int, str], str] = {}  # partition and leg -> its row
        self.broken: dict[tuple[int, str], str] = {}  # partition and leg -> the rest of its row
        self.states: dict[tuple[str, str, str], Unsellable] = {}  # SKU, location, state
        self.records: dict[str, str] = {}
        self.returns: dict[str, str] = {}
        self.rows_of_sku: dict[str, int] = {}

    def follow(self, entries: Iterable[LogEntry], floors: Floors | None = None, *, arrivals: bool = True) -> None:
        """Applies and judges the rows; with `floors` also what was taken. `arrivals`: reserved units may be pegged ones
        that arrive, which the pool never had."""
        for entry in entries:
            for group in _groups(entry.rows.decode()):
                if group[0][0] == "P":
                    change = self._applied(entry.revision, group)
                    if change.kind == "TRANSFER_OUT":
                        assert change.units == change.set_aside < 0
                        self.sent[change.cause, change.place[0]] -= change.units
                    if floors is not None:
                        _judge(change, floors, arrivals=arrivals)
                for kind, *columns in group:
                    if kind not in "PF":
                        getattr(self, f"_apply_{kind.lower()}")(entry, columns)
            for source, (_, quantity, pegged, *_) in self.receipts.items():
                assert 0 <= pegged <= (quantity if source[2] else pegged), (source, entry)

    def _applied(self, revision: int, group: list[list[str]]) -> Change:
        """A position by its P row, and its ring-fences by the F rows after it."""
        _, sku, location, on_hand, reserved, counted_at_ms, units, set_aside, kind, actor, cause, *rest = group[0]
        assert len(rest) == 3
        place = sku, location
        before = self.positions.get(place, NOTHING)
        fences = dict(before.fences)
        for row in group[1:]:
            if row[0] == "F":
                _, its_sku, its_location, channel, left = row
                assert (its_sku, its_location) == place
                assert int(left) >= 0
                fences[channel] = int(left)
        kept = tuple(sorted((channel, left) for channel, left in fences.items() if left))
        after = Position(int(on_hand), int(reserved), revision, int(counted_at_ms), kept)
        assert (after.on_hand, after.reserved) == (before.on_hand + int(units), before.reserved + int(set_aside))
        assert min(after.on_hand, after.reserved) >= 0
        self.positions[place] = after
        self.rows_of_sku[sku] = self.rows_of_sku.get(sku, 0) + 1
        return Change(kind, actor, cause, place, int(units), int(set_aside), before, after)

    def _apply_i(self, entry: LogEntry, columns: list[str]) -> None:
        sku, location, receipt_id, day, quantity, pegged, kind, _actor, _cause, *more = columns
        left = more[0] if more else ""
        numbers = int(day), int(quantity), int(pegged), entry.revision, left
        before = self.receipts.get((sku, location, receipt_id), (0, 0, 0, 0, ""))
        if left or before[4]:
            fell = before[1] - numbers[1]
            assert left == (before[4] or left)
            assert (fell < 0) == (kind == "TRANSFER_OUT")
            assert fell <= 0 or kind in ("RECEIVE", "COVER")  # the pegs that are served have rows of their own
            self.arrived[receipt_id, sku] += max(0, fell)
        self.receipts[sku, location, receipt_id] = numbers
        if not any(numbers[1:3]):
            del self.receipts[sku, location, receipt_id]

    def _apply_u(self, entry: LogEntry, columns: list[str]) -> None:
        sku, location, state, units, change, counted_at_ms = columns
        before = self.states.get((sku, location, state), Unsellable(sku, location, state, 0, 0))
        assert int(units) == before.units + int(change) >= 0
        assert int(counted_at_ms) >= before.counted_at_ms
        assert self.positions[sku, location].revision == entry.revision, "units in a state without their position"
        numbers = int(units), entry.revision, int(counted_at_ms)
        self.states[sku, location, state] = Unsellable(sku, location, state, *numbers)

    def _apply_t(self, entry: LogEntry, columns: list[str]) -> None:
        return_id, *text = columns
        assert text[1] == str(entry.revision)
        self.returns[return_id] = "\t".join(text)

    def _apply_h(self, entry: LogEntry, columns: list[str]) -> None:
        leg, _sku, _location, units, expires_at, fenced, channel = columns
        assert 0 <= int(fenced) <= int(units)
        assert bool(int(fenced)) == bool(channel)
        self.holds[entry.partition, leg] = "\t".join(["H", *columns, "\n"])
        if not int(units):
            assert expires_at == "0"
            del self.holds[entry.partition, leg]

    def _apply_b(self, entry: LogEntry, columns: list[str]) -> None:
        leg, *rest = columns
        _home, _reservation_id, _line_id, _sku, _location, _receipt_id, reason, _due_day, _broken_at_ms = rest
        self.broken[entry.partition, leg] = "\t".join(rest)
        if not reason:
            del self.broken[entry.partition, leg]

    def _apply_r(self, _entry: LogEntry, columns: list[str]) -> None:
        reservation_id, was, *record = columns
        assert was == self.records.get(reservation_id, "").partition("\t")[0]
        self.records[reservation_id] = "\t".join(record)


def _groups(rows: str) -> list[list[list[str]]]:
    """Rows as columns: a P row with what stands before the next one, others by themselves."""
    groups: list[list[list[str]]] = []
    for line in rows.split("\n")[:-1]:
        *row, end = line.split("\t")
        assert end == ""
        if row[0] == "F" or (row[0] != "P" and groups and groups[-1][0][0] == "P"):
            assert groups[-1][0][0] == "P", "a ring-fence changed without its position"
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _judge(change: Change, floors: Floors, *, arrivals: bool) -> None:
    """Nothing is taken below its floor, out of the ring-fence of another, or out of a pool that does not have it."""
    after, pooled = change.after, change.set_aside - sum(change.out_of_fences.values())
    if is_capacity(change.place[0]):
        _judge_slots(change, floors)
        return
    if change.kind in TAKING and change.set_aside > 0:
        allowed = floors[change.cause, *change.place]
        least = min(safety_units(after.on_hand, c.safety_units, c.safety_parts) for c in allowed)
        assert after.on_hand - after.reserved >= least, change
        assert set(change.out_of_fences) <= {change.actor}, change
        assert pooled == 0 or min(pooled, change.pool + 1) > 0, change
    elif change.kind == "SALE":
        sold = -change.units - sum(change.out_of_fences.values())
        assert after.on_hand >= after.reserved, change
        assert sold == 0 or min(sold, change.pool + 1) > 0, change
    elif change.kind == "STATE_CHANGE" and change.units < 0:
        assert change.pool >= 0, change
        assert not change.out_of_fences, change
    elif change.kind == "RING_FENCE":
        assert change.units == change.set_aside == 0
        assert sum(change.out_of_fences.values()) > 0 or change.pool >= 0, change
    elif change.kind == "COVER" and not arrivals:
        assert change.pool >= 0, change
        assert not change.out_of_fences, change
    elif change.kind == "EXPIRE" or (change.kind in TAKING and change.set_aside < 0):
        assert 0 <= -sum(change.out_of_fences.values()) <= -change.set_aside, change


def _judge_slots(change: Change, floors: Floors) -> None:
    """No more slots of a day are held and used up than it has; what is used up was held, and nothing else is."""
    if change.kind in TAKING and change.set_aside > 0:
        capacity = max(-one.safety_units for one in floors[change.cause, *change.place])
        assert change.after.reserved + change.after.on_hand <= capacity, change
    assert change.units == (-change.set_aside if change.kind == "FULFIL" else 0), change
