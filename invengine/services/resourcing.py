"""ResourceShortfalls: units that are reserved and not there are taken from other locations, line by line.

The older reservation chooses first. Each line is dealt with for the reservation as it is then, and written for that
revision only; when it changed meanwhile it is looked at again. So a request that was cut off may be sent again: what it
moved is not short any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Fulfilment, ReservationState
from invengine.domain.partitions import encode_token
from invengine.errors import InsufficientStock, InventoryError, OfTransfer, RevisionMismatch
from invengine.services.answered_once import answered_once
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.moved_units import Moving, lines_named
from invengine.services.resource_requests import Outcome, Result, ShortLine, check_resource, lines_of
from invengine.services.resource_trial import StockMoved, Trial
from invengine.services.shelf import Shelf
from invengine.services.tried_takes import TriedTakes

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Reservation, ReservationChange
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.reservations import Reservations
    from invengine.services.resource_requests import CheckedResource
    from invengine.services.shortfalls import Shortfalls
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import shortfall_pb2 as pb

ATTEMPTS_MAX: Final = 5
"""Looks at a reservation, or at stock, that others change all the time."""


class Answer(NamedTuple):
    """What became of a request."""

    outcomes: list[Outcome]
    has_more: bool
    consistency_token: str


class Resourcing:
    """The use case of ResourceShortfalls."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        *,
        shortfalls: Shortfalls,
        reservations: Reservations,
        dates: CurrentDating,
        profiles: Profiles,
        plans: SourcingPlans,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._shortfalls = shortfalls
        self._reservations = reservations
        self._dates = dates
        self._profiles = profiles
        self._plans = plans

    async def resource(
        self, message: pb.ResourceShortfallsRequest, encode: Callable[[Answer], bytes]
    ) -> tuple[bytes, bool]:
        """The answer as bytes, and whether the request was answered before. NetworkMissing, RequestMismatch.

        `encode` makes the bytes that are kept of an answer, to be answered again.
        """
        asked = check_resource(message)
        self._networks.required()

        async def carried_out() -> bytes:
            return encode(await self._done(asked))

        if asked.dry_run:
            return await carried_out(), False
        return await answered_once(self._store, asked.request_id, asked.fingerprint, carried_out)

    def _check_names(self, asked: CheckedResource) -> None:
        """UnknownProfile, UnknownChannel, UnknownGroup; not of a request that was answered before they went."""
        network = self._networks.required()
        if asked.profile:
            self._profiles.get(asked.profile)
        if asked.channel:
            network.channel(asked.channel)
        if asked.to_group and asked.to_group not in network.groups:
            network.asked(asked.channel or next(iter(network.channels)), group=asked.to_group)  # UnknownGroup

    async def _done(self, asked: CheckedResource) -> Answer:
        self._check_names(asked)
        found = await self._shortfalls.find(asked.sku, asked.location, channel=asked.channel)
        lines = [
            line
            for line in lines_of(found)
            if not asked.reservation_ids or line.reservation_id in asked.reservation_ids
        ]
        tried = TriedTakes(self._replica)
        outcomes = [await self._one(asked, line, tried) for line in lines[: asked.lines_max]]
        revisions = await self._store.revisions()
        token = encode_token(self._store.store_id, enumerate(revisions))
        return Answer(outcomes, len(lines) > asked.lines_max, token)

    async def _one(self, asked: CheckedResource, line: ShortLine, tried: TriedTakes) -> Outcome:
        """Deals with one line, anew when its reservation or the stock changed in between."""
        if line.fulfilment is Fulfilment.TRANSFER:
            return Outcome(line, Result.REFUSED, refusal=OfTransfer(line.reservation_id))
        if line.fulfilment is Fulfilment.PICKUP:
            return Outcome(line, Result.COLLECTED)
        moved: InventoryError | None = None
        for _ in range(ATTEMPTS_MAX):
            seen = await self._store.reservation(line.reservation_id)
            await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX)
            units = self._uncovered(line, seen)
            if seen is None or not units:
                return Outcome(line, Result.COVERED)
            try:
                return await self._trial(asked, line, seen, units, tried).outcome()
            except RevisionMismatch as mismatch:
                moved = mismatch
            except StockMoved as elsewhere:
                moved = elsewhere.refusal
            except InventoryError as refusal:
                return Outcome(line, Result.REFUSED, refusal=refusal)
        return Outcome(line, Result.REFUSED, refusal=moved)

    def _uncovered(self, line: ShortLine, seen: Reservation | None) -> int:
        """Units (kits) of the line that are not there now, 0 for none: at most what is short at the position still."""
        live = (ReservationState.HELD, ReservationState.CONFIRMED)
        if seen is None or seen.state_at(self._clock.now_ms()) not in live:
            return 0
        most = 0
        for one in lines_named(seen, line.line_id):
            per_unit = one.kit.units if one.kit else 1
            there = sum(its.open for its in one.allocations if its.location == line.location and its.is_on_hand)
            if one.sku in line.short_skus:
                on_hand, reserved = self._shortfalls.numbers((one.sku, line.location))
                most = max(most, min(there // per_unit, -(-max(0, reserved - on_hand) // per_unit)))
        return min(most, line.units)

    def _trial(
        self, asked: CheckedResource, line: ShortLine, seen: Reservation, units: int, tried: TriedTakes
    ) -> Trial:
        network = self._networks.required()
        borrows = network.channel(seen.channel).borrows
        shelf = Shelf(self._replica, self._clock.now_ms(), seen.channel, borrows=borrows)
        tried.take_from(shelf)
        return Trial(
            asked,
            line,
            seen,
            units,
            network=network,
            shelf=shelf,
            tried=tried,
            dates=self._dates,
            choose=self._choosing(asked, seen.channel, network),
            write=self._write,
        )

    def _choosing(self, asked: CheckedResource, channel: str, network: Network) -> Callable[[Moving], Moving]:
        """What puts the candidates of a line into the order in which they are tried: by a profile, where one counts."""
        profile = self._profiles.of_request(asked.profile, channel)
        if profile is None:
            return lambda moving: moving

        def chosen(moving: Moving) -> Moving:
            without = replace(profile, excluded=(*profile.excluded, moving.location))
            found = self._plans.source(
                [moving.basket_line(asked.to_group)],
                channel=channel,
                network=network,
                now_ms=self._clock.now_ms(),
                profile=without,
                best_effort=True,
                explain=False,
            )
            best = [one.location for one in found.best.units] if found.best else []
            left_out = profile.excluded_locations(network)
            candidates = [one for one in moving.candidates if one.location not in left_out]
            candidates.sort(key=lambda one: best.index(one.location) if one.location in best else len(best))
            may_split = moving.allow_split and profile.may_split
            return moving._replace(candidates=tuple(candidates), allow_split=may_split)

        return chosen

    async def _write(self, change: ReservationChange) -> None:
        """Has an amendment written. RevisionMismatch; StockMoved where units or slots went to others meanwhile."""
        try:
            await self._reservations.decided("amend", change)
        except InsufficientStock as refusal:
            raise StockMoved(refusal) from None
