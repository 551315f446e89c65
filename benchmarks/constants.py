"""What does one position, reservation, movement or question cost? `python -m benchmarks.constants [--write]`.

Measures each constant that `invengine size` computes with and prints what invengine/domain/measured.py should hold;
with --write it is written there, and the examples of docs/sizing.md are computed anew. Bytes are Redis's own count
(used_memory before and after keys are deleted), processor time is that of the processes.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import platform
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time

import grpc
from redis.asyncio import Redis

from benchmarks import engine, memory_per_position, processes
from invengine.domain.orders import Candidate, LineRequest, ReservationChange, ReserveRequest
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.sizing import Demand, size
from invengine.domain.stock import Movement, MovementKind
from invengine.replica.replica import Replica
from invengine.store.backup import make_backup
from invengine.store.embedded import EmbeddedRedis
from invengine.store.opening import open_topology
from invengine.store.redis_store import RedisStore, StoreSettings
from invengine.v1 import availability_service_pb2, availability_service_pb2_grpc
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import reservation_service_pb2_grpc as pb_grpc

TARGET = Path(__file__).parents[1] / "invengine" / "domain" / "measured.py"
PAGE = Path(__file__).parents[1] / "docs" / "sizing.md"
SKUS, LOCATIONS, RESERVATIONS, BATCH, CALLS = 4_000, 10, 20_000, 100, 2_000

UNITS = {
    "redis_bytes_per_position": "bytes",
    "redis_bytes_per_live_reservation": "bytes",
    "redis_bytes_per_closed_reservation": "bytes",
    "redis_bytes_per_request": "bytes",
    "redis_bytes_per_movement": "bytes",
    "redis_bytes_per_logged_change": "bytes",
    "redis_microseconds_per_reservation": "us of CPU",
    "redis_microseconds_per_change": "us of CPU",
    "redis_microseconds_per_movement": "us of CPU",
    "aof_bytes_per_reservation": "bytes",
    "aof_bytes_per_change": "bytes",
    "aof_bytes_per_movement": "bytes",
    "feed_bytes_per_change": "bytes",
    "snapshot_bytes_per_memory_byte": "ratio",
    "server_bytes_per_position": "bytes",
    "server_bytes_at_rest": "bytes",
    "server_microseconds_per_question": "us of CPU",
    "server_microseconds_per_sku_in_batch": "us of CPU",
    "server_microseconds_per_reservation": "us of CPU",
    "server_microseconds_per_reservation_in_batch": "us of CPU",
    "server_microseconds_per_followed_change": "us of CPU",
}
"""What is measured here, and its unit."""


class Meter:
    """What a Redis has used so far, and the difference since the last look."""

    def __init__(self, client: Redis) -> None:
        self._client, self._last = client, {"cpu": 0.0, "aof": 0.0}

    async def memory(self) -> int:
        """Bytes that its data use."""
        while True:
            facts = await self._client.info("memory")
            if not facts["lazyfree_pending_objects"]:  # what was deleted is freed by another thread
                return int(facts["used_memory"])
            await asyncio.sleep(0.01)

    async def since(self) -> dict[str, float]:
        """Seconds of CPU and bytes of AOF since the last call."""
        cpu, aof = await self._client.info("cpu"), await self._client.info("persistence")
        now = {"cpu": cpu["used_cpu_user"] + cpu["used_cpu_sys"], "aof": float(aof["aof_current_size"])}
        before, self._last = self._last, now
        return {name: now[name] - before[name] for name in now}

    async def freed_by(self, *patterns: str) -> int:
        """Bytes that go with the keys of these patterns."""
        names = [name for pattern in patterns for name in [n async for n in self._client.scan_iter(match=pattern)]]
        before = await self.memory()
        for start in range(0, len(names), 500):
            await self._client.delete(*names[start : start + 500])
        return before - await self.memory()


@asynccontextmanager
async def store() -> AsyncIterator[tuple[RedisStore, Redis, str]]:
    """A store as a single server has it, in a Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="invengine-bench-") as folder:
        embedded = EmbeddedRedis(Path(folder) / "data")
        url = await embedded.start()
        try:
            async with Redis.from_url(url) as client:
                settings = StoreSettings(log_length_max=10_000_000)
                yield await RedisStore.open(client, partitions=16, settings=settings), client, url
        finally:
            await embedded.stop()


def request(number: int) -> ReserveRequest:
    """One unit of one SKU."""
    candidates = (Candidate(engine.location(number % LOCATIONS), 1, 0),)
    line = LineRequest("1", engine.sku(number * 7919 % SKUS), 1, candidates)
    return ReserveRequest(f"request-{number:08d}", "f" * 32, f"reservation-{number:08d}", "web", (line,), 9_000)


