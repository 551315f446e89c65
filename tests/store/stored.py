"""Everything that a small store holds, read from Redis in one round trip and told in the words of the domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from invengine.domain.incoming import BrokenPromise, BrokenReason, Receipt
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Position, Unsellable
from invengine.store.records import open_allocations, read_position, read_unsellable
from tests.store.model.stock import Place, Source


@dataclass
class Stored:
    """What Redis holds. `broken` tells `expected_day` as 0: that is the receipt's."""

    positions: dict[Place, Position] = field(default_factory=dict)
    receipts: dict[Source, Receipt] = field(default_factory=dict)
    unsellable: list[Unsellable] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    records: dict[str, str] = field(default_factory=dict)
    """Of live reservations, by id; where they are in pieces, one piece of each."""

    pieces: list[tuple[str, str]] = field(default_factory=list)
    """Id and text of all live records."""

    broken_rows: dict[tuple[int, str], str] = field(default_factory=dict)
    broken: dict[tuple[int, str], BrokenPromise] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    def open_units(self) -> tuple[Counter[Place], Counter[Source]]:
        """Units that live reservations have open: on hand by position, pegged by receipt (without id: backordered)."""
        reserved: Counter[Place] = Counter()
        promised: Counter[Source] = Counter()
        for reservation_id, text in self.pieces:
            for its in open_allocations(reservation_id, text)[2]:
                assert 0 <= its.source.fenced <= its.units
                if its.is_on_hand:
                    reserved[its.sku, its.location] += its.units
                else:
                    promised[its.sku, its.location, its.source.receipt_id] += its.units
        return reserved, promised


async def read_stored(client: Redis, partitions: int, skus: Iterable[str]) -> Stored:
    """Everything of these SKUs, and all live reservations."""
    pipeline = client.pipeline(transaction=False)
    homes = [(sku, f"{{p{partition_of(sku, partitions)}}}") for sku in skus]
    for sku, tag in homes:
        pipeline.hgetall(f"{tag}:stock:{sku}")
        pipeline.hgetall(f"{tag}:incoming:{sku}")
        pipeline.hgetall(f"{tag}:unsellable:{sku}")
    for partition in range(partitions):
        for name in ("reservations", "broken", "waiting"):
            pipeline.hgetall(f"{{p{partition}}}:{name}")
        pipeline.get(f"{{p{partition}}}:revision")
    answers = iter(await pipeline.execute())
    stored = Stored()
    for sku, _ in homes:
        stored.positions |= {(sku, place): read_position(value.encode()) for place, value in _text(next(answers))}
        stored.receipts |= {(sku, *_two(name)): _receipt(sku, name, value) for name, value in _text(next(answers))}
        stored.unsellable += [read_unsellable(sku, name, value) for name, value in _text(next(answers))]
    for partition in range(partitions):
        stored.pieces += _text(next(answers))
        stored.broken_rows |= {(partition, leg): value for leg, value in _text(next(answers))}
        stored.waiting |= {sku: int(units) for sku, units in _text(next(answers))}
        stored.revisions.append(int(next(answers) or 0))
    stored.records = dict(stored.pieces)
    legs = {
        (its.partition, str(its.leg)): its for name, text in stored.pieces for its in open_allocations(name, text)[2]
    }
    for leg, row in stored.broken_rows.items():
        _, reservation_id, line_id, sku, location, receipt_id, reason, due_day, at = row.split("\t")
        its = legs[leg]
        assert (its.sku, its.location, its.line_id) == (sku, location, line_id)
        stored.broken[leg] = BrokenPromise(
            reservation_id,
            line_id,
            sku,
            location,
            its.units,
            receipt_id,
            BrokenReason(reason),
            int(due_day),
            0,
            int(at),
        )
    return stored


def _text(hash_: dict[bytes, bytes]) -> Any:
    return [(name.decode(), value.decode()) for name, value in hash_.items()]


def _two(name: str) -> tuple[str, str]:
    location, receipt_id = name.split("\t")
    return location, receipt_id


def _receipt(sku: str, name: str, value: str) -> Receipt:
    day, quantity, pegged, revision, *left = value.split(",")
    return Receipt(sku, *_two(name), int(day), int(quantity), int(pegged), int(revision), *left)
