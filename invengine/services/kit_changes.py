"""Changes of reservations that have kits: named by the line that asked for the kit, made of all its components.

Everything here is worked out for a reservation as it was seen, and bound to that revision: the store refuses it when
the reservation is another by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import (
    Candidate,
    ComponentRequest,
    KitRequest,
    LinePlacement,
    LineRequest,
    LineUnits,
    ReservationState,
)
from invengine.errors import (
    InsufficientStock,
    InvalidArgument,
    LineExists,
    LineNotFound,
    QuantityExceedsOpen,
    ReservationNotConfirmed,
    ShortLine,
)
from invengine.services.kit_lines import components_of_lines, exploded, short_line
from invengine.services.shelf import Taken

if TYPE_CHECKING:
    from invengine.domain.kits import KitLine
    from invengine.domain.orders import Allocation, Reservation, ReservationChange, ReservationLine
    from invengine.services.shelf import Shelf


class KitStand(NamedTuple):
    """A kit line of a reservation: its component lines, and how many whole kits it has where, in their order."""

    line_id: str
    sku: str
    lines: tuple[ReservationLine, ...]
    standing: int  # kits that were taken and not given back
    open_at: dict[str, int]  # kits that are open, by location

    @property
    def open(self) -> int:
        """Kits that are open."""
        return sum(self.open_at.values())


@dataclass(frozen=True, slots=True)
class KitPlacement(LinePlacement):
    """A placement of a kit line, in kits. It never reaches the store: it becomes one of each component."""

    stand: KitStand | None = None
    components: tuple[ComponentRequest, ...] = ()


def stands_of(seen: Reservation | None) -> dict[str, KitStand]:
    """The kit lines of a reservation by their id."""
    by_kit: dict[str, list[ReservationLine]] = {}
    for line in seen.lines if seen else ():
        if line.kit is not None:
            by_kit.setdefault(line.kit.line_id, []).append(line)
    return {line_id: _stand(line_id, lines) for line_id, lines in by_kit.items()}


def check_named(line_id: str, field: str, lines: Mapping[str, ReservationLine]) -> None:
    """InvalidArgument where a caller names the line of a component: a kit is only changed whole."""
    line = lines.get(line_id)
    if line is not None and line.kit is not None:
        raise InvalidArgument(
            field, f"{line_id!r} is a component of the kit in line {line.kit.line_id!r}: name that line"
        )


def with_units_of_components(verb: str, change: ReservationChange, seen: Reservation | None) -> ReservationChange:
    """A release or fulfilment with kit lines told as units of their components, each at a location.

    InvalidArgument, LineNotFound, QuantityExceedsOpen, ReservationNotConfirmed.
    """
    stands = stands_of(seen)
    if seen is None or not stands:
        return change
    by_id = {line.line_id: line for line in seen.lines}
    lines: list[LineUnits] = []
    for place, named in enumerate(change.lines):
        check_named(named.line_id, f"lines[{place}].line_id", by_id)
        stand = stands.get(named.line_id)
        if stand is None:
            lines.append(named)
            continue
        if verb == "fulfil" and seen.state is ReservationState.HELD:
            raise ReservationNotConfirmed(change.reservation_id)
        lines += _units_of(stand, named, change.reservation_id)
    revision = seen.revision if change.expected_revision is None else change.expected_revision
    return replace(change, lines=tuple(lines), expected_revision=revision)


def is_about_kits(change: ReservationChange) -> bool:
    """Whether an amendment or a rebinding has kits to be placed."""
    return any(isinstance(line, KitPlacement) for line in change.placements) or any(
        isinstance(line, KitRequest) for line in change.added
    )


def placed_change(verb: str, change: ReservationChange, seen: Reservation, shelf: Shelf) -> ReservationChange:
    """An amendment or rebinding with every kit where it comes together, by the shelf.

    As in the store, what all lines give back is there for those that take. InsufficientStock, QuantityExceedsOpen.
    """
    lines = {line.line_id: line for line in seen.lines}
    backs: dict[str, dict[str, int]] = {}
    for placement in change.placements:
        if isinstance(placement, KitPlacement):
            backs[placement.line_id] = back = kits_back(verb, placement, change.reservation_id)
            for line in _stand_of(placement).lines:
                for location, kits in back.items():
                    lend(line, kits * _kit_of(line).units, change.channel, shelf, location)
        elif placement.line_id in lines:
            line = lines[placement.line_id]
            lend(line, _open(line) if verb == "rebind" else line.standing - placement.quantity, change.channel, shelf)
    short: list[ShortLine] = []
    placements: list[LinePlacement] = []
    for placement in change.placements:
        wanted = wanted_of(verb, placement, lines)
        taken = _take(wanted, shelf, short) if wanted is not None else Taken()
        if isinstance(placement, KitPlacement):
            placements += of_components(verb, placement, backs[placement.line_id], taken)
        else:
            placements.append(placement)
    added: list[LineRequest] = []
    for new in change.added:
        taken = _take(new, shelf, short)
        added += exploded(new, taken) if isinstance(new, KitRequest) else [new]
    if short:
        raise InsufficientStock(tuple(short))
    return replace(change, placements=tuple(placements), added=tuple(added))


def components_in(change: ReservationChange, seen: Reservation | None) -> list[tuple[str, KitLine]]:
    """(line_id, kit) of every component that a reservation has, or that a change adds."""
    found = [(line.line_id, line.kit) for line in seen.lines if line.kit] if seen else []
    return found + components_of_lines(change.added)


def numbered(added: Iterable[LineRequest], seen: Reservation | None) -> tuple[LineRequest, ...]:
    """Lines to add, those of kits with an id where the caller gave none: their place, as other lines get it.

    LineExists where an id is that of a kit line, or the kit line's that of another line.
    """
    stands = stands_of(seen)
    taken = {line.line_id for line in seen.lines} if seen else set()
    count, found = len(taken), []
    for line in added:
        is_kit = isinstance(line, KitRequest)
        named = replace(line, line_id=str(count + 1)) if is_kit and not line.line_id else line
        if named.line_id in stands or (is_kit and named.line_id in taken):
            raise LineExists(seen.reservation_id if seen else "", named.line_id)
        count += len(named.components) if isinstance(named, KitRequest) else 1
        found.append(named)
    return tuple(found)


def _stand(line_id: str, lines: list[ReservationLine]) -> KitStand:
    first, kit = lines[0], _kit_of(lines[0])
    open_at: dict[str, int] = {}
    for allocation in first.allocations:
        if allocation.open:
            open_at[allocation.location] = open_at.get(allocation.location, 0) + allocation.open // kit.units
    return KitStand(line_id, kit.sku, tuple(lines), first.standing // kit.units, open_at)


def _units_of(stand: KitStand, named: LineUnits, reservation_id: str) -> list[LineUnits]:
    """Units of every component for some kits: at the location that is named, else at the line's, in their order."""
    if named.location and named.location not in stand.open_at:
        if not any(allocation.location == named.location for allocation in stand.lines[0].allocations):
            raise LineNotFound(reservation_id, named.line_id, named.location)
        there = {named.location: 0}
    else:
        there = {named.location: stand.open_at[named.location]} if named.location else stand.open_at
    wanted = named.quantity or sum(there.values())
    if wanted > sum(there.values()):
        raise QuantityExceedsOpen(reservation_id, named.line_id, wanted, sum(there.values()))
    found = []
    for location in list(there):
        kits = min(wanted, there[location])
        if kits:
            wanted -= kits
            stand.open_at[location] -= kits  # another element may name the line again
            found += [LineUnits(line.line_id, location, kits * _kit_of(line).units) for line in stand.lines]
    return found


