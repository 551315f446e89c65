"""Units of a line that go to other locations, while its others stay: worked out for a reservation as it was seen.

One amendment that keeps the quantity: so many units go back at the location that they leave, and as many are taken
elsewhere, each by number. Nothing that stays is decided anew, so what stays cannot be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import Candidate, KitRequest, LinePlacement, LineRequest, LineStanding, ReservationChange
from invengine.domain.sourcing import BasketLine
from invengine.services.dated_changes import DatedChange
from invengine.services.kit_changes import KitPlacement, of_components
from invengine.services.placed_lines import WAYS, PlacedLine, PlacedPart, Wish, up_to, way_at
from invengine.services.reservation_amendments import CheckedPlacing
from invengine.services.shelf import Taken
from invengine.services.slot_changes import Gone, owner_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import ComponentRequest, Reservation, ReservationLine
    from invengine.domain.promises import LinePromise
    from invengine.services.dated_lines import DatedLines
    from invengine.services.kit_changes import KitStand
    from invengine.services.shelf import Shelf


class Moving(NamedTuple):
    """What is to go: units (of a kit: kits) of a line from a location to some of the candidates, which are others.

    `lines` are the line, or those of the components; `stand` is of a kit. `needed_by` a day to be kept, 0 for none.
    """

    line_id: str
    location: str
    units: int
    candidates: tuple[Candidate, ...]
    allow_split: bool
    lines: tuple[ReservationLine, ...]
    stand: KitStand | None = None
    components: tuple[ComponentRequest, ...] = ()
    needed_by: int = 0

    @property
    def request(self) -> LineRequest:
        """What is wanted elsewhere."""
        first = self.lines[0]
        fields = (self.units, self.candidates, first.fulfilment, first.destination, self.allow_split)
        if self.stand is not None:
            return KitRequest(self.line_id, self.stand.sku, *fields, components=self.components)
        return LineRequest(self.line_id, first.sku, *fields)

    def basket_line(self, group: str) -> BasketLine:
        """The same to sourcing, from a group or anywhere."""
        first, request = self.lines[0], self.request
        return BasketLine(
            self.line_id,
            request.sku,
            self.units,
            "",
            group,
            self.allow_split,
            first.fulfilment,
            first.destination,
            first.promise.service if first.promise else "",
            self.needed_by,
        )

    @property
    def placement(self) -> LinePlacement:
        """The line with what it has and had asked for: the quantity that it keeps."""
        first = self.lines[0]
        if self.stand is not None:
            kept = self.stand.standing + first.short_quantity // self._units_per_kit
            return KitPlacement(self.line_id, kept, self.candidates, stand=self.stand, components=self.components)
        return LinePlacement(self.line_id, first.standing + first.short_quantity, self.candidates)

    @property
    def _units_per_kit(self) -> int:
        kit = self.lines[0].kit
        return kit.units if kit else 1


def is_plain(moving: Moving, network: Network) -> bool:
    """Whether nothing but units is to be moved: no kit, no date, no slots."""
    line = moving.lines[0]
    if moving.stand is not None or line.promise is not None or line.has_slots:
        return False
    return line.fulfilment not in WAYS or not any(
        (one.location, way_at(line.fulfilment, line.destination, one.location)) in network.capacities
        for one in moving.candidates
    )


def parts_of(moving: Moving, offers: Sequence[tuple[Candidate, int]]) -> list[PlacedPart]:
    """Where units go of these offers: the first candidate that has them all, else split; else the one with most."""
    whole = next((one for one, units in offers if units >= moving.units), None)
    if whole is not None:
        return [PlacedPart(whole, moving.units, 0)]
    if moving.allow_split:
        return up_to(moving.units, offers)
    best = max(offers, key=lambda offer: offer[1], default=None)
    return [PlacedPart(best[0], best[1], 0)] if best and best[1] else []


def placements_of(moving: Moving, parts: Sequence[PlacedPart], standing: LineStanding | None) -> list[LinePlacement]:
    """The line, or its components, with units given back where they leave and taken where the parts say."""
    units = sum(part.units for part in parts)
    placement = moving.placement
    if isinstance(placement, KitPlacement):
        placed = tuple([(part.location, part.units) for part in parts])
        lines = of_components("amend", placement, {moving.location: units}, Taken(units, units, placed=placed))
        return [replace(line, standing=standing) for line in lines]
    candidates = (Candidate(moving.location), *[part.candidate for part in parts])
    units_at = (-units, *[part.units for part in parts])
    return [replace(placement, candidates=candidates, units_at=units_at, standing=standing)]


class MovedUnits(DatedChange):
    """The amendment of a line with a date, slots or a kit: dates and slots of what goes elsewhere are found anew."""

    def __init__(
        self,
        change: ReservationChange,
        seen: Reservation,
        moving: Moving,
        *,
        placing: DatedLines,
        shelf: Shelf,
        network: Network,
    ) -> None:
        checked = CheckedPlacing(
            change.request_id, change.fingerprint, change.reservation_id, change.channel, seen.revision, [], []
        )
        asked = replace(change, placements=(moving.placement,))
        super().__init__(checked, asked, seen, verb="amend", placing=placing, shelf=shelf, network=network)
        self._moving = moving
        self._offers: list[tuple[Candidate, int]] = []
        self.parts: list[PlacedPart] = []
        self.promise: LinePromise | None = None

    def _kits_back(self, placement: KitPlacement) -> dict[str, int]:
        return {self._moving.location: self._moving.units}

    def _lend(self, placement: LinePlacement, backs: Mapping[str, dict[str, int]]) -> Gone:
        """The units are not lent: they go where the line does not take any."""
        gone = {(self._moving.line_id, self._moving.location): self._moving.units}
        return Gone(gone, gone)

    def _wanted(self, placement: LinePlacement) -> LineRequest | None:
        request = self._moving.request
        self._offers = [(one, self._shelf.offer(request, one)) for one in self._moving.candidates]
        return request

    def _wish(self, placement: LinePlacement) -> Wish | None:
        promise = self._moving.lines[0].promise
        return None if promise is None else Wish(promise.service, self._moving.needed_by, promise.confidence_parts)

    def _moved(
        self, placement: LinePlacement, found: PlacedLine, backs: Mapping[str, dict[str, int]]
    ) -> list[LinePlacement]:
        self.parts = parts_of(self._moving, self._offers) if found.left_to_store else found.parts
        before = self._by_owner[self._moving.line_id]
        self.promise = self._promise(before.promise, found.promise)
        has_slots = found.standing.has_slots or before.has_slots
        return placements_of(self._moving, self.parts, LineStanding(self.promise, has_slots=has_slots))

    def _promise(self, before: LinePromise | None, found: LinePromise | None) -> LinePromise | None:
        """The promise of the line with what stays where it is and what went: the latest day of all of it."""
        if before is None or found is None:
            return before
        left = sum(
            one.open
            for line in self._moving.lines[:1]
            for one in line.allocations
            if one.location == self._moving.location
        )
        per_unit = self._moving.lines[0].kit.units if self._moving.lines[0].kit else 1
        stays = left > self._moving.units * per_unit
        parts = {part.location: part for part in before.parts if stays or part.location != self._moving.location}
        for part in found.parts:
            known = parts.get(part.location, part)
            parts[part.location] = part._replace(
                ship_day=max(known.ship_day, part.ship_day), delivery_day=max(known.delivery_day, part.delivery_day)
            )
        day = max(part.delivery_day for part in parts.values())
        return before._replace(
            delivery_day=day,
            ready_minute=max(before.ready_minute, found.ready_minute),
            parts=tuple(parts.values()),
            needed_by=max(before.needed_by, day) if before.needed_by else 0,
        )


def lines_named(seen: Reservation, line_id: str) -> tuple[ReservationLine, ...]:
    """The line of this id, or the components of the kit that it asked for."""
    return tuple([line for line in seen.lines if owner_of(line) == line_id])
