"""Which of several dates a line is promised, what it costs, and why none will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invengine.domain.orders import Fulfilment
from invengine.errors import CapacityExhausted, InventoryError, PromiseTooLate, PromiseUnknown
from invengine.kernels.layout import NO_SLOT

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import LineRequest
    from invengine.services.dates import Dates
    from invengine.services.placed_lines import PlacedLine, Wish
    from invengine.services.promise_routes import Option


def cost_of(network: Network, line: LineRequest, location: str, option: Option, units: int) -> int:
    """Ten-thousandths of the currency for a parcel of so many units."""
    delivery = network.delivery
    if option.fulfilment is Fulfilment.SHIP:
        zone = delivery.zone_of(line.destination.country, line.destination.postal_code)
        lane = delivery.lanes.get((location, zone, option.service))
        return lane.cost + lane.cost_per_unit * units if lane else 0
    transfer = delivery.transfer_lanes.get((location, line.destination.location))
    return transfer.cost + transfer.cost_per_unit * units if transfer else 0


def best_of(ways: Sequence[tuple[int, int, int]], wish: Wish) -> int | None:
    """Of (day, cost, place of the option): the earliest and of these the cheapest, or the cheapest in time."""
    if wish.needed_by:
        in_time = [(cost, day, place) for day, cost, place in ways if day <= wish.needed_by]
        return min(in_time)[2] if in_time else None
    return min(ways)[2] if ways else None


def why_not(line: LineRequest, wish: Wish, *dates: Dates) -> InventoryError:
    """Why none of these dates will do."""
    days = [int(day) for one in dates for day in one.delivery_days.ravel() if day]
    if days:
        return PromiseTooLate(line.line_id, line.sku, wish.needed_by, min(days))
    for one in dates:
        for index, location in enumerate(one.locations):
            if (one.status[0, index] == NO_SLOT).any():
                return CapacityExhausted(line.line_id, line.sku, location)
    gaps = dict.fromkeys(gap for one in dates for gap in one.gaps())
    return PromiseUnknown(line.line_id, line.sku, "; ".join(gaps) or "no day within 730 days will do")


def rank_of(refusal: InventoryError) -> tuple[int, int]:
    """Which of several refusals of one line says most: the earliest date, else capacity, else what lacks."""
    if isinstance(refusal, PromiseTooLate):
        return 0, refusal.earliest_day
    return (1 if isinstance(refusal, CapacityExhausted) else 2), 0


def too_late(line: PlacedLine) -> PromiseTooLate:
    """The refusal of a line that has a promise, and one that is too late."""
    assert line.promise is not None
    return PromiseTooLate(line.line.line_id, line.line.sku, line.promise.needed_by, line.promise.delivery_day)


def delivery_day_of(line: PlacedLine) -> int:
    """When it was promised, 0 for a line that was not."""
    return line.promise.delivery_day if line.promise else 0
