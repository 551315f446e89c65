"""Making reservations: one, many, those that must fit into few parcels, and those with kits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import (
    InsufficientStock,
    InventoryError,
    Refused,
    RequestMismatch,
    TooManyParcels,
    UnknownSku,
)
from invengine.services.dated_requests import dated_lines, needs_dates, slot_partitions, told_without_slots
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.kit_lines import components_of_lines, has_kits, placed, skus_of, told_in_kits
from invengine.services.next_dates import NextDates
from invengine.services.parcels import choose
from invengine.services.planned_lines import confined
from invengine.services.reservation_ids import ReservationIds
from invengine.services.reservation_requests import CheckedRequest, impossible, resolve
from invengine.services.shelf import Shelf

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.group_commit import GroupCommit
    from invengine.services.planned_reserving import PlannedReserving
    from invengine.services.profiles import Profiles
    from invengine.services.sourcing import Sourcing
    from invengine.store.redis_store import RedisStore

Outcome = ReservationAnswer | InventoryError

CHOICES_MAX: Final = 5
"""Choices of few parcels for one request, when the stock moves each time before it is taken."""

DATED_CHOICES_MAX: Final = 60
"""Choices of dates and slots, likewise. One that fails is one that another server's request took."""

KIT_CHOICES_MAX: Final = 30
"""Choices of where kits come together, likewise: each that fails is one that another request took."""


