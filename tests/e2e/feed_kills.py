"""Streams a history through a real server that is killed again and again, then compares every position.

    python -m tests.e2e.feed_kills FILE [--seconds-between-kills 4] [--locations 40] [--victims server,redis]

FILE is a history of sales as `invengine load` reads it. Every event goes over the client's feed as a movement, at the
place where the loader would put it; each position opens with the least stock that never runs out, so what it must hold
at the end is a sum that a plain dict keeps. kill -9 strikes the server (its Redis dies with it) or only its Redis.
Ends with 0 when every position is right, nothing was refused, and the integrity check finds nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

from invengine.cli.formats import FORMATS
from invengine.cli.formats.history import EventKind
from invengine.cli.loading.plan import location_names, network_document
from invengine.client import Client, Movement
from invengine.v1.stock_service_pb2 import PostMovementsResponse
from tests.cli.servers import Server

Position = tuple[str, str]
"""SKU and location."""

CHANNEL = "web"
RESULT = PostMovementsResponse.Outcome.Result


@dataclass
class Story:
    """What happens, in order, and what every position must hold at the end."""

    network: str
    movements: list[Movement] = field(default_factory=list)
    on_hand: dict[Position, int] = field(default_factory=dict)


@dataclass
class Told:
    """What a run came to."""

    kills: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    is_in_order: bool = True
    seconds: float = 0.0
    feed_position: int = 0
    differences: list[str] = field(default_factory=list)
    violations: int = 0


def made(kind: int, position: Position, units: int, event_id: str, moment_ms: int, reason: str = "") -> Movement:
    """A movement of the story."""
    sku, location = position
    movement = Movement(
        source="story", event_id=event_id, kind=kind, sku=sku, location=location, quantity=units, reason=reason
    )
    movement.occurred_at.FromMilliseconds(moment_ms)
    return movement


def synthetic_year(seed: int, count: int, *, skus: int = 40, locations: int = 6) -> Story:
    """So many movements spread over the year that ends now: receipts, sales, returns, losses, in its last days counts.

    Nothing in it can be refused: sales and losses take what is there.
    """
    chance = random.Random(seed)
    names = location_names(locations)
    story = Story(network_document(names, [CHANNEL]))
    end = datetime.now(UTC) - timedelta(hours=1)
    year_ms = 365 * 86_400_000
    start_ms, counts_from_ms = int(end.timestamp() * 1000) - year_ms, int(end.timestamp() * 1000) - 5 * 86_400_000
    for number in range(count):
        moment_ms = start_ms + number * (year_ms // count)
        position = f"Y{min(chance.randrange(skus), chance.randrange(skus)):03}", chance.choice(names)
        there = story.on_hand.get(position, 0)
        units, event_id = chance.randrange(1, 30), f"{seed}/{number}"
        if moment_ms > counts_from_ms and chance.random() < 0.05:
            movement = made(Movement.KIND_COUNT, position, max(0, there + chance.randrange(-3, 4)), event_id, moment_ms)
            story.on_hand[position] = movement.quantity
        elif there < units or chance.random() < 0.15:
            movement = made(Movement.KIND_RECEIPT, position, 4 * units, event_id, moment_ms)
            story.on_hand[position] = there + 4 * units
        elif chance.random() < 0.1:
            movement = made(Movement.KIND_RETURN, position, 1, event_id, moment_ms)
            story.on_hand[position] = there + 1
        elif chance.random() < 0.05:
            movement = made(Movement.KIND_ADJUSTMENT, position, -units, event_id, moment_ms, "broken")
            story.on_hand[position] = there - units
        else:
            movement = made(Movement.KIND_SALE, position, units, event_id, moment_ms)
            story.on_hand[position] = there - units
        story.movements.append(movement)
    return story


def history(path: Path, locations: int) -> Story:
    """A history of sales as movements, after the opening stock that it needs."""
    kinds = {
        EventKind.SALE: (Movement.KIND_SALE, -1, 1, ""),
        EventKind.RETURN: (Movement.KIND_RETURN, 1, 1, ""),
        EventKind.SHRINK: (Movement.KIND_ADJUSTMENT, -1, -1, "shrink"),
        EventKind.FOUND: (Movement.KIND_ADJUSTMENT, 1, 1, "found"),
    }
    names = location_names(locations)
    story = Story(network_document(names, [CHANNEL]))
    lowest: dict[Position, int] = {}
    balance: dict[Position, int] = {}
    first_ms = 0
    for event in FORMATS["online-retail"].events(path):
        first_ms = first_ms or event.occurred_at_ms
        position = event.sku, names[crc32(event.home_key.encode()) % locations]
        kind, sign, sent_sign, reason = kinds[event.kind]
        balance[position] = balance.get(position, 0) + sign * event.quantity
        lowest[position] = min(lowest.get(position, 0), balance[position])
        event_id = f"{event.document}/{event.row}"
        moved = made(kind, position, sent_sign * event.quantity, event_id, event.occurred_at_ms, reason)
        story.movements.append(moved)
    opening = [
        made(Movement.KIND_RECEIPT, position, -least, f"opening/{number}", first_ms)
        for number, (position, least) in enumerate(sorted(lowest.items()))
        if least
    ]
    story.movements[:0] = opening
    story.on_hand = {position: units - lowest[position] for position, units in balance.items()}
    return story


class Engine:
    """A server that is started again after every crash, over the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = Server(folder)
        self._starting: asyncio.Task[None] | None = None

    def crash(self) -> None:
        """kill -9, and another one in its place."""
        self.server.stop(signal.SIGKILL)
        self.server = Server(self._folder)
        self._starting = asyncio.create_task(asyncio.to_thread(self.server.wait))

    async def is_up(self) -> None:
        """Waits for the server that was started last; who is cancelled meanwhile lets it start all the same."""
        if self._starting is not None:
            await asyncio.shield(self._starting)


