"""Waves: orders that share scarce stock, and the plan that says who gets what.

Money is in ten-thousandths of the network's currency, days are whole days since 1970, 0 for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from invengine.domain.orders import Destination, Fulfilment

ORDERS_MAX: Final = 10_000
LINES_MAX: Final = 50_000
CLASS_MAX: Final = 99
UNITS_OF_LINE_MAX: Final = 1_000_000_000
WORTH_MAX: Final = 10**12
KEEP_SECONDS: Final = 3600
KEEP_SECONDS_MAX: Final = 86_400
NOWHERE: Final = Destination()


class Mode(IntEnum):
    """How scarce units are shared within a class; by their numbers in the proto."""

    FILL = 1
    FAIR = 2


class Target(IntEnum):
    """What orders become when a plan is committed; by their numbers in the proto."""

    CONFIRMED = 1
    HELD = 2


class PlanState(IntEnum):
    """What became of a plan; by their numbers in the proto."""

    PLANNED = 1
    COMMITTING = 2
    COMMITTED = 3
    EXPIRED = 4


class Missing(IntEnum):
    """Why units of a line are missing in a plan; by their numbers in the proto."""

    NOTHING = 0
    NO_STOCK = 1
    TAKEN = 2
    TOO_LATE = 3
    NO_LOCATION = 4
    NOT_TOGETHER = 5
    ORDER_SHORT = 6


class Stage(StrEnum):
    """What is done for a plan now."""

    READING = "READING"
    SOURCING = "SOURCING"
    ALLOCATING = "ALLOCATING"
    KEEPING = "KEEPING"
    COMMITTING = "COMMITTING"


class Progress(NamedTuple):
    """How far work on a plan is; `total` is 0 where nobody knows."""

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class WaveLine:
    """What an order wants of one SKU, or what of a line of a reservation waits.

    `worth`: of each unit; 0: not told.
    `only_at`: a line that has a promise, or capacity set aside, can have units nowhere else; empty: anywhere it may.
    """

    line_id: str
    sku: str
    quantity: int
    worth: int = 0
    location: str = ""
    group: str = ""
    fulfilment: Fulfilment = Fulfilment.ANY
    destination: Destination = NOWHERE
    needed_by: int = 0
    service: str = ""
    allow_split: bool = False
    allow_partial: bool = False
    only_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaveOrder:
    """Lines that one owner wants. `reservation_id`: of a reservation with lines that wait; else it is an order."""

    order_id: str
    channel: str
    priority_class: int
    lines: tuple[WaveLine, ...]
    all_or_nothing: bool = False
    customer_ref: str = ""
    reservation_id: str = ""


class MinimumShare(NamedTuple):
    """What a channel gets at least of a SKU (empty: of each), as far as it wants it: units, or percent where not 0."""

    channel: str
    sku: str
    percent: int
    units: int


class PlannedUnits(NamedTuple):
    """Units from one location, and what it costs to send them."""

    location: str
    quantity: int
    cost: int


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """What a line gets."""

    line: WaveLine
    units: tuple[PlannedUnits, ...]
    missing: Missing = Missing.NOTHING

    @property
    def planned(self) -> int:
        """Units that it gets."""
        return sum([part.quantity for part in self.units])


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """What an order or a waiting reservation gets; its lines in their order."""

    order: WaveOrder
    lines: tuple[PlannedLine, ...]

    @property
    def planned(self) -> int:
        """Units that it gets."""
        return sum([line.planned for line in self.lines])

    @property
    def is_whole(self) -> bool:
        """Whether it gets everything."""
        return all(line.planned == line.line.quantity for line in self.lines)


class Fill(NamedTuple):
    """What a channel gets in a class."""

    channel: str
    priority_class: int
    orders: int
    orders_whole: int
    quantity: int
    planned: int


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan without its orders.

    `fingerprint`  of the request
    `steps`        places of orders that are committed together, in the order of committing
    """

    plan_id: str
    fingerprint: str
    created_at_ms: int
    expires_at_ms: int
    mode: Mode
    profile: str
    orders: int
    orders_whole: int
    orders_without: int
    lines: int
    quantity: int
    planned: int
    worth: int
    cost: int
    objective: int
    bound: int
    fills: tuple[Fill, ...]
    steps: tuple[tuple[int, ...], ...]


class RefusedLine(NamedTuple):
    """A line that could not be committed as planned: the word and the sentence, units planned, units still there."""

    reason: str
    message: str
    wanted: int
    available: int


@dataclass(frozen=True, slots=True)
class CommittedOrder:
    """What became of an order: its reservation ("" where none was made), units of it that were taken, its refused lines
    by their places.
    """

    reservation_id: str
    units: int = 0
    refused: dict[int, RefusedLine] = field(default_factory=dict)

    def with_what(self, other: CommittedOrder) -> CommittedOrder:
        """What is true where two servers committed the order and one of them had lines that the other had not."""
        refused = {place: line for place, line in self.refused.items() if place in other.refused}
        name = self.reservation_id or other.reservation_id
        return CommittedOrder(name, max(self.units, other.units), refused)


@dataclass(frozen=True, slots=True)
class CommitStart:
    """As what a plan is committed; the first one who asks decides. `seconds`: to live when held, 0 for the default."""

    request_id: str
    target: Target
    seconds: int
    begun_at_ms: int


@dataclass(slots=True)
class CommitProgress:
    """What is known of a commit: how it was begun, and what became of the orders of steps that are done."""

    start: CommitStart | None = None
    done: dict[int, dict[int, CommittedOrder]] = field(default_factory=dict)
    won: dict[int, CommittedOrder] = field(default_factory=dict)
    """Orders of which a step that is done says less than is true: another server had more of them."""

    def outcome(self, step: int, place: int) -> CommittedOrder | None:
        """What became of an order, None where it is not decided."""
        if place in self.won:
            return self.won[place]
        return self.done[step].get(place) if step in self.done else None


def state_of(summary: PlanSummary, progress: CommitProgress, now_ms: int) -> PlanState:
    """What became of a plan."""
    if progress.start is None:
        return PlanState.PLANNED if now_ms < summary.expires_at_ms else PlanState.EXPIRED
    return PlanState.COMMITTED if len(progress.done) == len(summary.steps) else PlanState.COMMITTING


class Totals:
    """Sums of a plan, order by order."""

    def __init__(self) -> None:
        self.orders = self.orders_whole = self.orders_without = 0
        self.lines = self.quantity = self.planned = self.worth = self.cost = 0
        self._fills: dict[tuple[int, str], list[int]] = {}

    def add(self, one: PlannedOrder, worths: Sequence[int]) -> None:
        """An order, and what a unit of each of its lines is worth."""
        is_whole, quantity, planned = one.is_whole, sum([line.line.quantity for line in one.lines]), one.planned
        self.orders += 1
        self.orders_whole += is_whole
        self.orders_without += not planned
        self.lines += len(one.lines)
        self.quantity += quantity
        self.planned += planned
        self.worth += sum([line.planned * worth for line, worth in zip(one.lines, worths, strict=True)])
        self.cost += sum([part.cost for line in one.lines for part in line.units])
        told = self._fills.setdefault((one.order.priority_class, one.order.channel), [0, 0, 0, 0])
        for place, more in enumerate((1, is_whole, quantity, planned)):
            told[place] += more

    @property
    def fills(self) -> tuple[Fill, ...]:
        """What each channel gets in each class."""
        return tuple([Fill(channel, which, *told) for (which, channel), told in sorted(self._fills.items())])
