"""The feeds would notice: with any of these faults planted, some history does not come to the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase, given, settings

from invengine.services.snapshot_application import Application
from invengine.store.library import Library
from invengine.store.location_snapshots import LocationSnapshots
from tests.feeds.engines import Engines
from tests.feeds.test_feeds import FEEDS, SEEDS, delivered
from tests.feeds.worlds import History, histories
from tests.redis_servers import RunningRedis

EXAMPLES_MAX = 300
OF_THE_LIBRARY = {
    "what moved after a count is kept twice": ("m.quantity + moved\n", "m.quantity + 2 * moved\n"),
    "what moved after a count is lost": ("m.quantity + moved\n", "m.quantity\n"),
    "what moved in a state is kept on top of what is on hand": ("state == shelf and number", "number"),
    "an older count wins": ("if counted_at > 0 and m.occurred_at < counted_at then", "if false then"),
    "a count gets what it contains": ("return counted_at > 0 and m.occurred_at <= counted_at and", "return false and"),
    "an event is applied each time it comes": ("if stored[i] or seen[event] then", "if false then"),
    "an order that is contained stays on top": ("if orders[order_ref] then", "if false then"),
    "a newer count does not learn what left before it": ("back = back - units", "back = back"),
    "what left before a count lowers it": ("return counted_at > 0 and left_at <= counted_at", "return false"),
    "a full snapshot says nothing of what is new": (
        "counted_text[p] = call('HGET', tags[partition] .. 'counted', location) or '0'",
        "counted_text[p] = '0'",
    ),
}


@contextmanager
def planted(patch: pytest.MonkeyPatch, fault: str) -> Iterator[None]:
    """The engine with a fault in it."""
    library = Library.packaged()
    before, after = (text.encode() for text in OF_THE_LIBRARY[fault])
    assert library.code.count(before) == 1
    faulty = Library(library.code.replace(before, after))
    patch.setattr("invengine.store.startup.Library.packaged", lambda: faulty)
    yield


def comes_to_something_else(engines: Engines) -> bool:
    """Whether some history does not come to what was true."""

    @settings(
        FEEDS,
        max_examples=EXAMPLES_MAX,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        database=None,
        derandomize=True,
    )
    @given(history=histories(), seed=SEEDS)
    def holds(history: History, seed: int) -> None:
        delivered(engines, history, seed, 1)

    try:
        holds()
    except AssertionError:
        return True
    return False


def noticed(redis_of_kind: Callable[[str], RunningRedis]) -> bool:
    server = redis_of_kind("valkey")
    server.empty()
    engines = Engines(server.url, servers=1)
    try:
        return comes_to_something_else(engines)
    finally:
        engines.close()


@pytest.mark.parametrize("fault", OF_THE_LIBRARY)
def test_a_fault_of_the_library_is_noticed(
    redis_of_kind: Callable[[str], RunningRedis], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with planted(monkeypatch, fault):
        assert noticed(redis_of_kind)


async def _nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("owner", "step"), [(Application, "_count_the_rest"), (LocationSnapshots, "note_full")], ids=["rest", "full"]
)
def test_a_step_that_is_left_out_is_noticed(
    redis_of_kind: Callable[[str], RunningRedis], monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    monkeypatch.setattr(owner, step, _nothing)
    assert noticed(redis_of_kind)
