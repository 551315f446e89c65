"""Watching: whoever watches knows, once all is quiet, what a question would be answered; whatever happened before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.domain.partitions import partition_of
from invengine.errors import (
    GroupNotUsable,
    InvalidArgument,
    MalformedMessage,
    NetworkMissing,
    Overloaded,
    ReplicaBehind,
    UnknownChannel,
    UnknownGroup,
)
from invengine.services.watch_views import CHANGES_A_MESSAGE
from invengine.v1 import availability_service_pb2 as pb
from tests.replica.fakes import PARTITIONS
from tests.services.watchers import LATER, NETWORK, Watcher, World

SKUS = ("LAMP", "CHAIR", "DESK", "SOFA", "S" * 30)
PLACES = ("AMS1", "BER", "CDG", "DUB", "XXX")
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"channel": "web", "skus": ["LAMP", "CHAIR", "LAMP"]},
    {"channel": "web", "skus": ["CHAIR", "DESK", "S" * 30]},  # the same view, other SKUs
    {"channel": "web"},
    {"channel": "web", "by_location": True, "skus": ["LAMP", "SOFA"]},
    {"channel": "web", "by_location": True},
    {"channel": "app", "levels_only": True},
    {"channel": "app", "levels_only": True, "by_location": True, "group": "eu"},
    {"channel": "market", "group": "eu"},
    {"channel": "market", "locations": ["AMS1", "XXX"], "skus": list(SKUS)},
    {"channel": "web", "fulfilment": 2, "group": "north"},
)


@asynccontextmanager
async def world_of(*watchers: Watcher, **given: Any) -> AsyncIterator[World]:
    """A world with a network; the watchers that were made in it are closed."""
    world = World(**given)
    world.use(NETWORK)
    made: list[Watcher] = list(watchers)
    world.watcher = lambda **question: made.append(Watcher(world, question)) or made[-1]  # type: ignore[attr-defined]
    try:
        yield world
    finally:
        for watcher in made:
            await watcher.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


# --- any history ----------------------------------------------------------------------------------------------------

skus, places = st.sampled_from(SKUS), st.sampled_from(PLACES)
which = st.just(range(len(QUESTIONS))) | st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=4)
changes = st.one_of(
    st.tuples(st.just("stock"), skus, places, st.integers(0, 12), st.integers(0, 4)),
    st.tuples(st.just("fence"), skus, places, st.sampled_from(("web", "market")), st.integers(0, 8)),
    st.tuples(st.just("hold"), st.integers(0, 6), st.integers(1, 9), st.integers(0, 20)),
    st.tuples(st.just("expect"), skus, places, st.integers(0, 3)),
    st.tuples(st.just("clock"), st.integers(-15, 15)),
    st.tuples(st.just("network"), st.sampled_from((NETWORK, *LATER))),
    st.tuples(st.just("reload"), st.integers(0, 3)),
)
turns = st.one_of(
    st.tuples(st.just("trim")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("open"), which),
    st.tuples(st.just("break off"), which),
    st.tuples(st.just("pause"), which),
    st.tuples(st.just("go on"), which),
)
away = st.tuples(which, st.lists(changes, min_size=1, max_size=3)).map(
    lambda drawn: [("settle",), ("break off", drawn[0]), *drawn[1], ("tick",), ("open", drawn[0])]
)
slow = st.tuples(which, st.lists(changes, min_size=2, max_size=4)).map(
    lambda drawn: [
        ("pause", drawn[0]),
        drawn[1][0],
        ("tick",),
        ("turn",),
        *drawn[1][1:],
        ("tick",),
        ("go on", drawn[0]),
    ]
)
histories = st.lists(
    st.one_of(changes.map(lambda step: [step]), turns.map(lambda step: [step]), away, slow), max_size=30
)


async def happen(world: World, watchers: list[Watcher], step: tuple[Any, ...]) -> None:
    """One step of a history."""
    match step:
        case ("stock", sku, place, on_hand, reserved):
            world.stock(sku, place, on_hand, reserved)
        case ("fence", sku, place, channel, units):
            world.fence(sku, place, channel, units)
        case ("hold", leg, units, seconds):
            world.hold(leg, SKUS[leg % 3], PLACES[leg % 4], units, seconds)
        case ("expect", sku, place, units):
            world.expect(sku, place, units)
        case ("clock", seconds):
            world.now_ms += 1000 * seconds
        case ("network", document):
            world.use(document)
        case ("reload", lost):
            world.reload(lost)
        case ("trim",):
            world.trim()
        case ("tick",):
            await world.watching.tick()
        case ("turn",):
            for _ in range(20):  # so that whoever reads has taken what there was
                await asyncio.sleep(0)
        case ("settle",):
            await settled(world, watchers)
        case ("open", numbers):
            for number in numbers:
                if not watchers[number].is_open:
                    watchers[number].open(resume=bool(watchers[number].token))
        case ("break off", numbers):
            for number in numbers:
                await watchers[number].close()
        case ("pause", numbers):
            for number in numbers:
                watchers[number].pause()
        case ("go on", numbers):
            for number in numbers:
                watchers[number].go_on()


async def settled(world: World, watchers: list[Watcher]) -> None:
    """All who watch were told everything and are right."""
    for watcher in watchers:
        watcher.go_on()
    await world.settle()
    for watcher in watchers:
        if watcher.is_open:
            await watcher.first()
    await world.settle()
    for watcher in watchers:
        if watcher.is_open:
            await watcher.check(SKUS)


@settings(max_examples=150)
@given(st.booleans(), histories)
def test_whatever_happens_the_last_value_told_is_what_a_question_is_answered(
    watched: bool, history: list[list[tuple[Any, ...]]]
) -> None:
    """Stock, ring-fences, holds and the clock, receipts, networks, a replica loaded anew with and without loss; who
    watches comes, breaks off and takes up again, pauses and goes on.
    """

    async def test() -> None:
        world = World()
        world.use(NETWORK)
        watchers = [Watcher(world, question) for question in QUESTIONS]
        try:
            if watched:  # from the beginning
                await happen(world, watchers, ("open", range(len(QUESTIONS))))
            for step in chain.from_iterable(history):
                await happen(world, watchers, step)
            for watcher in watchers:
                if not watcher.is_open:
                    watcher.open(resume=bool(watcher.token))
            await settled(world, watchers)
        finally:
            for watcher in watchers:
                await watcher.close()
        assert not world.replica.has_changes
        assert world.metrics.watch.subscribers == 0

    run(test())
