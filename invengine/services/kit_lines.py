"""Lines that ask for kits: resolved to their components, put where each kit is whole, and told in kits again.

The service chooses by the replica which kits come together where; the store then takes exactly these units of each
component in one step, or nothing, so a kit is never torn and no unit is sold twice. When the stock moved in between the
store refuses, and the choice is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from invengine.domain.kits import KitLine, component_line_id
from invengine.domain.orders import Candidate, KitRequest, PlacedRequest
from invengine.domain.stock import UNITS_MAX
from invengine.errors import InsufficientStock, InvalidArgument, ShortLine, UnknownSku
from invengine.services.kit_availability import coming_days, components_of

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.domain.network import Network
    from invengine.domain.orders import LineRequest, ReserveRequest
    from invengine.services.kit_changes import KitPlacement
    from invengine.services.reservation_lines import CheckedLine
    from invengine.services.shelf import Shelf, Taken

LINES_MAX: Final = 200
"""Of a reservation, those of components counted."""


def kit_request(
    line: CheckedLine, kit: Kit, candidates: tuple[Candidate, ...], channel: str, network: Network
) -> KitRequest:
    """The line with the components of its kit. InvalidArgument where it may wait, or wants too many to be counted."""
    if line.allow_backorder:
        raise InvalidArgument("allow_backorder", f"not for a kit, and {line.sku!r} is one")
    for component in kit:
        if component.units * line.quantity > UNITS_MAX:
            raise InvalidArgument("quantity", f"takes more than {UNITS_MAX} units of {component.sku!r}")
    usable = tuple([candidate.location for candidate in candidates])
    return KitRequest(
        line.line_id,
        line.sku,
        line.quantity,
        candidates,
        line.fulfilment,
        line.destination,
        line.allow_split,
        line.location,
        components=components_of(kit, channel, usable, network),
    )


def check_count(lines: Sequence[LineRequest], field: str = "lines") -> None:
    """InvalidArgument where the lines are too many with those of components, or two would have one id."""
    ids: set[str] = set()
    for place, line in enumerate(lines):
        for line_id in ids_of(line):
            if line_id and line_id in ids:
                raise InvalidArgument(f"{field}[{place}].line_id", f"{line_id!r} is the id of another line's component")
            ids.add(line_id)
    count = sum(len(ids_of(line)) for line in lines)
    if count > LINES_MAX:
        raise InvalidArgument(field, f"are {count} with the components of kits; at most {LINES_MAX} are taken")


def ids_of(line: LineRequest) -> list[str]:
    """The ids of the lines that it becomes."""
    if isinstance(line, KitRequest):
        return [component_line_id(line.line_id, component.sku) for component in line.components]
    return [line.line_id]


def has_kits(lines: Iterable[LineRequest], network: Network) -> bool:
    """Whether some of the lines ask for kits; quick where the network has none."""
    return bool(network.kits) and any(isinstance(line, KitRequest) for line in lines)


def skus_of(lines: Iterable[LineRequest]) -> set[str]:
    """The SKUs that lines take, components in place of their kits."""
    found: set[str] = set()
    for line in lines:
        found.update([one.sku for one in line.components] if isinstance(line, KitRequest) else [line.sku])
    return found


def components_of_lines(lines: Iterable[LineRequest]) -> list[tuple[str, KitLine]]:
    """(line_id, kit) of the lines that are components."""
    return [(line.line_id, line.kit) for line in lines if isinstance(line, PlacedRequest) and line.kit]


def placed(request: ReserveRequest, shelf: Shelf) -> ReserveRequest:
    """The request with every kit where it comes together, by the shelf, from which all its lines are taken.

    InsufficientStock, UnknownSku. Best effort is decided here: the store takes what was chosen, or nothing.
    """
    lines: list[LineRequest] = []
    short: list[ShortLine] = []
    units = 0
    for line in request.lines:
        if not isinstance(line, KitRequest) and not shelf.knows(line.sku):
            raise UnknownSku(line.sku)
        missing = short_line(line, shelf)
        taken = shelf.take(line, line.candidates, best_effort=request.best_effort)
        units += taken.units
        if taken.units < line.quantity:
            short.append(replace(missing, available=taken.units))
        if isinstance(line, KitRequest):
            lines += exploded(line, taken)
        elif request.best_effort:
            lines.append(settled(line, taken.units))
        else:
            lines.append(line)
    if short and not (request.best_effort and units):
        raise InsufficientStock(tuple(short))
    return replace(request, lines=tuple(lines), best_effort=False)


def short_line(line: LineRequest, shelf: Shelf) -> ShortLine:
    """What a refusal says of a line; of a kit with the component that keeps it from being there."""
    found = ShortLine(line.line_id, line.sku, line.named_location, line.quantity, 0)
    if not isinstance(line, KitRequest):
        return found
    most = max(line.candidates, key=lambda candidate: shelf.offer(line, candidate), default=None)
    component = shelf.limit(line.components, most.location) if most else line.components[0].sku
    return replace(found, component=component)


def exploded(line: KitRequest, taken: Taken) -> list[LineRequest]:
    """A line for each component, with the units that the kits take of it at each location."""
    lines: list[LineRequest] = []
    for component in line.components:
        lines.append(
            PlacedRequest(
                component_line_id(line.line_id, component.sku),
                component.sku,
                taken.units * component.units,
                tuple([component.floors[location] for location, _ in taken.placed]),
                line.fulfilment,
                line.destination,
                line.allow_split,
                line.named_location,
                asked=line.quantity * component.units,
                units_at=tuple([kits * component.units for _, kits in taken.placed]),
                kit=KitLine(line.line_id, line.sku, component.units),
            )
        )
    return lines


def kit_day(shelf: Shelf, line: KitRequest | KitPlacement, wanted: int) -> int:
    """The day by which so many kits come together, at one of the candidates or (split) at all of them; 0 for never."""
    locations = [candidate.location for candidate in line.candidates]
    for day in coming_days(shelf, line.components, locations):
        there = [shelf.kits(line.components, location, day) for location in locations]
        if (sum(there) if line.allow_split else max(there)) >= wanted:
            return day
    return 0


def told_in_kits(refusal: InsufficientStock, lines: Iterable[tuple[str, KitLine]]) -> InsufficientStock:
    """A refusal of the store with short lines of components as lines of their kits, the scarcest component of each.

    `lines` are (line_id, kit) of the components.
    """
    kits = dict(lines)
    found: dict[tuple[str, str], ShortLine] = {}
    for short in refusal.short_lines:
        kit = kits.get(short.line_id)
        if kit is None:
            found[short.line_id, short.location] = short
            continue
        available, wanted = short.available // kit.units, -(-short.wanted // kit.units)
        key = kit.line_id, short.location
        if key not in found or available < found[key].available:
            found[key] = ShortLine(
                kit.line_id, kit.sku, short.location, wanted, available, short.next_day, component=short.sku
            )
    return InsufficientStock(tuple(found.values()))


def settled(line: LineRequest, units: int) -> PlacedRequest:
    """A line of units with best effort: what there is of it, and the record says what was asked for."""
    return PlacedRequest(
        line.line_id,
        line.sku,
        units,
        line.candidates,
        line.fulfilment,
        line.destination,
        line.allow_split,
        line.named_location,
        line.future,
        asked=line.quantity,
    )
