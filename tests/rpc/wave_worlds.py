"""Drawn waves, and what their commit must come to: in plain Python, from the plan and the stock as it is then."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from invengine.v1 import stock_service_pb2, wave_pb2
from tests.rpc.engines import Stubs
from tests.rpc.waves import line, order

LOCATIONS = ("DC", "LON")
Position = tuple[str, str]
"""SKU and location."""


@dataclass
class World:
    """Stock and orders."""

    stock: dict[Position, int]
    orders: list[wave_pb2.WaveOrder]


@dataclass
class Expected:
    """What a commit leaves: units free at positions; per order the units of each line, None where it is refused; and of
    refused lines what could have been had: (order_id, line_id) -> (wanted, available).
    """

    free: dict[Position, int]
    taken: dict[str, list[dict[str, int] | None]] = field(default_factory=dict)
    refused: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


def drawn(seed: int, *, skus: int, orders: int, classes: int = 3) -> World:
    """Scarce stock: about two thirds of what is wanted."""
    chance = random.Random(seed)
    wanted: dict[str, int] = {}
    made = []
    for number in range(orders):
        lines = []
        for sku in chance.sample(range(skus), chance.choice((1, 1, 1, 2, 3))):
            name, quantity = f"W{sku}", chance.randrange(1, 6)
            wanted[name] = wanted.get(name, 0) + quantity
            lines.append(line(name, quantity, allow_split=chance.random() < 0.5))
        made.append(
            order(
                f"order {number}",
                *lines,
                priority_class=chance.randrange(classes),
                all_or_nothing=chance.random() < 0.3,
            )
        )
    stock = {
        (sku, location): max(1, round(units * share)) for sku, units in wanted.items() for location, share in SHARES
    }
    return World(stock, made)


SHARES = (("DC", 0.45), ("LON", 0.25))


async def receive(stubs: Stubs, stock: Mapping[Position, int], kind: int = 1, name: str = "opening") -> None:
    """Units come to positions (kind 1), or are sold there (2)."""
    movements = [
        stock_service_pb2.Movement(
            source="tests", event_id=f"{name} {sku} {location}", kind=kind, sku=sku, location=location, quantity=units
        )
        for (sku, location), units in stock.items()
        if units
    ]
    for first in range(0, len(movements), 500):
        request = stock_service_pb2.PostMovementsRequest(movements=movements[first : first + 500])
        answer = await stubs.stock.PostMovements(request)
        assert {outcome.result for outcome in answer.outcomes} == {1}


def in_order_of_commit(planned: Iterable[wave_pb2.WavePlanOrder], partitions: int) -> list[wave_pb2.WavePlanOrder]:
    """Class by class; in each the orders of one partition, by partition, then those over several; as given."""

    def rank(one: wave_pb2.WavePlanOrder) -> tuple[int, int]:
        homes = {crc32(of.sku.encode()) % partitions for of in one.lines if of.units}
        return one.priority_class, homes.pop() if len(homes) == 1 else partitions

    return sorted((one for one in planned if any(of.units for of in one.lines)), key=rank)


def expected(
    planned: Iterable[wave_pb2.WavePlanOrder],
    whole: frozenset[str],
    free: Mapping[Position, int],
    partitions: int,
) -> Expected:
    """Each order in its turn: a line gets its units where all of them are still there; orders of `whole` get all or
    nothing.
    """
    found = Expected(dict(free))
    for one in in_order_of_commit(planned, partitions):
        before = dict(found.free)
        lines: list[dict[str, int] | None] = []
        lost: dict[tuple[str, str], tuple[int, int]] = {}
        for of in one.lines:
            parts = {part.location: part.quantity for part in of.units}
            there = {place: min(units, found.free[of.sku, place]) for place, units in parts.items()}
            if there != parts:
                lines.append(None)
                lost[one.order_id, of.line_id] = sum(parts.values()), sum(there.values())
                continue
            lines.append(parts)
            for place, units in parts.items():
                found.free[of.sku, place] -= units
        if lost and one.order_id in whole:
            found.free = before
            for of in one.lines:
                units = sum(part.quantity for part in of.units)
                lost.setdefault((one.order_id, of.line_id), (units, units))
            lines = [None] * len(one.lines)
        found.taken[one.order_id] = lines
        found.refused |= lost
    return found
