"""The part of the integrity check that looks at what is promised and not on hand: pegs, backorders, broken promises.

Suspects are judged as positions are: looked at twice, and wrong only when what is stored did not move in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from invengine.domain.incoming import Receipt
from invengine.domain.partitions import partition_of
from invengine.errors import ReplicaBehind
from invengine.services.integrity_report import (
    BROKEN_PROMISE_IS_OPEN,
    PROMISED_IS_OPEN_UNITS,
    READABLE,
    REPLICA_IS_STORE,
    Violate,
)
from invengine.services.integrity_units import Leg, OpenUnits, Source, open_units
from invengine.store.records import Unreadable, read_incoming

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 5
REPLICA_SECONDS_MAX: Final = 5.0
BROKEN_FIELDS: Final = 9
"""Of a row of a broken promise."""

Numbers = tuple[int, int, int]
"""Day, quantity and pegged of a receipt; of backorders 0, 0 and the units."""


class PromisesCheck:
    """One look at everything that is promised; where a replica is given, at what it has of it too."""

    def __init__(self, store: RedisStore, violate: Violate, replica: Replica | None = None) -> None:
        self._store = store
        self._replica = replica
        self._violate = violate
        self._unreadable: set[Source] = set()

    async def run(self, units: OpenUnits) -> int:
        """Judges everything, `units` being a first look at the records; how much moved too fast to be judged."""
        sources = await self._suspect_sources(units)
        broken = await self._suspect_broken(units)
        for _ in range(ROUNDS_MAX):
            if not sources and not broken:
                return 0
            sources, broken = await self._settle(sources, broken)
        return len(sources) + len(broken)

    # First look

    async def _suspect_sources(self, units: OpenUnits) -> set[Source]:
        """Receipts and backorders that do not agree with the records; SKUs (no location) whose waiting units do not."""
        left, suspects = set(units.promised) | self._replicated_sources(), set()
        backordered: dict[str, int] = {}
        async for chunk in self._store.snapshot_incoming_texts():
            for sku, stored in chunk:
                backordered[sku] = 0
                for name, text in stored.items():
                    source = _source(sku, name)
                    left.discard(source)
                    try:
                        receipt = read_incoming(sku, name, text)
                    except Unreadable as fault:
                        self._unreadable.add(source)
                        self._violate(READABLE, source[:2], str(fault))
                        continue
                    backordered[sku] += 0 if receipt.receipt_id else receipt.pegged
                    is_covered = receipt.pegged <= receipt.quantity or not receipt.receipt_id
                    is_replicated = self._replicated(source) in (None, _numbers(receipt))
                    if receipt.pegged != units.promised[source] or not is_covered or not is_replicated:
                        suspects.add(source)
        waiting = await self._waiting()
        for sku in waiting.keys() | backordered.keys():
            if waiting.get(sku, "0") != str(backordered.get(sku, 0)):
                suspects.add((sku, "", ""))
        return (suspects | left) - self._unreadable

    async def _suspect_broken(self, units: OpenUnits) -> set[Leg]:
        rows = await self._broken()
        return {leg for leg, row in rows.items() if _whose(row) is None or units.waiting.get(leg) != _whose(row)}

    # Judging

    async def _settle(self, sources: set[Source], broken: set[Leg]) -> tuple[set[Source], set[Leg]]:
        """Judges the suspects that stand still during this look; those that moved are left."""
        before, rows_before = await self._texts(sources), await self._broken()
        replica_knows = await self._replica_follows()
        skus = {source[0] for source in sources}
        units = await open_units(self._store, wanted=lambda its: its.sku in skus or not its.is_on_hand)
        replicated = {source: self._replicated(source) for source in sources}
        rows_after, after = await self._broken(), await self._texts(sources)
        moved = {source for source in sources if before[source] != after[source]}
        for source in sorted(sources - moved):
            if source[1]:
                self._judge_source(source, after[source][0], units, replicated[source] if replica_knows else None)
            else:
                self._judge_waiting(source[0], *after[source])
        moving = {leg for leg in broken if rows_before.get(leg) != rows_after.get(leg)}
        for leg in sorted(broken - moving):
            if leg in rows_after:
                self._judge_broken(leg, rows_after[leg], units)
        return moved, moving

    async def _texts(self, sources: Collection[Source]) -> dict[Source, tuple[str, ...]]:
        """What is stored of each: of a receipt its text, of waiting units their number and every text of the SKU.

        What is not there is told as the revision of its partition, which every change of it raises.
        """
        found: dict[Source, tuple[str, ...]] = {}
        revisions = await self._store.revisions()
        for sku, location, receipt_id in sorted(sources):
            stored = await self._store.incoming_texts(sku)
            partition = partition_of(sku, self._store.partitions)
            if location:
                text = stored.get(f"{location}\t{receipt_id}")
                found[sku, location, receipt_id] = (text,) if text else ("", str(revisions[partition]))
            else:
                waiting = (await self._store.waiting_texts(partition)).get(sku, "0")
                found[sku, "", ""] = (waiting, *sorted(f"{name}\t{text}" for name, text in stored.items()))
        return found

    def _judge_source(self, source: Source, text: str, units: OpenUnits, replicated: Numbers | None) -> None:
        sku, location, receipt_id = source
        what, opened = f"of receipt {receipt_id}" if receipt_id else "backordered", units.promised[source]
        try:
            receipt = read_incoming(sku, f"{location}\t{receipt_id}", text or "0,0,0,0")
        except Unreadable:
            return  # broken since the first look; the next check tells
        if receipt.pegged != opened:
            told = f"units {what} are {receipt.pegged}, live reservations have {opened} open"
            self._violate(PROMISED_IS_OPEN_UNITS, (sku, location), told, opened, receipt.pegged)
        elif receipt_id and receipt.pegged > receipt.quantity:
            told = f"{receipt.pegged} units of receipt {receipt_id} are promised, {receipt.quantity} are expected"
            self._violate(PROMISED_IS_OPEN_UNITS, (sku, location), told, receipt.quantity, receipt.pegged)
        if replicated is not None and replicated != _numbers(receipt):
            told = (
                f"{what}: (day, quantity, pegged) is {_numbers(receipt)} in the store and {replicated} in the replica"
            )
            self._violate(REPLICA_IS_STORE, (sku, location), told)

    def _judge_waiting(self, sku: str, waiting: str, *texts: str) -> None:
        backordered = 0
        for line in texts:
            name, _, text = line.rpartition("\t")
            try:
                receipt = read_incoming(sku, name, text)
            except Unreadable:
                return  # told already
            backordered += 0 if receipt.receipt_id else receipt.pegged
        if waiting != str(backordered):
            told = f"{waiting} units are said to wait, {backordered} are backordered"
            actual = int(waiting) if waiting.lstrip("-").isdecimal() else 0
            self._violate(PROMISED_IS_OPEN_UNITS, (sku, ""), told, backordered, actual)

    def _judge_broken(self, leg: Leg, row: str, units: OpenUnits) -> None:
        whose = _whose(row)
        if whose is None:
            self._violate(READABLE, ("", ""), f"not a broken promise at leg {leg[1]}: {row!r}")
        elif units.waiting.get(leg) != whose:
            reservation_id, line_id, sku, location = whose
            told = (
                f"line {line_id} of reservation {reservation_id} is told as broken and has nothing open at leg {leg[1]}"
            )
            self._violate(BROKEN_PROMISE_IS_OPEN, (sku, location), told)

    # Readings

    def _replicated_sources(self) -> set[Source]:
        if self._replica is None:
            return set()
        incoming = self._replica.incoming
        receipts = {(receipt.sku, receipt.location, receipt.receipt_id) for receipt in incoming.all()}
        return receipts | {(*place, "") for place in incoming.all_backordered()}

    def _replicated(self, source: Source) -> Numbers | None:
        """What the replica has of it; None where there is no replica to ask."""
        if self._replica is None:
            return None
        sku, location, receipt_id = source
        if not receipt_id:
            return (0, 0, self._replica.incoming.backordered(sku, location))
        for receipt in self._replica.incoming.receipts(sku):
            if (receipt.location, receipt.receipt_id) == (location, receipt_id):
                return _numbers(receipt)
        return (0, 0, 0)

    async def _replica_follows(self) -> bool:
        """Whether the replica has what the store had when this was asked."""
        if self._replica is None:
            return False
        try:
            await self._replica.wait_for(list(enumerate(await self._store.revisions())), REPLICA_SECONDS_MAX)
        except ReplicaBehind:
            return False
        return True

    async def _waiting(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for partition in range(self._store.partitions):
            found.update(await self._store.waiting_texts(partition))
        return found

    async def _broken(self) -> dict[Leg, str]:
        return {
            (partition, leg): row
            for partition in range(self._store.partitions)
            for leg, row in (await self._store.broken_texts(partition)).items()
        }


def _numbers(receipt: Receipt) -> Numbers:
    return receipt.expected_day, receipt.quantity, receipt.pegged


def _source(sku: str, name: str) -> Source:
    location, _, receipt_id = name.partition("\t")
    return sku, location, receipt_id


def _whose(row: str) -> tuple[str, str, str, str] | None:
    """reservation_id, line_id, SKU and location of a broken promise; None where the row is damaged."""
    fields: Iterable[str] = row.split("\t")
    _, *rest = fields
    return (rest[0], rest[1], rest[2], rest[3]) if len(rest) == BROKEN_FIELDS - 1 else None
