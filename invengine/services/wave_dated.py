"""Orders of a plan that are promised days, or take daily capacity: their slots are chosen when they are committed.

What comes from where is the plan's; the days and slots are worked out as for any reservation with dates, over a shelf
that has of each location exactly the units that were planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import LineRequest, PlacedRequest
from invengine.domain.partitions import partition_of
from invengine.errors import InsufficientStock, Refused, UnknownSku
from invengine.services.dated_requests import slot_partitions, told_without_slots
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.placed_lines import WAYS, Wish, goods_of, slots_of, way_at
from invengine.services.reserving import first_answer_or
from invengine.services.shelf import Shelf

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, ReserveRequest
    from invengine.domain.waves import PlannedLine, PlannedOrder
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.dated_lines import DatedLines
    from invengine.services.reservations import Reservations
    from invengine.services.reserving import Outcome
    from invengine.store.redis_store import RedisStore

CHOICES_MAX: Final = 60
"""Choices of slots for one order, when others take them each time."""


class PlannedShelf(Shelf):
    """What a channel could take, and no more of it than was planned: `caps` by SKU and location."""

    def __init__(
        self, replica: Replica, now_ms: int, channel: str, caps: Mapping[tuple[str, str], int], *, borrows: bool
    ) -> None:
        super().__init__(replica, now_ms, channel, borrows=borrows)
        self._caps = dict(caps)

    def on_hand(self, sku: str, candidate: Candidate, more: int = 0) -> int:
        """Units that are there and are planned to come from there."""
        return min(super().on_hand(sku, candidate, more), self._caps.get((sku, candidate.location), 0))

    def _take_on_hand(self, sku: str, location: str, units: int) -> None:
        super()._take_on_hand(sku, location, units)
        before = self._caps.get((sku, location), 0)
        self._caps[sku, location] = before - units
        self._undo.append(lambda: self._caps.update({(sku, location): before}))


class DatedOrders:
    """Commits such orders of one engine's plans."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        reservations: Reservations,
        *,
        dates: CurrentDating,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._reservations = reservations
        self._dates = dates

    def is_needed(self, planned: PlannedOrder, network: Network) -> bool:
        """Whether lines of the order are promised a day, or take capacity where they come from."""
        for line in planned.lines:
            wanted = line.line
            if wanted.needed_by and line.units:
                return True
            if network.capacities and wanted.fulfilment in WAYS:
                for part in line.units:
                    way = way_at(wanted.fulfilment, wanted.destination, part.location)
                    if (part.location, way) in network.capacities:
                        return True
        return False

    async def reserve(self, request: ReserveRequest, lines: Mapping[int, PlannedLine], network: Network) -> Outcome:
        """Makes the reservation, `lines` of it by their places with units; or why it cannot be made now."""
        partitions = {partition_of(line.sku, self._store.partitions) for line in request.lines}
        partitions |= slot_partitions(request.lines, network, self._store.partitions)
        outcome: Outcome = InsufficientStock(())
        for _ in range(CHOICES_MAX):
            await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX, partitions)
            caps: dict[tuple[str, str], int] = {}
            for line in lines.values():
                for part in line.units:
                    key = line.line.sku, part.location
                    caps[key] = caps.get(key, 0) + part.quantity
            now_ms = self._clock.now_ms()
            shelf = PlannedShelf(self._replica, now_ms, request.channel, caps, borrows=request.borrows)
            with self._dates.lines(network, shelf, request.reservation_id) as placing:
                had_claims = self._replica.slots.has_claims
                try:
                    chosen = replace(request, lines=_placed(placing, request, lines), best_effort=False)
                except (Refused, UnknownSku) as refusal:
                    placing.release_claims()
                    if had_claims and await self._dates.others_decided(self._replica.slots):
                        continue
                    answered = await self._reservations.reserve_decided((_impossible(request),))
                    return first_answer_or(refusal, answered.outcomes[0])
                answered = await self._reservations.reserve_decided((chosen,))
            outcome = answered.outcomes[0]
            if not isinstance(outcome, InsufficientStock):
                return outcome
            outcome = told_without_slots(outcome, request.lines)
        return outcome


def _placed(placing: DatedLines, request: ReserveRequest, lines: Mapping[int, PlannedLine]) -> tuple[LineRequest, ...]:
    """The lines of the request with their dates, in their order, then the slots."""
    demands = []
    for number in lines:
        asked, wanted = request.lines[number], lines[number].line
        line = LineRequest(
            asked.line_id,
            asked.sku,
            asked.quantity,
            asked.candidates,
            asked.fulfilment,
            asked.destination,
            len(asked.candidates) > 1,
            asked.named_location,
        )
        demands.append((line, Wish(wanted.service, wanted.needed_by) if wanted.needed_by else None))
    placing.check_known([line for line, _ in demands])
    placed = placing.place(demands)
    found = list(request.lines)
    for number, one in zip(lines, placed, strict=True):
        if not one.left_to_store:  # else it is as it was planned
            (goods,) = goods_of(one)
            assert isinstance(goods, PlacedRequest)
            found[number] = replace(goods, asked=lines[number].line.quantity)
    return (*found, *slots_of(placed, placing.orders))


def _impossible(request: ReserveRequest) -> ReserveRequest:
    """The request without a single candidate: answered as before, or refused."""
    lines = [LineRequest(line.line_id, line.sku, max(1, line.quantity), (), line.fulfilment) for line in request.lines]
    return replace(request, lines=tuple(lines))
