"""Reservations: made, looked up, confirmed, extended, released, fulfilled, amended, rebound, handed over.

Every write is checked and resolved here, decided by the store in one atomic step, and shared with the other writes of
the loop turn (group commit). Only taking asks what the network allows: what is reserved already can be confirmed,
released and fulfilled by any channel that the network knows, also by one that is switched off since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import (
    Reservation,
    ReservationChange,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.partitions import encode_token, partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import (
    ChannelDisabled,
    InsufficientStock,
    InvalidArgument,
    InventoryError,
    LineNotFound,
    ReservationNotFound,
    RevisionMismatch,
)
from invengine.services import own_writes, validation
from invengine.services.group_commit import Answered, GroupCommit
from invengine.services.kit_changes import components_in, with_units_of_components
from invengine.services.kit_lines import told_in_kits
from invengine.services.plain_requests import PlainRequests
from invengine.services.plain_reserving import PlainMade, PlainMaking
from invengine.services.planned_reserving import PlannedReserving
from invengine.services.reservation_amendments import (
    check_amend,
    check_hand_over,
    check_rebind,
    impossible_change,
    resolve_amend,
    resolve_hand_over,
    resolve_rebind,
)
from invengine.services.reservation_placing import ATTEMPTS_MAX, ReservationPlacing, changed_before, judged
from invengine.services.reservation_requests import check_change, check_create, time_to_live
from invengine.services.reserving import Outcome, Reserving
from invengine.services.reserving_many import ReservingMany
from invengine.services.slot_changes import with_slots_of_units
from invengine.services.sourcing import Sourcing
from invengine.store.plain import RESERVATIONS_PER_CALL as PLAIN_PER_CALL
from invengine.store.plain import PlainOutcomes, PlainReservations
from invengine.store.redis_store import RESERVATIONS_PER_CALL

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.reservation_requests import Change, LineChange
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import reservation_service_pb2 as pb

REQUESTS_MAX: Final = 1000
LINES_OF_BATCH_MAX: Final = 10_000
STATES: Final = (
    None,
    ReservationState.HELD,
    ReservationState.CONFIRMED,
    ReservationState.FULFILLED,
    ReservationState.RELEASED,
    ReservationState.EXPIRED,
)
"""By their numbers in the proto."""


class Reservations:
    """The use cases of ReservationService. Writes answer what the store answered and the token that contains it."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
        *,
        profiles: Profiles,
        plans: SourcingPlans,
        dates: CurrentDating,
        queue_max: int = 20_000,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics

        take_in = partial(own_writes.take_in, replica)
        self._reserve: GroupCommit[ReserveRequest, Outcome] = GroupCommit(
            "reserve",
            store.reserve,
            take_in,
            metrics,
            queue_max=queue_max,
            items_per_call_max=RESERVATIONS_PER_CALL,
        )
        self._reserve_plain: GroupCommit[PlainReservations, PlainOutcomes] = GroupCommit(
            "reserve",
            store.reserve_plain,
            take_in,
            metrics,
            queue_max=queue_max,
            items_per_call_max=PLAIN_PER_CALL,
            size_of=len,
        )
        sourcing = Sourcing(replica, clock)
        planned = PlannedReserving(store, replica, clock, self._reserve, plans, dates=dates, metrics=metrics)
        self._making = Reserving(
            store, replica, clock, self._reserve, sourcing, dates=dates, profiles=profiles, planned=planned
        )
        requests = PlainRequests(store.partitions, self._making.ids, profiles, requests_max=REQUESTS_MAX)
        self._plain = PlainMaking(requests, self._making, self._reserve_plain)
        calls = {
            "confirm": store.confirm,
            "extend": store.extend,
            "release": store.release,
            "fulfil": store.fulfil,
            "amend": store.amend,
            "rebind": store.rebind,
            "hand_over": store.hand_over,
            "repromise": store.repromise,
        }
        self._changes: dict[str, GroupCommit[ReservationChange, Outcome]] = {
            verb: GroupCommit(verb, call, take_in, metrics, queue_max=queue_max) for verb, call in calls.items()
        }
        self._placing = ReservationPlacing(
            store,
            replica,
            clock,
            networks,
            self._changes,
            sourcing=sourcing,
            dates=dates,
            profiles=profiles,
            plans=plans,
        )

    async def create(self, message: pb.CreateReservationRequest) -> tuple[ReservationAnswer, str]:
        """Makes one reservation, or answers what the same request was answered before."""
        checked = check_create(message, self._making.ids)
        return self._one(*await self._making.one(checked, self._networks.required()))

    async def create_many(self, messages: Sequence[pb.CreateReservationRequest]) -> tuple[list[Outcome], str]:
        """Makes many reservations, one outcome each, in order; refused as a whole only when the batch is too large."""
        validation.count_of("requests", len(messages), REQUESTS_MAX)
        if sum([len(message.lines) for message in messages]) > LINES_OF_BATCH_MAX:
            raise InvalidArgument("requests", f"have more than {LINES_OF_BATCH_MAX} lines together")
        done, revisions = await ReservingMany(self._making, self._networks.required()).make(messages)
        self._count(done)
        return done, encode_token(self._store.store_id, sorted(revisions.items()))

    async def create_plain(self, message: bytes) -> tuple[PlainMade, str] | None:
        """The same from the bytes of the message, where all its requests are usual ones; else None: nothing is done."""
        network = self._networks.current
        batch = None if network is None else self._plain.read(message, network)
        if network is None or batch is None:
            return None
        made = await self._plain.make(batch, network)
        self._count(made.others.values())
        return made, encode_token(self._store.store_id, sorted(made.revisions.items()))

    async def get(self, reservation_id: str, channel: str) -> tuple[Reservation, str]:
        """One reservation as it is now, from Redis. ReservationNotFound, UnknownChannel."""
        validation.required_id("reservation_id", reservation_id)
        self._known_channel(channel)
        found = await self._store.reservation(reservation_id)
        if found is None:
            raise ReservationNotFound(reservation_id)
        return found, self._token_of_records((found,))

    async def list(self, message: pb.ListReservationsRequest) -> tuple[list[Reservation], str, str]:
        """A page of reservations, the token of the next page, and the consistency token."""
        filters = {
            field: validation.optional_text(field, getattr(message, field))
            for field in ("customer_ref", "order_ref", "cart_ref", "channel")
        }
        if not 0 <= message.state < len(STATES):
            raise InvalidArgument("state", f"{message.state} is not a state")
        state = STATES[message.state]
        size = validation.page_size("page_size", message.page_size)
        bound = ("reservations", *filters.values(), str(message.state))
        after = validation.cursor_of("page_token", message.page_token, bound)
        if filters["channel"]:
            self._networks.required().channel(filters["channel"])
        found, cursor = await self._store.list_reservations(**filters, state=state, after=after, limit=size)
        return found, validation.page_token(bound, cursor), self._token_of_records(found)

    async def confirm(self, message: pb.ConfirmReservationRequest) -> tuple[ReservationAnswer, str]:
        """HELD becomes CONFIRMED."""
        return await self._change("confirm", message)

    async def extend(self, message: pb.ExtendReservationRequest) -> tuple[ReservationAnswer, str]:
        """Gives a hold a new time to live from now on; a channel that is switched off cannot."""
        return await self._change("extend", message)

    async def release(self, message: pb.ReleaseReservationRequest) -> tuple[ReservationAnswer, str]:
        """Gives units back."""
        return await self._change("release", message)

    async def fulfil(self, message: pb.FulfilReservationRequest) -> tuple[ReservationAnswer, str]:
        """Units left their locations."""
        return await self._change("fulfil", message)

    async def amend(self, message: pb.AmendReservationRequest) -> tuple[ReservationAnswer, str]:
        """Lines get other quantities, and lines are added; a channel that is switched off can only give back."""
        return self._one(*await self._placing.place("amend", check_amend(message), resolve_amend))

    async def rebind(self, message: pb.RebindReservationRequest) -> tuple[ReservationAnswer, str]:
        """Open units move to other locations."""
        return self._one(*await self._placing.place("rebind", check_rebind(message), resolve_rebind))

    async def decided(self, verb: str, change: ReservationChange) -> tuple[ReservationAnswer, str]:
        """Has a change written that was worked out already, for the revision that it expects."""
        answered = await self._changes[verb].submit((change,))
        return self._one(answered.outcomes[0], answered.revisions)

    async def change_decided(self, verb: str, changes: Sequence[ReservationChange]) -> Answered[Outcome]:
        """Has changes written that were worked out already, one outcome each; each for the revision that it expects."""
        return await self._changes[verb].submit(changes)

    async def reserve_decided(self, requests: Sequence[ReserveRequest]) -> Answered[Outcome]:
        """Has reservations made of which it is decided already what comes from where, one outcome each."""
        return await self._reserve.submit(requests)

    async def hand_over(self, message: pb.HandOverReservationRequest) -> tuple[ReservationAnswer, str]:
        """The reservation gets another channel or customer, and perhaps more time by the new channel's rules."""
        change = check_hand_over(message)
        network = self._networks.required()
        try:
            resolved = resolve_hand_over(change, network)
        except InventoryError as refusal:
            return self._one(*await changed_before(self._changes["hand_over"], impossible_change(change), refusal))
        answered = await self._changes["hand_over"].submit((resolved,))
        return self._one(answered.outcomes[0], answered.revisions)

    def state_now(self, reservation: Reservation) -> ReservationState:
        """The state that counts now: a hold whose time is over is EXPIRED, swept or not."""
        return reservation.state_at(self._clock.now_ms())

    async def close(self) -> None:
        """Takes no more writes and waits for those that were taken."""
        await self._reserve.close()
        await self._reserve_plain.close()
        for queue in self._changes.values():
            await queue.close()

    async def _change(self, verb: str, message: Change | LineChange) -> tuple[ReservationAnswer, str]:
        change = check_change(message, verb)
        network = self._networks.required()
        try:
            rules = network.channel(change.channel)
            if verb == "extend":
                if not rules.enabled:
                    raise ChannelDisabled(change.channel)
                seconds = time_to_live(change.time_to_live_seconds, change.channel, rules)
                change = replace(change, time_to_live_seconds=seconds)
        except InventoryError as refusal:
            return self._one(*await changed_before(self._changes[verb], impossible_change(change), refusal))
        if not any("/" in line.line_id for line in change.lines):
            answered = await self._changes[verb].submit((change,))
            outcome = answered.outcomes[0]
            # lines of kits are kept as those of their components, so their own ids are not found; and units are not
            # named without their slots
            is_wanted = isinstance(outcome, LineNotFound | RevisionMismatch) and change.lines
            if not is_wanted and not _names_component(outcome):
                return self._one(outcome, answered.revisions)
        return await self._change_seen(verb, change)

    async def _change_seen(self, verb: str, change: ReservationChange) -> tuple[ReservationAnswer, str]:
        """Releases or fulfils lines of kits, or with slots, by the reservation as it is; anew when it changed."""
        for _ in range(ATTEMPTS_MAX):
            seen = await self._store.reservation(change.reservation_id)
            try:
                asked = with_slots_of_units(verb, with_units_of_components(verb, change, seen), seen)
            except InventoryError as refusal:
                return self._one(*await judged(self._changes[verb], change, seen, refusal))
            answered = await self._changes[verb].submit((asked,))
            if change.expected_revision is not None or not isinstance(answered.outcomes[0], RevisionMismatch):
                break
        outcome = answered.outcomes[0]
        if isinstance(outcome, InsufficientStock):
            outcome = told_in_kits(outcome, components_in(asked, seen))
        return self._one(outcome, answered.revisions)

    def _one(self, outcome: Outcome, revisions: dict[int, int]) -> tuple[ReservationAnswer, str]:
        if isinstance(outcome, InventoryError):
            raise outcome
        if outcome.replayed:
            self._metrics.replays.inc()
        return outcome, self._token(outcome.reservation, revisions)

    def _count(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, InventoryError):
                self._metrics.count_refusals((outcome.reason,))
            elif outcome.replayed:
                self._metrics.replays.inc()

    def _token(self, reservation: Reservation, revisions: dict[int, int]) -> str:
        """Names the partitions of this reservation alone, though the call may have been shared with others."""
        partitions = {partition_of(line.sku, self._store.partitions) for line in reservation.lines}
        partitions.add(partition_of(reservation.reservation_id, self._store.partitions))
        return encode_token(self._store.store_id, [(p, revisions[p]) for p in sorted(partitions) if p in revisions])

    def _token_of_records(self, reservations: Iterable[Reservation]) -> str:
        newest: dict[int, int] = {}
        for reservation in reservations:
            home = partition_of(reservation.reservation_id, self._store.partitions)
            newest[home] = max(newest.get(home, 0), reservation.revision)
        return encode_token(self._store.store_id, sorted(newest.items()))

    def _known_channel(self, channel: str) -> None:
        validation.required_id("channel", channel)
        self._networks.required().channel(channel)


def _names_component(outcome: Outcome) -> bool:
    """Whether a refusal may have to be told in kits: some line of it has an id as those of components have."""
    return isinstance(outcome, InsufficientStock) and any("/" in line.line_id for line in outcome.short_lines)
