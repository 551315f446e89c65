"""Amendments and rebindings: worked out for a reservation as it is, written for that revision, anew when it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.orders import LineRequest, Reservation, ReservationChange
from invengine.domain.partitions import partition_of
from invengine.errors import (
    CapacityExhausted,
    InsufficientStock,
    InventoryError,
    PromiseTooLate,
    PromiseUnknown,
    QuantityExceedsOpen,
    ReservationClosed,
    ReservationExpired,
    ReservationNotFound,
    RevisionMismatch,
    TooManyParcels,
)
from invengine.services.dated_changes import DatedChange, check_days, has_dates
from invengine.services.dated_requests import slot_partitions, told_without_slots
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.kit_changes import components_in, is_about_kits, placed_change, wanted_of
from invengine.services.kit_lines import skus_of, told_in_kits
from invengine.services.next_dates import NextDates
from invengine.services.planned_changes import PlannedChange
from invengine.services.reservation_amendments import impossible_change, impossible_placing
from invengine.services.reserving import Outcome, first_answer_or
from invengine.services.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.group_commit import Answered, GroupCommit
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.reservation_amendments import CheckedPlacing
    from invengine.services.sourcing import Sourcing
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.store.redis_store import RedisStore

    Queue = GroupCommit[ReservationChange, Outcome]
    Told = tuple[Outcome, dict[int, int]]
    """What became of a change, and the revisions that it rests on."""

ATTEMPTS_MAX: Final = 20
"""Of an amendment whose reservation is changed by others all the time."""


class ReservationPlacing:
    """Works out amendments and rebindings, and has them written by the queue of their verb."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        queues: Mapping[str, Queue],
        *,
        sourcing: Sourcing,
        dates: CurrentDating,
        profiles: Profiles,
        plans: SourcingPlans,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._queues = queues
        self._sourcing = sourcing
        self._dates = dates
        self._profiles = profiles
        self._plans = plans
        self._next_dates = NextDates(replica, clock)

    async def place(
        self,
        verb: str,
        checked: CheckedPlacing,
        resolve_for: Callable[[CheckedPlacing, Reservation | None, Network, Sourcing], ReservationChange],
    ) -> Told:
        """Writes what was resolved for the reservation as it is; resolved anew when it changed in between."""
        network, queue = self._networks.required(), self._queues[verb]
        for _ in range(ATTEMPTS_MAX):
            seen = await self._store.reservation(checked.reservation_id)
            change = impossible_placing(checked)
            try:
                change = asked = resolve_for(checked, seen, network, self._sourcing)
                check_days(checked, seen)
                planned = self._planned(verb, checked, change, seen, network)
                if seen is not None and (planned is not None or has_dates(change, seen, network)):
                    outcome, answered, asked = await self._place_dated(
                        verb, checked, change, seen, network=network, planned=planned
                    )
                    if isinstance(outcome, InsufficientStock):  # the stock or the slots moved: choose again
                        continue
                    if checked.expected_revision is not None or not isinstance(outcome, RevisionMismatch):
                        break
                    continue
                if seen is not None and is_about_kits(change):
                    asked = placed_change(verb, change, seen, await self._fresh_shelf(change, seen))
            except InventoryError as refusal:
                return await self._refused(queue, checked, change, seen, refusal)
            answered = await queue.submit((asked,))
            outcome = answered.outcomes[0]
            if isinstance(outcome, InsufficientStock) and asked is not change:  # the stock moved: choose again
                continue
            if checked.expected_revision is not None or not isinstance(outcome, RevisionMismatch):
                break
        if isinstance(outcome, InsufficientStock):
            outcome = told_in_kits(outcome, components_in(asked, seen))
            lines = [LineRequest(line.line_id, line.sku, 0, ()) for line in seen.lines] if seen else []
            outcome = told_without_slots(outcome, lines)
        if isinstance(outcome, InsufficientStock):
            outcome = self._next_dates.of_change(change, outcome)
        return outcome, answered.revisions

    async def _refused(
        self,
        queue: Queue,
        checked: CheckedPlacing,
        change: ReservationChange,
        seen: Reservation | None,
        refusal: InventoryError,
    ) -> Told:
        """What a change that is refused here is answered."""
        bare = impossible_placing(checked)
        if isinstance(refusal, InsufficientStock):
            refusal = self._next_dates.of_change(change, refusal)
        elif not isinstance(
            refusal, QuantityExceedsOpen | PromiseTooLate | PromiseUnknown | CapacityExhausted | TooManyParcels
        ):
            return await changed_before(queue, impossible_change(bare), refusal)
        return await judged(queue, bare, seen, refusal)

    def _planned(
        self, verb: str, checked: CheckedPlacing, change: ReservationChange, seen: Reservation | None, network: Network
    ) -> PlannedChange | None:
        """What plans the change by a profile; None where there is no profile, or nothing is taken. UnknownProfile."""
        profile = self._profiles.of_request(checked.profile, checked.channel)
        if profile is None or seen is None:
            return None
        lines = {line.line_id: line for line in seen.lines}
        if not change.added and all(wanted_of(verb, one, lines) is None for one in change.placements):
            return None
        return PlannedChange(self._plans, profile, network, change.channel, now_ms=self._clock.now_ms())

    async def _place_dated(
        self,
        verb: str,
        checked: CheckedPlacing,
        change: ReservationChange,
        seen: Reservation,
        *,
        network: Network,
        planned: PlannedChange | None,
    ) -> tuple[Outcome, Answered[Outcome], ReservationChange]:
        """Places lines with dates and slots anew, or by a plan, for the reservation as it was seen; has it written."""
        shelf = await self._fresh_shelf(change, seen, network)
        with self._dates.lines(network, shelf, seen.reservation_id) as placing:
            dated = DatedChange(
                checked, change, seen, verb=verb, placing=placing, shelf=shelf, network=network, planned=planned
            )
            asked = dated.placed()
            answered = await self._queues[verb].submit((asked,))
        return answered.outcomes[0], answered, asked

    async def _fresh_shelf(self, change: ReservationChange, seen: Reservation, network: Network | None = None) -> Shelf:
        """What the channel of a change could take, with every write that was acknowledged before."""
        skus = {line.sku for line in (*seen.lines, *seen.slot_lines)} | skus_of(change.added)
        partitions = {partition_of(sku, self._store.partitions) for sku in skus}
        if network is not None:
            partitions |= slot_partitions(change.added, network, self._store.partitions)
        await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX, partitions)
        return Shelf(self._replica, self._clock.now_ms(), change.channel, borrows=change.borrows)


async def judged(queue: Queue, asked: ReservationChange, seen: Reservation | None, refusal: InventoryError) -> Told:
    """What the store says to a request that is refused here: the answer of the first time, or what its reservation
    does not allow whatever the request says; else the refusal.
    """
    answered = await queue.submit((impossible_change(asked),))
    outcome = answered.outcomes[0]
    if isinstance(outcome, ReservationNotFound | ReservationExpired | ReservationClosed):
        return outcome, answered.revisions
    expected = asked.expected_revision
    if expected is not None and seen is not None and expected != seen.revision:
        refusal = RevisionMismatch(expected, seen.revision)
    return first_answer_or(refusal, outcome), answered.revisions


async def changed_before(queue: Queue, asked: ReservationChange, refusal: InventoryError) -> Told:
    """The answer of the first time to what is asked in an impossible form now; else the refusal."""
    answered = await queue.submit((asked,))
    return first_answer_or(refusal, answered.outcomes[0]), answered.revisions
