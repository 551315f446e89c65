"""Watching: whoever watches knows, once all is quiet, what a question would be answered; whatever happened before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
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
from invengine.services.watch_times import RuleTimes
from invengine.services.watch_values import CHANGES_A_MESSAGE
from invengine.services.watch_views import KITS_A_STEP, View
from invengine.v1 import availability_service_pb2 as pb
from tests.replica.fakes import PARTITIONS
from tests.services.watchers import BY_THE_HOUR, KITS, LATER, NETWORK, RULES, WITH_KITS, WITH_RULES, Watcher, World

SKUS = ("LAMP", "CHAIR", "DESK", "SOFA", "S" * 30)
TOLD = (*SKUS, "SET", "PAIR", "ODD", "ONE")  # some are kits under some networks
PLACES = ("AMS1", "BER", "CDG", "DUB", "XXX")
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"channel": "web", "skus": ["LAMP", "CHAIR", "LAMP"]},
    {"channel": "web", "skus": ["SET", "LAMP", "ODD"]},
    {"channel": "web", "skus": ["CHAIR", "DESK", "S" * 30]},  # the same view, other SKUs
    {"channel": "web"},
    {"channel": "web", "by_location": True, "skus": ["LAMP", "SOFA", "SET", "PAIR", "ONE"]},
    {"channel": "web", "by_location": True},
    {"channel": "app", "levels_only": True},
    {"channel": "app", "levels_only": True, "by_location": True, "group": "eu"},
    {"channel": "market", "group": "eu"},
    {"channel": "market", "locations": ["AMS1", "XXX"], "skus": list(TOLD)},
    {"channel": "web", "fulfilment": 2, "group": "north"},
)


@asynccontextmanager
async def world_of(**given: Any) -> AsyncIterator[World]:
    """A world with a network; the watchers that were made in it are closed."""
    world = World(**given)
    world.use(NETWORK)
    made = world.made
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
    st.tuples(st.just("count"), skus, places, st.integers(0, 12), st.integers(0, 25)),
    st.tuples(st.just("fence"), skus, places, st.sampled_from(("web", "market")), st.integers(0, 8)),
    st.tuples(st.just("hold"), st.integers(0, 6), st.integers(1, 9), st.integers(0, 20)),
    st.tuples(st.just("expect"), skus, places, st.integers(0, 3)),
    st.tuples(st.just("clock"), st.integers(-15, 15) | st.sampled_from((3000, 5000))),
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
aged = st.tuples(which, skus, places, st.integers(1, 12), st.integers(0, 9), st.integers(1, 12)).map(
    lambda drawn: [
        ("count", *drawn[1:5]),
        ("open", drawn[0]),
        ("settle",),
        *([("break off", drawn[0])] if drawn[4] % 2 else ()),
        ("clock", drawn[5]),
        ("open", drawn[0]),
        ("settle",),
    ]
)
filled = places.map(lambda place: [("stock", sku, place, 12, 0) for sku in SKUS])  # so that kits come together
histories = st.lists(
    st.one_of(changes.map(lambda step: [step]), turns.map(lambda step: [step]), away, slow, aged, filled), max_size=30
)


async def happen(world: World, watchers: list[Watcher], step: tuple[Any, ...]) -> None:
    """One step of a history."""
    match step:
        case ("stock", sku, place, on_hand, reserved):
            world.stock(sku, place, on_hand, reserved)
        case ("count", sku, place, on_hand, seconds):
            world.count(sku, place, on_hand, seconds)
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
            await watcher.check(TOLD)


@settings(max_examples=150)
@given(st.booleans(), st.sampled_from((NETWORK, WITH_RULES)), histories)
def test_whatever_happens_the_last_value_told_is_what_a_question_is_answered(
    watched: bool, network: str, history: list[list[tuple[Any, ...]]]
) -> None:
    """Stock, counts that grow old, ring-fences, holds and the clock, receipts, networks with and without kits and rules
    for SKUs, a replica loaded anew with and without loss; who watches comes, breaks off and takes up again, pauses and
    goes on.
    """

    async def test() -> None:
        world = World()
        world.use(network)
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


# --- one rule at a time ---------------------------------------------------------------------------------------------


def told(watcher: Watcher) -> dict[tuple[str, str], tuple[int, int, int]]:
    """What the last message said."""
    return {(c.sku, c.location): (c.available, c.level, c.status) for c in watcher.messages[-1].changes}


def test_the_first_state_then_only_what_changes() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.stock("LAMP", "AMS1", 7)
            world.stock("LAMP", "DUB", 2)
            watcher = world.watcher(channel="web", skus=["LAMP", "NEW"])
            watcher.open()
            first = await watcher.first()
            assert first.begins_anew
            assert told(watcher) == {("LAMP", ""): (9, pb.LEVEL_IN_STOCK, 1), ("NEW", ""): (0, pb.LEVEL_OUT, 2)}
            world.stock("LAMP", "XXX", 5)  # not the channel's
            world.stock("DESK", "AMS1", 5)  # not watched
            await world.settle()
            assert len(watcher.messages) == 1
            world.stock("NEW", "DUB", 3)
            world.stock("LAMP", "AMS1", 1)
            world.stock("LAMP", "AMS1", 7)
            await world.settle()
            assert told(watcher) == {("NEW", ""): (3, pb.LEVEL_LOW, 1)}
            assert [message.caught_up for message in watcher.messages] == [True, False]
            assert [message.begins_anew for message in watcher.messages] == [True, False]
            assert all(message.resume_token and message.HasField("staleness") for message in watcher.messages)

    run(test())


def test_levels_are_told_when_they_change_and_never_units() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.stock("LAMP", "AMS1", 7)
            watcher = world.watcher(channel="web", levels_only=True)
            watcher.open()
            await watcher.first()
            assert told(watcher) == {("LAMP", ""): (0, pb.LEVEL_IN_STOCK, 1)}
            world.stock("LAMP", "AMS1", 6)
            await world.settle()
            assert len(watcher.messages) == 1
            world.stock("LAMP", "AMS1", 5)
            await world.settle()
            assert told(watcher) == {("LAMP", ""): (0, pb.LEVEL_LOW, 1)}

    run(test())


def test_by_location_each_place_is_told_by_itself() -> None:
    async def test() -> None:
        async with world_of() as world:
            watcher = world.watcher(channel="web", skus=["LAMP"], by_location=True)
            watcher.open()
            await watcher.first()
            assert told(watcher) == {("LAMP", ""): (0, pb.LEVEL_OUT, 2)}
            world.stock("LAMP", "AMS1", 7)
            world.stock("LAMP", "CDG", 7)  # switched off
            await world.settle()
            assert told(watcher) == {("LAMP", "AMS1"): (7, pb.LEVEL_IN_STOCK, 1)}
            world.stock("LAMP", "DUB", 1)
            await world.settle()
            assert told(watcher) == {("LAMP", "DUB"): (1, pb.LEVEL_LOW, 1)}
            late = world.watcher(channel="web", skus=["LAMP"], by_location=True)
            late.open()
            await late.first()
            assert late.known == watcher.known
            world.use(LATER[2])  # AMS1 is switched off
            await world.settle()
            assert told(watcher) == {("LAMP", "AMS1"): (0, pb.LEVEL_OUT, 1)}

    run(test())


def test_a_hold_that_the_clock_ends_is_told_and_a_clock_that_goes_back_too() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.hold(1, "LAMP", "AMS1", 4, 10)
            watcher = world.watcher(channel="web", skus=["LAMP"])
            watcher.open()
            await watcher.first()
            assert told(watcher)["LAMP", ""][0] == 16
            world.now_ms += 10_000
            await world.settle()
            assert told(watcher)["LAMP", ""][0] == 20
            world.now_ms -= 5_000
            await world.settle()
            assert told(watcher)["LAMP", ""][0] == 16

    run(test())


def test_levels_follow_the_rules_for_the_sku_the_location_and_the_channel() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.use(NETWORK + RULES)
            world.stock("LAMP", "AMS1", 7)
            world.stock("DESK", "AMS1", 7)
            watcher = world.watcher(channel="web", skus=["LAMP", "DESK"])
            places = world.watcher(channel="web", by_location=True)
            for one in (watcher, places):
                one.open()
                await one.first()
            assert told(watcher) == {("LAMP", ""): (5, pb.LEVEL_IN_STOCK, 1), ("DESK", ""): (5, pb.LEVEL_LOW, 1)}
            world.stock("LAMP", "AMS1", 4)
            await world.settle()
            assert told(watcher) == {("LAMP", ""): (2, pb.LEVEL_LOW, 1)}
            assert told(places) == {("LAMP", "AMS1"): (2, pb.LEVEL_IN_STOCK, 1)}
            world.stock(
                "LAMP", "DUB", 8
            )  # trusted by half, when it is fewer than 6; nothing is when it is fewer than 9
            world.count("DESK", "DUB", 9, 0)
            await world.settle()
            assert told(places) == {("LAMP", "DUB"): (0, pb.LEVEL_OUT, 1), ("DESK", "DUB"): (9, pb.LEVEL_IN_STOCK, 1)}
            world.use(
                NETWORK.replace("threshold: 5", "threshold: 1") + "low_stock_thresholds: [{sku: DESK, units: 99}]\n"
            )
            await world.settle()
            assert told(watcher) == {("LAMP", ""): (12, pb.LEVEL_IN_STOCK, 1), ("DESK", ""): (16, pb.LEVEL_LOW, 1)}

    run(test())


def test_a_kit_is_told_when_a_component_of_it_changes() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.use(NETWORK + KITS)
            listed = world.watcher(channel="web", skus=["SET", "PAIR"])
            places = world.watcher(channel="web", skus=["SET"], by_location=True)
            whole = world.watcher(channel="web")
            for one in (listed, places, whole):
                one.open()
                await one.first()
            assert told(listed) == {("SET", ""): (0, pb.LEVEL_OUT, 1), ("PAIR", ""): (0, pb.LEVEL_OUT, 1)}
            assert told(places) == {("SET", ""): (0, pb.LEVEL_OUT, 1)}
            assert told(whole) == {}
            world.stock("LAMP", "AMS1", 20)
            await world.settle()
            assert told(places) == {("SET", "AMS1"): (0, pb.LEVEL_OUT, 1)}
            assert told(whole) == {("LAMP", ""): (20, pb.LEVEL_IN_STOCK, 1), ("SET", ""): (0, pb.LEVEL_OUT, 1)}
            world.stock("CHAIR", "AMS1", 13)
            world.stock("CHAIR", "DUB", 13)
            await world.settle()
            assert told(listed) == {("SET", ""): (6, pb.LEVEL_IN_STOCK, 1)}
            assert told(places) == {("SET", "AMS1"): (6, pb.LEVEL_IN_STOCK, 1), ("SET", "DUB"): (0, pb.LEVEL_OUT, 1)}
            assert told(whole) == {("CHAIR", ""): (26, pb.LEVEL_IN_STOCK, 1), ("SET", ""): (6, pb.LEVEL_IN_STOCK, 1)}
            world.stock("SET", "AMS1", 99)  # what a kit has of its own counts for nothing
            world.stock("LAMP", "AMS1", 5)
            await world.settle()
            assert told(listed) == {("SET", ""): (5, pb.LEVEL_LOW, 1)}
            assert told(whole) == {("LAMP", ""): (5, pb.LEVEL_LOW, 1), ("SET", ""): (5, pb.LEVEL_LOW, 1)}
            messages = len(listed.messages), len(places.messages)
            world.stock("SOFA", "AMS1", 5)
            world.stock("SET", "AMS1", 98)
            await world.settle()
            assert (len(listed.messages), len(places.messages)) == messages

    run(test())


def test_kits_come_change_and_go_with_the_network() -> None:
    async def test() -> None:
        async with world_of() as world:
            for sku in ("LAMP", "CHAIR", "SOFA"):
                world.stock(sku, "AMS1", 8)
            listed = world.watcher(channel="web", skus=["SET", "ONE"])
            whole = world.watcher(channel="web")
            for one in (listed, whole):
                one.open()
                await one.first()
            assert told(listed) == {("SET", ""): (0, pb.LEVEL_OUT, 2), ("ONE", ""): (0, pb.LEVEL_OUT, 2)}
            world.use(NETWORK + KITS)
            await world.settle()
            assert told(listed) == {("SET", ""): (4, pb.LEVEL_LOW, 1)}
            assert told(whole) == {("SET", ""): (4, pb.LEVEL_LOW, 1), ("ODD", ""): (0, pb.LEVEL_OUT, 1)}
            world.use(NETWORK + "kits: {SET: {LAMP: 1}, ONE: {CHAIR: 8}}\n")
            await world.settle()
            come = {("SET", ""): (8, pb.LEVEL_IN_STOCK, 1), ("ONE", ""): (1, pb.LEVEL_LOW, 1)}
            assert told(listed) == come
            assert told(whole) == {**come, ("ODD", ""): (0, pb.LEVEL_OUT, 2)}
            world.use(NETWORK)
            await world.settle()
            gone = {("SET", ""): (0, pb.LEVEL_OUT, 2), ("ONE", ""): (0, pb.LEVEL_OUT, 2)}
            assert told(listed) == told(whole) == gone
            world.use(NETWORK + KITS)
            world.reload()
            await world.settle()
            assert told(listed) == {("SET", ""): (4, pb.LEVEL_LOW, 1)}
            await whole.check(TOLD)

    run(test())


def test_many_kits_of_one_component_are_told() -> None:
    async def test() -> None:
        async with world_of() as world:
            names = [f"KIT-{number}" for number in range(2 * KITS_A_STEP + 1)]
            world.use(NETWORK + "kits:\n" + "".join(f"  {name}: {{LAMP: {n + 1}}}\n" for n, name in enumerate(names)))
            world.stock("LAMP", "AMS1", 1)
            watchers = [world.watcher(channel="web", skus=names), world.watcher(channel="web")]
            for one in watchers:
                one.open()
                await one.first()
            world.stock("LAMP", "AMS1", 1000)
            await world.settle()
            for one in watchers:
                kits = {name: value[0] for (name, _), value in one.known.items() if name != "LAMP"}
                assert kits == {name: 1000 // (number + 1) for number, name in enumerate(names)}

    run(test())


def test_kits_and_rules_for_skus_stay_with_their_names_when_others_are_forgotten() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.use(NETWORK + KITS + RULES)
            for sku in SKUS:
                world.count(sku, "AMS1", 2, 0)
            leaving = world.watcher(channel="web", skus=[*(f"OTHER{number}" for number in range(9)), "PAIR"])
            leaving.open()
            await leaving.first()
            stays = world.watcher(channel="web", skus=["SET", "LAMP", "CHAIR"])
            stays.open()
            await stays.first()
            await leaving.close()
            await world.settle()
            world.count("LAMP", "AMS1", 4, 0)
            world.count("CHAIR", "AMS1", 4, 0)
            await world.settle()
            assert told(stays) == {
                ("SET", ""): (2, pb.LEVEL_IN_STOCK, 1),
                ("LAMP", ""): (4, pb.LEVEL_IN_STOCK, 1),
                ("CHAIR", ""): (4, pb.LEVEL_LOW, 1),
            }

    run(test())


def test_a_clock_that_goes_back_to_a_second_in_which_all_was_looked_at_is_looked_at_again() -> None:
    times = RuleTimes()
    times.worked_out(5_000, 7_500)
    assert not times.is_due(7_499)
    assert times.is_due(7_500)
    assert times.begin(7_500) == (5_000, 7_500)
    times.worked_out(7_500, 7_900)
    assert not times.is_due(7_950), "once a second"
    times.worked_out(9_000, 20_000)
    assert times.is_due(7_950)
    assert times.begin(7_950) == (7_500, 9_000)
    times.worked_out(7_950, 8_000)
    assert times.is_due(8_000)


def test_a_count_that_grows_old_is_told_and_nobody_looks_before() -> None:
    """The rules of AMS1 hold from 10 seconds after the count on: LAMP and what is made of it are fewer then."""

    async def test() -> None:
        async with world_of() as world:
            world.use(NETWORK + KITS + RULES)
            world.now_ms += 300
            world.count("LAMP", "AMS1", 7, 4)
            world.count("CHAIR", "AMS1", 99, 0)
            listed = world.watcher(channel="web", skus=["LAMP", "SET"])
            watchers = [listed, world.watcher(channel="web"), world.watcher(channel="web", by_location=True)]
            for one in watchers:
                one.open()
                await one.first()
            assert told(listed) == {("LAMP", ""): (7, pb.LEVEL_IN_STOCK, 1), ("SET", ""): (7, pb.LEVEL_IN_STOCK, 1)}
            passes = 0

            def begun(view: View, now_ms: int) -> Iterator[Any]:
                nonlocal passes
                passes += 1
                return of_view(view, now_ms)

            of_view = View.begun
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(View, "begun", begun)
                for _ in range(5):
                    world.now_ms += 1000
                    await world.settle()
                assert (passes, len(listed.messages)) == (0, 1)
                world.now_ms += 1000
                await world.settle()
                assert passes == len(watchers)
            assert told(listed) == {("LAMP", ""): (5, pb.LEVEL_IN_STOCK, 1), ("SET", ""): (5, pb.LEVEL_IN_STOCK, 1)}
            for one in watchers:
                await one.check(TOLD)
            world.now_ms -= 3000
            await world.settle()
            assert told(listed) == {("LAMP", ""): (7, pb.LEVEL_IN_STOCK, 1), ("SET", ""): (7, pb.LEVEL_IN_STOCK, 1)}
            world.count("LAMP", "AMS1", 7, 0)
            world.now_ms += 3000
            await world.settle()
            assert len(listed.messages) == 3

    run(test())


async def taken_up(world: World, watcher: Watcher) -> pb.WatchAvailabilityResponse:
    """What is told first to one who takes up a stream again; checked to be right."""
    watcher.open(resume=True)
    first = await watcher.first()
    await world.settle()
    await watcher.check(SKUS)
    return first


def test_taken_up_again_only_what_may_have_changed_is_told() -> None:
    async def test() -> None:
        async with world_of() as world:
            for sku in SKUS:
                world.stock(sku, "AMS1", 7)
            world.hold(1, "SOFA", "BER", 4, 10)
            watcher = world.watcher(channel="web")
            watcher.open()
            await watcher.first()
            await watcher.close()
            world.stock("DESK", "DUB", 1)
            world.now_ms += 10_000  # the hold of SOFA is over, which no revision tells
            first = await taken_up(world, watcher)
            assert {change.sku for change in first.changes} == {"DESK", "SOFA"}
            assert not first.begins_anew
            await watcher.close()
            world.hold(1, "SOFA", "BER", 4, 0)  # swept
            world.stock("SOFA", "BER", 20)
            await taken_up(world, watcher)
            await watcher.close()
            assert len((await taken_up(world, watcher)).changes) == 0

    run(test())


def test_taken_up_again_kits_and_old_counts_are_told_when_they_may_have_changed() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.use(NETWORK + KITS + RULES)
            for sku in SKUS:
                world.count(sku, "AMS1", 50, 0)
            world.count("NEVER", "AMS1", 50, 4)
            watcher = world.watcher(channel="web")
            watcher.open()
            await watcher.first()
            await watcher.close()
            assert len(await changes_of(world, watcher)) == 0
            world.count("CHAIR", "AMS1", 51, 0)
            assert await changes_of(world, watcher) == {"CHAIR", "SET"}
            world.now_ms += 7000  # the count of NEVER is old, which no revision tells
            assert await changes_of(world, watcher) == {"NEVER", "ODD"}
            assert watcher.known["ODD", ""][0] == 48
            world.now_ms += 1000
            assert len(await changes_of(world, watcher)) == 0

    async def changes_of(world: World, watcher: Watcher) -> set[str]:
        watcher.open(resume=True)
        first = await watcher.first()
        await world.settle()
        await watcher.check([*TOLD, "NEVER"])
        await watcher.close()
        assert not first.begins_anew
        return {change.sku for change in first.changes}

    run(test())


@pytest.mark.parametrize("what", ["network", "clock", "lost", "trimmed", "question"])
def test_taken_up_again_all_is_told_when_nobody_knows_what_changed(what: str) -> None:
    """What was told before may be gone without a trace: LAMP is told as it is, whatever its revision says."""

    async def test() -> None:
        async with world_of() as world:
            world.stock("LAMP", "AMS1", 7)
            world.hold(1, "DESK", "AMS1", 4, 10)
            world.now_ms += 20_000
            watcher = world.watcher(channel="web")
            watcher.open()
            await watcher.first()
            world.stock("LAMP", "AMS1", 9)
            world.stock("DESK", "DUB", 9)
            await world.settle()
            await watcher.close()
            if what == "network":
                world.use(LATER[2])
            elif what == "clock":
                world.now_ms -= 15_000
            elif what == "lost":
                world.reload(lost=1)
                for sku in SKUS * 2:  # other writes have those revisions now
                    world.stock("X" + sku, "AMS1", 1)
                    world.stock("CHAIR", "AMS1", 1)
            elif what == "trimmed":
                for sku in SKUS:
                    world.stock(sku, "BER", 1)
                    world.stock(sku, "BER", 2)
                world.trim()
            else:
                watcher.question["group"] = "north"
            watcher.open(resume=True)
            first = await watcher.first()
            assert first.begins_anew
            await world.settle()
            await watcher.check([*SKUS, *("X" + sku for sku in SKUS)])

    run(test())


def test_a_token_of_a_server_that_is_ahead_is_waited_for() -> None:
    async def test() -> None:
        async with world_of() as world:
            world.stock("LAMP", "AMS1", 7)
            watcher = world.watcher(channel="web", skus=["LAMP"])
            watcher.open()
            token = (await watcher.first()).resume_token
            home = partition_of("LAMP", PARTITIONS)
            entry = world.logs[home][-1]
            world.replica.state.applied[home] -= 1  # as if it had not come by yet
            request = pb.WatchAvailabilityRequest(channel="web", skus=["LAMP"], resume_token=token)
            stream = world.watching.watch(request.SerializeToString(), 0.01)
            with pytest.raises(ReplicaBehind):
                await anext(stream)
            stream = world.watching.watch(request.SerializeToString())
            answer = asyncio.ensure_future(anext(stream))
            while not world.replica._waiting:
                await asyncio.sleep(0)
            world.replica.apply([entry])
            assert pb.WatchAvailabilityResponse.FromString(await answer).caught_up
            await stream.aclose()

    run(test())


def test_one_who_does_not_read_is_told_the_newest_state_and_keeps_nobody_waiting() -> None:
    async def test() -> None:
        async with world_of() as world:
            slow, quick = (world.watcher(channel="web", skus=["LAMP", "DESK"]) for _ in range(2))
            slow.open()
            quick.open()
            await slow.first()
            await quick.first()
            slow.pause()
            for units in range(1, 50):
                world.stock("LAMP", "AMS1", units)
                await world.watching.tick()
                while len(quick.messages) <= units:
                    await asyncio.sleep(0)
                assert told(quick) == {("LAMP", ""): (units, 1 + (units > 0) + (units > 5), 1)}
            assert world.watching.behind == 1
            assert len(slow.messages) == 2  # the first state, and the first change
            slow.go_on()
            await world.settle()
            assert [change.available for message in slow.messages[2:] for change in message.changes] == [49]

    run(test())


def test_a_large_first_state_comes_in_parts_and_is_right_while_it_changes() -> None:
    async def test() -> None:
        async with world_of() as world:
            names = [f"SKU-{number}" for number in range(2 * CHANGES_A_MESSAGE + 1)]
            for number, name in enumerate(names):
                world.stock(name, "AMS1", number % 10 + 1)
            watcher = world.watcher(channel="web")
            stream = world.watching.watch(pb.WatchAvailabilityRequest(channel="web").SerializeToString())

            async def read() -> pb.WatchAvailabilityResponse:
                watcher.take(pb.WatchAvailabilityResponse.FromString(await anext(stream)))
                return watcher.messages[-1]

            await read()
            world.stock(names[0], "AMS1", 0)
            world.stock(names[-1], "AMS1", 0)
            world.stock("NEW", "AMS1", 3)
            await world.watching.tick()
            while not (first := await read()).caught_up:
                pass
            whole = watcher.messages[:3]
            assert [len(message.changes) for message in whole] == [CHANGES_A_MESSAGE, CHANGES_A_MESSAGE, 1]
            assert [message.begins_anew for message in whole] == [True, False, False]
            assert [bool(message.resume_token) for message in whole] == [False, False, True]
            assert whole[-1] == first
            await read()
            await stream.aclose()
            assert watcher.known[names[0], ""][0] == watcher.known[names[-1], ""][0] == 0
            assert len(watcher.known) == len(names) + 1

    run(test())


def test_equal_subscribers_share_parts_of_the_same_changes_only() -> None:
    """One is in the middle of a long list when more changes, which another one then begins with."""

    async def test() -> None:
        async with world_of() as world:
            names = [f"SKU-{number}" for number in range(3 * CHANGES_A_MESSAGE)]
            for name in names:
                world.stock(name, "AMS1", 1)
            slow, quick = world.watcher(channel="web"), world.watcher(channel="web")
            request = pb.WatchAvailabilityRequest(channel="web").SerializeToString()
            streams = {watcher: world.watching.watch(request) for watcher in (slow, quick)}

            async def read(watcher: Watcher) -> None:
                watcher.take(pb.WatchAvailabilityResponse.FromString(await anext(streams[watcher])))

            for watcher in (slow, quick) * 3:
                await read(watcher)
            for name in names[1500:]:
                world.stock(name, "AMS1", 2)
            await world.watching.tick()
            await read(slow)
            for name in names[:1500]:
                world.stock(name, "AMS1", 3)
            await world.watching.tick()
            for watcher in (quick, slow) * 3:
                await read(watcher)
            right = {(name, ""): (3 if number < 1500 else 2, pb.LEVEL_LOW, 1) for number, name in enumerate(names)}
            assert quick.known == right
            assert slow.known == right
            for stream in streams.values():
                await stream.aclose()

    run(test())


def test_what_a_lost_history_took_is_told_and_what_comes_back_too() -> None:
    async def test() -> None:
        async with world_of() as world:
            watcher, listed = world.watcher(channel="web"), world.watcher(channel="web", skus=["LAMP"])
            watcher.open()
            listed.open()
            world.stock("LAMP", "AMS1", 7)
            await watcher.first()
            await listed.first()
            await world.settle()
            world.reload(lost=1)
            await world.settle()
            assert told(watcher) == told(listed) == {("LAMP", ""): (0, pb.LEVEL_OUT, 2)}
            world.stock("DESK", "AMS1", 3)
            world.stock("LAMP", "AMS1", 2)
            await world.settle()
            assert watcher.known == {
                ("LAMP", ""): (2, pb.LEVEL_LOW, 1),
                ("DESK", ""): (3, pb.LEVEL_LOW, 1),
            }
            assert listed.known == {("LAMP", ""): (2, pb.LEVEL_LOW, 1)}
            late = world.watcher(channel="web")
            late.open()
            await late.first()
            assert late.known == watcher.known

    run(test())


def test_a_network_that_takes_the_question_away_ends_its_streams_and_no_others() -> None:
    async def test() -> None:
        async with world_of() as world:
            gone, stays = world.watcher(channel="app"), world.watcher(channel="web")
            gone.open()
            stays.open()
            await gone.first()
            await stays.first()
            world.use(NETWORK.replace("  app: {groups: [eu], low_stock_threshold: 2}\n", ""))
            await world.watching.tick()
            while gone.refusal is None:
                await asyncio.sleep(0)
            assert isinstance(gone.refusal, UnknownChannel)
            world.stock("LAMP", "AMS1", 7)
            await world.settle()
            await stays.check(SKUS)

    run(test())


def test_a_caller_that_leaves_in_the_middle_of_a_look_takes_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what others must be told, nor what it was the first to ask for."""

    async def test() -> None:
        monkeypatch.setattr(
            "invengine.services.watch_looks._STEP_SECONDS", -1.0
        )  # others have their turn at every step
        async with world_of() as world:
            watchers = [world.watcher(channel=channel) for channel in ("web", "app", "market")]
            listed = world.watcher(channel="web", skus=["LAMP"])
            for watcher in (*watchers, listed):
                watcher.open()
                await watcher.first()
            for turns in range(12):
                world.stock("LAMP", "AMS1", turns + 1)
                request = pb.WatchAvailabilityRequest(channel="web", skus=["LAMP", f"NEW{turns}"])
                stream = world.watching.watch(request.SerializeToString())
                coming = asyncio.ensure_future(anext(stream))
                for _ in range(turns):
                    await asyncio.sleep(0)
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming
                await stream.aclose()
                await world.settle()
                for watcher in (*watchers, listed):
                    await watcher.check(SKUS)
                after = world.watcher(channel="web", skus=["LAMP", f"NEW{turns}"])
                after.open()
                await after.first()
                assert len(after.known) == 2
                await after.close()

    run(test())