async def fed(
    story: Story,
    folder: Path,
    seconds_between_kills: float,
    victims: Sequence[str],
    seed: int,
    *,
    tells_progress: bool = False,
) -> Told:
    """Streams the story while processes are killed; what came of it."""
    told = Told()
    engine = Engine(folder)
    try:
        await asyncio.to_thread(engine.server.wait)
        async with Client(engine.server.address, channel=CHANNEL) as client:
            await client.apply_network(story.network)
            began = time.monotonic()
            killing = asyncio.create_task(kept_killing(engine, seconds_between_kills, victims, seed, told))
            if tells_progress:
                telling = asyncio.create_task(tell(told, len(story.movements)))
                killing.add_done_callback(lambda _: telling.cancel())
            feeding = asyncio.create_task(feed(client, story, told))
            await asyncio.wait({killing, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if killing.done():
                feeding.cancel()
                killing.result()
            killing.cancel()
            await asyncio.wait({killing})
            await feeding
            await engine.is_up()
            told.seconds = time.monotonic() - began
            await compare(client, story, told)
    finally:
        engine.server.stop()
    return told


async def tell(told: Told, count: int) -> None:
    """A line on stderr now and then."""
    while True:
        await asyncio.sleep(10)
        print(f"{told.acknowledged} of {count} acknowledged, kills {dict(told.kills)}", file=sys.stderr, flush=True)


async def feed(client: Client, story: Story, told: Told) -> None:
    async for ack in client.feed(story.movements, name="story", patience_seconds=300):
        told.is_in_order &= [position for position, _ in ack.items] == list(
            range(told.acknowledged + 1, told.acknowledged + len(ack.items) + 1)
        )
        told.acknowledged += len(ack.items)
        told.results.update(RESULT.Name(outcome.result).removeprefix("RESULT_") for outcome in ack.outcomes)


async def kept_killing(engine: Engine, seconds: float, victims: Sequence[str], seed: int, told: Told) -> None:
    """Kills one victim after the other, each some time after acknowledgements came again."""
    chance = random.Random(seed)
    while True:
        before = told.acknowledged
        while told.acknowledged == before:
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.5, 1.5) * seconds)  # the moment of the crash
        victim = victims[told.kills.total() % len(victims)]
        if victim == "redis":
            os.kill(await redis_of(engine.server), signal.SIGKILL)
            told.kills[victim] += 1
        else:
            engine.crash()
            told.kills[victim] += 1  # now: the feed may be at its end before the new server tells that it is there
            await engine.is_up()  # a server whose Redis dies while it starts gives up


async def redis_of(server: Server) -> int:
    """The process id of the server's Redis, its only child, as soon as there is one."""
    pid = server.process.pid
    async with asyncio.timeout(60):
        while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            await asyncio.sleep(0.01)
    return int(children[0])


async def compare(client: Client, story: Story, told: Told) -> None:
    """Every position of the story against the server, and the server against itself."""
    wanted: dict[str, dict[str, int]] = {}
    for (sku, location), units in story.on_hand.items():
        wanted.setdefault(sku, {})[location] = units
    ahead = asyncio.Semaphore(16)

    async def one(sku: str) -> None:
        async with ahead:
            answer = await client.get_availability(sku)
        found = {position.location: position.on_hand for position in answer.positions}
        for location in sorted(wanted[sku].keys() | found.keys()):
            if wanted[sku].get(location, 0) != found.get(location, 0):
                told.differences.append(
                    f"{sku} at {location}: {wanted[sku].get(location, 0)} expected, {found.get(location, 0)} on hand"
                )

    await asyncio.gather(*map(one, wanted))
    told.feed_position = (await client.feed_position("story")).position
    told.violations = (await client.check_integrity()).violations_count


async def main() -> int:
    """Run, print, 0 when all is right."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.feed_kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds-between-kills", type=float, default=4.0)
    parser.add_argument("--locations", type=int, default=40)
    parser.add_argument("--victims", default="server", help="server, redis or both, with a comma; taken in turn")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    story = history(asked.file, asked.locations)
    with tempfile.TemporaryDirectory(prefix="feed-kills-") as folder:
        victims = asked.victims.split(",")
        told = await fed(story, Path(folder), asked.seconds_between_kills, victims, asked.seed, tells_progress=True)
    for difference in told.differences[:20]:
        print(difference)
    is_right = (
        not told.differences
        and told.is_in_order
        and told.acknowledged == told.feed_position == len(story.movements)
        and not told.violations
        and set(told.results) <= {"APPLIED", "REPEATED"}
    )
    print(f"movements acknowledged {told.acknowledged} of {len(story.movements)}, in order {told.is_in_order}")
    print(f"outcomes {dict(told.results)}, kills {dict(told.kills)}")
    print(f"seconds {told.seconds:.1f}, movements a second {told.acknowledged / told.seconds:.0f}")
    print(
        f"positions compared {len(story.on_hand)}, units {sum(story.on_hand.values())}, "
        f"differences {len(told.differences)}, violations {told.violations}"
    )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
