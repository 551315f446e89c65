"""Where a line whose promise is broken could go instead, and how it gets there: a rebinding of all its open units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.kept import NO_DATES, NewDates
from invengine.domain.orders import ComponentRequest, KitRequest, LineRequest
from invengine.errors import InsufficientStock, RevisionMismatch
from invengine.services.broken_dates import MINUTE_MS, Promised, option_of
from invengine.services.days import date_or_none
from invengine.services.repromise_requests import Result
from invengine.services.shelf import Shelf
from invengine.v1 import reservation_service_pb2 as reservation_pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, Reservation, ReservationLine
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.broken_dates import KeptDates
    from invengine.services.networks import Networks
    from invengine.services.repromise_requests import BrokenAsked, CheckedRepromise, Outcome
    from invengine.services.reservations import Reservations


class Place(NamedTuple):
    """A location that could have all open units of a line, from a day on; 0: now. `request` is what it would take."""

    location: str
    from_day: int
    request: LineRequest
    candidate: Candidate


class Moves:
    """Moves lines of one engine. With `dry_run` what one line would take, others of the request cannot."""

    def __init__(
        self, replica: Replica, clock: StoreClock, networks: Networks, dates: KeptDates, reservations: Reservations
    ) -> None:
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._dates = dates
        self._reservations = reservations

    async def moved(
        self,
        asked: CheckedRepromise,
        line: BrokenAsked,
        seen: Reservation,
        plain: Outcome,
        shelves: dict[str, Shelf],
    ) -> Outcome:
        """What became of a line that is to go elsewhere. RevisionMismatch: look again; and what refuses a rebinding."""
        network = self._networks.required()
        shelf = shelves.get(seen.channel)
        if shelf is None or not asked.dry_run:
            borrows = network.channel(seen.channel).borrows
            shelf = shelves[seen.channel] = Shelf(self._replica, self._clock.now_ms(), seen.channel, borrows=borrows)
        places = self._places(line, seen, network, shelf)
        if not places:
            return replace(plain, result=Result.NO_LOCATION)
        dates = self._dates_at(places, line, seen)
        if line.promised_day and not any(date.day for date in dates):
            return replace(plain, result=Result.NO_DATE)
        best = _best(line, places, dates)
        if best is None:
            return replace(plain, result=Result.NOT_BETTER)
        place, day = places[best], dates[best].day
        told = replace(plain, result=Result.MOVED, delivery_day=day, to_locations=(place.location,))
        if asked.dry_run:
            shelf.take(place.request, (place.candidate,), best_effort=False)
            return told
        answer = await self._rebound(asked, line, seen, place, day)
        lines = [one for one in answer.lines if line.line_id in (one.line_id, one.kit.line_id if one.kit else "")]
        days = [one.promise.delivery_day for one in lines if one.promise]
        locations = dict.fromkeys(its.location for one in lines for its in one.allocations if its.open)
        return replace(told, delivery_day=max(days, default=0), to_locations=tuple(locations))

    def _places(self, line: BrokenAsked, seen: Reservation, network: Network, shelf: Shelf) -> list[Place]:
        """The locations that could have all of it, by priority."""
        lines = [one for one in seen.lines if line.line_id in (one.line_id, one.kit.line_id if one.kit else "")]
        broken_at = {one.location for one in line.broken}
        found = []
        for location in network.usable(seen.channel, fulfilment=lines[0].fulfilment):
            if location not in broken_at:
                place = self._place(lines, location, seen.channel, network, shelf)
                found += [place] if place else []
        return found

    def _place(
        self, lines: Sequence[ReservationLine], location: str, channel: str, network: Network, shelf: Shelf
    ) -> Place | None:
        first, kit = lines[0], lines[0].kit
        units = sum(its.open for its in first.allocations)
        (candidate,) = network.candidates(channel, first.sku, (location,))
        way = (candidate,), first.fulfilment, first.destination
        if kit is not None:
            components = tuple(
                ComponentRequest(
                    one.sku, one.kit.units, {location: network.candidates(channel, one.sku, (location,))[0]}
                )
                for one in lines
                if one.kit
            )
            request = KitRequest(kit.line_id, kit.sku, units // kit.units, *way, components=components)
            return (
                Place(location, 0, request, candidate) if shelf.offer(request, candidate) >= request.quantity else None
            )
        own = sum(its.open for its in first.allocations if its.location == location and its.is_on_hand)
        missing = units - own
        line = LineRequest(first.line_id, first.sku, missing, *way, future=first.future)
        missing -= shelf.on_hand(first.sku, candidate)
        if missing <= 0:
            return Place(location, 0, line, candidate)
        for coming in shelf.coming(first.sku, (location,)) if first.future else ():
            if first.future and 0 < first.future.needed_by < coming.day:
                break
            missing -= coming.left
            if missing <= 0:
                return Place(location, coming.day, line, candidate)
        return None

    def _dates_at(self, places: Sequence[Place], line: BrokenAsked, seen: Reservation) -> list[NewDates]:
        """When the line would be with its customer from each place; NO_DATES for one without a promise."""
        promise = next((one.promise for one in line.broken if one.promise), None)
        if promise is None:
            return [NO_DATES] * len(places)
        now = self._clock.now_ms() // MINUTE_MS
        return self._dates.dates_of_new(
            [
                Promised(
                    place.location,
                    option_of(place.request.fulfilment, promise.service),
                    place.request.destination,
                    promise.confidence_parts,
                    place.request.quantity,
                    place.from_day,
                    now,
                )
                for place in places
            ]
        )

    async def _rebound(
        self, asked: CheckedRepromise, line: BrokenAsked, seen: Reservation, place: Place, day: int
    ) -> Reservation:
        waits = place.from_day > 0
        needed_by = place.request.future.needed_by if waits and place.request.future else 0
        promise = next((one.promise for one in line.broken if one.promise), None)
        if promise is not None:  # a day that the customer asked for is given up where none keeps it
            needed_by = max(day, promise.needed_by) if promise.needed_by else 0
        message = reservation_pb.RebindReservationRequest(
            request_id=write_id(asked.request_id, line.reservation_id, line.line_id, place.location),
            reservation_id=line.reservation_id,
            channel=seen.channel,
            expected_revision=seen.revision,
            lines=[
                reservation_pb.LineRebinding(
                    line_id=line.line_id,
                    location=place.location,
                    allow_backorder=waits,
                    needed_by=date_or_none(needed_by),
                )
            ],
        )
        try:
            answer, _ = await self._reservations.rebind(message)
        except InsufficientStock:  # somebody else was there first: look for another place
            raise RevisionMismatch(seen.revision, seen.revision) from None
        return answer.reservation


def write_id(*names: str) -> str:
    """The request_id of one write of a request, the same when the request is sent again."""
    return "repromise " + blake2b("\t".join(names).encode(), digest_size=16).hexdigest()


def _best(line: BrokenAsked, places: Sequence[Place], dates: Sequence[NewDates]) -> int | None:
    """The first place that keeps the day, else the earliest one that is earlier than where the line is; or None."""
    if line.promised_day:
        wanted, stays = line.promised_day, line.new_day
        days = {place: new.day for place, new in enumerate(dates) if new.day}
    else:  # nothing was promised but the units: by a day, or now
        wanted = max(one.due_day for one in line.broken)
        expected = [one.expected_day for one in line.broken]
        stays = max(expected) if all(expected) else 0
        days = {number: place.from_day for number, place in enumerate(places)}
    keeping = next((place for place, day in days.items() if day <= wanted), None)
    if keeping is not None:
        return keeping
    earliest = min(days, key=lambda place: days[place])
    return earliest if not stays or days[earliest] < stays else None
