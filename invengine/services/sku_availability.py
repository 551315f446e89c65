"""The answer to GetAvailability: one SKU with every position behind the total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.partitions import partition_of
from invengine.errors import UnknownSku
from invengine.kernels.layout import ANSWER_BYTES_MORE, PARTITION, POSITION_BYTES_MAX, TERM_COLUMNS
from invengine.kernels.wire import NAME_BYTES_MAX
from invengine.services.availability_wire import duration_field, field
from invengine.services.promisable import expected_fields
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.kit_availability import KitAvailability
    from invengine.services.questions import Questions
    from invengine.services.selection import Selection

_TOKEN_FIELD, _STALENESS_FIELD = 4, 5  # of GetAvailabilityResponse
_NOTHING_YET: Final = pb.GetAvailabilityResponse(level=pb.LEVEL_OUT).SerializeToString()
_SKU_TAG: Final = 1 << 3 | 2
_POSITIONS_AT_FIRST: Final = 64
_NO_STATE: Final = "", -1, b""

Ignored = Mapping[str, npt.NDArray[np.int64]]


class SkuAvailability:
    """Answers from the replica as it stands. The arrays serve the next question again."""

    def __init__(self, replica: Replica, clock: StoreClock, questions: Questions, kits: KitAvailability) -> None:
        self._replica = replica
        self._clock = clock
        self._questions = questions
        self._kits = kits
        self._partition = np.zeros(1, np.int64)
        self._name = np.zeros(NAME_BYTES_MAX, np.uint8)
        self._name_view = self._name.data
        self._state: dict[int, tuple[str, int, bytes]] = {}
        self._make_room(_POSITIONS_AT_FIRST)

    def at_once(self, request: bytes) -> bytes | None:
        """GetAvailabilityRequest -> GetAvailabilityResponse for what nearly everyone asks: a SKU that is in stock
        somewhere, written first in its message, and for the rest a question that was asked before. None for others.

        The rest of a message is compared byte for byte with one that was read and checked, so only the SKU is new here,
        and a SKU that is found in the index is a valid one.
        """
        if len(request) < 2 or request[0] != _SKU_TAG:
            return None
        length = request[1]
        question = self._questions.kept_get(request[2 + length :])
        replica = self._replica
        if question is None or question.waits or replica.kits_with_stock or length > NAME_BYTES_MAX:
            return None
        selection, state = question.selection, replica.state
        thresholds = selection.thresholds
        if state.incoming or selection.ruled.names:
            name = request[2 : 2 + length].decode(errors="replace")
            if name in state.incoming:
                return None
            thresholds = selection.thresholds_of(name)
        now_ms = self._clock.now_ms()
        replica.advance(now_ms)
        columns = state.columns
        index = columns.index
        self._name_view[:length] = request[2 : 2 + length]
        written = kernels.answer_sku(
            self._name,
            length,
            index.slots,
            index.arena,
            columns.positions,
            columns.skus,
            columns.fences,
            selection.at(now_ms),
            selection.nothing_ignored,
            selection.names,
            selection.name_ends,
            thresholds,
            self._terms,
            self._out,
            self._partition,
        )
        if written < 0:
            return None
        return b"".join((self._view[:written], self._state_fields(int(self._partition[0]))))

    def answer(self, sku: npt.NDArray[np.uint8], selection: Selection, ignored: Ignored | None) -> bytes:
        """The message for any SKU, by the bytes of its name. UnknownSku."""
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
        return b"".join((answer, self._state_fields(partition), expected))

    def _state_fields(self, partition: int) -> bytes:
        """`consistency_token` and `staleness` of the answer."""
        token, staleness_ms = self._replica.token_of(partition), self._replica.staleness_ms()
        last_token, last_staleness_ms, fields = self._state.get(partition, _NO_STATE)
        if token is not last_token or staleness_ms != last_staleness_ms:
            fields = field(_TOKEN_FIELD, token.encode()) + duration_field(_STALENESS_FIELD, staleness_ms)
            self._state[partition] = token, staleness_ms, fields
        return fields

    def _answer_kit(self, name: str, kit: Kit, selection: Selection, ignored: Ignored | None, now_ms: int) -> bytes:
        replica = self._replica
        answer = self._kits.answer(name, kit, selection, ignored, now_ms)
        partitions = {partition_of(component.sku, replica.partitions) for component in kit}
        answer.consistency_token = replica.token(sorted(partitions))
        answer.staleness.FromMilliseconds(replica.staleness_ms())
        return bytes(answer.SerializeToString())

    def _positions(self, number: int, *about: Any) -> bytes:
        """`available`, `level` and `positions` of the answer; what it is `about` as `_write` takes it."""
        length = self._write(number, *about)
        if length < 0:
            self._make_room(-length)
            length = self._write(number, *about)
        return bytes(self._view[:length])

    def _make_room(self, positions: int) -> None:
        """Lets answers have so many positions."""
        self._terms = np.empty((positions, TERM_COLUMNS), np.int64)
        self._out = np.empty(positions * POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
        self._view = self._out.data

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
