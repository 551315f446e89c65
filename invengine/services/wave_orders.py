"""Orders of a plan become reservations: of each line exactly the units that were planned, or nothing of it.

The ids of request and reservation follow from plan and order, and the store answers a request once: so an order may be
sent again, by whomever, and what its reservation says is what became of it. Which lines of it can be had is decided by
the call that takes them; where it cannot decide that alone, the order is sent again without those that it refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import LineRequest, PlacedRequest, ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.waves import CommittedOrder, RefusedLine, Target
from invengine.errors import (
    CapacityExhausted,
    Exhausted,
    InsufficientStock,
    InventoryError,
    OutcomeUnknown,
    PromiseTooLate,
    PromiseUnknown,
    RequestMismatch,
    Unavailable,
    UnknownSku,
)
from invengine.services.reservation_ids import ReservationIds
from invengine.services.reservation_requests import time_to_live
from invengine.services.shelf import Shelf

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.waves import CommitStart, PlannedLine, PlannedOrder
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.reservations import Reservations
    from invengine.services.wave_dated import DatedOrders
    from invengine.store.redis_store import RedisStore

Refusals = dict[int, RefusedLine]
"""By the places of lines."""

FAILURES: Final = (Unavailable, Exhausted, OutcomeUnknown)
"""Nobody knows yet: the commit stops here, and goes on when it is asked for again."""


class Sent(NamedTuple):
    """An order as it is sent: the request, and the places of the lines that it is to have units for."""

    place: int
    request: ReserveRequest
    wanted: tuple[int, ...]


class WaveOrders:
    """Commits orders of one engine's plans."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        reservations: Reservations,
        *,
        dated: DatedOrders,
    ) -> None:
        self._ids = ReservationIds(store.partitions, near_stock=store.is_whole)
        self._is_whole = store.is_whole
        self._partitions = store.partitions
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._reservations = reservations
        self._dated = dated

    async def commit(
        self, plan_id: str, start: CommitStart, orders: Mapping[int, PlannedOrder]
    ) -> dict[int, CommittedOrder]:
        """Makes reservations of orders, by their places, in their order: each gets the lines that can be had when it is
        its turn. Raises what FAILURES lists.
        """
        network = self._networks.required()
        done: dict[int, CommittedOrder] = {}
        refused: dict[int, Refusals] = {place: {} for place in orders}
        left = orders
        while left:
            sent = [self._sent((plan_id, start), place, one, refused[place], network) for place, one in left.items()]
            later = _Later(network, self._shelf)
            again: list[int] = []
            for one, outcome in reversed(await self._outcomes(sent, orders, network)):
                order = orders[one.place]
                if isinstance(outcome, FAILURES):
                    raise outcome
                if isinstance(outcome, ReservationAnswer):
                    done[one.place] = later.taken(order, outcome, refused[one.place])
                elif not one.wanted:
                    done[one.place] = CommittedOrder("", 0, refused[one.place])
                else:
                    more = _refusals(order, one.wanted, outcome)
                    is_short = isinstance(outcome, InsufficientStock)
                    if (
                        is_short and one.request.best_effort and not self._is_whole
                    ):  # asked behind those that came later
                        more = {place: later.short(order, place) for place in more}
                    if order.order.all_or_nothing:
                        more |= {place: _of_others(order.lines[place]) for place in one.wanted if place not in more}
                    refused[one.place] |= more
                    again.append(one.place)
            left = {place: orders[place] for place in sorted(again)}
        return done

    async def _outcomes(
        self, sent: Sequence[Sent], orders: Mapping[int, PlannedOrder], network: Network
    ) -> list[tuple[Sent, ReservationAnswer | InventoryError]]:
        """First those that are sent together, then one by one those with dates or capacity."""
        found: list[tuple[Sent, ReservationAnswer | InventoryError]] = []
        needing = {one.place for one in sent if one.wanted and self._dated.is_needed(orders[one.place], network)}
        together = [one for one in sent if one.place not in needing]
        for part in [together] if self._is_whole else _apart(together, orders, self._partitions):
            answered = await self._reservations.reserve_decided([one.request for one in part])
            found += zip(part, answered.outcomes, strict=True)
        for one in sent:
            if one.place in needing:
                lines = {number: orders[one.place].lines[number] for number in one.wanted}
                found.append((one, await self._dated.reserve(one.request, lines, network)))
        return found

    def _sent(
        self, commit: tuple[str, CommitStart], place: int, planned: PlannedOrder, refused: Refusals, network: Network
    ) -> Sent:
        """The order as it is sent now; `refused` gets the lines that the network does not allow any more."""
        (plan_id, start), order = commit, planned.order
        for number, line in enumerate(planned.lines):
            if line.units and number not in refused:
                problem = _why_not(line, order.channel, network)
                if problem is not None:
                    refused[number] = problem
        wanted = tuple([number for number, line in enumerate(planned.lines) if line.units and number not in refused])
        if order.all_or_nothing and refused:
            refused |= {number: _of_others(planned.lines[number]) for number in wanted}
            wanted = ()
        rules = network.channels.get(order.channel)
        seconds = 0
        if start.target is Target.HELD and rules is not None:
            seconds = time_to_live(start.seconds, order.channel, rules)
        request_id = wave_request_id(plan_id, "order", order.order_id)
        first = next(line.line.sku for line in planned.lines if line.units)
        lines = [
            placed_line(line, order.channel, network) if number in wanted else empty_line(line, is_asked=bool(wanted))
            for number, line in enumerate(planned.lines)
        ]
        request = ReserveRequest(
            request_id,
            blake2b(f"{plan_id}\t{order.order_id}".encode(), digest_size=16).hexdigest(),
            self._ids.derived(order.channel, request_id, first),
            order.channel,
            tuple(lines),
            seconds,
            customer_ref=order.customer_ref,
            order_ref=order.order_id,
            best_effort=len(wanted) > 1 and not order.all_or_nothing,
            borrows=rules.borrows if rules is not None else True,
            is_confirmed=start.target is Target.CONFIRMED,
        )
        return Sent(place, request, wanted)

    def _shelf(self, channel: str) -> Shelf:
        """What a channel can take now."""
        rules = self._networks.required().channels.get(channel)
        borrows = rules.borrows if rules is not None else True
        return Shelf(self._replica, self._clock.now_ms(), channel, borrows=borrows)


