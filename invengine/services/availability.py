"""Availability: what a channel can take now, answered from the replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Reservation, ReservationState
from invengine.errors import InvalidArgument, InventoryError
from invengine.kernels.layout import IGNORED_FENCED, IGNORED_OWN, IGNORED_UNITS
from invengine.services.availability_stream import StreamAvailability, StreamStep
from invengine.services.availability_wire import SKUS_MAX, OddMessage, Splitter
from invengine.services.batch_availability import BatchAvailability
from invengine.services.kit_availability import KitAvailability
from invengine.services.questions import BATCH, GET, Networks, Question, Questions, parsed
from invengine.services.selection import Selection
from invengine.services.sku_availability import SkuAvailability
from invengine.services.validation import count_of
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica

FRESHNESS_SECONDS_MAX: Final = 2.0
_LIVE: Final = (ReservationState.HELD, ReservationState.CONFIRMED)


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
        self._single = SkuAvailability(replica, clock, self._questions, self._kits)
        self._batches = BatchAvailability(replica, self._kits)
        seconds = None if self._seconds is None else self._seconds["stream"]
        self._streams = StreamAvailability(replica, clock, self._questions, self.total, seconds)

    async def get(
        self, request: pb.GetAvailabilityRequest, timeout_seconds: float | None = None
    ) -> pb.GetAvailabilityResponse:
        """One SKU with every position behind the total; as `get_bytes`."""
        response = pb.GetAvailabilityResponse()
        response.ParseFromString(await self.get_bytes(request.SerializeToString(), timeout_seconds))
        return response

    def get_at_once(self, request: bytes) -> bytes | None:
        """As `get_bytes`, for what nearly everyone asks; None for what has to be looked at more closely, or to wait."""
        began = perf_counter()
        answer = self._single.at_once(request)
        if answer is not None and self._seconds is not None:
            self._seconds["get"].observe(perf_counter() - began)
        return answer

    async def get_bytes(self, request: bytes, timeout_seconds: float | None = None) -> bytes:
        """GetAvailabilityRequest -> GetAvailabilityResponse.

        InvalidArgument, MalformedMessage, NetworkMissing, UnknownSku, UnknownChannel, UnknownGroup, UnknownLocation,
        GroupNotUsable, ReplicaBehind, StoreUnavailable.
        """
        answer = self.get_at_once(request)
        if answer is None:
            answer, began = await self._get_waiting(request, timeout_seconds, perf_counter())
            if self._seconds is not None:
                self._seconds["get"].observe(perf_counter() - began)
        return answer

    async def _get_waiting(self, request: bytes, timeout_seconds: float | None, began: float) -> tuple[bytes, float]:
        """Any GetAvailabilityRequest; the answer and when work on it began, what was waited for left out."""
        try:
            text, count, rest = self._splitter.split(request, "sku")
        except OddMessage:
            return await self._get_waiting(_plain(request, pb.GetAvailabilityRequest, GET), timeout_seconds, began)
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
        return self._single.answer(sku, question.selection, ignored), began

    async def batch(self, request: bytes, timeout_seconds: float | None = None) -> bytes:
        """BatchGetAvailabilityRequest -> BatchGetAvailabilityResponse. Refuses as `get_bytes`, but for unknown SKUs;
        HandlesUnknown.
        """
        began = perf_counter()
        try:
            asked, rest = self._splitter.split_batch(request)
        except OddMessage:
            return await self.batch(_plain(request, pb.BatchGetAvailabilityRequest, BATCH), timeout_seconds)
        question = self._questions.of_batch(rest)
        if question.waits:
            await self._freshen(question, timeout_seconds)
            began = perf_counter()
            asked, _ = self._splitter.split_batch(request)
        now_ms = self._clock.now_ms()
        self._replica.advance(now_ms)
        answer = self._batches.answer(asked, question, now_ms)
        if self._seconds is not None:
            self._seconds["batch"].observe(perf_counter() - began)
        return answer

    def open_stream(self, refusal_bytes: Callable[[InventoryError], bytes]) -> StreamStep:
        """One StreamAvailability call; as `StreamAvailability.open`."""
        return self._streams.open(refusal_bytes)

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
        count_of("handles", len(known.handles), SKUS_MAX, least=0)
        count_of("skus", len(known.skus), SKUS_MAX, least=0 if known.handles else 1)
    known.DiscardUnknownFields()
    return bytes(known.SerializeToString())
