"""Stock: movements in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import encode_token, partition_of
from invengine.domain.stock import (
    GONE,
    ON_HAND,
    UNITS_MAX,
    Movement,
    MovementKind,
    MovementOutcome,
    MovementResult,
)
from invengine.errors import (
    InvalidArgument,
    InventoryError,
    StoreFull,
    StoreUnavailable,
    UnknownChannel,
    UnknownLocation,
    UnknownState,
)
from invengine.services import own_writes, validation
from invengine.services.days import today
from invengine.services.group_commit import GroupCommit
from invengine.store.redis_store import MOVEMENTS_PER_CALL

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb

MOVEMENTS_MAX: Final = 5000
FUTURE_MS_MAX: Final = 5 * 60 * 1000
REASON_BYTES_MAX: Final = 128

KINDS: Final = (
    None,
    MovementKind.RECEIPT,
    MovementKind.SALE,
    MovementKind.ADJUSTMENT,
    MovementKind.COUNT,
    MovementKind.RETURN,
    MovementKind.RING_FENCE,
    MovementKind.STATE_CHANGE,
)
"""By their numbers in the proto."""

_LEAST: Final = {
    MovementKind.RECEIPT: 1,
    MovementKind.SALE: 1,
    MovementKind.ADJUSTMENT: -UNITS_MAX,
    MovementKind.COUNT: 0,
    MovementKind.RETURN: 1,
    MovementKind.RING_FENCE: -UNITS_MAX,
    MovementKind.STATE_CHANGE: 1,
}

_OF_CHANNELS: Final = (MovementKind.SALE, MovementKind.RING_FENCE)
_SIGNED: Final = {
    MovementKind.ADJUSTMENT: "an adjustment changes something",
    MovementKind.RING_FENCE: "a ring-fence grows or shrinks",
}


def check_movement(message: pb.Movement, place: int, request_id: str, now_ms: int, latest_ms: int) -> Movement:
    """The movement, if it obeys the contract; InvalidArgument names the field inside the movement. One without a time
    of its own happened at `now_ms`; what happened later than `latest_ms` is still to come.
    """
    source = validation.required_id("source", message.source)
    event_id = message.event_id
    if event_id:
        validation.optional_text("event_id", event_id)
    elif request_id:
        event_id = f"{request_id}/{place}"
    else:
        raise InvalidArgument("event_id", "is required where request_id is not given")
    occurred_at_ms = now_ms
    if message.HasField("occurred_at"):
        occurred_at_ms = validation.milliseconds("occurred_at", message.occurred_at, latest_ms + FUTURE_MS_MAX)
    number = message.kind
    kind = KINDS[number] if 0 <= number < len(KINDS) else None
    if kind is None:
        raise InvalidArgument("kind", f"{number} is not a kind of movement" if number else "is required")
    sku = validation.required_id("sku", message.sku)
    location = validation.required_id("location", message.location)
    quantity = message.quantity
    if not _LEAST[kind] <= quantity <= UNITS_MAX:
        validation.units("quantity", quantity, _LEAST[kind])
    if not quantity and kind in _SIGNED:
        raise InvalidArgument("quantity", f"is 0; {_SIGNED[kind]}")
    reason = validation.optional_text("reason", message.reason, REASON_BYTES_MAX)
    if kind is MovementKind.ADJUSTMENT and not reason:
        raise InvalidArgument("reason", "is required for an adjustment")
    channel = validation.optional_text("channel", message.channel)
    if kind is MovementKind.RING_FENCE and not channel:
        raise InvalidArgument("channel", "is required for a ring-fence")
    if channel and kind not in _OF_CHANNELS:
        raise InvalidArgument("channel", f"does not go with {kind}")
    revision = None
    if message.HasField("expected_revision"):
        revision = validation.expected_revision("expected_revision", message.expected_revision)
    return Movement(
        source,
        event_id,
        occurred_at_ms,
        kind,
        sku,
        location,
        quantity,
        reason,
        validation.optional_text("reference", message.reference),
        revision,
        channel,
        *check_states(message, kind),
    )


def check_states(message: pb.Movement, kind: MovementKind) -> tuple[str, str]:
    """The state of a movement's units and where a state change takes them: empty for on hand, GONE where they go."""
    state = validation.optional_text("state", message.state)
    to_state = validation.optional_text("to_state", message.to_state)
    if state == GONE:
        raise InvalidArgument("state", f"is {GONE!r}: units that are gone are in no state")
    state = "" if state == ON_HAND else state
    if state and kind in _OF_CHANNELS:
        raise InvalidArgument("state", f"does not go with {kind}")
    if kind is not MovementKind.STATE_CHANGE:
        if to_state:
            raise InvalidArgument("to_state", f"does not go with {kind}")
        return state, ""
    if not to_state:
        raise InvalidArgument("to_state", f"is required for a state change: {ON_HAND!r}, a state, or {GONE!r}")
    to_state = "" if to_state == ON_HAND else to_state
    if to_state == state:
        raise InvalidArgument("to_state", "is the state that the units are in")
    return state, to_state


