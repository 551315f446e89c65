"""Returns: taken back, decided about, looked up, listed.

Who sold the units and where they left does not matter: any channel takes them back at any location of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import encode_token, partition_of
from invengine.domain.returns import (
    DisposalLine,
    DisposalRequest,
    Disposition,
    Return,
    ReturnAnswer,
    ReturnLineRequest,
    ReturnRequest,
)
from invengine.domain.stock import DAMAGED, GONE, ON_HAND, QUARANTINE
from invengine.errors import (
    InvalidArgument,
    InventoryError,
    ReturnNotFound,
    UnknownChannel,
    UnknownLocation,
    UnknownState,
)
from invengine.services import own_writes, validation
from invengine.services.group_commit import GroupCommit
from invengine.services.reservation_ids import ANYWHERE
from invengine.services.reservation_requests import fingerprint
from invengine.services.stock import FUTURE_MS_MAX, REASON_BYTES_MAX

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import return_service_pb2 as pb

LINES_MAX: Final = 200
RETURNS_PER_CALL: Final = 20
"""Each takes several calls to Redis, so few of them share a turn."""

CONDITIONS: Final = ("", "", QUARANTINE, DAMAGED)
"""The states of the conditions, by their numbers in the proto; empty: units can be sold."""

DISPOSITIONS: Final = (None, Disposition.RESTOCK, Disposition.MOVE, Disposition.SCRAP)
"""By their numbers in the proto."""

Outcome = ReturnAnswer | InventoryError


def check_receive(message: pb.ReceiveReturnRequest, now_ms: int) -> ReturnRequest:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
    request_id = validation.required_id("request_id", message.request_id)
    return_id = validation.optional_text("return_id", message.return_id)
    channel = validation.required_id("channel", message.channel)
    location = validation.required_id("location", message.location)
    reservation_id = validation.optional_text("reservation_id", message.reservation_id)
    order_ref = validation.optional_text("order_ref", message.order_ref)
    if reservation_id and order_ref:
        raise InvalidArgument("order_ref", "not together with reservation_id")
    occurred_at_ms = now_ms
    told = 0  # of the fingerprint: a repeat that names no time is the same request
    if message.HasField("occurred_at"):
        occurred_at_ms = told = validation.milliseconds("occurred_at", message.occurred_at, now_ms + FUTURE_MS_MAX)
    lines = _check_lines(message.lines)
    text = f"receive_return\t{return_id}\t{location}\t{reservation_id}\t{order_ref}\t{told}\n"
    text += "".join([f"{line.line_id}\t{line.sku}\t{line.quantity}\t{line.state}\t{line.reason}\n" for line in lines])
    return ReturnRequest(
        request_id,
        fingerprint(text),
        return_id or ANYWHERE.derived(channel, request_id, lines[0].sku),
        channel,
        location,
        lines,
        reservation_id,
        order_ref,
        occurred_at_ms,
    )


def _check_lines(messages: Sequence[pb.ReturnLineRequest]) -> tuple[ReturnLineRequest, ...]:
    validation.count_of("lines", len(messages), LINES_MAX)
    lines: dict[str, ReturnLineRequest] = {}
    for place, message in enumerate(messages):
        path = f"lines[{place}]"
        line_id = validation.optional_text(f"{path}.line_id", message.line_id) or str(place + 1)
        if line_id in lines:
            raise InvalidArgument(f"{path}.line_id", f"{line_id!r} is the id of another line")
        lines[line_id] = ReturnLineRequest(
            line_id,
            validation.required_id(f"{path}.sku", message.sku),
            validation.units(f"{path}.quantity", message.quantity),
            _state_of(message, path),
            validation.optional_text(f"{path}.reason", message.reason, REASON_BYTES_MAX),
        )
    return tuple(lines.values())


def _state_of(message: pb.ReturnLineRequest, path: str) -> str:
    """The state that the units of a line come to; empty where they can be sold."""
    condition, state = message.condition, validation.optional_text(f"{path}.state", message.state)
    if not 0 <= condition < len(CONDITIONS):
        raise InvalidArgument(f"{path}.condition", f"{condition} is not a condition")
    if not state:
        if not condition:
            raise InvalidArgument(f"{path}.condition", "is required where no state is given")
        return CONDITIONS[condition]
    if condition:
        raise InvalidArgument(f"{path}.state", "not together with a condition")
    if state == GONE:
        raise InvalidArgument(f"{path}.state", f"is {GONE!r}: units that came back are there")
    return "" if state == ON_HAND else state


def check_dispose(message: pb.DisposeReturnRequest) -> DisposalRequest:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
    request_id = validation.required_id("request_id", message.request_id)
    return_id = validation.required_id("return_id", message.return_id)
    channel = validation.required_id("channel", message.channel)
    validation.count_of("lines", len(message.lines), LINES_MAX)
    lines = []
    for place, line in enumerate(message.lines):
        path = f"lines[{place}]"
        line_id = validation.required_id(f"{path}.line_id", line.line_id)
        quantity = validation.units(f"{path}.quantity", line.quantity, least=0)
        number = line.disposition
        disposition = DISPOSITIONS[number] if 0 <= number < len(DISPOSITIONS) else None
        if disposition is None:
            problem = f"{number} is not a disposition" if number else "is required"
            raise InvalidArgument(f"{path}.disposition", problem)
        to_state = validation.optional_text(f"{path}.to_state", line.to_state)
        if to_state and disposition is not Disposition.MOVE:
            raise InvalidArgument(f"{path}.to_state", f"does not go with {disposition}")
        if disposition is Disposition.MOVE and to_state in ("", ON_HAND, GONE):
            raise InvalidArgument(f"{path}.to_state", "must be a state to move to; else RESTOCK or SCRAP")
        reason = validation.optional_text(f"{path}.reason", line.reason, REASON_BYTES_MAX)
        lines.append(DisposalLine(line_id, quantity, disposition, to_state, reason))
    text = f"dispose_return\t{return_id}\n"
    text += "".join([f"{a.line_id}\t{a.quantity}\t{a.disposition}\t{a.to_state}\t{a.reason}\n" for a in lines])
    return DisposalRequest(request_id, fingerprint(text), return_id, channel, tuple(lines))


class Returns:
    """The use cases of ReturnService. Writes answer the return and the token that contains it."""

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
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        take_in = partial(own_writes.take_in, replica)
        self._receiving: GroupCommit[ReturnRequest, Outcome] = GroupCommit(
            "receive_return",
            store.receive_returns,
            take_in,
            metrics,
            queue_max=queue_max,
            items_per_call_max=RETURNS_PER_CALL,
        )
        self._disposing: GroupCommit[DisposalRequest, Outcome] = GroupCommit(
            "dispose_return",
            store.dispose_returns,
            take_in,
            metrics,
            queue_max=queue_max,
            items_per_call_max=RETURNS_PER_CALL,
        )

    async def receive(self, message: pb.ReceiveReturnRequest) -> tuple[ReturnAnswer, str]:
        """Units come back."""
        request = check_receive(message, self._clock.now_ms())
        refusal = _unknown(request, self._networks.required())
        if refusal is not None:
            return self._one(await self._store.return_answered_before(request, refusal), {})
        answered = await self._receiving.submit((request,))
        return self._one(answered.outcomes[0], answered.revisions)

    async def dispose(self, message: pb.DisposeReturnRequest) -> tuple[ReturnAnswer, str]:
        """It is decided about units that cannot be sold."""
        request = check_dispose(message)
        refusal = _unknown(request, self._networks.required())
        if refusal is not None:
            return self._one(await self._store.return_answered_before(request, refusal), {})
        answered = await self._disposing.submit((request,))
        return self._one(answered.outcomes[0], answered.revisions)

    async def get(self, message: pb.GetReturnRequest) -> tuple[Return, str]:
        """One return as it is now, from Redis. ReturnNotFound, UnknownChannel."""
        return_id = validation.required_id("return_id", message.return_id)
        self._networks.required().channel(validation.required_id("channel", message.channel))
        found = await self._store.find_return(return_id)
        if found is None:
            raise ReturnNotFound(return_id)
        return found, self._token_of((found,))

    async def list(self, message: pb.ListReturnsRequest) -> tuple[list[Return], str, str]:
        """A page of returns, the token of the next page, and the consistency token."""
        reservation_id = validation.optional_text("reservation_id", message.reservation_id)
        order_ref = validation.optional_text("order_ref", message.order_ref)
        if not reservation_id and not order_ref:
            raise InvalidArgument("reservation_id", "is required where no order_ref is given")
        self._networks.required().channel(validation.required_id("channel", message.channel))
        size = validation.page_size("page_size", message.page_size)
        bound = ("returns", reservation_id, order_ref)
        after = validation.cursor_of("page_token", message.page_token, bound)
        found, cursor = await self._store.list_returns(
            reservation_id=reservation_id, order_ref=order_ref, after=after, limit=size
        )
        return found, validation.page_token(bound, cursor), self._token_of(found)

    async def close(self) -> None:
        """Takes no more returns and waits for those that were taken."""
        await self._receiving.close()
        await self._disposing.close()

    def _one(self, outcome: Outcome, revisions: dict[int, int]) -> tuple[ReturnAnswer, str]:
        if isinstance(outcome, InventoryError):
            raise outcome
        if outcome.replayed:
            self._metrics.replays.inc()
        if not revisions:
            return outcome, self._token_of((outcome.returned,))
        named = {outcome.returned.return_id}
        for line in outcome.returned.lines:
            named |= {line.sku, *(source.reservation_id for source in line.sources)}
        partitions = sorted({partition_of(name, self._store.partitions) for name in named})
        return outcome, encode_token(self._store.store_id, [(p, revisions[p]) for p in partitions if p in revisions])

    def _token_of(self, returns: Sequence[Return]) -> str:
        newest: dict[int, int] = {}
        for one in returns:
            home = partition_of(one.return_id, self._store.partitions)
            newest[home] = max(newest.get(home, 0), one.revision)
        return encode_token(self._store.store_id, sorted(newest.items()))


def _unknown(request: ReturnRequest | DisposalRequest, network: Network) -> InventoryError | None:
    """Why a request cannot be of this network. It may have been accepted before the network changed."""
    if request.channel not in network.channels:
        return UnknownChannel(request.channel)
    if isinstance(request, ReturnRequest):
        if request.location not in network.locations:
            return UnknownLocation(request.location)
        states = [line.state for line in request.lines]
    else:
        states = [line.to_state for line in request.lines]
    return next((UnknownState(state) for state in states if state and state not in network.states), None)
