"""Bytes that are no message, or a bent one, on every method: never UNKNOWN or INTERNAL, and no harm."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import redis_servers
from tests.conftest import started
from tests.faults import shop
from tests.faults.calls import Calls
from tests.faults.fuzz import Fuzzer, against_a_server, bent
from tests.faults.good_requests import METHODS
from tests.rpc.engines import engine

SEED = 20_261_122
BODIES = 5000
BODIES_LONG = int(os.environ.get("FUZZ_BODIES", "100000"))
GROWN_MAX = 20 << 20


class Shop:
    """An engine with the shop, asked from outside its loop."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.fuzzer = self._runner.run(self._open(url))

    async def _open(self, url: str) -> Fuzzer:
        _, stubs = await self._stack.enter_async_context(engine(url))
        self.stubs = stubs
        return Fuzzer(Calls(stubs), await shop.prepare(stubs), SEED)

    def run(self, bodies: int) -> None:
        self._runner.run(self.fuzzer.run(bodies))

    def send(self, path: str, body: bytes) -> None:
        self._runner.run(self.fuzzer.send(path, body))

    def stocked(self) -> tuple[int, int, int]:
        return self._runner.run(self.stubs.position("SOFA", "LON"))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture(scope="module")
def made() -> Iterator[Shop]:
    redis: redis_servers.RunningRedis = started("valkey")
    try:
        shop = Shop(redis.url)
        yield shop
        shop.close()
    finally:
        redis.stop()


def test_bent_requests_of_every_method(made: Shop, caplog: pytest.LogCaptureFixture) -> None:
    print(f"seed {SEED}")
    made.run(BODIES)
    fuzzed = made.fuzzer.fuzzed
    assert not fuzzed.faults, "\n".join(fuzzed.faults[:20])
    assert fuzzed.codes.total() == BODIES
    assert fuzzed.codes["OK"] > BODIES / 20
    assert fuzzed.codes["INVALID_ARGUMENT"] > BODIES / 4
    assert not [record for record in caplog.records if record.exc_info], "a fault of ours was logged"
    assert made.stocked()[0] >= 0


@given(st.sampled_from(sorted(METHODS)), st.randoms(use_true_random=False), st.binary(max_size=20))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_hypothesis_makes_of_a_request(made: Shop, path: str, chance: random.Random, more: bytes) -> None:
    bodies = made.fuzzer.goods[path]
    made.fuzzer.fuzzed.faults.clear()
    made.send(path, bent(chance.choice(bodies), chance, [more]) + more)
    assert not made.fuzzer.fuzzed.faults


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.asyncio
async def test_a_hundred_thousand_leave_a_server_as_it_was(tmp_path: Path) -> None:
    wrong = await against_a_server(tmp_path, BODIES_LONG, SEED, GROWN_MAX)
    assert not wrong, "\n".join(wrong)