class _Later:
    """Answers of one call, told from the last one on: what those behind an order took was still there for it."""

    def __init__(self, network: Network, shelf_of: Callable[[str], Shelf]) -> None:
        self._network = network
        self._shelf_of = shelf_of
        self._shelves: dict[str, Shelf] = {}
        self._taken: list[tuple[str, str, int]] = []

    def taken(self, planned: PlannedOrder, answer: ReservationAnswer, refused: Refusals) -> CommittedOrder:
        """What a reservation says that was made: now, or before, here or elsewhere."""
        reservation = answer.reservation
        by_id = {line.line_id: line for line in reservation.lines}
        units, lost = 0, {}
        for number in range(len(planned.lines) - 1, -1, -1):
            line = planned.lines[number]
            found = by_id.get(line.line.line_id)
            allocations = found.allocations if found is not None else ()
            if line.units and not allocations:
                lost[number] = refused.get(number) or self.short(planned, number)
            for its in allocations:
                units += its.quantity
                if not answer.replayed:
                    self._take(line.line.sku, its.location, its.quantity)
        return CommittedOrder(reservation.reservation_id, units, dict(sorted(lost.items())))

    def short(self, planned: PlannedOrder, number: int) -> RefusedLine:
        """A line that cannot be had, with what there was of it."""
        line = planned.lines[number]
        return short_line(line, self._there(line, planned.order.channel))

    def _take(self, sku: str, location: str, units: int) -> None:
        self._taken.append((sku, location, units))
        for shelf in self._shelves.values():
            shelf.give(sku, location, units)

    def _there(self, line: PlannedLine, channel: str) -> int:
        """Units that the line could still have where they were planned."""
        shelf = self._shelves.get(channel)
        if shelf is None:
            shelf = self._shelves[channel] = self._shelf_of(channel)
            for one in self._taken:
                shelf.give(*one)
        sku, locations = line.line.sku, tuple([part.location for part in line.units])
        candidates = self._network.candidates(channel, sku, locations)
        parts = zip(line.units, candidates, strict=True)
        return sum([min(part.quantity, shelf.on_hand(sku, one)) for part, one in parts])


