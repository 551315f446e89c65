"""From the plan for a basket to the lines that the store takes: exactly these units from these places, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from invengine.domain.orders import KitRequest, LineRequest
from invengine.errors import InsufficientStock
from invengine.services.dated_requests import wish_of
from invengine.services.dates import NOW
from invengine.services.placed_lines import PlacedLine, PlacedPart, goods_of, slots_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import ReserveRequest
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import Plan, Sourced
    from invengine.services.dated_lines import DatedLines
    from invengine.services.placed_lines import Wish
    from invengine.services.reservation_requests import CheckedRequest


def planned_lines(lines: Sequence[LineRequest], plan: Plan) -> tuple[LineRequest, ...]:
    """The lines of a request as the plan has them. They have neither dates nor slots."""
    found: list[LineRequest] = []
    for line, parts in zip(lines, parts_of_plan(lines, plan), strict=True):
        is_whole = len(parts) == 1 and parts[0].units == line.quantity and parts[0].day == NOW
        if not is_whole or line.future is not None or isinstance(line, KitRequest):
            found += goods_of(PlacedLine(line, None, parts))
            continue
        candidates = (parts[0].candidate,)  # the usual one: what the store takes in the fewest steps
        found.append(
            LineRequest(
                line.line_id,
                line.sku,
                line.quantity,
                candidates,
                line.fulfilment,
                line.destination,
                named_location=line.named_location,
            )
        )
    return tuple(found)


def planned_dated_lines(
    placing: DatedLines, lines: Sequence[LineRequest], checked: CheckedRequest, plan: Plan, *, may_be_late: bool
) -> tuple[LineRequest, ...]:
    """The same with dates and slots: goods where the plan has them, then the slots that they take.

    PromiseTooLate, PromiseUnknown, CapacityExhausted.
    """
    wishes = [
        wish_of(line, promise_dates=checked.promise_dates, confidence_parts=checked.confidence_parts)
        for line in checked.lines
    ]
    demands = list(zip(lines, wishes_of_plan(wishes, may_be_late=may_be_late), strict=True))
    placed = placing.place_as_planned(demands, parts_of_plan(lines, plan))
    goods = [one for line in placed for one in goods_of(line)]
    return (*goods, *slots_of(placed, placing.orders))


def wishes_of_plan(wishes: Sequence[Wish | None], *, may_be_late: bool) -> list[Wish | None]:
    """What lines wish for; no day is kept where lines may be late, since that is what their plan weighed."""
    return [wish._replace(needed_by=0) if wish is not None and may_be_late else wish for wish in wishes]


def confined(
    checked: CheckedRequest, request: ReserveRequest, profile: Profile, network: Network
) -> tuple[CheckedRequest, ReserveRequest]:
    """A request that no plan can be made for, as the store may choose: within the hard rules of the profile."""
    limits = [limit for limit in (checked.parcels_max, profile.parcels_max) if limit]
    lines = tuple([within_rules(line, profile, network) for line in request.lines])
    return checked._replace(parcels_max=min(limits, default=0)), replace(request, lines=lines)


def within_rules(line: LineRequest, profile: Profile, network: Network) -> LineRequest:
    """A line that no plan can be made for, likewise."""
    excluded = profile.excluded_locations(network)
    candidates = tuple([one for one in line.candidates if one.location not in excluded])
    return replace(line, candidates=candidates, allow_split=line.allow_split and profile.may_split)


def may_be_backordered(lines: Sequence[LineRequest], sourced: Sourced) -> bool:
    """Whether no plan has units that may be backordered: nobody knows a day of these."""
    if sourced.best is None and not isinstance(sourced.problem, InsufficientStock):
        return False
    missing = sourced.best.missing if sourced.best is not None else [1] * len(lines)
    return any(
        units and line.future is not None and line.future.backorder_units
        for line, units in zip(lines, missing, strict=True)
    )


def parts_of_plan(lines: Sequence[LineRequest], plan: Plan) -> list[list[PlacedPart]]:
    """Per line what it gets where, in the order of the plan."""
    candidates = [{one.location: one for one in line.candidates} for line in lines]
    found: list[list[PlacedPart]] = [[] for _ in lines]
    for part in plan.units:
        candidate = candidates[part.line][part.location]
        found[part.line].append(PlacedPart(candidate, part.quantity, part.day, part.service))
    return found
