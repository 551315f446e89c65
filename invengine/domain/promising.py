"""The answer to "when could I have it": ways to get a basket, what each of its lines is promised, what is missing.

Days are whole days since 1970, 0 for none; instants are whole minutes since 1970 UTC, 0 for none. Costs are whole
ten-thousandths of the network's currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import CostTerms


class Way(NamedTuple):
    """One way to get a basket: shipped by a service, or collected at a location."""

    fulfilment: Fulfilment
    service: str = ""
    location: str = ""


class LineProblem(StrEnum):
    """Why a line cannot be promised in one of the ways."""

    UNKNOWN_SKU = "UNKNOWN_SKU"
    NO_LOCATION = "NO_LOCATION"
    NOT_ENOUGH_UNITS = "NOT_ENOUGH_UNITS"
    GAP = "GAP"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    TOGETHER = "TOGETHER"


class GapKind(StrEnum):
    """What the network does not say."""

    NO_CALENDAR = "NO_CALENDAR"
    NO_ZONE = "NO_ZONE"
    NO_LANE = "NO_LANE"
    NO_TRANSFER_LANE = "NO_TRANSFER_LANE"
    NO_OPENING_HOURS = "NO_OPENING_HOURS"
    NO_SERVICES = "NO_SERVICES"


class Gap(NamedTuple):
    """Something that the network does not say, which a promise would need; `str()` is the sentence for people."""

    kind: GapKind
    location: str = ""
    zone: str = ""
    service: str = ""
    to_location: str = ""
    country: str = ""
    postal_code: str = ""

    def __str__(self) -> str:
        if self.kind is GapKind.NO_CALENDAR:
            return f"location {self.location} has no calendar"
        if self.kind is GapKind.NO_OPENING_HOURS:
            return f"location {self.location} has no opening hours"
        if self.kind is GapKind.NO_ZONE:
            return f"postal code {f'{self.country} {self.postal_code}'.strip()} is in no zone"
        if self.kind is GapKind.NO_LANE:
            return f"no lane from {self.location} to zone {self.zone} with {self.service}"
        if self.kind is GapKind.NO_TRANSFER_LANE:
            return f"no transfer lane from {self.location} to {self.to_location}"
        return "the network has no services"


class StepKind(StrEnum):
    """What happens between stock and customer."""

    AVAILABLE = "AVAILABLE"
    ACCEPTED = "ACCEPTED"
    HANDLED = "HANDLED"
    SLOT = "SLOT"
    SHIPPED = "SHIPPED"
    ARRIVED = "ARRIVED"
    PREPARED = "PREPARED"
    READY = "READY"


class Step(NamedTuple):
    """A step of the chain: where, on which local day, and where it is known in which minute."""

    kind: StepKind
    location: str
    day: int
    minute: int = 0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class PromisedPart:
    """Units of a line from one location. `available_day`: of what comes, 0 for what is there now."""

    location: str
    quantity: int
    available_day: int
    ship_day: int
    delivery_day: int
    ready_minute: int
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class PromisedLine:
    """What a line is promised: its parts; or none, and why. `available`: the most that could be had of it."""

    line_id: str
    sku: str
    quantity: int
    parts: tuple[PromisedPart, ...] = ()
    problem: LineProblem | None = None
    available: int = 0

    @property
    def ship_day(self) -> int:
        """When the last of it leaves."""
        return max((part.ship_day for part in self.parts), default=0)

    @property
    def delivery_day(self) -> int:
        """When the last of it is there."""
        return max((part.delivery_day for part in self.parts), default=0)

    @property
    def ready_minute(self) -> int:
        """When the last of it can be collected."""
        return max((part.ready_minute for part in self.parts), default=0)


@dataclass(frozen=True, slots=True)
class Option:
    """One way, and what it comes to; `delivery_day` is 0 where the basket cannot be had so.

    `order_before`  the first minute that is too late for the day; 0 where none is
    `distance_km`   to where it is collected, where the question says from where
    `bound`         (day, cost) that no combination of locations can be better than; None: there is no better one. By a
                    profile: (0, cost), of what its objective counts
    `costs`         by a profile: what its objective counts, by term
    """

    way: Way
    lines: tuple[PromisedLine, ...]
    delivery_day: int = 0
    ready_minute: int = 0
    parcels: int = 0
    cost: int = 0
    order_before: int = 0
    bound: tuple[int, int] | None = None
    distance_km: float | None = None
    costs: CostTerms | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """Every option of a basket, and what the network lacks. `profile`: by which locations were chosen, if by any."""

    options: tuple[Option, ...]
    gaps: tuple[Gap, ...]
    zone: str
    currency: str
    now_ms: int
    consistency_token: str
    staleness_ms: int
    profile: str = ""


class BatchStatus(StrEnum):
    """What became of a SKU or an order of many."""

    PROMISED = "PROMISED"
    NOT_PROMISABLE = "NOT_PROMISABLE"
    GAP = "GAP"
    UNKNOWN_SKU = "UNKNOWN_SKU"


@dataclass(frozen=True, slots=True)
class ManyPromises:
    """The earliest days of many: of SKUs a column for each way; of orders the day, the way (its place in `ways`, -1 for
    none) and per line the location (its place in `locations`, -1).
    """

    ways: tuple[Way, ...]
    status: Sequence[BatchStatus]
    gaps: tuple[Gap, ...]
    now_ms: int
    consistency_token: str
    staleness_ms: int
    columns: Sequence[Sequence[int]] = ()
    days: Sequence[int] = ()
    chosen: Sequence[int] = ()
    line_counts: Sequence[int] = ()
    served_by: Sequence[int] = ()
    locations: Sequence[str] = ()
