"""Lines of which it is decided what comes from where: their dates, their slots, and what the store is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    Future,
    KitRequest,
    LineRequest,
    LineStanding,
    PlacedRequest,
)
from invengine.domain.promises import LinePromise
from invengine.services.dates import NOW
from invengine.services.kit_lines import exploded, settled
from invengine.services.shelf import Taken
from invengine.services.slot_days import SlotPlace, slot_line

WAYS: Final = frozenset({Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE})
"""Ways that have dates and capacity."""


def way_at(fulfilment: Fulfilment, destination: Destination, location: str) -> Fulfilment:
    """How units are prepared at a location: those that are in the store already, for collection."""
    if fulfilment is Fulfilment.SHIP_TO_STORE and location == destination.location:
        return Fulfilment.PICKUP
    return fulfilment


class Wish(NamedTuple):
    """What a line that is promised a date asks for: a service or any, a day or the earliest, a confidence or none."""

    service: str = ""
    needed_by: int = 0
    confidence_parts: int = 0


@dataclass(slots=True)
class PlacedPart:
    """Units (or kits) of a line from one location, there from `day` on (0: now), and the slots that they take."""

    candidate: Candidate
    units: int
    day: int
    service: str = ""
    slots: dict[int, int] = field(default_factory=dict)
    place: SlotPlace | None = None
    start: int = 0
    slot_day: int = 0

    @property
    def location(self) -> str:
        """Where."""
        return self.candidate.location


@dataclass(slots=True)
class PlacedLine:
    """A line and where its units come from: less than it wants with best effort; nowhere where nobody has any."""

    line: LineRequest
    wish: Wish | None
    parts: list[PlacedPart]
    promise: LinePromise | None = None
    left_to_store: bool = False
    """It has no date and no slots: the store chooses, as for any line."""
    there: int = 0
    """Of such a line with best effort: units that the store is to take."""

    @property
    def units(self) -> int:
        """Units that it gets."""
        return self.there if self.left_to_store else sum(part.units for part in self.parts)

    @property
    def standing(self) -> LineStanding:
        """What its record says."""
        return LineStanding(self.promise, has_slots=any(part.place is not None for part in self.parts))


def goods_of(placed: PlacedLine) -> list[LineRequest]:
    """The lines of goods that the store takes for a placed line."""
    line, standing = placed.line, placed.standing
    if isinstance(line, KitRequest):
        taken = Taken(placed.units, placed.units, placed=tuple([(part.location, part.units) for part in placed.parts]))
        lines = exploded(line, taken)
        if not placed.promise and not standing.has_slots:
            return lines
        return [replace(one, standing=standing) for one in lines if isinstance(one, PlacedRequest)]
    if placed.left_to_store:
        return [line if placed.there == line.quantity else settled(line, placed.there)]
    asked = PlacedRequest(
        line.line_id,
        line.sku,
        placed.units,
        tuple([part.candidate for part in placed.parts]),
        line.fulfilment,
        line.destination,
        allow_split=False,
        named_location=line.named_location,
        asked=line.quantity,
        standing=standing,
        told=told_future(line),
    )
    future, units_at = taken_at(placed.parts)
    return [replace(asked, future=future, units_at=units_at)]


def taken_at(parts: Sequence[PlacedPart]) -> tuple[Future | None, tuple[int, ...]]:
    """What the store is told of parts: until when it may take what comes, and how many units are from each; where all
    wait in one place these are what there is to take.
    """
    later = max([part.day for part in parts], default=NOW)
    if later != NOW and len(parts) == 1:
        return Future(later), ()
    return (Future(later) if later != NOW else None), tuple([part.units for part in parts])


def told_future(line: LineRequest) -> Future | None:
    """What the record says that a line may take of the future."""
    return None if line.future is None else Future(line.future.needed_by)


def slots_of(lines: Iterable[PlacedLine], orders: Mapping[tuple[str, Fulfilment], int]) -> list[LineRequest]:
    """The lines of slots that the store takes for placed lines; of an order one for all lines of a location and way."""
    found: list[LineRequest] = []
    by_order: dict[tuple[str, Fulfilment], SlotPlace] = {}
    for line in lines:
        for part in line.parts:
            if part.place is not None and part.place.by_order:
                by_order[part.location, part.place.fulfilment] = part.place
            elif part.place is not None and part.slots:
                found.append(slot_line(part.place, line.line.line_id, part.slots))
    return found + [slot_line(place, "", {orders[key]: 1}) for key, place in by_order.items()]


def up_to(wanted: int, offers: Iterable[tuple[Candidate, int]]) -> list[PlacedPart]:
    """So many units from the offers in their order, as far as they go."""
    parts = []
    for one, offer in offers:
        if units := min(wanted, offer):
            parts.append(PlacedPart(one, units, NOW))
            wanted -= units
    return parts
