"""How many more durable reservations a second than PostgreSQL, on the same machine?"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from benchmarks import engine, processes
from benchmarks.figures import Figure, in_turn, ratio, say
from benchmarks.postgres import MISSING, Postgres, find_programs, postgres
from benchmarks.reserving import Callers, Run, RunningEngine, Unit, check_engine
from benchmarks.reserving_parts import explain, steps

SKUS, LOCATIONS, UNITS = 10_000, 10, 1_000
BATCH, CALLERS, CALLS = 200, 4, 100
CLIENTS, BATCH_CLIENTS, SECONDS = 32, 4, 2
SKU, LOCATION = "'SKU-' || lpad({}::text, 8, '0')", "'L' || lpad({}::text, 3, '0')"
FINGERPRINT = "'00112233-4455-6677-8899-aabbccddeeff'"
ONE = f"""\\set sku random(0, {SKUS - 1})
\\set location random(0, {LOCATIONS - 1})
SELECT reserve('web', gen_random_uuid(), {FINGERPRINT}, {SKU.format(":sku")}, {LOCATION.format(":location")}, 1, 900);
"""
MANY = f"""SELECT reserve_many('web', array_agg(gen_random_uuid()), {FINGERPRINT},
  array_agg({SKU.format(f"floor(random() * {SKUS})")}), array_agg({LOCATION.format(f"floor(random() * {LOCATIONS})")}),
  900) FROM generate_series(1, {BATCH});
"""


def units(count: int) -> Iterator[Unit]:
    """Units of random SKUs, each at a named location."""
    numbers = random.Random(5)
    skus = list(map(engine.sku, range(SKUS)))
    places = list(map(engine.location, range(LOCATIONS)))
    return ((numbers.choice(skus), numbers.choice(places)) for _ in range(count))


def check_postgres(server: Postgres, reserved: int) -> None:
    """Raise unless every reservation took exactly one unit, once, in every table."""
    found = server.execute(
        """SELECT (SELECT sum(reserved) FROM positions), (SELECT count(*) FROM reservations),
             (SELECT sum(quantity) FROM reservation_lines), (SELECT sum(units) FROM ledger),
             (SELECT count(*) FROM positions WHERE reserved > on_hand)"""
    )
    if found != f"{reserved}|{reserved}|{reserved}|{reserved}|0":
        raise RuntimeError(f"PostgreSQL: {found}, not {reserved} everywhere and 0 oversold")


def run(*, quick: bool) -> list[Figure]:
    """Single lines, spread over all positions, every answer on disk: gRPC batches against one call each and arrays."""
    if find_programs() is None:
        print("  " + MISSING)
        return []
    rounds = 5 if quick else 11
    with postgres() as server, engine.process() as (address, pid):
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        server.fill(SKUS, LOCATIONS, UNITS)
        running = RunningEngine(pid)
        callers = Callers(address, running, CALLERS, BATCH)
        runs: list[Run] = []
        postgres_reserved, postgres_cpu = 0, 0.0

        def ours() -> float:
            runs.append(callers.reserve(units(BATCH * CALLS)))
            if runs[-1].refused:
                raise RuntimeError("refused, though there are units")
            return runs[-1].per_second

        def one() -> float:
            nonlocal postgres_reserved, postgres_cpu
            before = processes.tree_cpu_seconds(server.pid)
            load = server.load(ONE, CLIENTS, seconds=SECONDS)
            spent = load.client_cpu_seconds + processes.tree_cpu_seconds(server.pid) - before
            postgres_cpu = 1e6 * spent / load.transactions
            postgres_reserved += load.transactions
            return load.per_second

        def arrays() -> float:
            nonlocal postgres_reserved
            load = server.load(MANY, BATCH_CLIENTS, seconds=SECONDS)
            postgres_reserved += BATCH * load.transactions
            return BATCH * load.per_second

        rates = in_turn(ours, one, arrays, rounds=rounds)
        fresh = units(10 * BATCH)
        parts, reserved = steps(
            running, [callers.request(list(itertools.islice(fresh, BATCH))) for _ in range(10)], LOCATIONS
        )
        reserved += sum(run.accepted for run in runs)
        sellable = SKUS * (LOCATIONS * UNITS - 1)  # one unit of each SKU is safety stock
        check_engine(address, list(map(engine.sku, range(SKUS))), sellable, reserved)
        check_postgres(server, postgres_reserved)
        version = server.version
    against_one, against_arrays = ratio(rates[0], rates[1]), ratio(rates[0], rates[2])
    say(
        "durable reservations over gRPC batches / PostgreSQL, reservations/s",
        "2.4: 85 us of CPU each, all processes together, beside 200 us",
        str(against_one),
    )
    say("the same / PostgreSQL with arrays of 100 in a call", "0.8: 65 us each", str(against_arrays))
    print(f"    PostgreSQL: {postgres_cpu:.0f} us of CPU a reservation, pgbench's included")
    print("    the engine, us a reservation:\n" + explain(runs[1:], parts))
    mine = f"batches of {BATCH}, {CALLERS} in flight, fsync"
    theirs = f"PostgreSQL {version}: pgbench,"
    return [
        Figure(
            "durable reservations / PostgreSQL, one call each",
            against_one.median,
            "x",
            "higher",
            8,
            f"{mine}; {theirs} {CLIENTS} clients",
        ),
        Figure(
            f"durable reservations / PostgreSQL, arrays of {BATCH}",
            against_arrays.median,
            "x",
            "higher",
            1,
            f"{mine}; {theirs} {BATCH_CLIENTS} clients",
        ),
    ]
