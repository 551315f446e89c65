"""The arrays of the replica: who makes room in them, and what the kernels are handed.

Every array has untouched room behind what is in use, which costs address space and no memory. Positions whose SKU
moved leave holes; a full block is copied without them, so that holes and spare room stay within 0.2 of what lives.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.partitions import partition_of
from invengine.kernels.layout import (
    ARENA_COUNT,
    CHANGED_COLUMNS,
    CHANGED_COUNT,
    CHANGED_ROWS,
    COUNTERS,
    CREATED_COLUMNS,
    CREATED_COUNT,
    CREATED_LOCATION,
    CREATED_NAME_AT,
    CREATED_NAME_LENGTH,
    CREATED_SKU,
    CREATED_WANTED,
    DONE,
    ENTRY,
    FENCE_COLUMNS,
    FENCE_SLOTS,
    FULL_CREATED,
    FULL_FENCES,
    FULL_HOLDS,
    FULL_PASSED,
    FULL_POSITIONS,
    FULL_SKUS,
    HOLD_COLUMNS,
    HOLD_FREE,
    HOLD_SLOTS,
    NAME_AT,
    NAME_LENGTH,
    NEW_CHANNEL,
    NEW_LOCATION,
    OFFSET,
    PASSED_COLUMNS,
    PASSED_COUNT,
    PASSED_END,
    PASSED_ENTRY,
    PASSED_START,
    POSITION_COLUMNS,
    ROWS_WANTED,
    SKU_COLUMNS,
    WHEEL_SECONDS,
)
from invengine.replica.contents import Block, Contents
from invengine.replica.index import Channels, Locations, NameIndex, as_bytes
from invengine.replica.memory import zeros

CreatedPosition = tuple[str, int, int]
"""SKU, its number, number of the location."""
PassedRow = tuple[int, bytes]
"""Place of its entry among those applied, and the row without its line feed."""

_NAME_BYTES_MAX: Final = 64
_POSITIONS_MIN: Final = 1024
_POSITIONS_GROWTH: Final = 1.2  # bytes a position stay within 1.2 x 64, index aside; see the module
_LOAD_GROWTH: Final = 4.0  # a load leaves no holes, and room that is not touched costs nothing
_CREATED_MAX: Final = 4096
_PASSED_MAX: Final = 1024


class LogMalformed(Exception):
    """A row of the log, or a position of the store, is not what the store's formats say. A fault, not a refusal."""

    def __init__(self, line: bytes) -> None:
        super().__init__(f"not a row of the log: {line[:200]!r}")


