"""One soak from its beginning to its end."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from time import monotonic

import grpc

from invengine.v1 import availability_service_pb2
from tests.faults.shop import NETWORK
from tests.rpc.engines import Stubs, taken_apart
from tests.soak import oracles
from tests.soak.journal import Journal, Place
from tests.soak.readers import Feeder, Reader, Watcher, servers_of
from tests.soak.schedule import Schedule
from tests.soak.shoppers import MOVED, ORDERS, PLACES, WAVE, Caller, Shopper, Stocker
from tests.soak.sites import Site

STEADY_SHARE = 0.1
STEADY_SECONDS_MIN = 4.0
GROWN_MAX = 8 << 20
"""Of a server or its Redis while it is only asked, after everything else: a bound for what leaks by being used."""


class SiteUnderLoad:
    """A site, its callers, its faults."""

    def __init__(self, site: Site, seed: int, callers: int) -> None:
        self.site, self._seed, self._callers = site, seed, callers
        self.journal = Journal()
        self.opening: Counter[Place] = Counter()
        self.found: list[str] = []
        self.wrong: list[str] = []
        self.grown: dict[str, int] = {}

    async def open(self) -> None:
        """Starts it and brings the stock."""
        await self.site.start()
        stubs = self.site.stubs[0]
        await stubs.apply_network(NETWORK)
        for other in self.site.stubs:
            await _knows_the_network(other)
        units = dict.fromkeys(ORDERS, 60) | dict.fromkeys(MOVED, 100_000) | dict.fromkeys(WAVE, 1_000)
        for place in PLACES:
            for sku, count in units.items():
                await stubs.receive(sku, count, place)
                self.opening[sku, place] = count
        addresses = servers_of([front.address for front in self.site.to_engines])
        self.watcher = Watcher(addresses)
        self._feeder = Feeder(addresses, self.journal, f"feed {self.site.name}", 0.05)
        self.schedule = Schedule(self.site, self._seed, self.watcher.slow)

    async def load(self, seconds: float) -> None:
        """Load and faults for so long; what was begun is ended."""
        stop = asyncio.Event()
        some = max(1, self._callers // 2)
        kinds: list[tuple[type[Caller], int]] = [(Shopper, self._callers), (Stocker, some), (Reader, some)]
        callers = [
            kind(f"{self.site.name} {kind.__name__.lower()} {n}", self.site.stubs, self.journal, self._seed)
            for kind, count in kinds
            for n in range(count)
        ]
        work = [asyncio.create_task(caller.run(stop)) for caller in callers]
        work.append(asyncio.create_task(self._feeder.run(stop)))
        faults = asyncio.create_task(self.schedule.run(monotonic() + seconds, lambda: self.journal.acknowledged))
        done, _ = await asyncio.wait({faults, *work}, return_when=asyncio.FIRST_COMPLETED)
        if faults not in done:
            self.wrong += [f"a caller ended: {task}" for task in done]
        await asyncio.wait({faults})
        stop.set()
        self.wrong += [repr(fault) for fault in await asyncio.gather(faults, *work, return_exceptions=True) if fault]

    async def judge(self, seconds: float) -> None:
        """All oracles, and the memory of servers that are only asked."""
        self.wrong += await self.site.up() + self.schedule.wrong + self.journal.wrong[:20]
        stubs = self.site.stubs[0]
        await oracles.holds_are_over(stubs)
        wrong, reserved, shipped = await oracles.reservations(stubs, self.journal)
        self._note((f"{len(self.journal.told)} reservations", wrong))
        self._note(await oracles.positions(stubs, self.journal, self.opening, reserved, shipped))
        self._note(await oracles.answered_again(stubs, self.journal))
        self._note(await oracles.servers_agree(self.site.stubs, self.watcher))
        self._note(await oracles.integrity(stubs))
        await self._steady(seconds)
        for engine in self.site.engines:
            log = engine.log
            if fault := re.search("incident|Traceback", log):
                begin = log.rfind("\n", 0, fault.start()) + 1
                self.wrong.append(f"{engine.name} logged a fault:\n{log[begin : begin + 3000]}")

    async def _steady(self, seconds: float) -> None:
        """Asks and asks; what grows by that grows for ever."""
        await self._asked(seconds / 2)
        before = self.site.memory()
        await self._asked(seconds / 2)
        self.grown = {name: size - before[name] for name, size in self.site.memory().items() if name in before}
        self.wrong += [f"{name} has grown by {size} bytes" for name, size in self.grown.items() if size > GROWN_MAX]

    async def _asked(self, seconds: float) -> None:
        until = monotonic() + seconds
        request = availability_service_pb2.BatchGetAvailabilityRequest(skus=ORDERS, channel="web")
        while monotonic() < until:
            await asyncio.gather(*(stubs.availability.BatchGetAvailability(request) for stubs in self.site.stubs))

    def _note(self, found: oracles.Found) -> None:
        self.found.append(f"{found[0]}: {'all well' if not found[1] else f'{len(found[1])} WRONG'}")
        self.wrong += found[1][:20]

    async def close(self) -> None:
        """Everything ends, with 0."""
        await self.watcher.close()
        exits = await self.site.close()
        if any(exits):
            self.wrong.append(f"{self.site.name}: ended with {exits}")


async def _knows_the_network(stubs: Stubs) -> None:
    """Until a server has followed what another one applied."""
    request = availability_service_pb2.BatchGetAvailabilityRequest(skus=ORDERS, channel="web")
    async with asyncio.timeout(30):
        while True:
            try:
                await stubs.availability.BatchGetAvailability(request)
                return
            except grpc.aio.AioRpcError as error:
                if taken_apart(error).reason != "NETWORK_MISSING":
                    raise
            await asyncio.sleep(0.05)


class Soak:
    """Both sites side by side."""

    def __init__(self, folder: Path, seed: int, callers: int, engines: tuple[int, ...] = (2, 0)) -> None:
        """`engines`: of each site how many on one Redis; 0: one that brings its own."""
        self._seed = seed
        names = {0: "own"}
        self.sites = [
            SiteUnderLoad(Site(names.get(count, "shared"), folder, count), seed, callers) for count in engines
        ]

    async def run(self, seconds: float) -> list[str]:
        """So many seconds of load, then the oracles; what does not hold, told on stdout too."""
        print(f"seed {self._seed}, {seconds:.0f} s", flush=True)
        telling: asyncio.Task[None] | None = None
        try:
            await asyncio.gather(*(each.open() for each in self.sites))
            telling = asyncio.create_task(self._tell_each_minute())
            await asyncio.gather(*(each.load(seconds) for each in self.sites))
            steady = max(STEADY_SECONDS_MIN, seconds * STEADY_SHARE)
            await asyncio.gather(*(each.judge(steady) for each in self.sites))
            telling.cancel()
            for each in self.sites:
                await each.close()
        finally:
            if telling is not None:
                telling.cancel()
            for each in self.sites:
                await each.site.kill()
        self._tell()
        return [fault for each in self.sites for fault in each.wrong]

    async def _tell_each_minute(self) -> None:
        began = monotonic()
        while True:
            await asyncio.sleep(60)
            for each in self.sites:
                memory = ", ".join(f"{name} {size >> 20} MiB" for name, size in each.site.memory().items())
                print(
                    f"{monotonic() - began:5.0f} s  {each.site.name}: {each.journal.acknowledged} acknowledged, "
                    f"{len(each.journal.told)} reservations, {each.schedule.struck.total()} faults; {memory}",
                    flush=True,
                )

    def _tell(self) -> None:
        for each in self.sites:
            print(f"\n{each.site.name}: {each.journal.acknowledged} acknowledged")
            for verb, outcomes in sorted(each.journal.outcomes.items()):
                print(f"  {verb:22}" + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common()))
            print(f"  faults: {each.schedule.struck.total()}, longest until acknowledged again "
                  f"{each.schedule.longest_outage:.1f} s")  # fmt: skip
            for kind, count in sorted(each.schedule.struck.items()):
                print(f"    {count:4} {kind}")
            for line in each.found:
                print(f"  {line}")
            grown = ", ".join(f"{name} {size / 1024:+.0f} KiB" for name, size in each.grown.items())
            print(f"  grown while only asked: {grown}")
            for fault in each.wrong:
                print(f"  WRONG: {fault}")
