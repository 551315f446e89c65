"""How many more positions of stock a second than PostgreSQL behind asyncpg, a thousand SKUs asked at once?"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from typing import Any

import grpc
import numpy as np
import uvloop

from benchmarks import engine
from benchmarks.figures import Figure, compare, in_turn, ratio, say
from benchmarks.postgres import MISSING, find_programs, postgres
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SKUS, LOCATIONS, UNITS, BATCH, IN_FLIGHT = 10_000, 10, 1_000, 1_000, 4
CALLS, QUERIES = 200, 40
METHOD = "/invengine.v1.AvailabilityService/BatchGetAvailability"
MISSING_DRIVER = "asyncpg is not installed (pip install -e '.[bench]'): skipped"
# A unit of each SKU is safety stock at the first location, in both.
POSITIONS = """SELECT sku, location, greatest(0, on_hand - reserved - safety_stock)
  FROM positions WHERE sku = ANY($1::text[])"""
TOTALS = """SELECT sku, sum(greatest(0, on_hand - reserved - safety_stock))::bigint
  FROM positions WHERE sku = ANY($1::text[]) GROUP BY sku"""


async def ask_postgres(dsn: str, query: str, skus: list[str], count: int) -> tuple[float, list[Any]]:
    """SKUs answered a second by prepared statements on IN_FLIGHT connections; the rows of one answer."""
    import asyncpg

    connections = [await asyncpg.connect(dsn) for _ in range(IN_FLIGHT)]
    rows: list[Any] = []

    async def client(connection: Any, queries: int) -> None:
        nonlocal rows
        statement = await connection.prepare(query)
        for _ in range(queries):
            rows = await statement.fetch(skus)

    await asyncio.gather(*[client(connection, 2) for connection in connections])
    began = time.perf_counter()
    await asyncio.gather(*[client(connection, count // IN_FLIGHT) for connection in connections])
    seconds = time.perf_counter() - began
    for connection in connections:
        await connection.close()
    return len(skus) * (count // IN_FLIGHT * IN_FLIGHT) / seconds, rows


async def ask_engine(address: str, request: bytes, count: int) -> float:
    """SKUs answered a second, IN_FLIGHT calls at a time, every answer decoded, as asyncpg decodes its rows."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        call = channel.unary_unary(METHOD)
        await channel.channel_ready()

        async def client(calls: int) -> None:
            for _ in range(calls):
                messages.BatchGetAvailabilityResponse.FromString(await call(request))

        began = time.perf_counter()
        await asyncio.gather(*[client(count // IN_FLIGHT) for _ in range(IN_FLIGHT)])
        return BATCH * (count // IN_FLIGHT * IN_FLIGHT) / (time.perf_counter() - began)


def check(answer: messages.BatchGetAvailabilityResponse, rows: list[Any], skus: list[str]) -> None:
    """Raise unless both say the same of every position."""
    theirs = {(sku, location): available for sku, location, available in rows}
    places = iter(zip(answer.location_index, answer.location_available, strict=True))
    ours = {
        (sku, answer.locations[index]): available
        for sku, count in zip(skus, answer.row_counts, strict=True)
        for index, available in (next(places) for _ in range(count))
    }
    if ours != theirs or len(ours) != BATCH * LOCATIONS:
        raise RuntimeError("the answers differ")


def run(*, quick: bool) -> list[Figure]:
    """1,000 random SKUs by their names in 10 locations, each position and then totals alone, 4 questions in flight."""
    if find_programs() is None:
        print("  " + MISSING)
        return []
    if importlib.util.find_spec("asyncpg") is None:
        print("  " + MISSING_DRIVER)
        return []
    rounds = 5 if quick else 11
    skus = [engine.sku(int(number)) for number in np.random.default_rng(7).permutation(SKUS)[:BATCH]]
    with postgres() as server, engine.engine() as address:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        server.fill(SKUS, LOCATIONS, UNITS)
        server.execute(
            f"UPDATE positions SET safety_stock = 1 WHERE location = '{engine.location(0)}'; VACUUM positions"
        )
        asked = messages.BatchGetAvailabilityRequest(skus=skus, channel=engine.CHANNEL)
        totals = messages.BatchGetAvailabilityRequest(skus=skus, channel=engine.CHANNEL, totals_only=True)
        with grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
            stub = services.AvailabilityServiceStub(channel)
            answer, total = stub.BatchGetAvailability(asked), stub.BatchGetAvailability(totals)
            handled = engine.by_handle(stub, totals)
            if list(stub.BatchGetAvailability(handled).available) != list(total.available):
                raise RuntimeError("by handle the totals differ")
        check(answer, uvloop.run(ask_postgres(server.dsn, POSITIONS, skus, IN_FLIGHT))[1], skus)
        rows = uvloop.run(ask_postgres(server.dsn, TOTALS, skus, IN_FLIGHT))[1]
        if dict(map(tuple, rows)) != dict(zip(skus, total.available, strict=True)):
            raise RuntimeError("the totals differ")
        by_position = compare(
            lambda: uvloop.run(ask_engine(address, asked.SerializeToString(), CALLS)),
            lambda: uvloop.run(ask_postgres(server.dsn, POSITIONS, skus, QUERIES))[0],
            rounds,
        )
        named, by_handles, theirs = in_turn(
            lambda: uvloop.run(ask_engine(address, totals.SerializeToString(), 4 * CALLS)),
            lambda: uvloop.run(ask_engine(address, handled.SerializeToString(), 4 * CALLS)),
            lambda: uvloop.run(ask_postgres(server.dsn, TOTALS, skus, QUERIES))[0],
            rounds=rounds,
        )
        by_total, by_handle = ratio(named, theirs), ratio(by_handles, theirs)
        version = server.version
    say("1,000 SKUs x 10 locations / PostgreSQL, SKUs/s", "20: 1 ms a call beside 20 ms", str(by_position))
    say("totals of 1,000 SKUs / PostgreSQL, SKUs/s", "15: 0.5 ms a call beside 8 ms", str(by_total))
    say("the same by handle", "20: 0.4 ms a call beside 8 ms", str(by_handle))
    setup = f"by SKU string, {IN_FLIGHT} in flight; asyncpg, PostgreSQL {version}"
    return [
        Figure("positions of 1,000 SKUs / PostgreSQL", by_position.median, "x", "higher", 20, setup),
        Figure("totals of 1,000 SKUs / PostgreSQL", by_total.median, "x", "higher", 5, setup),
        Figure(
            "totals of 1,000 SKUs by handle / PostgreSQL",
            by_handle.median,
            "x",
            "higher",
            20,
            setup.replace("SKU string", "handle"),
        ),
    ]
