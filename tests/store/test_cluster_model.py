"""The store on a Redis Cluster against its model: heads, pieces, receipts and queues on three masters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.opening import open_topology
from invengine.store.redis_store import RedisStore, StoreSettings
from invengine.store.startup import as_dict
from tests.redis_clusters import RedisCluster
from tests.store.test_pieces_model import PiecesMachine
from tests.store.test_store_model import PARTITIONS, WINDOW_SECONDS
from tests.store.worlds import CodedClock, World

STEPS_EACH = 50


class Asking:
    """Commands for many nodes, asked at once: as much of a pipeline as the comparison needs."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._commands: list[tuple[str, str]] = []

    def pipeline(self, transaction: bool) -> Asking:
        assert not transaction
        return Asking(self._calls)

    def hgetall(self, key: str) -> None:
        self._commands.append(("HGETALL", key))

    def get(self, key: str) -> None:
        self._commands.append(("GET", key))

    async def execute(self) -> list[Any]:
        replies = await self._calls.read(*self._commands)
        return [
            as_dict(reply) if word == "HGETALL" else reply
            for (word, _), reply in zip(self._commands, replies, strict=True)
        ]


@asynccontextmanager
async def opened_on(cluster: RedisCluster, patch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A new store on an empty Cluster, its partitions at more than one master."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Redis(host=member.host, port=member.port)) for member in cluster.primaries()
        ]
        clock = CodedClock(clients)
        seconds, _ = await clients[0].time()
        await clock.set(int(seconds) * 1000)
        patch.setattr("invengine.store.startup.Library.packaged", lambda: clock.library)
        topology = open_topology(cluster.url)
        stack.push_async_callback(topology.aclose)
        told = StoreSettings(retention_seconds=864_000, count_window_seconds=WINDOW_SECONDS, retry_seconds=20.0)
        store = await RedisStore.open(topology, partitions=PARTITIONS, settings=told)
        assert len({topology.owner(keys.log(n)).name for n in range(PARTITIONS)}) > 1

        async def now_ms() -> int:
            return clock.now_ms

        patch.setattr(store, "now_ms", now_ms)
        yield World(store, clock, Asking(store._calls))  # type: ignore[arg-type]
    patch.undo()


class ClusterMachine(PiecesMachine):
    """Drives model and store side by side."""

    cluster: RedisCluster  # set by the test

    def open_world(self) -> AbstractAsyncContextManager[World]:
        self.cluster.empty()
        return opened_on(self.cluster, self.patch)


@pytest.mark.parametrize(
    ("examples", "steps_least"),
    [
        pytest.param(15, 600, id="short"),
        pytest.param(160, 5_000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_a_store_on_a_cluster_answers_as_the_model_says(
    redis_cluster: RedisCluster, examples: int, steps_least: int
) -> None:
    """Hundreds of steps of all verbs, or thousands, on Valkey and on Redis."""
    machine = type("Machine", (ClusterMachine,), {"cluster": redis_cluster})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    print(f"{redis_cluster.kind}: {machine.steps} steps on a Cluster")
    assert machine.steps >= steps_least
