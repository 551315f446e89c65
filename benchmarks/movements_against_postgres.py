"""How many more durable movements a second than PostgreSQL, from feeds, on the same machine?"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter

import grpc

from benchmarks import engine, processes
from benchmarks.feeding import Feeders, Run, changes
from benchmarks.figures import Figure, in_turn, ratio, say
from benchmarks.postgres import MISSING, Postgres, find_programs, postgres
from benchmarks.reserving import RunningEngine
from invengine.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    availability_service_pb2,
    availability_service_pb2_grpc,
    common_pb2,
)

SKUS, LOCATIONS, UNITS = 10_000, 10, 100_000
STREAMS, BATCH, MOVEMENTS = 2, 500, 40_000
CLIENTS, ROWS, ROW_CLIENTS, SECONDS = 32, 1_000, 4, 2
SKU, LOCATION = "'SKU-' || lpad({}::text, 8, '0')", "'L' || lpad({}::text, 3, '0')"
ONE = f"""\\set sku random(0, {SKUS - 1})
\\set location random(0, {LOCATIONS - 1})
\\set units random(-3, 2)
SELECT post_movement('wms', gen_random_uuid()::text, now(), 'MOVE',
  {SKU.format(":sku")}, {LOCATION.format(":location")},
  CASE WHEN :units < 0 THEN :units ELSE :units + 1 END);
"""
MANY = f"""SELECT post_movements('wms', array_agg(gen_random_uuid()::text), now(),
  array_agg({SKU.format(f"floor(random() * {SKUS})")}), array_agg({LOCATION.format(f"floor(random() * {LOCATIONS})")}),
  array_agg((CASE WHEN random() < 0.5 THEN -1 ELSE 1 END * (1 + floor(random() * 3)))::bigint))
  FROM generate_series(1, {ROWS});
"""


def check_postgres(server: Postgres, posted: int) -> None:
    """Raise unless every movement is remembered and in the ledger once, and the positions are its sums."""
    found = server.execute(
        f"""SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM movement_ledger),
             (SELECT sum(revision) FROM positions),
             (SELECT sum(on_hand) FROM positions) - (SELECT sum(units) FROM movement_ledger)
               - {SKUS * LOCATIONS * UNITS},
             (SELECT count(*)
               FROM (SELECT sku, location, sum(units) AS units FROM movement_ledger GROUP BY 1, 2) AS moved
               JOIN positions USING (sku, location) WHERE on_hand <> {UNITS} + moved.units)"""
    )
    if found != f"{posted}|{posted}|{posted}|0|0":
        raise RuntimeError(f"PostgreSQL: {found}, not {posted} everywhere and the sums of the ledger")


def check_engine(address: str, moved: Counter[str]) -> None:
    """Raise unless every SKU has what the movements left it, and the store adds up."""
    skus = list(map(engine.sku, range(SKUS)))
    question = availability_service_pb2.BatchGetAvailabilityRequest(
        skus=skus,
        channel=engine.CHANNEL,
        totals_only=True,
        consistency=common_pb2.Consistency(fully_consistent=True),
    )
    with grpc.insecure_channel(address) as channel:
        answer = availability_service_pb2_grpc.AvailabilityServiceStub(channel).BatchGetAvailability(question)
        report = admin_service_pb2_grpc.AdminServiceStub(channel).CheckIntegrity(
            admin_service_pb2.CheckIntegrityRequest(), timeout=120
        )
    kept = 1  # of each SKU one unit is safety stock
    wrong = [
        sku for sku, units in zip(skus, answer.available, strict=True) if units != UNITS * LOCATIONS - kept + moved[sku]
    ]
    if wrong or report.violations_count:
        raise RuntimeError(f"{len(wrong)} SKUs are not what the movements left, {report.violations_count} violations")


def explain(runs: list[Run]) -> str:
    """Microseconds per movement, medians over runs."""

    def median(name: str, *path: str) -> tuple[str, float]:
        def of(run: Run) -> float:
            value: object = run
            for part in path:
                value = getattr(value, part)
            assert isinstance(value, float)
            return 1e6 * value / run.applied

        return name, statistics.median(map(of, runs))

    lines = [
        median("wall clock", "seconds"),
        median("client CPU, packing included", "client_cpu_seconds"),
        median("server CPU", "server_cpu_seconds"),
        median("Redis CPU", "redis", "cpu"),
        median("  of its time in functions (Lua and its commands)", "redis", "functions"),
    ]
    return "\n".join(f"      {name:<50}{spent:8.1f}" for name, spent in lines)


def run(*, quick: bool) -> list[Figure]:
    """Receipts and sales over all positions, every acknowledgement on disk: streams against one row and many a call."""
    if find_programs() is None:
        print("  " + MISSING)
        return []
    rounds = 5 if quick else 11
    with postgres() as server, engine.process() as (address, pid):
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        server.fill(SKUS, LOCATIONS, UNITS)
        feeders = Feeders(address, RunningEngine(pid), STREAMS, BATCH)
        runs: list[Run] = []
        moved: Counter[str] = Counter()
        posted, postgres_cpu = 0, 0.0
        sources = [changes(seed, SKUS, LOCATIONS) for seed in range(STREAMS)]

        def ours() -> float:
            feeds = [list(itertools.islice(source, MOVEMENTS // STREAMS)) for source in sources]
            runs.append(feeders.feed(feeds))
            for sku, _, units in itertools.chain(*feeds):
                moved[sku] += units
            return runs[-1].per_second

        def one() -> float:
            nonlocal posted, postgres_cpu
            before = processes.tree_cpu_seconds(server.pid)
            load = server.load(ONE, CLIENTS, seconds=SECONDS)
            spent = load.client_cpu_seconds + processes.tree_cpu_seconds(server.pid) - before
            postgres_cpu = 1e6 * spent / load.transactions
            posted += load.transactions
            return load.per_second

        def many() -> float:
            nonlocal posted
            load = server.load(MANY, ROW_CLIENTS, seconds=SECONDS)
            posted += ROWS * load.transactions
            return ROWS * load.per_second

        rates = in_turn(ours, one, many, rounds=rounds)
        check_engine(address, moved)
        check_postgres(server, posted)
        version = server.version
    against_one, against_many = ratio(rates[0], rates[1]), ratio(rates[0], rates[2])
    say(
        "durable movements over streams / PostgreSQL, movements/s",
        "3: 40 us of Redis's one thread each, beside 130 us on two cores",
        str(against_one),
    )
    say(f"the same / PostgreSQL with {ROWS:,} rows in a call", "0.4: some 20 us a row on two cores", str(against_many))
    print(f"    PostgreSQL: {postgres_cpu:.0f} us of CPU a movement, pgbench's included")
    print("    the engine, us a movement:\n" + explain(runs[1:]))
    mine = f"{STREAMS} streams, requests of {BATCH}, fsync"
    return [
        Figure(
            "durable movements / PostgreSQL, one row each",
            against_one.median,
            "x",
            "higher",
            8,
            f"{mine}; PostgreSQL {version}: pgbench, {CLIENTS} clients",
        ),
        Figure(
            f"durable movements / PostgreSQL, {ROWS:,} rows a call",
            against_many.median,
            "x",
            "higher",
            1,
            f"{mine}; PostgreSQL {version}: pgbench, {ROW_CLIENTS} clients",
        ),
    ]
