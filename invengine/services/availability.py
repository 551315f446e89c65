"""Availability: what a channel can take now, answered from the replica."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Reservation, ReservationState
from invengine.domain.partitions import partition_of
from invengine.errors import InvalidArgument, InventoryError, UnknownSku
from invengine.kernels.layout import (
    ANSWER_BYTES_MORE,
    IGNORED_FENCED,
    IGNORED_OWN,
    IGNORED_UNITS,
    PARTITION,
    POSITION_BYTES_MAX,
    TERM_COLUMNS,
)
from invengine.services.availability_wire import (
    SKUS_MAX,
    OddMessage,
    Splitter,
    duration_field,
    field,
)
from invengine.services.batch_availability import BatchAvailability
from invengine.services.kit_availability import KitAvailability, level_of
from invengine.services.promisable import expected_fields
from invengine.services.questions import BATCH, GET, STREAM, Networks, Question, Questions, parsed
from invengine.services.selection import Selection
from invengine.services.validation import count_of, optional_text, required_id
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica

FRESHNESS_SECONDS_MAX: Final = 2.0
_LIVE: Final = (ReservationState.HELD, ReservationState.CONFIRMED)
_TOKEN_FIELD, _STALENESS_FIELD = 4, 5  # of GetAvailabilityResponse
_NOTHING_YET: Final = pb.GetAvailabilityResponse(level=pb.LEVEL_OUT).SerializeToString()

StreamStep = Callable[[bytes], Awaitable[bytes]]


class Store(Protocol):
    """What reads ask of the store."""

    async def revisions(self) -> list[int]:
        """The newest revision of every partition."""

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """A reservation as stored."""


class Availability:
    """Answers from the replica. The hot calls take and give the bytes of their messages.

    `timeout_seconds` is what is left of the call's deadline; a read that must be fresher than the replica waits that
    long, and at most FRESHNESS_SECONDS_MAX.
    """

    def __init__(
        self,
        replica: Replica,
        store: Store,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics | None = None,
    ) -> None:
        self._replica = replica
        self._store = store
        self._clock = clock
        self._questions = Questions(replica, networks)
        self._seconds = None if metrics is None else metrics.kernel_seconds
        self._splitter = Splitter()
        self._kits = KitAvailability(replica)
        self._batches = BatchAvailability(replica, self._kits)
        self._terms = np.empty((0, TERM_COLUMNS), np.int64)
        self._out = np.empty(ANSWER_BYTES_MORE, np.uint8)

    async def get(
        self, request: pb.GetAvailabilityRequest, timeout_seconds: float | None = None
    ) -> pb.GetAvailabilityResponse:
        """One SKU with every position behind the total; as `get_bytes`."""
        response = pb.GetAvailabilityResponse()
        response.ParseFromString(await self.get_bytes(request.SerializeToString(), timeout_seconds))
        return response

    async def get_bytes(self, request: bytes, timeout_seconds: float | None = None) -> bytes:
        """GetAvailabilityRequest -> GetAvailabilityResponse.

        InvalidArgument, MalformedMessage, NetworkMissing, UnknownSku, UnknownChannel, UnknownGroup, UnknownLocation,
        GroupNotUsable, ReplicaBehind, StoreUnavailable.
        """
        began = perf_counter()
        try:
            text, count, rest = self._splitter.split(request, "sku")
        except OddMessage:
            return await self.get_bytes(_plain(request, pb.GetAvailabilityRequest, GET), timeout_seconds)
        if count == 0:
            raise InvalidArgument("sku", "is required")
        at, length = self._splitter.spans[count - 1].tolist()  # of a field that is given twice, the last counts
        sku = text[at : at + length]
        question = self._questions.of_get(rest)
        ignored = None
        if question.waits:
            await self._freshen(question, timeout_seconds)
            if question.ignore_reservation_id:
                name = sku.tobytes().decode()
                kit = question.selection.network.kits.get(name)
                skus = [name] if kit is None else [component.sku for component in kit]
                ignored = await self._ignored(question, skus, timeout_seconds)
            began = perf_counter()
        answer = self._answer(sku, question.selection, ignored)
        if self._seconds is not None:
            self._seconds["get"].observe(perf_counter() - began)
        return answer

    async def batch(self, request: bytes, timeout_seconds: float | None = None) -> bytes:
        """BatchGetAvailabilityRequest -> BatchGetAvailabilityResponse. Refuses as `get_bytes`, but for unknown SKUs."""
        began = perf_counter()
        try:
            text, count, rest = self._splitter.split(request, "skus")
        except OddMessage:
            return await self.batch(_plain(request, pb.BatchGetAvailabilityRequest, BATCH), timeout_seconds)
        count_of("skus", count, SKUS_MAX)
        question = self._questions.of_batch(rest)
        if question.waits:
            await self._freshen(question, timeout_seconds)
            began = perf_counter()
            text, count, _ = self._splitter.split(request, "skus")
        now_ms = self._clock.now_ms()
        self._replica.advance(now_ms)
        answer = self._batches.answer(text, self._splitter.spans[:count], question, now_ms)
        if self._seconds is not None:
            self._seconds["batch"].observe(perf_counter() - began)
        return answer

    def open_stream(self, refusal_bytes: Callable[[InventoryError], bytes]) -> StreamStep:
        """One StreamAvailability call: StreamAvailabilityRequest -> StreamAvailabilityResponse, message by message.

        A query that is refused is answered with the bytes of its Refusal, and the stream goes on; MalformedMessage ends
        it. The channel of the last query serves those that name none.
        """
        channel = ""

        async def answer(message: bytes) -> bytes:
            nonlocal channel
            began = perf_counter()
            query = parsed(message, pb.StreamAvailabilityRequest, STREAM)
            response = pb.StreamAvailabilityResponse(query_id=query.query_id)
            try:
                channel = optional_text("channel", query.channel) or channel
                self._answer_query(response, query.sku, channel, query.group)
            except InventoryError as refused:
                response.refusal.ParseFromString(refusal_bytes(refused))
            if self._seconds is not None:
                self._seconds["stream"].observe(perf_counter() - began)
            return response.SerializeToString()

        return answer

    def total(self, sku: str, selection: Selection) -> int | None:
        """Units of a SKU, or kits, that can be taken now of what is asked about; None for one that is not known.

        What a network's kits are made of changes their numbers: `Network.kits_with` names the kits of a component.
        """
        replica, now_ms = self._replica, self._clock.now_ms()
        replica.advance(now_ms)
        columns = replica.state.columns
        number = columns.find_sku(sku)
        if number < 0 or number in replica.kits_with_stock:
            kit = selection.network.kits.get(sku)
            if kit is not None:
                return self._kits.units(kit, selection, now_ms)[0]
            return 0 if sku in replica.state.incoming else None
        block = selection.at(now_ms)
        return int(kernels.available_total(number, columns.positions, columns.skus, columns.fences, block))

    def _answer(
        self, sku: npt.NDArray[np.uint8], selection: Selection, ignored: Mapping[str, npt.NDArray[np.int64]] | None
    ) -> bytes:
        replica = self._replica
        now_ms = self._clock.now_ms()
        replica.advance(now_ms)
        columns, incoming = replica.state.columns, replica.state.incoming
        number = int(kernels.find_name(sku, columns.index.slots, columns.index.arena))
        expected, free, thresholds = b"", selection.nothing_ignored, selection.thresholds
        may_be_kit = number < 0 or number in replica.kits_with_stock
        if incoming or ignored or may_be_kit or selection.ruled.names:
            name = sku.tobytes().decode()
            if may_be_kit and (kit := selection.network.kits.get(name)) is not None:
                return self._answer_kit(name, kit, selection, ignored, now_ms)
            thresholds = selection.thresholds_of(name)
            free = free if ignored is None else ignored[name]
            if name in incoming:
                expected = expected_fields(replica, name, selection, free, number=number, now_ms=now_ms)
            elif number < 0:
                raise UnknownSku(name)
        if number < 0:  # nothing of it was ever there, but it is expected
            answer, partition = _NOTHING_YET, partition_of(name, replica.partitions)
        else:
            answer = self._positions(number, selection.at(now_ms), selection, free, thresholds)
            partition = int(columns.skus[number, PARTITION])
        return b"".join(
            (
                answer,
                field(_TOKEN_FIELD, replica.token_of(partition).encode()),
                duration_field(_STALENESS_FIELD, replica.staleness_ms()),
                expected,
            )
        )

    def _answer_kit(
        self,
        name: str,
        kit: Kit,
        selection: Selection,
        ignored: Mapping[str, npt.NDArray[np.int64]] | None,
        now_ms: int,
    ) -> bytes:
        replica = self._replica
        answer = self._kits.answer(name, kit, selection, ignored, now_ms)
        partitions = {partition_of(component.sku, replica.partitions) for component in kit}
        answer.consistency_token = replica.token(sorted(partitions))
        answer.staleness.FromMilliseconds(replica.staleness_ms())
        return bytes(answer.SerializeToString())

    def _positions(self, number: int, *about: Any) -> bytes:
        """`available`, `level` and `positions` of the answer; what it is `about` as `_write` takes it."""
        length = self._write(number, *about)
        if length < 0:  # no room for so many positions
            self._terms = np.empty((-length, TERM_COLUMNS), np.int64)
            self._out = np.empty(-length * POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
            length = self._write(number, *about)
        return self._out[:length].tobytes()

    def _write(
        self,
        number: int,
        block: npt.NDArray[np.int64],
        selection: Selection,
        ignored: npt.NDArray[np.int64],
        thresholds: npt.NDArray[np.int64],
    ) -> int:
        columns = self._replica.state.columns
        return int(
            kernels.answer_availability(
                number,
                columns.positions,
                columns.skus,
                columns.fences,
                block,
                ignored,
                selection.names,
                selection.name_ends,
                thresholds,
                self._terms,
                self._out,
            )
        )

    def _answer_query(self, response: pb.StreamAvailabilityResponse, sku: str, channel: str, group: str) -> None:
        required_id("sku", sku)
        selection = self._questions.of_stream(channel, group)
        total = self.total(sku, selection)
        if total is None:
            response.status = pb.AVAILABILITY_STATUS_UNKNOWN_SKU
            response.level = pb.LEVEL_OUT
            return
        response.available = total
        response.status = pb.AVAILABILITY_STATUS_KNOWN
        response.level = level_of(total, int(selection.thresholds_of(sku)[0]))

    async def _freshen(self, question: Question, timeout_seconds: float | None) -> None:
        """Waits until the replica has what the question wants of it. ReplicaBehind."""
        pairs = question.pairs
        began = monotonic()
        if question.fully_consistent:
            pairs = list(enumerate(await self._store.revisions()))
        await self._replica.wait_for(pairs, _patience(timeout_seconds))
        if question.fully_consistent:
            self._replica.caught_up(began)

    async def _ignored(
        self, question: Question, skus: Sequence[str], timeout_seconds: float | None
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Per SKU its units, by rank of location, that the named reservation holds on hand while it is live.

        The replica is brought up to the reservation as it was read, so that these units are among its reserved ones.
        """
        reservation = await self._store.reservation(question.ignore_reservation_id)
        selection = question.selection
        units = {sku: np.zeros_like(selection.nothing_ignored) for sku in skus}
        if reservation is None:
            return units
        await self._replica.wait_for(list(enumerate(await self._store.revisions())), _patience(timeout_seconds))
        if reservation.state_at(self._clock.now_ms()) in _LIVE:
            ranks = {name: rank for rank, name in enumerate(selection.asked)}
            for line in reservation.lines:
                for allocation in line.allocations if line.sku in units else ():
                    if allocation.is_on_hand and allocation.location in ranks:
                        free = units[line.sku][ranks[allocation.location]]
                        free[IGNORED_UNITS] += allocation.open
                        free[IGNORED_FENCED] += allocation.fenced
                        if allocation.fence_channel == selection.channel:
                            free[IGNORED_OWN] += allocation.fenced
        return units


def _patience(timeout_seconds: float | None) -> float:
    return FRESHNESS_SECONDS_MAX if timeout_seconds is None else min(timeout_seconds, FRESHNESS_SECONDS_MAX)


def _plain(message: bytes, kind: type[Any], method: str) -> bytes:
    """An odd message as protobuf understands it, written again without fields that are not known. MalformedMessage."""
    known = parsed(message, kind, method)
    if kind is pb.BatchGetAvailabilityRequest:
        count_of("skus", len(known.skus), SKUS_MAX)
    known.DiscardUnknownFields()
    return bytes(known.SerializeToString())
