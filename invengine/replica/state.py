"""A state of the store: columns, what is expected, what cannot be sold, taken slots, each partition's revision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from invengine.domain.capacity import is_capacity
from invengine.kernels.layout import ENTRY_COLUMNS
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.contents import Block
from invengine.replica.incoming import Incoming
from invengine.replica.rows import RowMalformed
from invengine.replica.slots import TakenSlots
from invengine.replica.unsellable import UnsellableUnits


class Entry(Protocol):
    """One entry of the change log, as the store hands it out."""

    @property
    def partition(self) -> int:
        """Whose log it is in."""

    @property
    def revision(self) -> int:
        """Its number there."""

    @property
    def recorded_at_ms(self) -> int:
        """When, by the store's clock."""

    @property
    def rows(self) -> bytes:
        """What changed."""


class State:
    """Columns, receipts and unsellable units with every entry of partition p up to applied[p], and none after it."""

    def __init__(self, columns: Columns, applied: Sequence[int]) -> None:
        self.columns = columns
        self.incoming = Incoming()
        self.unsellable = UnsellableUnits()
        self.slots = TakenSlots()
        self.applied = list(applied)
        self.newest: list[Entry | None] = [None] * len(self.applied)

    def load(self, chunk: Sequence[tuple[str, dict[bytes, bytes]]], partitions: int) -> None:
        """Takes in SKUs with their stock hashes, goods and slots. LogMalformed."""
        goods = [(sku, fields) for sku, fields in chunk if not is_capacity(sku)]
        if len(goods) < len(chunk):
            for sku, fields in chunk:
                if is_capacity(sku):
                    try:
                        self.slots.load(sku, fields)
                    except RowMalformed:
                        raise LogMalformed(sku.encode()) from None
        self.columns.load(goods, partitions)

    def apply(self, entries: Iterable[Entry]) -> bool:
        """Applies those entries that follow on what is applied, in their order; whether there were any.

        Entries that are applied already or behind a gap are skipped. LogMalformed: the state is of no use then.
        """
        applied = self.applied
        following: list[Entry] = []
        for entry in entries:
            if entry.revision == applied[entry.partition] + 1:
                applied[entry.partition] = entry.revision
                self.newest[entry.partition] = entry
                following.append(entry)
        if following:
            self.apply_rows(following)
        return bool(following)

    def apply_rows(self, entries: Sequence[Entry]) -> None:
        """Applies the rows of entries, whatever their revisions."""
        ends = np.cumsum([len(entry.rows) for entry in entries])
        spans: Block = np.empty((len(entries), ENTRY_COLUMNS), np.int64)
        spans[:, 0] = [entry.partition for entry in entries]
        spans[:, 1] = [entry.revision for entry in entries]
        spans[1:, 2] = ends[:-1]
        spans[0, 2] = 0
        spans[:, 3] = ends
        for place, row in self.columns.apply(b"".join([entry.rows for entry in entries]), spans):
            try:
                if row.startswith((b"P", b"H")):
                    self.slots.apply(entries[place].partition, entries[place].revision, row)
                    continue
                rest = self.incoming if row.startswith(b"I") else self.unsellable
                rest.apply(entries[place].revision, row)
            except RowMalformed:
                raise LogMalformed(row) from None

    def is_at(self, revisions: Iterable[int]) -> bool:
        """Whether every partition is at its revision, or further."""
        return all(applied >= revision for applied, revision in zip(self.applied, revisions, strict=True))

    def has_gap(self, entries: Iterable[Entry]) -> bool:
        """Whether some of these entries could not be applied, since entries before them are missing."""
        applied = self.applied
        return any(applied[entry.partition] < entry.revision for entry in entries)
