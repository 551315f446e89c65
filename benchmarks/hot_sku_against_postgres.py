"""How much sooner is one hot SKU sold out than in PostgreSQL, 64 clients taking a unit each, again and again?"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from benchmarks import engine
from benchmarks.figures import Figure, in_turn, ratio, say
from benchmarks.postgres import MISSING, Postgres, find_programs, postgres
from benchmarks.reserving import Callers, Run, RunningEngine, check_engine
from benchmarks.reserving_parts import explain

UNITS, UNITS_QUICK, CLIENTS, POOL, LOCATION = 10_000, 2_000, 64, 4, 1
GATHERED = CLIENTS // 2
FINGERPRINT = "00112233-4455-6677-8899-aabbccddeeff"
SCRIPT = "SELECT reserve('web', gen_random_uuid(), '{fingerprint}', '{sku}', '{location}', 1, 900);\n"


def check_postgres(server: Postgres, sold_out: int, units: int) -> None:
    """Raise unless so many SKUs have no unit left, and every unit was taken exactly once."""
    found = server.execute(
        f"""SELECT (SELECT count(*) FROM positions WHERE reserved = {units} AND on_hand = {units}),
             (SELECT sum(reserved) FROM positions), (SELECT count(*) FROM reservations),
             (SELECT sum(quantity) FROM reservation_lines), (SELECT sum(units) FROM ledger)"""
    )
    if found != "|".join(map(str, (sold_out, *[sold_out * units] * 4))):
        raise RuntimeError(f"PostgreSQL: {found}, not {sold_out} SKUs of {units} sold out once")


def run(*, quick: bool) -> list[Figure]:
    """Seconds until sold out: unary calls of 64 clients, the same gathered in batches, pgbench with 64 and with 4."""
    if find_programs() is None:
        print("  " + MISSING)
        return []
    rounds, units = (5, UNITS_QUICK) if quick else (7, UNITS)
    each = units // CLIENTS + 1  # the last of them come too late
    rows = 2 * (rounds + 1)  # a SKU of its own for every time it is sold out
    with postgres() as server, engine.process() as (address, pid):
        engine.fill(address, rows, LOCATION + 1, units)
        server.fill(rows, LOCATION + 1, units)
        running = RunningEngine(pid)
        place = engine.location(LOCATION)  # the other one keeps a unit as safety stock
        runs: dict[str, list[Run]] = {"gathered": [], "unary": []}

        def ours(kind: str, callers: Callers, numbers: range) -> Callable[[], float]:
            skus = map(engine.sku, numbers)

            def sell_out() -> float:
                done = callers.reserve(itertools.repeat((next(skus), place), each * CLIENTS))
                if (done.accepted, done.refused) != (units, each * CLIENTS - units):
                    raise RuntimeError(f"{done.accepted} accepted, {done.refused} refused")
                runs[kind].append(done)
                return done.seconds

            return sell_out

        def theirs(clients: int, numbers: range) -> Callable[[], float]:
            skus = map(engine.sku, numbers)

            def sell_out() -> float:
                script = SCRIPT.format(fingerprint=FINGERPRINT, sku=next(skus), location=place)
                return server.load(script, clients, transactions_each=each * CLIENTS // clients).seconds

            return sell_out

        first, second = range(rows // 2), range(rows // 2, rows)
        gathered, unary, crowd, pool = in_turn(
            ours("gathered", Callers(address, running, CLIENTS // GATHERED, GATHERED), first),
            ours("unary", Callers(address, running, CLIENTS, 1), second),
            theirs(CLIENTS, first),
            theirs(POOL, second),
            rounds=rounds,
        )
        sellable = rows * (2 * units - 1)
        check_engine(address, [engine.sku(n) for n in range(rows)], sellable, rows * units)
        check_postgres(server, rows, units)
        version = server.version
    setup = f"{units:,} units, {CLIENTS} clients"
    shape = f"{setup}, gathered by their channel in batches of {GATHERED}, 2 in flight"
    say(
        f"PostgreSQL, {CLIENTS} clients / engine, {shape}",
        "15: every transaction waits for the lock until the one before is on disk",
        str(against := ratio(crowd, gathered)),
    )
    say(f"PostgreSQL, {CLIENTS} clients / engine, unary calls", "2: 300 us a call", str(alone := ratio(crowd, unary)))
    say(f"PostgreSQL behind a pool of {POOL} / the batches", "8: no crowd at the lock", str(ratio(pool, gathered)))
    for kind, done in runs.items():
        print(f"    the engine, {kind}, us a reservation:\n" + explain(done[1:], []))
    peer = f"PostgreSQL {version}: pgbench, {CLIENTS} clients"
    return [
        Figure("hot SKU sold out: PostgreSQL / engine, batches", against.median, "x", "higher", 30, f"{shape}; {peer}"),
        Figure("hot SKU sold out: PostgreSQL / engine, unary", alone.median, "x", "higher", 1, f"{setup}; {peer}"),
        Figure(
            "hot SKU sold out: PostgreSQL behind a pool / engine, batches",
            ratio(pool, gathered).median,
            "x",
            "higher",
            1,
            f"{shape}; PostgreSQL {version}: pgbench, {POOL} clients",
        ),
    ]