class Stock:
    """The use case of PostMovements."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
        *,
        queue_max: int = 20_000,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        self._queue: GroupCommit[Movement, MovementOutcome] = GroupCommit(
            "post_movements",
            store.post_movements,
            partial(own_writes.take_in, replica),
            metrics,
            queue_max=queue_max,
            items_per_call_max=MOVEMENTS_PER_CALL,
        )

    async def post(self, request_id: str, messages: Sequence[pb.Movement]) -> tuple[list[MovementOutcome], str]:
        """Applies movements in their order, one outcome each; a malformed one refuses them all.

        OutcomeUnknown when nobody knows about some of them: sent again, those that were applied are answered REPEATED.
        """
        validation.optional_text("request_id", request_id)
        validation.count_of("movements", len(messages), MOVEMENTS_MAX)
        now_ms, latest_ms = self._clock.now_ms(), self._clock.latest_ms()
        movements = []
        for place, message in enumerate(messages):
            try:
                movements.append(check_movement(message, place, request_id, now_ms, latest_ms))
            except InvalidArgument as refusal:
                raise InvalidArgument(f"movements[{place}].{refusal.field}", refusal.problem) from None
        network = self._networks.required()
        unknown = {
            place: why
            for place, movement in enumerate(movements)
            if (why := unknown_in(movement, network, self._replica))
        }
        wanted = movements
        if unknown:
            wanted = [movement for place, movement in enumerate(movements) if place not in unknown]
        written: list[MovementOutcome] = []
        revisions: dict[int, int] = {}
        if wanted:
            answered = await self._queue.submit(wanted)
            revisions = answered.revisions
            written = _outcomes(answered.outcomes)
        outcomes = written
        if unknown:
            rest = iter(written)
            outcomes = [
                refused_outcome(unknown[place]) if place in unknown else next(rest) for place in range(len(movements))
            ]
        self._count(outcomes)
        return outcomes, self._token(wanted, revisions)

    def today(self) -> int:
        """The day that counts as today, since 1970: the UTC day of the store's clock."""
        return today(self._clock.now_ms())

    async def close(self) -> None:
        """Takes no more movements and waits for those that were taken."""
        await self._queue.close()

    def _token(self, movements: Sequence[Movement], revisions: dict[int, int]) -> str:
        """Names the partitions of these movements alone, though the call may have been shared with others."""
        if len(movements) > len(revisions):
            pairs = sorted(revisions.items())
        else:
            touched = {partition_of(movement.sku, self._store.partitions) for movement in movements}
            pairs = [(p, revisions[p]) for p in sorted(touched) if p in revisions]
        return encode_token(self._store.store_id, pairs)

    def _count(self, outcomes: Sequence[MovementOutcome]) -> None:
        for outcome in outcomes:
            if outcome.refusal is not None:
                self._metrics.count_refusals((outcome.refusal.reason,))
            elif outcome.result is MovementResult.REPEATED:
                self._metrics.replays.inc()


def unknown_in(movement: Movement, network: Network, replica: Replica) -> InventoryError | None:
    """Why a movement cannot be of this network. Units in a state that left the network can still be moved."""
    if movement.location not in network.locations:
        return UnknownLocation(movement.location)
    if movement.channel and movement.channel not in network.channels:
        return UnknownChannel(movement.channel)
    for state in (movement.state, movement.to_state):
        if state not in ("", GONE) and state not in network.states:
            there = replica.unsellable.units(movement.sku, movement.location, state)
            if not there or state == movement.to_state:
                return UnknownState(state)
    return None


def refused_outcome(refusal: InventoryError) -> MovementOutcome:
    """What is told of a movement that never reached the store."""
    return MovementOutcome(MovementResult.REFUSED, 0, 0, 0, refusal)


def _outcomes(outcomes: Sequence[MovementOutcome | InventoryError]) -> list[MovementOutcome]:
    """Outcomes, where calls failed as a whole: raised if that is all there is to say, else REFUSED one by one."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, InventoryError)]
    for failure in failed:
        # what is known not to be done can be told one by one; an unknown outcome has no place among outcomes
        if len(failed) == len(outcomes) or not isinstance(failure, StoreUnavailable | StoreFull):
            raise failure
    return [refused_outcome(outcome) if isinstance(outcome, InventoryError) else outcome for outcome in outcomes]
