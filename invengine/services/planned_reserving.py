"""Reservations of baskets that are sourced by a profile: planned by the replica, taken by the store.

The store is told the best plan and the next one as two choices (lua/README.md, "Choices"), so that who loses a race for
the last units of the first has the second in the same call. Only where both are gone by then is the basket planned
again: another trip. By then the replica has what the other request took, so such a trip means that somebody got units.

Without a look at Redis: a plan by a replica that is behind is refused by the store. Only when there is no plan at all
does the replica catch up first, so that what a refusal tells is true.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import PlacedRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import PlanTaken, ReservationAnswer
from invengine.domain.sourcing import Sourced
from invengine.errors import InsufficientStock, InventoryError, UnknownService, UnknownSku
from invengine.services.basket_plans import basket_of
from invengine.services.dated_requests import needs_dates, slot_partitions, told_without_slots
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.kit_lines import components_of_lines, skus_of, told_in_kits
from invengine.services.planned_lines import may_be_backordered, planned_dated_lines, planned_lines
from invengine.services.reservation_requests import CheckedRequest, impossible
from invengine.services.shelf import Shelf
from invengine.services.sourcing_offers import Lent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.network import Network
    from invengine.domain.orders import LineRequest, ReserveRequest
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import BasketLine, Plan
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.group_commit import Answered, GroupCommit
    from invengine.services.sourcing_offers import Loans
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.store.redis_store import RedisStore

Outcome = ReservationAnswer | InventoryError

TRIPS_MAX: Final = 60
"""Plans for one request. One whose choices are both gone by the time that it comes is one that others took."""


class _Asked(NamedTuple):
    """A request that is to be planned. `partitions` are those of its stock."""

    checked: CheckedRequest
    request: ReserveRequest
    basket: list[BasketLine]
    network: Network
    profile: Profile
    partitions: set[int]
    is_dated: bool


class _Choices(NamedTuple):
    """What the store is asked for; `first` is 1 where the best plan could not be placed, so the next one is first."""

    request: ReserveRequest
    first: int


class PlannedReserving:
    """Plans requests and has them written by `queue`."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        queue: GroupCommit[ReserveRequest, Outcome],
        plans: SourcingPlans,
        *,
        dates: CurrentDating,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._queue = queue
        self._plans = plans
        self._dates = dates
        self._taken = metrics.plans_taken

    def ahead(
        self,
        checked: CheckedRequest,
        request: ReserveRequest,
        network: Network,
        profile: Profile,
        taken: Counter[tuple[str, str]],
    ) -> ReserveRequest | None:
        """The request with its plans, to be taken together with others; None where it has to be made by `one`.

        `taken` are units by SKU and location that the others are about to take; those of this one are added.
        """
        if needs_dates(checked, network):
            return None
        asked = self._asked(checked, request, network, profile)
        sourced = self._source(asked, {place: Lent(-units) for place, units in taken.items()})
        if sourced.best is None or may_be_backordered(request.lines, sourced):
            return None
        with ExitStack() as claims:
            choices = self._choices(asked, (sourced.best, sourced.next), claims)
        if isinstance(choices, InventoryError):
            return None
        for line in choices.request.lines:
            units_at = (line.units_at if isinstance(line, PlacedRequest) else ()) or (line.quantity,)
            for candidate, units in zip(line.candidates, units_at, strict=False):
                taken[line.sku, candidate.location] += units
        return choices.request

    async def one(
        self,
        checked: CheckedRequest,
        request: ReserveRequest,
        network: Network,
        profile: Profile,
        *,
        trips: int = 0,
    ) -> tuple[Outcome, dict[int, int]] | None:
        """What becomes of a request, and the revisions that it rests on; None where it needs units of which nobody
        knows a day, which are in no plan. `trips` it has had already.
        """
        asked = self._asked(checked, request, network, profile)
        outcome: Outcome = InsufficientStock(())
        revisions: dict[int, int] = {}
        for _ in range(TRIPS_MAX):
            is_fresh = bool(revisions) and not self._replica.behind(list(revisions.items()))
            sourced = await self._sourced(asked, is_fresh=is_fresh)
            if may_be_backordered(request.lines, sourced):
                return None
            if sourced.best is None:
                return await self._refused(asked, sourced.problem or InsufficientStock(()))
            with ExitStack() as claims:
                had_claims = self._replica.slots.has_claims
                choices = self._choices(asked, (sourced.best, sourced.next), claims)
                if isinstance(choices, InventoryError):
                    outcome = choices
                    if had_claims and await self._dates.others_decided(self._replica.slots):
                        continue  # what others were about to take was counted as taken: look again
                    return await self._refused(asked, choices)
                answered: Answered[Outcome] = await self._queue.submit((choices.request,))
            outcome, revisions = answered.outcomes[0], answered.revisions
            trips += 1
            if not isinstance(outcome, InsufficientStock):
                self.count(outcome, trips, choices.first)
                break
            components = components_of_lines(choices.request.lines)
            outcome = told_without_slots(told_in_kits(outcome, components), request.lines)
        return outcome, revisions

    def _asked(self, checked: CheckedRequest, request: ReserveRequest, network: Network, profile: Profile) -> _Asked:
        is_dated = needs_dates(checked, network)
        partitions = {partition_of(sku, self._replica.partitions) for sku in skus_of(request.lines)}
        if is_dated:
            partitions |= slot_partitions(request.lines, network, self._replica.partitions)
        basket = basket_of(checked.lines, checked.channel, network)
        return _Asked(checked, request, basket, network, profile, partitions, is_dated)

    async def _sourced(self, asked: _Asked, *, is_fresh: bool) -> Sourced:
        found = self._source(asked)
        if found.best is None and not is_fresh:
            await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX, asked.partitions)
            found = self._source(asked)
        return found

    def _source(self, asked: _Asked, loans: Loans | None = None) -> Sourced:
        checked = asked.checked
        try:
            return self._plans.source(
                asked.basket,
                channel=checked.channel,
                profile=asked.profile,
                network=asked.network,
                now_ms=self._clock.now_ms(),
                best_effort=checked.best_effort,
                parcels_max=checked.parcels_max,
                confidence_parts=checked.confidence_parts,
                loans=loans,
                explain=False,
            )
        except UnknownService as refusal:  # the request may have been answered before the network lost it
            return Sourced(None, None, (), is_proved=True, nodes=0, problem=refusal)

    def _choices(self, asked: _Asked, plans: Sequence[Plan | None], claims: ExitStack) -> _Choices | InventoryError:
        """The plans as choices, the best first. Slots that it takes count as taken until `claims` is closed.

        Where slots are there for none of them any more: the refusal of the best.
        """
        found: dict[int, tuple[LineRequest, ...]] = {}
        refusal: InventoryError | None = None
        for place in reversed(range(len(plans))):  # the best last, so that only what it takes stays claimed
            plan = plans[place]
            if plan is None:
                continue
            claims.close()
            try:
                found[place] = self._placed(asked, plan, claims)
            except InventoryError as why:
                refusal = why
        choices = [found[place] for place in sorted(found)]
        if not choices:
            assert refusal is not None
            return refusal
        lines, *others = choices
        request = replace(asked.request, lines=lines, best_effort=False, alternatives=tuple(others))
        return _Choices(request, min(found))

    def _placed(self, asked: _Asked, plan: Plan, claims: ExitStack) -> tuple[LineRequest, ...]:
        request = asked.request
        if not asked.is_dated:
            return planned_lines(request.lines, plan)
        shelf = Shelf(self._replica, self._clock.now_ms(), request.channel, borrows=request.borrows)
        placing = claims.enter_context(self._dates.lines(asked.network, shelf, request.reservation_id))
        late = asked.profile.may_be_late
        return planned_dated_lines(placing, request.lines, asked.checked, plan, may_be_late=late)

    async def _refused(self, asked: _Asked, refusal: InventoryError) -> tuple[Outcome, dict[int, int]]:
        """The refusal, unless the request was answered before."""
        answered = await self._queue.submit((impossible(asked.checked),))
        outcome = answered.outcomes[0]
        # anything else says more than why there is no plan; of a kit the store knows nothing
        if isinstance(outcome, InsufficientStock | UnknownSku):
            outcome = refusal
        return outcome, answered.revisions

    def count(self, outcome: Outcome, trips: int, first: int = 0) -> None:
        """Counts by which plan a request was taken; `first` is the place of the one that was tried first."""
        if not isinstance(outcome, ReservationAnswer) or outcome.replayed:
            return
        taken = PlanTaken.FIRST if first + outcome.choice == 0 else PlanTaken.NEXT
        if trips - 1 + outcome.trips > 1:
            taken = PlanTaken.ANOTHER_TRIP
        self._taken[taken].inc()
