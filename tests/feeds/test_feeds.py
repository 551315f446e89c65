"""Whatever order feeds come in, however often, through however many servers: what is there in the end is what was true.

Receipts, returns, adjustments, sales, counts and snapshots, all within the window of counts, commute: `History` says
what must be there from the instants alone. So do fulfilments of orders and the snapshots that contain these, once the
orders are made. What is refused, since something that happened before it is not there yet, is sent again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from invengine.store.redis_store import Atomicity, RedisStore
from tests.feeds.engines import Engines
from tests.feeds.worlds import History, histories
from tests.redis_servers import RunningRedis

FEEDS = settings(
    deadline=None,
    max_examples=20,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module", params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
def engines(redis_of_kind: Callable[[str], RunningRedis], request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Two servers on one Redis, whose calls see all of it or, as on a Cluster, one partition. In the end the whole log
    is replayed.
    """
    server = redis_of_kind("valkey")
    server.empty()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
        made = Engines(server.url)
    try:
        yield made
        assert made.run(made.violations(replay=True)) == []
    finally:
        made.close()


def delivered(engines: Engines, history: History, seed: int, at_once: int) -> Counter[str]:
    """Delivers a history and checks what it came to; how often what happened."""

    async def run() -> Counter[str]:
        feed = engines.feed(history)
        assert await feed.deliver(random.Random(seed), at_once=at_once) == 0
        await feed.check()
        return feed.tally

    return engines.run(run())


@pytest.mark.parametrize("at_once", [1, 4], ids=["one after the other", "four at once"])
def test_movements_counts_and_snapshots_come_to_the_truth_in_any_order(engines: Engines, at_once: int) -> None:
    tally: Counter[str] = Counter()

    @FEEDS
    @given(history=histories(orders=(0, 0)), seed=SEEDS)
    def holds(history: History, seed: int) -> None:
        tally.update(delivered(engines, history, seed, at_once))

    holds()
    print(tally)
    words = {"APPLIED", "REPEATED", "STALE", "snapshot applied", "snapshot ignored", "snapshot zeroed"}
    assert words <= set(+tally)  # each of these happened


@pytest.mark.parametrize("at_once", [1, 4], ids=["one after the other", "four at once"])
def test_orders_leave_once_whoever_tells_it_first(engines: Engines, at_once: int) -> None:
    tally: Counter[str] = Counter()

    @FEEDS
    @given(history=histories(), seed=SEEDS)
    def holds(history: History, seed: int) -> None:
        tally.update(delivered(engines, history, seed, at_once))

    holds()
    print(tally)
    assert {"snapshot fulfilled", "snapshot applied", "STALE"} <= set(+tally)