def kits_back(verb: str, placement: KitPlacement, reservation_id: str) -> dict[str, int]:
    """Kits that a line gives back, by location: all that are open, or the last ones. QuantityExceedsOpen."""
    stand = _stand_of(placement)
    if verb == "rebind":
        return stand.open_at
    left = max(0, stand.standing - placement.quantity)
    if left > stand.open:
        raise QuantityExceedsOpen(reservation_id, placement.line_id, left, stand.open)
    back = {}
    for location in reversed(stand.open_at):
        if kits := min(left, stand.open_at[location]):
            back[location] = kits
            left -= kits
    return back


def wanted_of(verb: str, placement: LinePlacement, lines: Mapping[str, ReservationLine]) -> LineRequest | None:
    """What a line takes, as a line of its own would; None for nothing."""
    stand = placement.stand if isinstance(placement, KitPlacement) else None
    line = stand.lines[0] if stand else lines.get(placement.line_id)
    if line is None:
        return None
    if verb == "rebind":
        quantity, candidates = (stand.open if stand else _open(line)), placement.candidates
    else:
        quantity = placement.quantity - (stand.standing if stand else line.standing)
        own = [allocation.location for allocation in line.allocations if allocation.quantity > allocation.released]
        candidates = tuple(
            sorted(placement.candidates, key=lambda one: own.index(one.location) if one.location in own else len(own))
        )
    if quantity <= 0:
        return None
    fields = (quantity, candidates, line.fulfilment, line.destination, placement.allow_split, placement.named_location)
    if stand and isinstance(placement, KitPlacement):
        return KitRequest(stand.line_id, stand.sku, *fields, components=placement.components)
    return LineRequest(line.line_id, line.sku, *fields, placement.future)