class Reserving:
    """Resolves requests and has them written by `queue`. Outcomes come with the revisions that they rest on."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        queue: GroupCommit[ReserveRequest, Outcome],
        sourcing: Sourcing,
        *,
        dates: CurrentDating,
        profiles: Profiles,
        planned: PlannedReserving,
    ) -> None:
        self.ids = ReservationIds(store.partitions, near_stock=store.is_whole)
        self._store = store
        self._replica = replica
        self._clock = clock
        self._queue = queue
        self._sourcing = sourcing
        self._next_dates = NextDates(replica, clock)
        self._dates = dates
        self._profiles = profiles
        self._planned = planned

    async def one(self, checked: CheckedRequest, network: Network, *, trips: int = 0) -> tuple[Outcome, dict[int, int]]:
        """Makes one reservation, or answers what the same request was answered before. By a profile, it may have had
        `trips` to the stock already.
        """
        try:
            request = resolve(checked, network, self._sourcing)
            profile = self._profiles.of_request(checked.profile, checked.channel)
        except InventoryError as refusal:
            return await self._answered_before(checked, refusal)
        if profile is not None:
            made = await self._planned.one(checked, request, network, profile, trips=trips)
            if made is not None:
                return self.dated(request, made[0]), made[1]
            checked, request = confined(checked, request, profile, network)
        if checked.parcels_max or has_kits(request.lines, network) or needs_dates(checked, network):
            return await self._chosen(checked, request, network)
        answered = await self._queue.submit((request,))
        return self.dated(request, answered.outcomes[0]), answered.revisions

    def ahead(
        self, checked: CheckedRequest, network: Network, taken: Counter[tuple[str, str]]
    ) -> tuple[ReserveRequest, ReserveRequest] | None:
        """A request of many by a profile, as it was asked and with its plans; None where it must be made alone."""
        try:
            request = resolve(checked, network, self._sourcing)
            profile = self._profiles.of_request(checked.profile, checked.channel)
            if profile is None:
                return None
            planned = self._planned.ahead(checked, request, network, profile, taken)
        except InventoryError:
            return None  # said when it is made alone
        return None if planned is None else (request, planned)

    def resolved(self, checked: CheckedRequest, network: Network) -> ReserveRequest:
        """A request as the store takes it without a profile. What the network refuses."""
        return resolve(checked, network, self._sourcing)

    def is_by_profile(self, checked: CheckedRequest) -> bool:
        """Whether a profile is named, or active for its channel."""
        return bool(checked.profile) or self._profiles.active(checked.channel) is not None

    def count_planned(self, outcome: Outcome) -> None:
        """Counts the plan of one that was planned ahead."""
        self._planned.count(outcome, 1)

    async def submit(self, requests: list[ReserveRequest]) -> tuple[Sequence[Outcome], dict[int, int]]:
        """What the store says to requests, also where none of them came to it."""
        try:
            answered = await self._queue.submit(requests)
        except InventoryError as failure:  # none of them was taken into the queue
            return [failure] * len(requests), {}
        return answered.outcomes, answered.revisions

    async def _chosen(
        self, checked: CheckedRequest, request: ReserveRequest, network: Network
    ) -> tuple[Outcome, dict[int, int]]:
        """Chooses locations by the stock as it is, and again when it moved before it was taken."""
        partitions = {partition_of(sku, self._replica.partitions) for sku in skus_of(request.lines)}
        are_kits = has_kits(request.lines, network)
        if needs_dates(checked, network):
            return await self._placed_with_dates(checked, request, network, partitions)
        outcome: Outcome = InsufficientStock(())
        revisions: dict[int, int] = {}
        for _ in range(KIT_CHOICES_MAX if are_kits else CHOICES_MAX):
            await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX, partitions)
            shelf = Shelf(self._replica, self._clock.now_ms(), request.channel, borrows=request.borrows)
            try:
                chosen = choose(request, checked.parcels_max, network, shelf) if checked.parcels_max else request
                chosen = placed(chosen, shelf) if are_kits else chosen
            except (TooManyParcels, InsufficientStock, UnknownSku) as refusal:
                answered = await self._queue.submit((impossible(checked),))
                outcome, revisions = answered.outcomes[0], answered.revisions
                # anything else says more than why it is impossible; of a kit the store knows nothing
                if isinstance(outcome, (InsufficientStock, UnknownSku) if are_kits else InsufficientStock):
                    outcome = refusal
                break
            answered = await self._queue.submit((chosen,))
            outcome, revisions = answered.outcomes[0], answered.revisions
            if not isinstance(outcome, InsufficientStock):
                break
            outcome = told_in_kits(outcome, components_of_lines(chosen.lines))
        return self.dated(request, outcome), revisions

    async def _placed_with_dates(
        self, checked: CheckedRequest, request: ReserveRequest, network: Network, partitions: set[int]
    ) -> tuple[Outcome, dict[int, int]]:
        """Chooses where lines come from, when they are there and which slots they take; again when any of it moved."""
        partitions |= slot_partitions(request.lines, network, self._replica.partitions)
        outcome: Outcome = InsufficientStock(())
        revisions: dict[int, int] = {}
        for _ in range(DATED_CHOICES_MAX):
            await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX, partitions)
            shelf = Shelf(self._replica, self._clock.now_ms(), request.channel, borrows=request.borrows)
            name, best_effort = request.reservation_id, request.best_effort
            with self._dates.lines(network, shelf, name, best_effort=best_effort) as lines:
                had_claims = self._replica.slots.has_claims
                try:
                    narrowed = choose(request, checked.parcels_max, network, shelf) if checked.parcels_max else request
                    chosen = replace(
                        narrowed, lines=tuple(dated_lines(lines, narrowed.lines, checked)), best_effort=False
                    )
                except (Refused, UnknownSku) as refusal:
                    lines.release_claims()
                    if had_claims and await self._dates.others_decided(self._replica.slots):
                        continue  # what others were about to take was counted as taken: look again
                    answered = await self._queue.submit((impossible(checked),))
                    outcome, revisions = answered.outcomes[0], answered.revisions
                    if isinstance(outcome, InsufficientStock | UnknownSku):
                        outcome = refusal
                    break
                answered = await self._queue.submit((chosen,))
            outcome, revisions = answered.outcomes[0], answered.revisions
            if not isinstance(outcome, InsufficientStock):
                break
            outcome = told_without_slots(told_in_kits(outcome, components_of_lines(chosen.lines)), request.lines)
        return self.dated(request, outcome), revisions

    async def _answered_before(
        self, checked: CheckedRequest, refusal: InventoryError
    ) -> tuple[Outcome, dict[int, int]]:
        """The answer of the first time, if the request was accepted before the network changed; else the refusal."""
        answered = await self._queue.submit((impossible(checked),))
        return first_answer_or(refusal, answered.outcomes[0]), answered.revisions

    def dated(self, request: ReserveRequest, outcome: Outcome) -> Outcome:
        """The outcome with the next dates of what is short."""
        if isinstance(outcome, InsufficientStock):
            return self._next_dates.of_refused(request, outcome)
        if request.best_effort and isinstance(outcome, ReservationAnswer):
            return self._next_dates.of_answer(request, outcome)
        return outcome


def first_answer_or(refusal: InventoryError, outcome: Outcome) -> Outcome:
    """What the store said to an impossible request, where that tells more than why it is impossible."""
    return outcome if isinstance(outcome, ReservationAnswer | RequestMismatch) else refusal
