"""Faults at random, one to four at a time, from a seed; each ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import redis.asyncio
import redis.exceptions

from tests.faults.proxy import FaultProxy, Way
from tests.soak.sites import Engine, Site

HOLD_SECONDS = (0.3, 2.5)
QUIET_SECONDS = (1.0, 4.0)
BUSY_SCRIPT = "local t = redis.call('TIME')[1] * 1 for n = 1, 8e6 do t = t + n end return 1"

Strike = Callable[[float], Awaitable[None]]
"""A fault that lasts so many seconds and is mended at the end."""


@dataclass
class Schedule:
    """What strikes a site, and what struck it so far. `slow` makes its subscriber stop reading for so long."""

    site: Site
    seed: int
    slow: Strike
    struck: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest_outage: float = 0.0

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.site.name}")

    def kinds(self) -> dict[str, Strike]:
        """Everything that can break here."""
        found: dict[str, Strike] = {"subscriber does not read": self.slow}
        for engine, front in zip(self.site.engines, self.site.to_engines, strict=True):
            found[f"kill -9 {engine.name}"] = lambda seconds, its=engine: self._killed(its, seconds)
            found[f"SIGTERM {engine.name}"] = lambda seconds, its=engine: self._asked_to_stop(its, seconds)
            found |= self._of_network(front, f"callers and {engine.name}")
        if self.site.redis is None:
            found["kill -9 its redis"] = self._child_killed
            return found
        for engine, proxy in zip(self.site.engines, self.site.to_redis, strict=True):
            found |= self._of_network(proxy, f"{engine.name} and redis")
        found["kill -9 redis"] = self._redis_killed
        found["redis busy"] = self._busy
        return found

    async def run(self, until: float, acknowledged: Callable[[], int]) -> None:
        """Strikes and lets heal until the time is up. After each time writes must be acknowledged again."""
        while time.monotonic() < until:
            kinds = self.kinds()
            chosen = self._chance.sample(sorted(kinds), self._chance.choice((1, 1, 2, 2, 3, 4)))
            chosen = _compatible(chosen)
            await asyncio.gather(*(kinds[name](self._chance.uniform(*HOLD_SECONDS)) for name in chosen))
            self.struck.update(chosen)
            healed = time.monotonic()
            self.wrong += await self.site.up()
            before = acknowledged()
            while acknowledged() == before:
                if time.monotonic() > healed + 60:
                    self.wrong.append(f"nothing was acknowledged for a minute after {chosen}")
                    return
                await asyncio.sleep(0.02)
            self.longest_outage = max(self.longest_outage, time.monotonic() - healed)
            await asyncio.sleep(self._chance.uniform(*QUIET_SECONDS))

    def _of_network(self, proxy: FaultProxy, between: str) -> dict[str, Strike]:
        async def healed(seconds: float) -> None:
            await asyncio.sleep(seconds)
            proxy.heal()

        async def delay(seconds: float) -> None:
            proxy.delay_seconds = 0.05
            await healed(seconds)

        async def stall(seconds: float) -> None:
            proxy.stall()
            await healed(seconds)

        async def one_way(seconds: float) -> None:
            proxy.stall(self._chance.choice(list(Way)))
            await healed(seconds)

        async def reset(seconds: float) -> None:
            proxy.reset_after[self._chance.choice(list(Way))] = self._chance.randrange(500, 50_000)
            proxy.reset()
            await healed(seconds)

        named = {"slow": delay, "nothing passes": stall, "one way only": one_way, "reset": reset}
        return {f"{what}: {between}": strike for what, strike in named.items()}

    async def _killed(self, engine: Engine, seconds: float) -> None:
        await engine.stop(signal.SIGKILL)
        await asyncio.sleep(seconds)
        engine.start()

    async def _asked_to_stop(self, engine: Engine, seconds: float) -> None:
        code = await engine.stop()
        if code:
            self.wrong.append(f"{engine.name} ended with {code} when it was asked to stop: {engine.log[-2000:]}")
        await asyncio.sleep(seconds)
        engine.start()

    async def _child_killed(self, seconds: float) -> None:
        pid = self.site.engines[0].child()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(seconds)

    async def _redis_killed(self, seconds: float) -> None:
        assert self.site.redis is not None
        await asyncio.to_thread(self.site.redis.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.site.redis.launch)

    async def _busy(self, _: float) -> None:
        assert self.site.redis is not None
        async with redis.asyncio.from_url(self.site.redis.url) as client:
            with contextlib.suppress(redis.exceptions.RedisError):
                await client.eval(BUSY_SCRIPT, 0)


def _compatible(chosen: list[str]) -> list[str]:
    """At most one thing happens to a process at a time: what is started twice would be two."""
    taken: set[str] = set()
    found = []
    for name in chosen:
        victim = name.rpartition(" ")[2] if name.startswith(("kill", "SIGTERM")) else name.partition(": ")[2] or name
        if victim not in taken and not (name.startswith("redis busy") and "kill -9 redis" in chosen):
            found.append(name)
        taken.add(victim)
    print(f"  strikes: {', '.join(found)}", file=sys.stderr, flush=True)
    return found