def _apart(sent: Sequence[Sent], orders: Mapping[int, PlannedOrder], partitions: int) -> list[list[Sent]]:
    """Parts to be sent one after the other where a basket over several partitions takes several calls: no two baskets
    of a part want the same position, so each finds what those before it left. Where each takes one call, all are one.
    """
    if all(len({partition_of(line.sku, partitions) for line in one.request.lines}) == 1 for one in sent):
        return [list(sent)] if sent else []
    parts: list[list[Sent]] = []
    last: dict[tuple[str, str], int] = {}
    for one in sent:
        lines = orders[one.place].lines
        positions = {(line.line.sku, part.location) for line in lines for part in line.units}
        place = 1 + max([last.get(position, -1) for position in positions])
        last |= dict.fromkeys(positions, place)
        parts += [[] for _ in range(place + 1 - len(parts))]
        parts[place].append(one)
    return parts


def wave_request_id(plan_id: str, *names: str) -> str:
    """The request_id of one write of a plan, the same whenever and by whomever it is made."""
    return "wave " + blake2b("\t".join((plan_id, *names)).encode(), digest_size=16).hexdigest()


def placed_line(planned: PlannedLine, channel: str, network: Network) -> PlacedRequest:
    """The line as the store takes it: exactly these units."""
    line = planned.line
    locations = tuple([part.location for part in planned.units])
    return PlacedRequest(
        line.line_id,
        line.sku,
        planned.planned,
        network.candidates(channel, line.sku, locations),
        line.fulfilment,
        line.destination,
        named_location=line.location,
        asked=line.quantity,
        units_at=tuple([part.quantity for part in planned.units]),
    )


def empty_line(planned: PlannedLine, *, is_asked: bool) -> LineRequest:
    """The line without units. Not `is_asked`: it makes the request impossible, unless it was answered before."""
    line = planned.line
    if not is_asked:
        return LineRequest(line.line_id, line.sku, line.quantity, (), line.fulfilment, line.destination)
    return PlacedRequest(line.line_id, line.sku, 0, (), line.fulfilment, line.destination, asked=line.quantity)


def short_line(planned: PlannedLine, available: int) -> RefusedLine:
    """A line of which fewer units are there than were planned."""
    wanted = planned.planned
    message = f"{wanted} {planned.line.sku} planned, {available} of them available to sell"
    return RefusedLine(InsufficientStock.reason, message, wanted, available)


def _of_others(planned: PlannedLine) -> RefusedLine:
    """A line that could be had, of an order that takes all or nothing."""
    message = "other lines of the order are short, and it takes all or nothing"
    return RefusedLine(InsufficientStock.reason, message, planned.planned, planned.planned)


def _why_not(planned: PlannedLine, channel: str, network: Network) -> RefusedLine | None:
    """Why the network does not allow the line any more."""
    try:
        for part in planned.units:
            network.usable(channel, location=part.location, fulfilment=planned.line.fulfilment)
    except InventoryError as refusal:
        return RefusedLine(refusal.reason, str(refusal), planned.planned, 0)
    return None


def _refusals(planned: PlannedOrder, wanted: Sequence[int], refusal: InventoryError) -> Refusals:
    """Which of the lines that were sent a refusal is about: all of them where it does not say."""
    if isinstance(refusal, RequestMismatch):
        raise refusal
    numbers = {planned.lines[number].line.line_id: number for number in wanted}
    if isinstance(refusal, InsufficientStock):
        found = {
            numbers[short.line_id]: short_line(planned.lines[numbers[short.line_id]], short.available)
            for short in refusal.short_lines
            if short.line_id in numbers
        }
        if found:
            return found
    named = [getattr(refusal, "line_id", "")] if isinstance(refusal, _OF_LINES) else []
    if isinstance(refusal, UnknownSku):
        named = [line_id for line_id, number in numbers.items() if planned.lines[number].line.sku == refusal.sku]
    about = [numbers[name] for name in named if name in numbers] or list(wanted)
    return {number: RefusedLine(refusal.reason, str(refusal), planned.lines[number].planned, 0) for number in about}


_OF_LINES: Final = (PromiseTooLate, PromiseUnknown, CapacityExhausted)