def change(verb: str, number: int) -> ReservationChange:
    """A step of it, whole."""
    return ReservationChange(f"{verb}-{number:08d}", "f" * 32, f"reservation-{number:08d}", "web")


async def kept() -> dict[str, float]:
    """What the store keeps and what its calls cost Redis."""
    found: dict[str, float] = {}
    async with store() as (live, client, url):
        meter = Meter(client)
        await meter.since()
        for first in range(0, SKUS, 25):
            await live.post_movements(
                [
                    Movement("fill", f"{sku}/{place}", 1, MovementKind.RECEIPT, engine.sku(sku), place, 10_000)
                    for sku in range(first, first + 25)
                    for place in map(engine.location, range(LOCATIONS))
                ]
            )
        positions, used = SKUS * LOCATIONS, await meter.since()
        found["redis_microseconds_per_movement"] = used["cpu"] / positions * 1e6
        found["aof_bytes_per_movement"] = used["aof"] / positions
        found["redis_bytes_per_movement"] = await meter.freed_by("{p*}:events:*", "{p*}:trail:*") / positions
        await meter.freed_by("{p*}:log")
        await meter.since()
        numbers, revisions = range(RESERVATIONS), await live.revisions()
        for batch in _batches(numbers):
            written = await live.reserve([request(number) for number in batch])
            if not all(isinstance(outcome, ReservationAnswer) for outcome in written.outcomes):
                raise RuntimeError(f"refused: {written.outcomes[0]}")
        used = await meter.since()
        found["redis_microseconds_per_reservation"] = used["cpu"] / RESERVATIONS * 1e6
        found["aof_bytes_per_reservation"] = used["aof"] / RESERVATIONS
        entries = await live.read_log(revisions, 0, 1_000_000)
        found["feed_bytes_per_change"] = sum(len(entry.rows) for entry in entries) / RESERVATIONS
        found["redis_bytes_per_logged_change"] = await meter.freed_by("{p*}:log") / RESERVATIONS
        found["redis_bytes_per_request"] = await meter.freed_by("{p*}:requests:*") / RESERVATIONS
        with tempfile.TemporaryDirectory() as folder:
            topology = open_topology(url)
            manifest = await make_backup(topology, Path(folder) / "b")
            await topology.aclose()
            found["snapshot_bytes_per_memory_byte"] = manifest.parts[0].bytes / await meter.memory()
        await meter.since()
        for verb in ("confirm", "fulfil"):
            for batch in _batches(numbers):
                await getattr(live, verb)([change(verb, number) for number in batch])
        used = await meter.since()
        found["redis_microseconds_per_change"] = used["cpu"] / (2 * RESERVATIONS) * 1e6
        found["aof_bytes_per_change"] = used["aof"] / (2 * RESERVATIONS)
        await meter.freed_by("{p*}:log", "{p*}:requests:*", "{p*}:trail:*", "{p*}:expiry*")
        found["redis_bytes_per_closed_reservation"] = await meter.freed_by("{p*}:closed:*") / RESERVATIONS
        for batch in _batches(range(RESERVATIONS, 2 * RESERVATIONS)):
            await live.reserve([request(number) for number in batch])
        await meter.freed_by("{p*}:log", "{p*}:requests:*")
        found["redis_bytes_per_live_reservation"] = (
            await meter.freed_by("{p*}:reservations", "{p*}:expiry*", "{p*}:customer:*") / RESERVATIONS
        )
        found["redis_bytes_per_position"] = await meter.freed_by("{p*}:stock:*") / positions
    return found


def _batches(numbers: range) -> list[range]:
    return [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]


def served() -> dict[str, float]:
    """What calls cost a server, and what a server beside it pays to follow them."""
    found: dict[str, float] = {}
    with engine.process() as (address, pid):
        found["server_bytes_at_rest"] = _resident(pid)
        engine.fill(address, 500, LOCATIONS)
        with grpc.insecure_channel(address) as channel:
            availability = availability_service_pb2_grpc.AvailabilityServiceStub(channel)
            reservations = pb_grpc.ReservationServiceStub(channel)

            def question(number: int) -> None:
                availability.GetAvailability(
                    availability_service_pb2.GetAvailabilityRequest(sku=engine.sku(number % 500), channel="web")
                )

            def batch_question(_: int) -> None:
                availability.BatchGetAvailability(
                    availability_service_pb2.BatchGetAvailabilityRequest(
                        skus=[engine.sku(number) for number in range(500)], channel="web"
                    )
                )

            def reserve(number: int) -> None:  # sixteen callers at once: their writes go to Redis together
                calls = [reservations.CreateReservation.future(_asked(f"u{number}/{n}", n)) for n in range(16)]
                for call in calls:
                    call.result()

            def batch_reserve(number: int) -> None:
                asked = [_asked(f"b{number}/{n}", n) for n in range(BATCH)]
                reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=asked))

            found["server_microseconds_per_question"] = _cpu(pid, question, CALLS)
            found["server_microseconds_per_sku_in_batch"] = _cpu(pid, batch_question, 40) / 500
            found["server_microseconds_per_reservation"] = _cpu(pid, reserve, 150) / 16
            found["server_microseconds_per_reservation_in_batch"] = _cpu(pid, batch_reserve, 40) / BATCH
    return found