def test_a_question_that_the_network_took_away_is_refused_to_those_who_come_later() -> None:
    async def test() -> None:
        async with world_of() as world:
            gone = world.watcher(channel="app")
            gone.open()
            await gone.first()
            world.use(NETWORK.replace("  app: {groups: [eu], low_stock_threshold: 2}\n", ""))
            assert isinstance(await refused(world, channel="app"), UnknownChannel)
            world.use(NETWORK)
            again = world.watcher(channel="app")
            again.open()
            await again.first()
            world.stock("LAMP", "AMS1", 7)
            await world.watching.tick()
            while ("LAMP", "") not in again.known:
                await asyncio.sleep(0)
            await again.check(SKUS)

    run(test())


@pytest.mark.parametrize("by_location", [False, True])
def test_kits_are_told_with_their_components_and_levels_by_their_rules(by_location: bool) -> None:
    async def test() -> None:
        async with world_of() as world:
            world.use(WITH_KITS)
            watcher = world.watcher(channel="web", skus=["SET", "LAMP", "SOFA"], by_location=by_location)
            watcher.open()
            await watcher.first()
            place = "AMS1" if by_location else ""
            for sku, units in (("LAMP", 3), ("CHAIR", 4), ("SOFA", 9)):
                world.stock(sku, "AMS1", units)
            await world.settle()
            await watcher.check(TOLD)
            assert watcher.known["SET", place][0] == 2
            token = watcher.token
            await watcher.close()
            world.stock("CHAIR", "AMS1", 2)
            watcher.open(resume=True)
            await watcher.first()
            assert watcher.known["SET", place][0] == 1
            assert token != watcher.token
            world.use(BY_THE_HOUR)
            await world.settle()
            await watcher.check(TOLD)
            for seconds in (3000, 3000, 9000):  # counts get older
                world.now_ms += 1000 * seconds
                await world.settle()
                await watcher.check(TOLD)

    run(test())


