"""Stock that is expected, and promises that rest on it. Days are whole days since 1970, local days of the location."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine

SECONDS_OF_DAY: Final = 86_400
SUM_MAX: Final = 2**62
"""Sums of units stop here: they travel as int64."""


class IncomingKind(StrEnum):
    """What is said of an incoming receipt."""

    SET = "SET"
    SLIP = "SLIP"
    CANCEL = "CANCEL"
    RECEIVE = "RECEIVE"


class BrokenReason(StrEnum):
    """What broke a promise."""

    SLIPPED = "SLIPPED"
    SHORTENED = "SHORTENED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class IncomingChange:
    """One event of the schedule; (source, request_id) names it among all events, movements too.

    `quantity`       SET: units still expected; RECEIVE: units that arrived
    `expected_day`   SET, SLIP
    `closes`         RECEIVE: nothing more will come
    `occurred_at_ms` RECEIVE: when, for counts that come later
    `of_transfer`    RECEIVE: the receipt is a transfer's, and what `closes` leaves out is written off for `reason`
    `all_there_is`   RECEIVE of a transfer: the quantity is what is on the way
    """

    source: str
    request_id: str
    kind: IncomingKind
    sku: str
    location: str
    receipt_id: str
    quantity: int = 0
    expected_day: int = 0
    closes: bool = False
    occurred_at_ms: int = 0
    expected_revision: int | None = None
    of_transfer: bool = False
    all_there_is: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Units of a SKU that are expected at a location under one reference; `pegged` of them are promised.

    `from_location` is where they left, if a transfer brings them.
    """

    sku: str
    location: str
    receipt_id: str
    expected_day: int
    quantity: int
    pegged: int
    revision: int
    from_location: str = ""


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """Open units of a line that will not come by `due_day`; `expected_day` is the receipt's now (SLIPPED), else 0."""

    reservation_id: str
    line_id: str
    sku: str
    location: str
    quantity: int
    receipt_id: str
    reason: BrokenReason
    due_day: int
    expected_day: int
    broken_at_ms: int


@dataclass(frozen=True, slots=True)
class IncomingOutcome:
    """What became of a change: the receipt (None when nothing of it is open), its position, what broke by it."""

    receipt: Receipt | None
    on_hand: int
    reserved: int
    broken: tuple[BrokenPromise | BrokenLine, ...] = ()
    replayed: bool = False


def effective_day(expected_day: int, now_ms: int, *, overdue_stops: bool = False) -> int:
    """The day that counts for a receipt: its own, or where that is over the day after today; then 0 (none, it does not
    count) where overdue receipts stop counting.

    Today is the UTC day of the store's clock. The functions have the same rule, in lua/taking.lua.
    """
    today = now_ms // 1000 // SECONDS_OF_DAY
    if expected_day >= today:
        return expected_day
    return 0 if overdue_stops else today + 1


def next_units(
    receipts: Iterable[Receipt], locations: Container[str], now_ms: int, stopping: Container[str] = ()
) -> tuple[int, int] | None:
    """The earliest effective day on which units come to one of the locations that are promised to nobody yet, and how
    many then; None when none do. At the locations `stopping`, overdue receipts do not count.
    """
    by_day: dict[int, int] = {}
    for receipt in receipts:
        if receipt.quantity > receipt.pegged and receipt.location in locations:
            day = effective_day(receipt.expected_day, now_ms, overdue_stops=receipt.location in stopping)
            if day:
                by_day[day] = by_day.get(day, 0) + receipt.quantity - receipt.pegged
    if not by_day:
        return None
    earliest = min(by_day)
    return earliest, min(by_day[earliest], SUM_MAX)
