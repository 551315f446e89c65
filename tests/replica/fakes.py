"""A store in memory, for what a real one does only by accident: trimming, losing writes, damaged rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from invengine.domain.incoming import Receipt
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Unsellable
from invengine.errors import StoreUnavailable

PARTITIONS = 4
STORE_ID = b"\1\2\3\4\5\6\7\x08"
START_MS = 1_700_000_000_000


class Trimmed(Exception):
    """Entries are gone."""


@dataclass(frozen=True)
class Entry:
    partition: int
    revision: int
    recorded_at_ms: int
    rows: bytes


def position_row(sku: str, location: str, on_hand: int, reserved: int, counted_at_ms: int = 0) -> str:
    return f"P\t{sku}\t{location}\t{on_hand}\t{reserved}\t{counted_at_ms}\t0\t0\tCOUNT\tdock\te1\t\t\t0\t\n"


def fence_row(sku: str, location: str, channel: str, units: int) -> str:
    return f"F\t{sku}\t{location}\t{channel}\t{units}\t\n"


def hold_row(leg: int, sku: str, location: str, units: int, expires_at: int, fenced: int = 0, channel: str = "") -> str:
    return f"H\t{leg}\t{sku}\t{location}\t{units}\t{expires_at}\t{fenced}\t{channel}\t\n"


def incoming_row(receipt: Receipt) -> str:
    numbers = f"{receipt.expected_day}\t{receipt.quantity}\t{receipt.pegged}"
    return f"I\t{receipt.sku}\t{receipt.location}\t{receipt.receipt_id}\t{numbers}\tSET\terp\te1\t\n"


class FakeStore:
    """Positions and holds with a log; what the follower asks of a store, and ways to break it."""

    def __init__(self) -> None:
        self.now = START_MS
        self.logs: list[list[Entry]] = [[] for _ in range(PARTITIONS)]
        self.stock: dict[str, dict[str, tuple[int, int, int]]] = {}
        self.holds: dict[tuple[int, int], tuple[str, str, int, int]] = {}
        self.fences: dict[tuple[str, str], dict[str, int]] = {}
        self.receipts: dict[tuple[str, str, str], Receipt] = {}
        self.unsellable: dict[tuple[str, str, str], Unsellable] = {}
        self.away = False
        self.disruptions = 0
        self.during_snapshot: Callable[[], object] = lambda: None
        self.calls: list[str] = []
        self._written = asyncio.Event()
        self._trimmed_to = [0] * PARTITIONS

    def write(self, sku: str, location: str, on_hand: int, reserved: int = 0, extra: str = "") -> Entry:
        """One change of one position; `extra` are more rows."""
        partition = partition_of(sku, PARTITIONS)
        revision = self._newest(partition) + 1
        self.stock.setdefault(sku, {})[location] = (on_hand, reserved, revision)
        entry = Entry(partition, revision, self.now, (position_row(sku, location, on_hand, reserved) + extra).encode())
        self.logs[partition].append(entry)
        self._written.set()
        return entry

    def hold(
        self, leg: int, sku: str, location: str, units: int, expires_at: int, on_hand: int, reserved: int
    ) -> Entry:
        """A change that makes, changes or (units 0) ends a hold."""
        self.holds[partition_of(sku, PARTITIONS), leg] = (sku, location, units, expires_at)
        return self.write(sku, location, on_hand, reserved, hold_row(leg, sku, location, units, expires_at))

    def fence(self, sku: str, location: str, channel: str, units: int, on_hand: int) -> Entry:
        """A change of a ring-fence."""
        kept = self.fences.setdefault((sku, location), {})
        kept.pop(channel, None)
        if units:
            kept[channel] = units
        return self.write(sku, location, on_hand, 0, fence_row(sku, location, channel, units))

    def expect(self, sku: str, location: str, receipt_id: str, expected_day: int, quantity: int, pegged: int) -> Entry:
        """A receipt as it is from now on; one of no units is gone."""
        partition = partition_of(sku, PARTITIONS)
        revision = self._newest(partition) + 1
        receipt = Receipt(sku, location, receipt_id, expected_day, quantity, pegged, revision)
        self.receipts.pop((sku, location, receipt_id), None)
        if quantity or pegged:
            self.receipts[sku, location, receipt_id] = receipt
        entry = Entry(partition, revision, self.now, incoming_row(receipt).encode())
        self.logs[partition].append(entry)
        self._written.set()
        return entry

    def put_aside(self, sku: str, location: str, state: str, units: int) -> Entry:
        """Units in a state as they are from now on; those on hand stay."""
        before = self.unsellable.get((sku, location, state))
        change = units - (before.units if before else 0)
        on_hand, reserved, _ = self.stock.get(sku, {}).get(location, (0, 0, 0))
        row = f"U\t{sku}\t{location}\t{state}\t{units}\t{change}\t0\t\n"
        entry = self.write(sku, location, on_hand, reserved, row)
        self.unsellable[sku, location, state] = Unsellable(sku, location, state, units, entry.revision)
        return entry

    def damage(self, entry: Entry) -> None:
        """The rows of the newest entry are no rows."""
        self.logs[entry.partition][-1] = replace(entry, rows=b"nonsense")

    def trim(self) -> None:
        """The logs forget all that they have."""
        self._trimmed_to = [self._newest(partition) for partition in range(PARTITIONS)]
        self.logs = [[] for _ in range(PARTITIONS)]

    def lose(self, sku: str, location: str, before: tuple[int, int, int]) -> None:
        """The newest entry of the SKU's partition was never written."""
        self.logs[partition_of(sku, PARTITIONS)].pop()
        self.stock[sku][location] = before

    def rows(self) -> list[tuple[str, str, int, int, int]]:
        return sorted((sku, place, *numbers) for sku, places in self.stock.items() for place, numbers in places.items())

    async def now_ms(self) -> int:
        self._reach("now_ms")
        return self.now

    async def revisions(self) -> list[int]:
        self._reach("revisions")
        return [self._newest(partition) for partition in range(PARTITIONS)]

    async def snapshot_positions(self) -> AsyncIterator[list[tuple[str, dict[bytes, bytes]]]]:
        self._reach("snapshot_positions")
        for sku in list(self.stock):
            yield [(sku, {place.encode(): self._text(sku, place) for place in self.stock[sku]})]
            self.during_snapshot()

    async def snapshot_holds(self) -> AsyncIterator[Sequence[Entry]]:
        for (partition, leg), (sku, location, units, expires_at) in self.holds.items():
            if units:
                yield [Entry(partition, 0, 0, hold_row(leg, sku, location, units, expires_at).encode())]

    async def snapshot_incoming(self) -> AsyncIterator[list[Receipt]]:
        for receipt in list(self.receipts.values()):
            yield [receipt]
            self.during_snapshot()

    async def snapshot_unsellable(self) -> AsyncIterator[list[Unsellable]]:
        for one in list(self.unsellable.values()):
            yield [one]
            self.during_snapshot()

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = 1000) -> Sequence[Entry]:
        self._reach("read_log")
        found = self._entries(after, count)
        if not found and block_ms:
            self._written.clear()
            try:
                async with asyncio.timeout(block_ms / 1000):
                    await self._written.wait()
            except TimeoutError:
                return []
            self._reach("read_log")
            found = self._entries(after, count)
        return found

    def _text(self, sku: str, location: str) -> bytes:
        fences = self.fences.get((sku, location), {}).items()
        on_hand, reserved, revision = self.stock[sku][location]
        return "\t".join(
            [f"{on_hand},{reserved},{revision},0", *(f"{channel}\t{units}" for channel, units in sorted(fences))]
        ).encode()

    def _entries(self, after: Sequence[int], count: int) -> list[Entry]:
        if any(
            revision < trimmed and self._newest(partition) > revision
            for partition, (revision, trimmed) in enumerate(zip(after, self._trimmed_to, strict=True))
        ):
            raise Trimmed
        return [
            entry
            for partition, log in enumerate(self.logs)
            for entry in [entry for entry in log if entry.revision > after[partition]][:count]
        ]

    def _newest(self, partition: int) -> int:
        return self.logs[partition][-1].revision if self.logs[partition] else self._trimmed_to[partition]

    def _reach(self, call: str) -> None:
        self.calls.append(call)
        if self.away:
            self.disruptions += 1
            raise StoreUnavailable("away")