def test_nothing_is_kept_of_what_nobody_watches_any_more() -> None:
    async def test() -> None:
        async with world_of() as world:
            early = world.watcher(channel="web", skus=["CHAIR", "SOFA"])
            early.open()
            await early.first()
            stays = world.watcher(channel="web", skus=["LAMP", "DESK"])
            stays.open()
            await stays.first()
            await early.close()
            world.stock("LAMP", "AMS1", 6)
            await world.settle()
            for number in range(20):
                guest = world.watcher(channel="web", skus=[f"SKU-{number}-{other}" for other in range(50)] + ["DESK"])
                guest.open()
                await guest.first()
                await guest.close()
            await world.watching.tick()
            (view,) = world.watching._looks.views.values()
            assert sorted(view.names.names) == [b"DESK", b"LAMP"]
            world.stock("LAMP", "AMS1", 7)
            world.stock("DESK", "AMS1", 8)
            await world.settle()
            await stays.check(SKUS)
            assert stays.known["DESK", ""][0] == 8

    run(test())


def test_nothing_is_noted_while_nobody_watches() -> None:
    async def test() -> None:
        async with world_of() as world:
            watcher = world.watcher(channel="web")
            watcher.open()
            await watcher.first()
            world.stock("LAMP", "AMS1", 7)
            assert world.replica.has_changes
            await watcher.close()
            world.stock("LAMP", "AMS1", 8)
            assert not world.replica.has_changes
            assert world.metrics.watch.subscribers == 0

    run(test())


