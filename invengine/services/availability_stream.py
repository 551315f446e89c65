"""StreamAvailability: small queries, one or many in a message, answered in order."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine import kernels
from invengine.errors import InvalidArgument, InventoryError
from invengine.kernels.layout import QUERY_BYTES_MAX
from invengine.replica.index import as_bytes
from invengine.services.kit_availability import level_of
from invengine.services.questions import STREAM, parsed
from invengine.services.validation import count_of, optional_text, required_id
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metric_kinds import Distribution
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.questions import Questions
    from invengine.services.selection import Selection

QUERIES_MAX: Final = 1000
_NOTHING: Final = as_bytes(b"")

StreamStep = Callable[[bytes], bytes]
"""One message of a stream in, its answer out."""

Query = pb.StreamAvailabilityRequest | pb.AvailabilityQuery
Answer = pb.StreamAvailabilityResponse | pb.AvailabilityAnswer


class StreamAvailability:
    """Answers from the replica as it stands, which what is awaited nowhere never holds up."""

    def __init__(
        self,
        replica: Replica,
        clock: StoreClock,
        questions: Questions,
        total: Callable[[str, Selection], int | None],
        seconds: Distribution | None,
    ) -> None:
        self.replica: Final = replica
        self.clock: Final = clock
        self.questions: Final = questions
        self.total: Final = total
        self.seconds: Final = seconds
        self.out: Final = np.empty(QUERIES_MAX * QUERY_BYTES_MAX, np.uint8)
        self.view: Final = self.out.data

    def open(self, refusal_bytes: Callable[[InventoryError], bytes]) -> StreamStep:
        """One call: StreamAvailabilityRequest -> StreamAvailabilityResponse, message by message.

        A query that is refused is answered with the bytes of its Refusal, and the stream goes on; MalformedMessage ends
        it. The channel of the last query serves those that name none.
        """
        return _Stream(self, refusal_bytes).step


class _Stream:
    """One call. What its last query asked for is kept: the next one mostly asks for the same, of another SKU."""

    def __init__(self, service: StreamAvailability, refusal_bytes: Callable[[InventoryError], bytes]) -> None:
        self._service = service
        self._refusal_bytes = refusal_bytes
        self._channel = ""
        self._network: Network | None = None
        self._selection: Selection | None = None
        self._rest = _NOTHING
        self._rest_is_optional = False

    def step(self, message: bytes) -> bytes:
        """One message, answered."""
        began = perf_counter()
        service = self._service
        answer = None
        if self._selection is not None and self._network is service.questions.network:
            answer = self._at_once(message, self._selection)
        if answer is None:
            answer = self._by_protobuf(message)
        if service.seconds is not None:
            service.seconds.observe(perf_counter() - began)
        return answer

    def _at_once(self, message: bytes, selection: Selection) -> bytes | None:
        """The answer to queries for what the last one asked for; None where there is another one among them."""
        service = self._service
        replica = service.replica
        if replica.kits_with_stock:
            return None
        now_ms = service.clock.now_ms()
        replica.advance(now_ms)
        columns, ruled = replica.state.columns, selection.ruled.index
        written = kernels.answer_queries(
            as_bytes(message),
            self._rest,
            self._rest_is_optional,
            columns.index.slots,
            columns.index.arena,
            ruled.slots,
            ruled.arena,
            columns.positions,
            columns.skus,
            columns.fences,
            selection.at(now_ms),
            selection.threshold,
            service.out,
        )
        return bytes(service.view[:written]) if written > 0 else None

    def _by_protobuf(self, message: bytes) -> bytes:
        request = parsed(message, pb.StreamAvailabilityRequest, STREAM)
        response = pb.StreamAvailabilityResponse(query_id=request.query_id)
        if not request.queries:
            self._answer(request, response)
            return bytes(response.SerializeToString())
        self._selection = None
        try:
            count_of("queries", len(request.queries), QUERIES_MAX)
            if request.sku:
                raise InvalidArgument("queries", "not together with sku")
            self._channel = optional_text("channel", request.channel) or self._channel
        except InventoryError as refused:
            response.refusal.ParseFromString(self._refusal_bytes(refused))
            return bytes(response.SerializeToString())
        for query in request.queries:
            self._answer(query, response.answers.add(query_id=query.query_id))
        return bytes(response.SerializeToString())

    def _answer(self, query: Query, answer: Answer) -> None:
        self._selection = None  # a refused query may have named another channel all the same
        try:
            self._channel = optional_text("channel", query.channel) or self._channel
            self._fill(answer, query.sku, self._keep(query))
        except InventoryError as refused:
            answer.refusal.ParseFromString(self._refusal_bytes(refused))

    def _keep(self, query: Query) -> Selection:
        """What the query asks for, kept for the next ones."""
        required_id("sku", query.sku)
        questions = self._service.questions
        selection = questions.of_stream(self._channel, query.group)
        rest = pb.AvailabilityQuery(channel=query.channel, group=query.group).SerializeToString()
        self._rest, self._rest_is_optional = as_bytes(rest), not query.group
        self._selection, self._network = selection, questions.network
        return selection

    def _fill(self, answer: Answer, sku: str, selection: Selection) -> None:
        total = self._service.total(sku, selection)
        if total is None:
            answer.status = pb.AVAILABILITY_STATUS_UNKNOWN_SKU
            answer.level = pb.LEVEL_OUT
            return
        answer.available = total
        answer.status = pb.AVAILABILITY_STATUS_KNOWN
        answer.level = level_of(total, int(selection.thresholds_of(sku)[0]))
