"""Plans for baskets: which location gives how many units of which line, what that costs, and why others do not.

Days are whole days since 1970, 0 for none. Costs are whole ten-thousandths of the network's currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile

if TYPE_CHECKING:
    from invengine.errors import InventoryError

FEWEST_PARCELS: Final = Profile("", parcel_cost=10_000, lane_percent=0, handling_percent=0)
"""What counts where no profile does: each parcel costs 1, and nothing else costs anything. So a plan has the fewest
parcels, and of equally few those of the best locations by priority."""


class BasketLine(NamedTuple):
    """A line that is to be sourced: from `location`, from one of `group`, or from where the channel sees it.

    `service`   to be shipped with; empty: the one that costs least
    `needed_by` the day by which it must be there; of a line that has no date, the last day whose receipts count
    `may_wait`  whether units may come that are not on hand yet
    """

    line_id: str
    sku: str
    quantity: int
    location: str = ""
    group: str = ""
    allow_split: bool = False
    fulfilment: Fulfilment = Fulfilment.ANY
    destination: Destination = Destination()
    service: str = ""
    needed_by: int = 0
    may_wait: bool = False


class CostTerms(NamedTuple):
    """What a plan costs, by term of the objective, each as the profile weights it."""

    parcel: int = 0
    """Of each parcel."""
    handling: int = 0
    """What locations ask for parcels and units, and what each unit costs."""
    lane: int = 0
    """What lanes and transfer lanes cost for parcels and units."""
    distance: int = 0
    """Of the kilometres of each parcel."""
    waiting: int = 0
    """Of the days until lines are there."""
    late: int = 0
    """Of the days after those by which lines are needed."""
    early: int = 0
    """Of the days before those."""
    priority: int = 0
    """Of the priority of each parcel's location."""
    opportunity: int = 0
    """Of what scarce units are worth elsewhere."""
    shortage: int = 0
    """Of missing units, where a unit that is missing has a price."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    def less(self, other: CostTerms) -> CostTerms:
        """What this costs more than the other one, term by term; below 0 where it costs less."""
        return CostTerms(*[mine - others for mine, others in zip(self, other, strict=True)])

    def plus(self, other: CostTerms) -> CostTerms:
        """Both together."""
        return CostTerms(*[mine + others for mine, others in zip(self, other, strict=True)])


class PlannedUnits(NamedTuple):
    """Units of a line (its place in the basket) from a location.

    `day`           0: on hand now, else the day from which they are there
    `service`       that ships them; empty where none does
    `delivery_day`  on which they are there, 0 where they are not dated
    """

    line: int
    location: str
    quantity: int
    day: int = 0
    service: str = ""
    delivery_day: int = 0


class Plan(NamedTuple):
    """Where the units of a basket come from.

    `units`    by line, and of a line by the place of the location among all, by priority and id
    `parcels`  that are sent: one for each location, way, destination and service; what is collected is none
    `missing`  units of each line that come from nowhere
    `bound`    no plan costs less; the costs themselves where none does
    """

    units: tuple[PlannedUnits, ...]
    costs: CostTerms
    parcels: int
    missing: tuple[int, ...]
    bound: int


class SourcingRule(StrEnum):
    """Why a line does not come from a location: the first that applies."""

    LOCATION_DISABLED = "LOCATION_DISABLED"
    NOT_IN_CHANNEL = "NOT_IN_CHANNEL"
    CANNOT_FULFIL = "CANNOT_FULFIL"
    EXCLUDED = "EXCLUDED"
    NO_STOCK = "NO_STOCK"
    NO_CALENDAR = "NO_CALENDAR"
    NO_OPENING_HOURS = "NO_OPENING_HOURS"
    NO_ZONE = "NO_ZONE"
    NO_LANE = "NO_LANE"
    NO_TRANSFER_LANE = "NO_TRANSFER_LANE"
    NO_CAPACITY = "NO_CAPACITY"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    TOO_LATE = "TOO_LATE"


class RuledOut(NamedTuple):
    """A location that a line (its place in the basket) cannot come from."""

    line: int
    location: str
    rule: SourcingRule


class Sourced(NamedTuple):
    """What sourcing found.

    `best`       None: there is no plan, and `problem` says why
    `next`       the best of the plans that do without a location of the best one; None where there is none
    `ruled`      every location that a line names or might have come from, and cannot; empty where nobody asked
    `is_proved`  no plan is better than `best`, or there is none; else `best.bound` says how much better one could be
    `nodes`      that were looked at
    """

    best: Plan | None
    next: Plan | None
    ruled: tuple[RuledOut, ...]
    is_proved: bool
    nodes: int
    problem: InventoryError | None = None


def weighted(cost: int, percent: int) -> int:
    """So much of a cost, to the nearest ten-thousandth, halves up."""
    return (cost * percent + 50) // 100


def parts_of(units: Sequence[PlannedUnits], line: int) -> list[PlannedUnits]:
    """The units of one line."""
    return [one for one in units if one.line == line]