def test_looks_come_by_themselves_and_signs_of_life_while_nothing_changes() -> None:
    async def test() -> None:
        async with world_of() as world:
            looking = asyncio.ensure_future(world.watching.run())
            watcher = world.watcher(channel="web", skus=["LAMP"])
            watcher.open()
            await watcher.first()
            world.stock("LAMP", "AMS1", 7)
            while ("LAMP", "") not in told(watcher) or told(watcher)["LAMP", ""][0] != 7:
                await asyncio.sleep(0.001)
            world.stock("DESK", "AMS1", 7)  # changes nothing for this one, but what its token must say
            while len(watcher.messages) < 4:
                await asyncio.sleep(0.001)
            beat = watcher.messages[-1]
            assert (len(beat.changes), beat.caught_up, bool(beat.resume_token)) == (0, False, True)
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            assert sum(world.metrics.watch_lag["totals"]._counts) == 1
            assert world.metrics.watch.told == 2

    run(test())


async def refused(world: World, **question: Any) -> Exception:
    stream = world.watching.watch(pb.WatchAvailabilityRequest(**question).SerializeToString())
    try:
        await anext(stream)
    except Exception as refusal:
        return refusal
    finally:
        await stream.aclose()
    raise AssertionError("not refused")


def test_refusals() -> None:
    async def test() -> None:
        async with world_of(watchers_max=1) as world:
            bad = {
                InvalidArgument: [
                    {"channel": ""},
                    {"channel": "web", "skus": [""]},
                    {"channel": "web", "skus": ["a" * 65]},
                    {"channel": "web", "skus": ["x"] * 10_001},
                    {"channel": "web", "group": "eu", "locations": ["DUB"]},
                    {"channel": "web", "fulfilment": 9},
                    *({"channel": "web", "resume_token": text} for text in ("x", "!", "a" * 400, "\n")),
                ],
                UnknownChannel: [{"channel": "nobody"}],
                UnknownGroup: [{"channel": "web", "group": "nowhere"}],
                GroupNotUsable: [{"channel": "web", "group": "far"}],
            }
            for kind, questions in bad.items():
                for question in questions:
                    assert isinstance(await refused(world, **question), kind), question
            stream = world.watching.watch(b"\xff")
            with pytest.raises(MalformedMessage):
                await anext(stream)
            assert world.metrics.watch.subscribers == 0
            watcher = world.watcher(channel="web")
            watcher.open()
            await watcher.first()
            refusal = await refused(world, channel="web")
            assert isinstance(refusal, Overloaded)
            assert "1 callers watch already" in str(refusal)
            other = World()
            other.use(NETWORK)
            other.replica.store_id = b"other st"  # type: ignore[misc]
            refusal = await refused(other, channel="web", resume_token=watcher.token)
            assert isinstance(refusal, InvalidArgument)
            assert refusal.problem == "a token of another store"
            assert isinstance(await refused(World(), channel="web"), NetworkMissing)

    run(test())
