"""Which requests need dates or slots, what their lines wish for, and their refusals told without slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from invengine.domain.capacity import capacity_place, capacity_sku, is_capacity, line_of_slots
from invengine.domain.orders import Fulfilment, Future, KitRequest
from invengine.domain.partitions import partition_of
from invengine.errors import CapacityExhausted, InsufficientStock
from invengine.services.placed_lines import WAYS, Wish, goods_of, slots_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.domain.network import Network
    from invengine.domain.orders import LineRequest
    from invengine.errors import InventoryError
    from invengine.services.dated_lines import DatedLines
    from invengine.services.reservation_lines import CheckedLine
    from invengine.services.reservation_requests import CheckedRequest


def needs_dates(checked: CheckedRequest, network: Network) -> bool:
    """Whether lines are promised dates, or may take slots; quick where neither can be."""
    if checked.is_dated:
        return True
    return bool(network.capacities) and any(
        may_take_slots(line.location, line.fulfilment, network) for line in checked.lines
    )


def may_take_slots(location: str, fulfilment: Fulfilment, network: Network) -> bool:
    """Whether a place that may serve a line has a limit: the named one, or without one any at all."""
    if fulfilment not in WAYS:
        return False
    is_at_store = fulfilment is Fulfilment.SHIP_TO_STORE  # what is there already is prepared for collection
    ways = (fulfilment, Fulfilment.PICKUP) if is_at_store else (fulfilment,)
    if location:
        return any((location, way) in network.capacities for way in ways)
    return any(way in network.limited_ways for way in ways)


def slot_partitions(lines: Iterable[LineRequest], network: Network, partitions: int) -> set[int]:
    """Where the slots are that lines may take."""
    found = set()
    for line in lines:
        for candidate in line.candidates:
            for way in (line.fulfilment, Fulfilment.PICKUP):
                if (candidate.location, way) in network.capacities:
                    found.add(partition_of(capacity_sku(candidate.location, way.value), partitions))
    return found


def wish_of(line: CheckedLine, *, promise_dates: bool, confidence_parts: int) -> Wish | None:
    """What a line wishes for; None where it is promised no date."""
    if not promise_dates and not line.service:
        return None
    return Wish(line.service, line.needed_by, confidence_parts)


def with_wish(line: LineRequest, wish: Wish | None) -> LineRequest:
    """The line as it is placed: one with a date takes of the future what has a day, and whatever day that is."""
    if wish is None or line.future is None or isinstance(line, KitRequest):
        return line
    return replace(line, future=Future())


def dated_lines(placing: DatedLines, lines: Sequence[LineRequest], checked: CheckedRequest) -> list[LineRequest]:
    """The lines of a request as the store takes them: goods where they were chosen to come from, then slots.

    UnknownSku, and what DatedLines refuses.
    """
    wishes = [
        wish_of(line, promise_dates=checked.promise_dates, confidence_parts=checked.confidence_parts)
        for line in checked.lines
    ]
    demands = [(with_wish(line, wish), wish) for line, wish in zip(lines, wishes, strict=True)]
    placing.check_known(lines)
    placed = placing.place(demands)
    if not any(line.units for line in placed):
        raise InsufficientStock(tuple(placing.short_of(line) for line in lines))
    found = [goods for line in placed for goods in goods_of(line)]
    return found + slots_of(placed, placing.orders)


def told_without_slots(refusal: InsufficientStock, lines: Sequence[LineRequest]) -> InventoryError:
    """A refusal of the store without lines of slots, which no caller knows; of slots alone: CAPACITY_EXHAUSTED."""
    goods = [short for short in refusal.short_lines if not is_capacity(short.sku)]
    if goods or not refusal.short_lines:
        return InsufficientStock(tuple(goods))
    short = refusal.short_lines[0]
    location, _ = capacity_place(short.sku)
    line_id = line_of_slots(short.line_id, short.sku)
    line = next((line for line in lines if line.line_id == line_id), lines[0] if lines else None)
    return CapacityExhausted(line.line_id if line else line_id, line.sku if line else "", location)
