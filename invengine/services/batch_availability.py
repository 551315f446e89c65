"""The columns of BatchGetAvailability: many SKUs at once, kits among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.kernels.layout import KIT_PARTS, KIT_UNITS, KNOWN, UNKNOWN_SKU
from invengine.services.availability_wire import duration_field, field, levels_field, rows_fields, totals_fields
from invengine.services.kit_availability import level_of

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.kit_availability import KitAvailability
    from invengine.services.questions import Question
    from invengine.services.selection import Selection

_TOKEN_FIELD, _STALENESS_FIELD = 7, 8

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
KitRows = tuple[int, npt.NDArray[np.int32], Numbers]
"""Place of the kit in the batch, its usable locations by INDEX, the kits that can be taken at each."""


class BatchAvailability:
    """Answers from the replica, which has been advanced to the moment of the question."""

    def __init__(self, replica: Replica, kits: KitAvailability) -> None:
        self._replica = replica
        self._kits = kits

    def answer(self, text: Bytes, spans: Numbers, question: Question, now_ms: int) -> bytes:
        """The message for the SKUs at these spans (first byte, length) of the text."""
        replica, selection = self._replica, question.selection
        columns = replica.state.columns
        arrays = columns.positions, columns.skus, columns.fences, selection.at(now_ms)
        count = len(spans)
        numbers = np.empty(count, np.int64)
        status, totals = np.empty(count, np.uint8), np.empty(count, np.int64)
        kernels.find_names(text, spans, columns.index.slots, columns.index.arena, numbers)
        for number in replica.kits_with_stock:
            numbers[numbers == number] = -1
        if question.totals_only:
            kernels.available_totals(numbers, *arrays, status, totals)
            self._others(text, spans, selection, now_ms, status=status, totals=totals)
            fields = totals_fields(status, totals)
        else:
            room = int(kernels.rows_at_most(numbers, columns.skus))
            row_counts, index, available = np.empty(count, np.int32), np.empty(room, np.int32), np.empty(room, np.int64)
            rows = int(kernels.available_rows(numbers, *arrays, status, totals, row_counts, index, available))
            index, available = index[:rows], available[:rows]
            kits = self._others(text, spans, selection, now_ms, status=status, totals=totals)
            if kits:
                index, available = _with_kits(kits, row_counts, index, available)
            fields = totals_fields(status, totals)
            fields += rows_fields(row_counts, index, available, selection.locations_field)
        fields.append(field(_TOKEN_FIELD, replica.token().encode()))
        fields.append(duration_field(_STALENESS_FIELD, replica.staleness_ms()))
        fields.append(levels_field(_levels(text, spans, selection, totals)))
        return b"".join(fields)

    def _others(
        self, text: Bytes, spans: Numbers, selection: Selection, now_ms: int, *, status: Bytes, totals: Numbers
    ) -> list[KitRows]:
        """Fills `status` and `totals` of what is known without a position: kits, what is expected or backordered."""
        incoming, kits = self._replica.state.incoming, selection.network.kits
        found: list[KitRows] = []
        if not incoming and not kits:
            return found
        for i in np.flatnonzero(status == UNKNOWN_SKU).tolist():
            name = _name(text, spans, i)
            kit = kits.get(name)
            if kit is not None:
                totals[i], units = self._kits.units(kit, selection, now_ms)
                (there,) = np.nonzero(units[:, KIT_PARTS])
                found.append((i, there.astype(np.int32), units[there, KIT_UNITS]))
            if kit is not None or name in incoming:
                status[i] = KNOWN
        return found


def _with_kits(
    kits: list[KitRows], row_counts: npt.NDArray[np.int32], index: npt.NDArray[np.int32], available: Numbers
) -> tuple[npt.NDArray[np.int32], Numbers]:
    """The rows with those of kits, which had none, where they belong; `row_counts` are set."""
    starts = np.cumsum(row_counts, dtype=np.int64)
    counts = [len(there) for _, there, _ in kits]
    places = np.repeat(starts[[i for i, _, _ in kits]], counts)
    row_counts[[i for i, _, _ in kits]] = counts
    return (
        np.insert(index, places, np.concatenate([there for _, there, _ in kits])),
        np.insert(available, places, np.concatenate([units for _, _, units in kits])),
    )


def _levels(text: Bytes, spans: Numbers, selection: Selection, totals: Numbers) -> Bytes:
    """The level of each total."""
    levels = np.empty(len(totals), np.uint8)
    kernels.stock_levels(totals, int(selection.thresholds[0]), levels)
    ruled = selection.ruled
    if ruled.names:
        places = np.empty(len(totals), np.int64)
        kernels.find_names(text, spans, ruled.index.slots, ruled.index.arena, places)
        for i in np.flatnonzero(places >= 0).tolist():
            threshold = selection.thresholds_of(ruled.names[places[i]])[0]
            levels[i] = level_of(int(totals[i]), int(threshold))
    return levels


def _name(text: Bytes, spans: Numbers, i: int) -> str:
    at, length = spans[i].tolist()
    return text[at : at + length].tobytes().decode()
