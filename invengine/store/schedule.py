"""What is expected, what is promised of it, which promises broke; and what is there and not sellable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from invengine.domain.incoming import BrokenPromise, BrokenReason, Receipt
from invengine.domain.stock import Unsellable
from invengine.errors import InvalidArgument
from invengine.store import keys
from invengine.store.listing import Listing
from invengine.store.records import open_allocations, read_broken, read_incoming, read_unsellable
from invengine.store.snapshot import hash_keys
from invengine.store.startup import as_dict


class Schedule(Listing):
    """Adds receipts, backorders and broken promises to what is read."""

    async def receipts(self, sku: str) -> list[Receipt]:
        """Open receipts of a SKU by day, location and id; without backorders."""
        found = [receipt for receipt in await self._incoming(sku) if receipt.receipt_id]
        return sorted(found, key=lambda receipt: (receipt.expected_day, receipt.location, receipt.receipt_id))

    async def backordered(self, sku: str) -> dict[str, int]:
        """Units backordered of a SKU, by location."""
        return {receipt.location: receipt.pegged for receipt in await self._incoming(sku) if not receipt.receipt_id}

    async def receipts_at(self, receipt_id: str, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
        """What is open of one receipt, by (SKU, location); of those of these places that it brings anything to."""
        asked = list(dict.fromkeys(places))
        texts = await self._calls.read(
            *(("HGET", keys.incoming(self._of(sku), sku), f"{location}\t{receipt_id}") for sku, location in asked)
        )
        return {
            (sku, location): read_incoming(sku, f"{location}\t{receipt_id}", text.decode())
            for (sku, location), text in zip(asked, texts, strict=True)
            if text is not None
        }

    async def transfer_ids(self, partition: int | None = None) -> list[str]:
        """The ids of all transfers that are not forgotten, or of those at one home, in the order of their bytes."""
        homes = range(self.partitions) if partition is None else (partition,)
        listed = await self._calls.read(*(("SMEMBERS", keys.transfers(home)) for home in homes))
        return [name.decode() for name in sorted(name for members in listed for name in members)]

    async def _incoming(self, sku: str) -> list[Receipt]:
        (stored,) = await self._calls.read(("HGETALL", keys.incoming(self._of(sku), sku)))
        return [read_incoming(sku, field.decode(), text.decode()) for field, text in as_dict(stored).items()]

    async def snapshot_incoming(self) -> AsyncIterator[list[Receipt]]:
        """All receipts in chunks; backorders are those without an id. A SKU may come twice: note revisions() before,
        then read the log from there.
        """
        async for names in hash_keys(self._calls, self.partitions, keys.INCOMING_PATTERN):
            hashes = await self._calls.read(*(("HGETALL", name) for name in names))
            yield [
                read_incoming(keys.sku_of_incoming(name), field.decode(), text.decode())
                for name, stored in zip(names, hashes, strict=True)
                for field, text in as_dict(stored).items()
            ]

    async def unsellable(self, sku: str) -> list[Unsellable]:
        """Units of a SKU in states, by location and state; those that have none (any more) too."""
        found = [read_unsellable(sku, name, text) for name, text in (await self.unsellable_texts(sku)).items()]
        return sorted(found, key=lambda one: (one.location, one.state))

    async def snapshot_unsellable(self) -> AsyncIterator[list[Unsellable]]:
        """Units in states of all SKUs, in chunks. A SKU may come twice: note revisions() before, then read the log."""
        async for chunk in self.snapshot_unsellable_texts():
            yield [read_unsellable(sku, name, text) for sku, stored in chunk for name, text in stored.items()]

    async def broken_promises(
        self, *, sku: str = "", location: str = "", receipt_id: str = "", after: str = "", limit: int
    ) -> tuple[list[BrokenPromise], str]:
        """Broken promises that match every filter that is set, and where to go on: "" at the end.

        The order is by partition of the SKU, then by leg, so pages stay stable under writes.
        """
        first, last_leg = _place(after, self.partitions)
        found: list[BrokenPromise] = []
        place = after
        for partition in [self._of(sku)] if sku else range(first, self.partitions):
            listed = await self._listed(partition, last_leg if partition == first else 0, sku, location, receipt_id)
            while listed:
                part, listed = listed[: limit - len(found)], listed[limit - len(found) :]
                if not part:
                    return found, place
                found += await self._promises(partition, part)
                place = f"{partition}:{part[-1][0]}"
        return found, ""

    async def _listed(
        self, partition: int, after: int, sku: str, location: str, receipt_id: str
    ) -> list[tuple[int, str]]:
        """Leg and text of the broken promises of a partition that match, after a leg."""
        listed: dict[int, str] = {}
        async for chunk in self._scan_hash(keys.broken(partition)):
            for leg, text in chunk:
                promise = read_broken(text, 0, 0)
                matches = all(
                    wanted in ("", its)
                    for wanted, its in (
                        (sku, promise.sku),
                        (location, promise.location),
                        (receipt_id, promise.receipt_id),
                    )
                )
                if matches and int(leg) > after:
                    listed[int(leg)] = text
        return sorted(listed.items())

    async def _promises(self, partition: int, listed: list[tuple[int, str]]) -> list[BrokenPromise]:
        """With the units and days as they are; those that ended since they were listed are left out."""
        promises = [(leg, text, read_broken(text, 0, 0)) for leg, text in listed]
        facts = await self._calls.read(
            *(
                ("HGET", keys.reservations(int(text.partition("\t")[0])), promise.reservation_id)
                for _, text, promise in promises
            ),
            *(
                ("HGET", keys.incoming(partition, promise.sku), f"{promise.location}\t{promise.receipt_id}")
                for _, _, promise in promises
            ),
        )
        records, receipts = facts[: len(promises)], facts[len(promises) :]
        found = []
        for (leg, text, promise), record, stored in zip(promises, records, receipts, strict=True):
            units, day = _open_units(promise.reservation_id, record, partition, leg), 0
            if promise.reason is BrokenReason.SLIPPED and stored:
                field = f"{promise.location}\t{promise.receipt_id}"
                day = read_incoming(promise.sku, field, stored.decode()).expected_day
            if units:
                found.append(read_broken(text, units, day))
        return found


def _open_units(reservation_id: str, record: bytes | None, partition: int, leg: int) -> int:
    if record is None:
        return 0
    _, _, allocations = open_allocations(reservation_id, record.decode())
    return sum(one.units for one in allocations if (one.partition, one.leg) == (partition, leg))


def _place(after: str, partitions: int) -> tuple[int, int]:
    if not after:
        return 0, 0
    partition, _, leg = after.partition(":")
    if not (partition + leg).isascii() or not partition.isdigit() or not leg.isdigit() or int(partition) >= partitions:
        raise InvalidArgument("page_token", "not a page token of this listing")
    return int(partition), int(leg)
