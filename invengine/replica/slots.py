"""Slots of daily capacity as the change log has them: few beside the positions of goods, so plain objects.

They are positions in the store (domain.capacity), but nobody asks for them as such: rows of them never reach the
columns, so that no list, total or watch of goods has them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from invengine.domain.capacity import day_of_capacity
from invengine.domain.stock import UNITS_MAX
from invengine.replica.rows import RowMalformed, columns_of, number_in

_POSITION_COLUMNS: Final = 15  # of a P row, what stands behind its last TAB among them
_HOLD_COLUMNS: Final = 9  # of an H row
_KIND: Final = 8  # place in a P row
_CAUSE: Final = 10  # likewise: the reservation
_FORGET: Final = "FORGET"
_SECONDS_MAX: Final = 253_402_300_800

Row = tuple[int, int, int]
"""on_hand (used up), reserved (held), revision."""


@dataclass(slots=True)
class _Hold:
    """Slots that stop counting at a second, unless something else is said of their leg before."""

    sku: str
    place: str
    units: int
    expires_at: int
    is_over: bool = False


class TakenSlots:
    """Slots that are held or used up, by SKU of slots and day. A row older than what is known changes nothing."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, Row]] = {}
        self._over: dict[tuple[str, str], int] = {}  # held by holds that are over and not swept yet
        self._holds: dict[tuple[int, int], _Hold] = {}  # by partition and leg
        self._due: list[tuple[int, int, int]] = []  # a heap of second, partition, leg; entries may be stale
        self._claimed: dict[str, dict[int, dict[str, int]]] = {}  # by SKU, day and reservation
        self._second = 0
        self.version = 0
        """Another number after every change of what is taken."""

    def __bool__(self) -> bool:
        return bool(self._days)

    def taken(self, sku: str) -> dict[int, int]:
        """Slots that nobody else can have, by day, as of the second that `advance` was told."""
        over = self._over
        found = {
            day_of_capacity(place): row[0] + row[1] - over.get((sku, place), 0)
            for place, row in self._days.get(sku, {}).items()
        }
        for day, units in self._claimed.get(sku, {}).items():
            found[day] = found.get(day, 0) + sum(units.values())
        return found

    def claim(self, sku: str, day: int, units: int, reservation_id: str) -> None:
        """Counts slots as taken (below 0: as free) that a reservation is about to take, until the log says that it did,
        or `unclaim`. So another request looks further at once. Claims bind nobody: the store alone gives slots.
        """
        self.version += 1
        claims = self._claimed.setdefault(sku, {}).setdefault(day, {})
        claims[reservation_id] = claims.get(reservation_id, 0) + units

    def unclaim(self, sku: str, day: int, reservation_id: str) -> None:
        """Ends what is left of a claim."""
        days = self._claimed.get(sku, {})
        claims = days.get(day, {})
        if claims.pop(reservation_id, None) is not None:
            self.version += 1
            if not claims:
                del days[day]
            if not days:
                del self._claimed[sku]

    @property
    def has_claims(self) -> bool:
        """Whether any request is about to take slots."""
        return bool(self._claimed)

    def rows(self, sku: str) -> dict[str, Row]:
        """Everything that is known of a SKU of slots, by place."""
        return dict(self._days.get(sku, {}))

    def all(self) -> dict[str, dict[str, Row]]:
        """Everything that is known."""
        return {sku: dict(places) for sku, places in self._days.items()}

    def idle_before(self, day: int) -> list[tuple[str, str]]:
        """SKU and place of days before `day` on which nothing is held any more."""
        return [
            (sku, place)
            for sku, places in self._days.items()
            for place, row in places.items()
            if not row[1] and day_of_capacity(place) < day
        ]

    def load(self, sku: str, fields: Mapping[bytes, bytes]) -> None:
        """Takes in a stock hash of slots. RowMalformed."""
        for place, text in fields.items():
            try:
                used, held, revision, _ = map(int, text.split(b","))
                self._keep(sku, place.decode(), (used, held, revision))
            except ValueError:
                raise RowMalformed from None

    def apply(self, partition: int, revision: int, row: bytes) -> None:
        """Takes in a P or H row of slots, without its line feed, of an entry of this revision. RowMalformed."""
        if row.startswith(b"H"):
            self._apply_hold(partition, row)
            return
        columns = columns_of(row, "P", _POSITION_COLUMNS)
        sku, place = columns[1], columns[2]
        numbers = number_in(columns[3], UNITS_MAX), number_in(columns[4], UNITS_MAX), revision
        self.version += 1
        if columns[_KIND] == _FORGET:
            places = self._days.get(sku, {})
            if places.get(place, numbers)[2] <= revision:
                places.pop(place, None)
                if not places:
                    self._days.pop(sku, None)
            return
        self._keep(sku, place, numbers)
        if sku in self._claimed:
            self.unclaim(sku, day_of_capacity(place), columns[_CAUSE])

    def advance(self, second: int) -> None:
        """Sets the clock: holds that are over by `second` stop counting."""
        self._second = second
        while self._due and self._due[0][0] <= second:
            _, partition, leg = heapq.heappop(self._due)
            hold = self._holds.get((partition, leg))
            if hold is not None and hold.expires_at <= second and not hold.is_over:
                self._count_over(hold, hold.units)
                hold.is_over = True

    def _apply_hold(self, partition: int, row: bytes) -> None:
        _, leg_text, sku, place, units_text, expires_text, *_ = columns_of(row, "H", _HOLD_COLUMNS)
        key = partition, number_in(leg_text, UNITS_MAX)
        units, expires_at = number_in(units_text, UNITS_MAX), number_in(expires_text, _SECONDS_MAX)
        before = self._holds.pop(key, None)
        if before is not None and before.is_over:
            self._count_over(before, -before.units)
        if units:
            hold = self._holds[key] = _Hold(sku, place, units, expires_at)
            if expires_at <= self._second:
                self._count_over(hold, units)
                hold.is_over = True
            else:
                heapq.heappush(self._due, (expires_at, *key))

    def _count_over(self, hold: _Hold, units: int) -> None:
        place = hold.sku, hold.place
        self.version += 1
        left = self._over.get(place, 0) + units
        if left:
            self._over[place] = left
        else:
            self._over.pop(place, None)

    def _keep(self, sku: str, place: str, row: Row) -> None:
        try:
            day_of_capacity(place)
        except ValueError:
            raise RowMalformed from None
        places = self._days.setdefault(sku, {})
        if place not in places or places[place][2] <= row[2]:
            places[place] = row
