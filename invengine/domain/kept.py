"""Promises that cannot be kept: what broke them, who goes short, what becomes of them. Days are days since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from invengine.domain.orders import Fulfilment
    from invengine.domain.promises import LinePromise

Leg = tuple[int, int]
"""Partition of the SKU, and the allocation's number there: names an allocation for ever."""


LineKey = tuple[int, int, bool]
"""Of an allocation the units that are short may be broken, and the others too, for another reason."""


class BreakReason(StrEnum):
    """What broke a promise; the first three are those of `domain.incoming.BrokenReason`."""

    SLIPPED = "SLIPPED"
    SHORTENED = "SHORTENED"
    CANCELLED = "CANCELLED"
    SHORTFALL = "SHORTFALL"
    """More is reserved at the position than is on hand, and these units came last."""
    LOCATION_CLOSED = "LOCATION_CLOSED"
    CALENDAR_CHANGED = "CALENDAR_CHANGED"
    """Calendar, opening, lane or service."""


class NewDates(NamedTuple):
    """When units would be there now: the day of delivery, or on which they can be collected; the days on which they
    leave and are prepared; the UTC minute from which they can be collected. 0 where there is none.
    """

    day: int = 0
    ship_day: int = 0
    slot_day: int = 0
    ready_minute: int = 0


NO_DATES: Final = NewDates()


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """Open units of a line, of one allocation, that will not be there as promised.

    `leg`           names the allocation
    `due_day`       by which its receipt had to bring them; 0 for units on hand
    `expected_day`  on which they are expected at the location now; 0: unknown, or they are there
    `broken_at_ms`  0 where no log says when
    `promise`       of the line; None: it has none
    `new`           when they would be there now; NO_DATES: never, or the line has no promise
    `asked_line_id` of the line as it was asked for: that of the kit where it is part of one
    """

    leg: Leg
    reservation_id: str
    line_id: str
    sku: str
    location: str
    quantity: int
    receipt_id: str
    reason: BreakReason
    due_day: int
    expected_day: int
    broken_at_ms: int
    channel: str
    fulfilment: Fulfilment
    asked_line_id: str = ""
    customer_ref: str = ""
    order_ref: str = ""
    promise: LinePromise | None = None
    new: NewDates = NO_DATES

    @property
    def key(self) -> LineKey:
        """What names them among all that is broken."""
        return *self.leg, self.reason is BreakReason.SHORTFALL

    @property
    def promised_day(self) -> int:
        """On which the line was promised to be there; 0: it has no promise."""
        return self.promise.delivery_day if self.promise else 0

    @property
    def new_day(self) -> int:
        """On which its units would be there now; 0: never, or the line has no promise."""
        return self.new.day


@dataclass(frozen=True, slots=True)
class BrokenFilter:
    """Which broken promises; what is empty or None matches all."""

    sku: str = ""
    location: str = ""
    receipt_id: str = ""
    channel: str = ""
    customer_ref: str = ""
    order_ref: str = ""
    reservation_id: str = ""
    reason: BreakReason | None = None

    def matches(self, line: BrokenLine) -> bool:
        """Whether everything that is set matches."""
        return (
            self.sku in ("", line.sku)
            and self.location in ("", line.location)
            and self.receipt_id in ("", line.receipt_id)
            and self.channel in ("", line.channel)
            and self.customer_ref in ("", line.customer_ref)
            and self.order_ref in ("", line.order_ref)
            and self.reservation_id in ("", line.reservation_id)
            and self.reason in (None, line.reason)
        )


class Waiting(NamedTuple):
    """Units of an allocation that are not there, with no receipt of their own."""

    leg: Leg
    units: int


def who_is_short(on_hand: int, reserved: Iterable[tuple[int, Leg, int]]) -> list[Waiting]:
    """Which reserved units of a position are not there, the oldest first.

    `reserved` has (created_at_ms of the reservation, leg, open units) per allocation. The units that are there belong
    to the oldest reservations; of one millisecond, to the allocation that was made first. So those who came last go
    short, at most one of them in part, and never those who came before.
    """
    left, short = on_hand, []
    for _, leg, units in sorted(reserved):
        missing = units - min(left, units)
        left -= units - missing
        if missing:
            short.append(Waiting(leg, missing))
    return short


def days_of_waiting(queue: Sequence[Waiting], coming: Iterable[tuple[int, int]]) -> dict[Leg, int]:
    """The day on which each of those who wait has all its units; those who never do are left out.

    `queue` in the order in which they are served: first what is short, since a unit that arrives makes that good before
    anything is free, then backorders. `coming` has (day, units) of receipts as far as they are promised to nobody.
    """
    arrivals = iter(sorted(coming))
    found: dict[Leg, int] = {}
    day = have = 0
    for one in queue:
        wanted = one.units
        while wanted:
            if not have:
                arrival = next(arrivals, None)
                if arrival is None:
                    return found
                day, have = arrival
            taken = min(wanted, have)
            wanted, have = wanted - taken, have - taken
        found[one.leg] = day
    return found