def _take(line: LineRequest, shelf: Shelf, short: list[ShortLine]) -> Taken:
    missing = short_line(line, shelf)
    taken = shelf.take(line, line.candidates, best_effort=False)
    if taken.units < line.quantity:
        short.append(replace(missing, available=taken.units))
    return taken


def of_components(verb: str, placement: KitPlacement, back: dict[str, int], taken: Taken) -> list[LinePlacement]:
    """The placements of a kit's components: what each takes and (amend) gives back at each location."""
    kits_at = dict(taken.placed) if verb == "rebind" else {**dict(taken.placed), **{at: -n for at, n in back.items()}}
    found = []
    for line, component in zip(_stand_of(placement).lines, placement.components, strict=True):
        found.append(
            LinePlacement(
                line.line_id,
                placement.quantity * component.units,
                tuple([component.floors.get(location) or Candidate(location) for location in kits_at]),
                placement.allow_split,
                placement.named_location,
                units_at=tuple([kits * component.units for kits in kits_at.values()]),
            )
        )
    return found


def lend(line: ReservationLine, units: int, channel: str, shelf: Shelf, location: str = "") -> None:
    """Puts units of a line (at a location) that are given back on the shelf, in the order in which they are."""
    for kind in (_is_backordered, _is_pegged, _is_on_hand):
        for allocation in reversed(line.allocations):
            part = min(units, allocation.open)
            if part <= 0 or not kind(allocation) or location not in ("", allocation.location):
                continue
            units -= part
            if kind is _is_on_hand:
                fenced = max(0, allocation.fenced - (allocation.open - part))
                shelf.give(line.sku, allocation.location, part, fenced, own=allocation.fence_channel == channel)


def _is_backordered(allocation: Allocation) -> bool:
    return allocation.backordered


def _is_pegged(allocation: Allocation) -> bool:
    return bool(allocation.receipt_id)


def _is_on_hand(allocation: Allocation) -> bool:
    return allocation.is_on_hand


def _open(line: ReservationLine) -> int:
    return sum(allocation.open for allocation in line.allocations)


def _kit_of(line: ReservationLine) -> KitLine:
    assert line.kit is not None
    return line.kit


def _stand_of(placement: KitPlacement) -> KitStand:
    assert placement.stand is not None
    return placement.stand