class Columns(Contents):
    """Positions, ring-fences, SKUs and holds in arrays; layout.py says what their columns are."""

    def __init__(self, locations: Locations, channels: Channels | None = None) -> None:
        self.locations = locations
        self.channels = Channels() if channels is None else channels
        self.positions: Block = zeros((_POSITIONS_MIN, POSITION_COLUMNS), np.int64)
        self.fences: Block = np.empty((256, FENCE_COLUMNS), np.int64)
        self.skus: Block = np.empty((256, SKU_COLUMNS), np.int64)
        self.index = NameIndex()
        self.holds: Block = np.empty((256, HOLD_COLUMNS), np.int64)
        self.hold_slots: Block = np.zeros((512, 2), np.int64)
        self.wheel = np.full(WHEEL_SECONDS, -1, np.int64)
        self.counters = np.zeros(COUNTERS, np.int64)
        self.counters[HOLD_FREE] = -1
        self._created: Block = np.empty((_CREATED_MAX, CREATED_COLUMNS), np.int64)
        self._passed: Block = np.empty((_PASSED_MAX, PASSED_COLUMNS), np.int64)
        self._changed: Block = np.empty((0, CHANGED_COLUMNS), np.int64)
        self.watch_created: Callable[[list[CreatedPosition]], None] | None = None
        self.second = 0
        self.epoch = secrets.randbits(63) | 1
        """Names the numbers of SKUs in these arrays among those in any others; never 0."""

    def apply(self, buffer: bytes, entries: Block) -> list[PassedRow]:
        """Applies the rows of log entries, int64 [n, 4] over `buffer`; returns those of incoming receipts.

        LogMalformed: some are applied, some are not.
        """
        self.counters[CREATED_WANTED] = self.watch_created is not None
        text = as_bytes(buffer)
        passed: list[PassedRow] = []

        def decode() -> int:
            return int(
                kernels.apply_rows(
                    text,
                    entries,
                    self.positions,
                    self.skus,
                    self.fences,
                    self.index.slots,
                    self.index.arena,
                    self.locations.index.slots,
                    self.locations.index.arena,
                    self.channels.index.slots,
                    self.channels.index.arena,
                    self.holds,
                    self.hold_slots,
                    self.wheel,
                    self.counters,
                    self._created,
                    self._passed,
                    self._changed,
                )
            )

        self._finish(decode, buffer, passed)
        if self.counters[CREATED_COUNT]:
            self._report_created(buffer)
        if self.counters[PASSED_COUNT]:
            self._collect_passed(buffer, passed)
        return passed

    def load(self, chunk: Sequence[tuple[str, dict[bytes, bytes]]], partitions: int) -> None:
        """Loads SKUs with the fields of their stock hashes: location -> `on_hand,reserved,...` and ring-fences."""
        lines: list[bytes] = []
        for sku, fields in chunk:
            lines.append(sku.encode())
            lines.extend(chain.from_iterable(fields.items()))
        lines.append(b"")
        buffer = b"\n".join(lines)
        text = as_bytes(buffer)
        homes = np.empty((len(chunk), 2), np.int64)
        homes[:, 0] = [partition_of(sku, partitions) for sku, _ in chunk]
        homes[:, 1] = [len(fields) for _, fields in chunk]

        def decode() -> int:
            return int(
                kernels.load_positions(
                    text,
                    homes,
                    self.positions,
                    self.skus,
                    self.fences,
                    self.index.slots,
                    self.index.arena,
                    self.locations.index.slots,
                    self.locations.index.arena,
                    self.channels.index.slots,
                    self.channels.index.arena,
                    self.counters,
                )
            )

        self._finish(decode, buffer, [], _LOAD_GROWTH, lines=2)  # of a location and its text

    def settle(self) -> None:
        """After a load: from here on, room is full as soon as holes and spare room are 0.2 of what lives."""
        self.positions = self.positions[: _room(self.position_count, _POSITIONS_GROWTH)]

    def advance(self, second: int) -> None:
        """Sets the clock: holds that are over by `second` stop counting."""
        self.second = second
        kernels.advance_holds(
            second,
            self.positions,
            self.skus,
            self.fences,
            self.holds,
            self.hold_slots,
            self.wheel,
            self.counters,
            self._changed,
        )

    def note_changes(self, wanted: bool) -> None:
        """Whether to note which SKUs change, from now on; it costs 16 bytes a SKU."""
        self._changed = zeros((self.skus.shape[0] if wanted else 0, CHANGED_COLUMNS), np.int64)
        self.counters[CHANGED_COUNT] = self.counters[CHANGED_ROWS] = 0

    def take_changed(self) -> tuple[npt.NDArray[np.int64], int]:
        """The numbers of the SKUs that changed since the last call, and by how many rows of positions."""
        rows = int(self.counters[CHANGED_ROWS])
        numbers = np.empty(int(self.counters[CHANGED_COUNT]), np.int64)
        kernels.take_changed(self._changed, self.counters, numbers)
        return numbers, rows

    @property
    def has_changed(self) -> bool:
        """Whether `take_changed` would have any."""
        return bool(self.counters[CHANGED_COUNT])

    def _finish(
        self,
        decode: Callable[[], int],
        buffer: bytes,
        passed: list[PassedRow],
        growth: float = _POSITIONS_GROWTH,
        lines: int = 1,
    ) -> None:
        """Decodes from the first line on, making room wherever the kernel stops for it.

        A fault is told with so many `lines` from where it is.
        """
        self.counters[ENTRY] = 0
        self.counters[OFFSET] = 0
        self.counters[PASSED_COUNT] = 0
        while (status := decode()) != DONE:
            if status == NEW_LOCATION:
                self.locations.number(self._new_name(buffer))
            elif status == NEW_CHANNEL:
                self.channels.number(self._new_name(buffer))
            elif status == FULL_POSITIONS:
                self._grow_positions(growth)
            elif status == FULL_SKUS:
                self._grow_skus()
            elif status == FULL_HOLDS:
                self._grow_holds()
            elif status == FULL_FENCES:
                self.fences = _longer(self.fences, int(self.counters[FENCE_SLOTS]))
            elif status == FULL_CREATED:
                self._report_created(buffer)
            elif status == FULL_PASSED:
                self._collect_passed(buffer, passed)
            else:
                at = int(self.counters[OFFSET])
                raise LogMalformed(b" ".join(buffer[at:].split(b"\n", lines)[:lines]))

    def _grow_positions(self, growth: float) -> None:
        wanted = self.position_count + int(self.counters[ROWS_WANTED])
        packed = zeros((max(wanted, _room(self.position_count, growth)), POSITION_COLUMNS), np.int64)
        kernels.pack_rows(self.positions, packed, self.skus, self.counters)
        self.positions = packed

    def _grow_skus(self) -> None:
        count = self.sku_count
        if count == self.skus.shape[0]:
            self.skus = _longer(self.skus, count)
            if self._changed.shape[0]:
                self._changed = _longer(self._changed, count)
        self.index.make_room(count + 1, int(self.counters[ARENA_COUNT]), _NAME_BYTES_MAX)

    def _grow_holds(self) -> None:
        if int(self.counters[HOLD_SLOTS]) == self.holds.shape[0]:
            self.holds = _longer(self.holds, self.holds.shape[0])
        if 2 * (self.hold_count + 1) > self.hold_slots.shape[0]:
            wider = zeros((2 * self.hold_slots.shape[0], 2), np.int64)
            kernels.rehash_holds(self.hold_slots, wider)
            self.hold_slots = wider

    def _new_name(self, buffer: bytes) -> str:
        """The name for which the kernel stopped."""
        at, length = int(self.counters[NAME_AT]), int(self.counters[NAME_LENGTH])
        try:
            return buffer[at : at + length].decode()
        except UnicodeDecodeError:
            raise LogMalformed(buffer[at : at + length]) from None

    def _collect_passed(self, buffer: bytes, passed: list[PassedRow]) -> None:
        rows = self._passed[: int(self.counters[PASSED_COUNT])].tolist()
        self.counters[PASSED_COUNT] = 0
        passed += [(row[PASSED_ENTRY], buffer[row[PASSED_START] : row[PASSED_END]]) for row in rows]

    def _report_created(self, buffer: bytes) -> None:
        created = self._created[: int(self.counters[CREATED_COUNT])].tolist()
        self.counters[CREATED_COUNT] = 0
        if self.watch_created is not None:
            self.watch_created(
                [
                    (
                        buffer[row[CREATED_NAME_AT] : row[CREATED_NAME_AT] + row[CREATED_NAME_LENGTH]].decode(),
                        row[CREATED_SKU],
                        row[CREATED_LOCATION],
                    )
                    for row in created
                ]
            )


def _room(positions: int, growth: float) -> int:
    return max(_POSITIONS_MIN, int(positions * growth))


def _longer(block: Block, used: int) -> Block:
    longer = zeros((2 * block.shape[0], block.shape[1]), np.int64)
    longer[:used] = block[:used]
    return longer