def _asked(name: str, number: int) -> pb.CreateReservationRequest:
    line = pb.ReservationLineRequest(sku=engine.sku(number % 500), quantity=1)
    return pb.CreateReservationRequest(request_id=name, channel="web", lines=[line])


def _cpu(pid: int, call: Callable[[int], None], count: int) -> float:
    """Microseconds of a process per call."""
    for number in range(max(3, count // 10)):
        call(-1 - number)
    before = processes.cpu_seconds(pid)
    for number in range(count):
        call(number)
    return (processes.cpu_seconds(pid) - before) / count * 1e6


def _resident(pid: int) -> float:
    return float(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096)


async def followed() -> dict[str, float]:
    """What a replica pays for a change that another server made: reading the log and applying it."""
    async with store() as (live, _, _):
        for first in range(0, SKUS, 25):
            await live.post_movements(
                [
                    Movement("fill", f"{sku}/{place}", 1, MovementKind.RECEIPT, engine.sku(sku), place, 10_000)
                    for sku in range(first, first + 25)
                    for place in map(engine.location, range(LOCATIONS))
                ]
            )
        replica = Replica(live.partitions, live.store_id)
        replica.apply(await live.read_log([0] * live.partitions, 0, 1_000_000))
        before = list(replica.applied)
        for batch in _batches(range(RESERVATIONS)):
            await live.reserve([request(number) for number in batch])
        began = process_time()
        replica.apply(await live.read_log(before, 0, 1_000_000))
        seconds = process_time() - began
        if list(replica.applied) == before:
            raise RuntimeError("nothing was followed")
    return {"server_microseconds_per_followed_change": seconds / RESERVATIONS * 1e6}


def measured() -> dict[str, float]:
    """Every constant."""
    found = asyncio.run(kept()) | served() | asyncio.run(followed())
    found["server_bytes_per_position"] = memory_per_position.server_bytes()
    if set(found) != set(UNITS):
        raise RuntimeError(f"measured and named differ: {set(found) ^ set(UNITS)}")
    return found


def module(found: dict[str, float]) -> str:
    """The text of invengine/domain/measured.py."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    machine = f"{platform.machine()}, Python {platform.python_version()}, {day}"
    lines = [
        '"""What things cost, as `python -m benchmarks.constants --write` measured them and wrote this file."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        f'MACHINE: Final = "{machine}"',
        "",
        "MEASURED: Final[dict[str, tuple[float, str]]] = {",
        *(f'    "{name}": ({found[name]:.4g}, "{unit}"),' for name, unit in UNITS.items()),
        "}",
        '"""Name -> value and unit; benchmarks/constants.py says how each is measured."""',
        "",
    ]
    return "\n".join(lines)


EXAMPLES = {
    "a shop": Demand(positions=1e6, questions=5_000, reservations=200, movements=200, retention_hours=48),
    "the largest": Demand(
        positions=1e8,
        questions=100_000,
        reservations=100_000,
        mean_share=0.1,
        live_hours=2,
        retention_hours=24,
        batched=True,
    ),
}
"""Of docs/sizing.md, by the name between their markers."""


def example(name: str, constants: Mapping[str, tuple[float, str]]) -> str:
    """A table of Markdown: the steps of an example."""
    rows = ["| Of | Figure | Value | Computed as |", "|---|---|---|---|"]
    for step in size(EXAMPLES[name], constants).steps:
        value = f"{step.value:,.0f}" if step.value >= 100 else f"{step.value:.3g}"
        rows.append(f"| {step.section} | {step.name} | {value} {step.unit} | {step.computation} |")
    return "\n".join(rows)


def document(text: str, constants: Mapping[str, tuple[float, str]]) -> str:
    """The page with its examples computed anew."""
    for name in EXAMPLES:
        begin, end = f"<!-- {name}:begin -->\n", f"\n<!-- {name}:end -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise RuntimeError(f"docs/sizing.md lacks the markers of {name}")
        text = head + begin + example(name, constants) + end + tail
    return text


def main() -> None:
    """Measure, print, and write where that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constants", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write invengine/domain/measured.py")
    arguments = parser.parse_args()
    found = measured()
    text = module(found)
    if arguments.write:
        TARGET.write_text(text, encoding="utf-8")
        rounded = {name: (float(f"{found[name]:.4g}"), unit) for name, unit in UNITS.items()}
        PAGE.write_text(document(PAGE.read_text(encoding="utf-8"), rounded), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
