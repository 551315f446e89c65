"""Snapshots as they come in, message by message: checked, kept, and not applied before all of them is there."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from invengine.domain.partitions import partition_of
from invengine.domain.snapshots import Snapshot
from invengine.domain.stock import ON_HAND
from invengine.errors import InvalidArgument, Overloaded
from invengine.services import validation
from invengine.services.stock import FUTURE_MS_MAX

if TYPE_CHECKING:
    from invengine.v1 import stock_service_pb2 as pb

ROWS_MAX: Final = 1_000_000
ROWS_OF_A_MESSAGE_MAX: Final = 20_000
ROWS_STAGED_MAX: Final = 2 * ROWS_MAX
"""Of all snapshots under way: some 200 bytes each."""

ORDER_REFS_MAX: Final = 10_000
ROWS_A_TURN: Final = 2_000
"""Looked at before others have their turn: some milliseconds."""

_HASH_MASK: Final = 2**128 - 1


class StagedRows:
    """Rows of one partition: SKU, or `SKU TAB state` for units in a state -> units; and the places of the rows in the
    same order.
    """

    __slots__ = ("places", "units")

    def __init__(self) -> None:
        self.units: dict[str, int] = {}
        self.places = array("l")


IsState = Callable[[str, str, str], bool]
"""Whether units of a SKU at a location may be in a state."""


class Staging:
    """The room for snapshots under way."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.rows = 0


class StagedSnapshot:
    """A snapshot whose messages come in. It takes up room as long as it is used (`with`)."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._first: pb.ApplySnapshotRequest | None = None
        self._as_of_ms = 0
        self._row_count: int | None = None
        self._order_refs: dict[str, None] = {}
        self._hash = 0
        self.row_count = 0
        self.partitions = [StagedRows() for _ in range(staging.partitions)]

    def __enter__(self) -> Self:
        self._staging.rows += self.row_count
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.rows -= self.row_count

    @property
    def location(self) -> str:
        """The location, empty before the first message."""
        return self._first.location if self._first is not None else ""

    async def add(self, message: pb.ApplySnapshotRequest, now_ms: int, is_state: IsState) -> None:
        """Takes a message in. InvalidArgument names a row by its place in the whole snapshot, from 0, and its field."""
        if self._first is None:
            self._check_header(message, now_ms)
        else:
            self._check_same(message, self._first)
        if message.HasField("row_count"):
            validation.units("row_count", message.row_count, 0)
            if self._row_count not in (None, message.row_count):
                raise InvalidArgument("row_count", "differs from that of an earlier message")
            self._row_count = message.row_count
        for ref in message.contains_order_refs:
            place = len(self._order_refs)
            self._order_refs[validation.required_id(f"contains_order_refs[{place}]", ref)] = None
        if len(self._order_refs) > ORDER_REFS_MAX:
            raise InvalidArgument("contains_order_refs", f"are more than {ORDER_REFS_MAX}")
        validation.count_of("rows", len(message.rows), ROWS_OF_A_MESSAGE_MAX, least=0)
        for start in range(0, len(message.rows), ROWS_A_TURN):
            for row in message.rows[start : start + ROWS_A_TURN]:
                self._add_row(row, is_state)
            await asyncio.sleep(0)

    def finish(self) -> tuple[Snapshot, str]:
        """The snapshot and the fingerprint of its content, once the stream has ended."""
        first = self._first
        if first is None:
            raise InvalidArgument("source", "is required")
        if self._row_count not in (None, self.row_count):
            raise InvalidArgument("row_count", f"is {self._row_count}; {self.row_count} rows came")
        refs = tuple(sorted(self._order_refs))
        snapshot_id = first.snapshot_id or first.request_id or str(self._as_of_ms)
        snapshot = Snapshot(first.source, snapshot_id, first.location, self._as_of_ms, first.partial, refs)
        text = "\n".join((first.location, str(self._as_of_ms), str(first.partial), f"{self._hash:x}", *refs))
        return snapshot, blake2b(text.encode(), digest_size=16).hexdigest()

    def is_listed(self, sku: str, state: str = "") -> bool:
        """Whether a row says how many units of the SKU there were, on hand or in a state."""
        return _name(sku, state) in self.partitions[partition_of(sku, self._staging.partitions)].units

    def rows(self) -> Iterator[tuple[int, str, str, int]]:
        """Place, SKU, state and units of every row, those of one partition together: a call to the store then changes
        few. The state is empty for units on hand.
        """
        for partition in self.partitions:
            for place, (name, units) in zip(partition.places, partition.units.items(), strict=True):
                sku, _, state = name.partition("\t")
                yield place, sku, state, units

    def _check_header(self, message: pb.ApplySnapshotRequest, now_ms: int) -> None:
        validation.required_id("source", message.source)
        validation.optional_text("snapshot_id", message.snapshot_id)
        validation.optional_text("request_id", message.request_id)
        validation.required_id("location", message.location)
        if not message.HasField("as_of"):
            raise InvalidArgument("as_of", "is required")
        self._as_of_ms = validation.milliseconds("as_of", message.as_of, now_ms + FUTURE_MS_MAX)
        if not self._as_of_ms:
            raise InvalidArgument("as_of", "is 0")
        header = type(message)()
        header.CopyFrom(message)
        header.ClearField("rows")
        header.ClearField("contains_order_refs")
        self._first = header

    def _check_same(self, message: pb.ApplySnapshotRequest, first: pb.ApplySnapshotRequest) -> None:
        """A later message says nothing else of the snapshot than the first one."""
        for field in ("source", "snapshot_id", "location", "request_id", "partial"):
            if getattr(message, field) not in (getattr(first, field), type(getattr(first, field))()):
                raise InvalidArgument(field, "differs from that of the first message")
        if message.HasField("as_of") and message.as_of != first.as_of:
            raise InvalidArgument("as_of", "differs from that of the first message")

    def _add_row(self, row: pb.SnapshotRow, is_state: IsState) -> None:
        place = self.row_count
        if place == ROWS_MAX:
            raise InvalidArgument(
                "rows", f"are more than {ROWS_MAX}; send parts as partial snapshots of the same instant"
            )
        if self._staging.rows >= ROWS_STAGED_MAX:
            raise Overloaded(self._staging.rows)
        sku, quantity = row.sku, row.quantity
        if not validation.is_plain(sku):
            validation.required_id(f"rows[{place}].sku", sku)
        state = "" if row.state == ON_HAND else row.state
        if state and not is_state(sku, self.location, state):
            raise InvalidArgument(f"rows[{place}].state", f"{state!r} is not a state of the network")
        validation.units(f"rows[{place}].quantity", quantity, 0)
        rows = self.partitions[partition_of(sku, self._staging.partitions)]
        name = _name(sku, state)
        if rows.units.setdefault(name, quantity) != quantity or len(rows.units) == len(rows.places):
            raise InvalidArgument(f"rows[{place}].sku", f"{sku} is listed twice")
        rows.places.append(place)
        content = blake2b(f"{name}\t{quantity}".encode(), digest_size=16).digest()
        self._hash = (self._hash + int.from_bytes(content)) & _HASH_MASK  # a sum: in whatever order rows come
        self.row_count += 1
        self._staging.rows += 1


def _name(sku: str, state: str) -> str:
    return f"{sku}\t{state}" if state else sku
