"""What is stored, as it stands there: for checks that trust nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from invengine.store import keys
from invengine.store.reads import Reads
from invengine.store.snapshot import hash_keys
from invengine.store.startup import as_dict


class Inspection(Reads):
    """Adds readings of the texts behind receipts, backorders and broken promises."""

    async def incoming_texts(self, sku: str) -> dict[str, str]:
        """`location TAB receipt_id` -> `expected_day,quantity,pegged,revision` of a SKU; see lua/README.md."""
        (stored,) = await self._calls.read(("HGETALL", keys.incoming(self._of(sku), sku)))
        return _text(stored)

    async def snapshot_incoming_texts(self) -> AsyncIterator[list[tuple[str, dict[str, str]]]]:
        """The same of all SKUs, in chunks. A SKU may come twice."""
        async for names in hash_keys(self._calls, self.partitions, keys.INCOMING_PATTERN):
            hashes = await self._calls.read(*(("HGETALL", name) for name in names))
            yield [(keys.sku_of_incoming(name), _text(stored)) for name, stored in zip(names, hashes, strict=True)]

    async def unsellable_texts(self, sku: str) -> dict[str, str]:
        """`location TAB state` -> `units,revision,counted_at_ms` of a SKU; see lua/README.md."""
        (stored,) = await self._calls.read(("HGETALL", keys.unsellable(self._of(sku), sku)))
        return _text(stored)

    async def snapshot_unsellable_texts(self) -> AsyncIterator[list[tuple[str, dict[str, str]]]]:
        """The same of all SKUs, in chunks. A SKU may come twice."""
        async for names in hash_keys(self._calls, self.partitions, keys.UNSELLABLE_PATTERN):
            hashes = await self._calls.read(*(("HGETALL", name) for name in names))
            yield [(keys.sku_of_unsellable(name), _text(stored)) for name, stored in zip(names, hashes, strict=True)]

    async def waiting_texts(self, partition: int) -> dict[str, str]:
        """SKU -> units backordered, as a partition counts them."""
        (stored,) = await self._calls.read(("HGETALL", keys.waiting(partition)))
        return _text(stored)

    async def broken_texts(self, partition: int) -> dict[str, str]:
        """Leg -> the row of a promise that cannot be kept."""
        found: dict[str, str] = {}
        async for chunk in self._scan_hash(keys.broken(partition)):
            found.update(chunk)
        return found


def _text(stored: object) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in as_dict(stored).items()}
