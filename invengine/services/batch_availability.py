"""The columns of BatchGetAvailability: many SKUs at once, by name or by handle, kits among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.errors import HandlesUnknown, InvalidArgument
from invengine.kernels.layout import KIT_PARTS, KIT_UNITS, KNOWN, UNKNOWN_SKU
from invengine.services.availability_wire import (
    duration_field,
    field,
    handles_fields,
    levels_field,
    rows_fields,
    totals_fields,
)
from invengine.services.kit_availability import level_of
from invengine.services.ruled_levels import RuledLevels

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.availability_wire import AskedSkus
    from invengine.services.kit_availability import KitAvailability
    from invengine.services.questions import Question
    from invengine.services.selection import Selection

_TOKEN_FIELD, _STALENESS_FIELD = 7, 8

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
KitRows = tuple[int, npt.NDArray[np.int32], Numbers]
"""Place of the kit in the batch, its usable locations by INDEX, the kits that can be taken at each."""


@dataclass(slots=True)
class _Batch:
    """What is asked about, and what is found of it; one place per SKU."""

    asked: AskedSkus
    named: Numbers | None  # the places of those asked by name; None when all are
    numbers: Numbers  # -1 for what has no position
    status: Bytes
    totals: Numbers

    def name_at(self, place: int) -> str:
        """The SKU at a place; it was asked about by name."""
        return self.asked.name(place if self.named is None else int(np.searchsorted(self.named, place)))


class BatchAvailability:
    """Answers from the replica, which has been advanced to the moment of the question."""

    def __init__(self, replica: Replica, kits: KitAvailability) -> None:
        self._replica = replica
        self._kits = kits
        self._ruled = RuledLevels()

    def answer(self, asked: AskedSkus, question: Question, now_ms: int) -> bytes:
        """The message for these SKUs. InvalidArgument, HandlesUnknown."""
        replica, selection = self._replica, question.selection
        columns = replica.state.columns
        arrays = columns.positions, columns.skus, columns.fences, selection.at(now_ms)
        batch = self._find(asked, question)
        numbers, status, totals = batch.numbers, batch.status, batch.totals
        if question.totals_only:
            kernels.available_totals(numbers, *arrays, status, totals)
            self._others(batch, selection, now_ms)
            fields = totals_fields(status, totals)
        else:
            room = int(kernels.rows_at_most(numbers, columns.skus))
            row_counts = np.empty(len(numbers), np.int32)
            index, available = np.empty(room, np.int32), np.empty(room, np.int64)
            rows = int(kernels.available_rows(numbers, *arrays, status, totals, row_counts, index, available))
            index, available = index[:rows], available[:rows]
            kits = self._others(batch, selection, now_ms)
            if kits:
                index, available = _with_kits(kits, row_counts, index, available)
            fields = totals_fields(status, totals)
            fields += rows_fields(row_counts, index, available, selection.locations_field)
        fields.append(field(_TOKEN_FIELD, replica.token().encode()))
        fields.append(duration_field(_STALENESS_FIELD, replica.staleness_ms()))
        fields += levels_field(self._levels(batch, selection))
        if question.want_handles:
            fields += handles_fields((numbers + 1).astype(np.uint32), columns.epoch)
        return b"".join(fields)

    def _find(self, asked: AskedSkus, question: Question) -> _Batch:
        """The numbers of the SKUs."""
        columns = self._replica.state.columns
        index, kits = columns.index, self._replica.kits_with_stock
        numbers = np.empty(asked.count, np.int64)
        named = None
        if asked.handle_count:
            if question.handle_epoch != columns.epoch:
                raise HandlesUnknown
            zeros = int(kernels.read_handles(asked.text, asked.handles_at, columns.sku_count, numbers))
            if zeros < 0:
                raise InvalidArgument(f"handles[{-1 - zeros}]", "is no handle that was told")
            if zeros != len(asked.spans):
                raise InvalidArgument("handles", f"{zeros} are 0, for {len(asked.spans)} skus")
            if kits and kits.intersection(numbers.tolist()):
                raise HandlesUnknown
            named = np.flatnonzero(numbers < 0)
        if asked.spans.size:
            found = numbers if named is None else np.empty(len(named), np.int64)
            kernels.find_names(asked.text, asked.spans, index.slots, index.arena, found)
            for number in kits:
                found[found == number] = -1
            if named is not None:
                numbers[named] = found
        return _Batch(asked, named, numbers, np.empty(asked.count, np.uint8), np.empty(asked.count, np.int64))

    def _others(self, batch: _Batch, selection: Selection, now_ms: int) -> list[KitRows]:
        """Fills `status` and `totals` of what is known without a position: kits, what is expected or backordered."""
        incoming, kits = self._replica.state.incoming, selection.network.kits
        status, totals = batch.status, batch.totals
        found: list[KitRows] = []
        if not incoming and not kits:
            return found
        for i in np.flatnonzero(status == UNKNOWN_SKU).tolist():
            name = batch.name_at(i)
            kit = kits.get(name)
            if kit is not None:
                totals[i], units = self._kits.units(kit, selection, now_ms)
                (there,) = np.nonzero(units[:, KIT_PARTS])
                found.append((i, there.astype(np.int32), units[there, KIT_UNITS]))
            if kit is not None or name in incoming:
                status[i] = KNOWN
        return found

    def _levels(self, batch: _Batch, selection: Selection) -> Bytes:
        """The level of each total."""
        levels = np.empty(len(batch.totals), np.uint8)
        kernels.stock_levels(batch.totals, selection.threshold, levels)
        ruled = selection.ruled
        if ruled.names:
            places = self._ruled.places(ruled, self._replica.state.columns, batch.numbers)
            spans = batch.asked.spans
            if spans.size:  # by name too: kits have no number
                by_name = np.empty(len(spans), np.int64)
                kernels.find_names(batch.asked.text, spans, ruled.index.slots, ruled.index.arena, by_name)
                places[slice(None) if batch.named is None else batch.named] = by_name
            for i in np.flatnonzero(places >= 0).tolist():
                threshold = selection.thresholds_of(ruled.names[places[i]])[0]
                levels[i] = level_of(int(batch.totals[i]), int(threshold))
        return levels


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
