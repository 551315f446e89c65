"""Transfers between locations: made, shipped, received, cancelled, looked up.

A transfer is a reservation whose units go to another location. Its record lives as long as units of it are open or on
the way; what says that nothing is any more is `_close_if_over`, called after what may have been the last of it. A
server that dies before that leaves a record without units, which `tidy` closes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import (
    ReservationChange,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.partitions import encode_token, partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.transfers import Transfer, TransferState, is_transfer, places_of, transfer_of
from invengine.errors import (
    InvalidArgument,
    InventoryError,
    ReceiptNotFound,
    ReservationClosed,
    ReservationExists,
    ReservationNotFound,
    TransferClosed,
    TransferExists,
    TransferNotFound,
    UnknownLocation,
)
from invengine.services import own_writes, validation
from invengine.services.group_commit import GroupCommit
from invengine.services.reservation_ids import ReservationIds
from invengine.services.reserving import first_answer_or
from invengine.services.transfer_requests import Arrivals, check_cancel, check_create, check_ship, slips_of
from invengine.store.records import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from invengine.domain.incoming import BrokenPromise, IncomingChange, IncomingOutcome
    from invengine.domain.kept import BrokenLine

    Broken = BrokenPromise | BrokenLine
    from invengine.domain.orders import Reservation
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.incoming import Incoming
    from invengine.services.lead import Lead
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import transfer_service_pb2 as pb

logger = logging.getLogger(__name__)

READS_AT_ONCE: Final = 50
TIDY_ROUND_SECONDS: Final = 1800.0

STATES: Final = (
    None,
    TransferState.PLANNED,
    TransferState.PARTLY_SHIPPED,
    TransferState.IN_TRANSIT,
    TransferState.CLOSED,
    TransferState.CANCELLED,
)
"""By their numbers in the proto."""

DIRECTIONS: Final = ("", "out", "in")
"""By their numbers in the proto."""

Outcome = ReservationAnswer | InventoryError


class Transfers:
    """The use cases of TransferService. Writes answer the transfer, the token that contains them, and whether the
    request was answered before.
    """

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        incoming: Incoming,
        metrics: Metrics,
        *,
        queue_max: int = 20_000,
    ) -> None:
        self._store = store
        self._clock = clock
        self._incoming = incoming
        self._metrics = metrics
        self._ids = ReservationIds(store.partitions, near_stock=store.is_whole)
        take_in = partial(own_writes.take_in, replica)
        self._create: GroupCommit[ReserveRequest, Outcome] = GroupCommit(
            "create_transfer", store.reserve, take_in, metrics, queue_max=queue_max
        )
        calls = {
            "ship_transfer": store.ship_transfer,
            "cancel_transfer": store.cancel_transfer,
            "close_transfer": store.close_transfer,
        }
        self._changes: dict[str, GroupCommit[ReservationChange, Outcome]] = {
            verb: GroupCommit(verb, call, take_in, metrics, queue_max=queue_max) for verb, call in calls.items()
        }

    async def create(self, message: pb.CreateTransferRequest) -> tuple[Transfer, str, bool]:
        """Sets units aside at the source."""
        request = check_create(message, self._ids)
        known = self._incoming.locations
        places = (message.from_location, message.to_location)
        unknown = next((UnknownLocation(place) for place in places if place not in known), None)
        if unknown is not None:  # it may have been accepted before the network changed
            request = replace(request, lines=tuple(replace(line, candidates=()) for line in request.lines))
        answered = await self._create.submit((request,))
        outcome = answered.outcomes[0]
        if unknown is not None:
            outcome = first_answer_or(unknown, outcome)
        answer = self._answer(outcome)
        return await self._written(answer, answered.revisions)

    async def get(self, transfer_id: str) -> tuple[Transfer, str]:
        """One transfer as it is now, from Redis. TransferNotFound."""
        found = await self._read(validation.required_id("transfer_id", transfer_id))
        return await self._whole(found), self._token((found,))

    async def list(self, message: pb.ListTransfersRequest) -> tuple[list[Transfer], str, str]:
        """A page of transfers by id, the token of the next page, and the consistency token."""
        location = validation.optional_text("location", message.location)
        if not 0 <= message.direction < len(DIRECTIONS):
            raise InvalidArgument("direction", f"{message.direction} is not a direction")
        if message.direction and not location:
            raise InvalidArgument("direction", "goes with location only")
        if not 0 <= message.state < len(STATES):
            raise InvalidArgument("state", f"{message.state} is not a state")
        size = validation.page_size("page_size", message.page_size)
        bound = ("transfers", location, str(message.direction), str(message.state))
        after = validation.cursor_of("page_token", message.page_token, bound).encode()
        direction, state = DIRECTIONS[message.direction], STATES[message.state]
        ids = [name for name in await self._store.transfer_ids() if name.encode() > after]
        found: list[Transfer] = []
        for start in range(0, len(ids), READS_AT_ONCE):
            for transfer in await self._some(ids[start : start + READS_AT_ONCE]):
                sides = {"out": (transfer.from_location,), "in": (transfer.to_location,)}
                either = (transfer.from_location, transfer.to_location)
                if (state is None or transfer.state is state) and location in ("", *sides.get(direction, either)):
                    found.append(transfer)
            if len(found) > size:
                break
        cursor = found[size - 1].transfer_id if len(found) > size else ""
        page = found[:size]
        return page, validation.page_token(bound, cursor), self._token(page)

    async def ship(self, message: pb.ShipTransferRequest) -> tuple[Transfer, Sequence[Broken], str, bool]:
        """Units left the source. Where promises rest on what is on the way already, a new day is told by a slip."""
        change = check_ship(message)
        answer, revisions = await self._change("ship_transfer", change)
        broken: Sequence[Broken] = ()
        slips = slips_of(change, answer.reservation)
        if slips:
            outcomes, more = await self._incoming.apply(slips)
            broken = [one for outcome in _without_missing(outcomes) for one in outcome.broken]
            revisions |= more
        transfer, token, replayed = await self._written(answer, revisions)
        return transfer, broken, token, replayed

    async def receive(self, message: pb.ReceiveTransferRequest) -> tuple[Transfer, Sequence[Broken], str, bool]:
        """Units arrived, and with `closes` the others never will."""
        arrivals = Arrivals(message, self._clock.now_ms())
        transfer = await self._read(arrivals.transfer_id)
        changes = arrivals.of(transfer)
        there = await self._store.receipts_at(arrivals.transfer_id, places_of(transfer))
        named = [change for change in changes if change.sku in arrivals.units]
        # what was named and is not on the way was received by this request before, or it refuses all of it
        missing = [change for change in named if (change.sku, change.location) not in there]
        outcomes, revisions = await self._apply(missing, named)
        more_outcomes, more = await self._apply([change for change in changes if change not in missing], named)
        outcomes = [*outcomes, *more_outcomes]
        if not outcomes:
            raise TransferClosed(arrivals.transfer_id)
        for partition, revision in more.items():
            revisions[partition] = max(revision, revisions.get(partition, 0))
        replayed = all(outcome.replayed for outcome in outcomes)
        if replayed:
            self._metrics.replays.inc()
        now = await self._close_if_over(await self._whole(await self._read(arrivals.transfer_id)))
        token = encode_token(self._store.store_id, sorted(revisions.items()))
        return now, [one for outcome in outcomes for one in outcome.broken], token, replayed

    async def cancel(self, message: pb.CancelTransferRequest) -> tuple[Transfer, str, bool]:
        """What has not left goes back."""
        answer, revisions = await self._change("cancel_transfer", check_cancel(message))
        transfer, token, replayed = await self._written(answer, revisions)
        return await self._close_if_over(transfer), token, replayed

    async def tidy(self, partition: int) -> int:
        """Closes transfers of a partition that were left open with nothing in them; how many."""
        ids = await self._store.transfer_ids(partition)
        count = 0
        for start in range(0, len(ids), READS_AT_ONCE):
            for transfer in await self._some(ids[start : start + READS_AT_ONCE]):
                count += transfer.is_live and transfer.is_over
                await self._close_if_over(transfer)
        return count

    async def run(self, lead: Lead) -> None:
        """Tidies one partition after the other until it is cancelled, where this process leads."""
        await lead.ours()
        for partition in cycle(range(self._store.partitions)):
            await asyncio.sleep(TIDY_ROUND_SECONDS / self._store.partitions)
            try:
                await self.tidy(partition)
            except (InventoryError, Unreadable) as fault:  # damaged data: the integrity check names them
                logger.warning("the transfers of partition %d are not tidied: %s", partition, fault)

    async def close(self) -> None:
        """Takes no more writes and waits for those that were taken."""
        await self._create.close()
        for queue in self._changes.values():
            await queue.close()

    async def _change(self, verb: str, change: ReservationChange) -> tuple[ReservationAnswer, dict[int, int]]:
        answered = await self._changes[verb].submit((change,))
        return self._answer(answered.outcomes[0]), dict(answered.revisions)

    def _answer(self, outcome: Outcome) -> ReservationAnswer:
        """The answer, or its refusal in the words of transfers."""
        if isinstance(outcome, ReservationNotFound):
            raise TransferNotFound(outcome.reservation_id)
        if isinstance(outcome, ReservationClosed):
            raise TransferClosed(outcome.reservation_id)
        if isinstance(outcome, ReservationExists):
            raise TransferExists(outcome.reservation_id)
        if isinstance(outcome, InventoryError):
            raise outcome
        if outcome.replayed:
            self._metrics.replays.inc()
        return outcome

    async def _apply(
        self, changes: Sequence[IncomingChange], named: Sequence[IncomingChange]
    ) -> tuple[Sequence[IncomingOutcome], dict[int, int]]:
        """Has arrivals taken in; those that nobody named may find nothing on the way."""
        if not changes:
            return [], {}
        outcomes, revisions = await self._incoming.apply(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, ReceiptNotFound) and change in named:
                raise outcome
        return _without_missing(outcomes), revisions

    async def _written(self, answer: ReservationAnswer, revisions: dict[int, int]) -> tuple[Transfer, str, bool]:
        token = encode_token(self._store.store_id, sorted(revisions.items()))
        record = answer.reservation
        if answer.replayed:
            record = await self._store.reservation(record.reservation_id) or record
        return await self._whole(record), token, answer.replayed

    async def _read(self, transfer_id: str) -> Reservation:
        """The record of a transfer. TransferNotFound."""
        found = await self._store.reservation(transfer_id)
        if found is None or not is_transfer(found):
            raise TransferNotFound(transfer_id)
        return found

    async def _some(self, ids: Iterable[str]) -> Sequence[Transfer]:
        """Those of these transfers that there are."""
        records = await asyncio.gather(*map(self._store.reservation, ids))
        found = [record for record in records if record is not None and is_transfer(record)]
        return list(await asyncio.gather(*map(self._whole, found)))

    async def _whole(self, record: Reservation) -> Transfer:
        """The transfer with what of it is on the way now."""
        receipts = await self._store.receipts_at(record.reservation_id, places_of(record))
        return transfer_of(record, receipts, is_live=record.state is ReservationState.CONFIRMED)

    async def _close_if_over(self, transfer: Transfer) -> Transfer:
        """Closes the record of a transfer of which nothing is left: units can get on the way only out of open ones."""
        if not (transfer.is_live and transfer.is_over):
            return transfer
        ended = ReservationChange(
            f" close {secrets.token_hex(12)}", "", transfer.transfer_id, transfer.source, transfer.revision
        )
        answered = await self._changes["close_transfer"].submit((ended,))
        outcome = answered.outcomes[0]
        if isinstance(outcome, InventoryError):  # somebody else did, or `tidy` will
            return transfer
        return replace(transfer, revision=outcome.reservation.revision, is_live=False)

    def _token(self, found: Iterable[Reservation | Transfer]) -> str:
        newest: dict[int, int] = {}
        for one in found:
            name = one.transfer_id if isinstance(one, Transfer) else one.reservation_id
            home = partition_of(name, self._store.partitions)
            newest[home] = max(newest.get(home, 0), one.revision)
        return encode_token(self._store.store_id, sorted(newest.items()))


def _without_missing(outcomes: Iterable[IncomingOutcome | InventoryError]) -> Sequence[IncomingOutcome]:
    """The outcomes but of receipts that are not there; a refusal is raised."""
    found = []
    for outcome in outcomes:
        if isinstance(outcome, ReceiptNotFound):
            continue
        if isinstance(outcome, InventoryError):
            raise outcome
        found.append(outcome)
    return found
