"""Promises of a watch: what is broken is told, in its newest state, to those whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.domain.days import calendar_day
from invengine.domain.kept import BreakReason, BrokenLine, LineKey
from invengine.domain.network import Network
from invengine.services import watch_news, watch_promises
from invengine.services.watch_promises import PROMISES_A_MESSAGE, Board, PromiseQueue
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1.incoming_service_pb2 import BrokenPromise
from tests.services.watchers import ANY_LINE, NETWORK, START_MS, Change, Watcher, World

WITH_SET = NETWORK + "kits: {SET: {LAMP: 1, CHAIR: 2}}\n"
OTHER_SET = NETWORK + "kits: {SET: {CHAIR: 1, SOFA: 1}}\n"
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"channel": "web"},
    {"channel": "web", "skus": ["LAMP"]},
    {"channel": "web", "skus": ["LAMP", "DESK"], "by_location": True, "locations": ["BER"]},
    {"channel": "web", "skus": ["SET"]},
    {"channel": "market", "levels_only": True},
    {"channel": "app", "group": "eu", "skus": ["CHAIR", "SOFA"]},
)


class Watched(World):
    """A world whose broken promises are followed, and those who watch them."""

    def watcher(self, **question: Any) -> Watcher:
        self.made.append(Watcher(self, {"channel": "web", "include_promises": True, **question}))
        return self.made[-1]

    async def told(self) -> None:
        """Until everyone who reads was told everything."""
        for watcher in self.made:
            if watcher.is_reading:
                await watcher.first()
        await self.taken()
        await self.settle()

    async def taken(self) -> None:
        """Until it is known what is broken, while somebody wants to know."""
        if self.watching._readers:
            await self.promises.taken()

    def right(self, watcher: Watcher) -> dict[str, tuple[Any, ...]]:
        """The promises that a watcher has to know."""
        assert self.networks.current is not None
        skus = set(watcher.question.get("skus", ()))
        for kit in [self.networks.current.kits.get(sku, ()) for sku in skus]:
            skus |= {component.sku for component in kit}
        return {
            f"0-{line.leg[1]}": (line.reservation_id, line.sku, line.location, line.quantity)
            for line in self.promises.broken.values()
            if line.channel == watcher.question["channel"] and (not skus or line.sku in skus)
        }


def known(watcher: Watcher) -> dict[str, tuple[Any, ...]]:
    return {key: (p.reservation_id, p.sku, p.location, p.quantity) for key, p in watcher.promises.items()}


@asynccontextmanager
async def world_of() -> AsyncIterator[Watched]:
    """A world with a network; who watches is closed, and whatever ended the following is raised."""
    world = Watched()
    world.use(NETWORK)
    following = asyncio.ensure_future(world.watching.run_promises())
    try:
        yield world
    finally:
        for watcher in world.made:
            await watcher.close()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


SKU_OF = ("DESK", "LAMP", "CHAIR", "SOFA", "LAMP")  # an allocation is of one SKU for ever


# --- any history ----------------------------------------------------------------------------------------------------

which = st.just(range(len(QUESTIONS))) | st.lists(st.integers(0, len(QUESTIONS) - 1), min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(
        st.just("break"),
        st.integers(1, 8),
        st.sampled_from(("web", "web", "market", "app")),
        st.integers(1, 3),
    ),
    st.tuples(st.just("mend"), st.integers(1, 8)),
    st.tuples(st.just("stock"), st.integers(0, 9)),
    st.tuples(st.just("network"), st.sampled_from((NETWORK, WITH_SET, OTHER_SET))),
    st.tuples(st.just("taken")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("open"), which),
    st.tuples(st.just("break off"), which),
    st.tuples(st.just("pause"), which),
)
slow = st.tuples(which, st.lists(steps, min_size=2, max_size=6)).map(
    lambda drawn: [("pause", drawn[0]), drawn[1][0], ("taken",), ("turn",), *drawn[1][1:], ("taken",)]
)
histories = st.lists(st.one_of(steps.map(lambda step: [step]), slow), max_size=30)


async def happen(world: Watched, step: tuple[Any, ...]) -> None:
    """One step of a history."""
    watchers = world.made
    match step:
        case ("break", number, channel, quantity):
            world.promises.put(number, channel=channel, sku=SKU_OF[number % len(SKU_OF)], quantity=quantity)
        case ("mend", number):
            world.promises.mend(number)
        case ("stock", on_hand):
            world.stock("LAMP", "AMS1", on_hand)
            await world.watching.tick()
        case ("network", document):
            world.use(document)
            await world.watching.tick()
        case ("taken",):
            await world.taken()
        case ("turn",):
            for _ in range(20):
                await asyncio.sleep(0)
        case ("settle",):
            await settled(world)
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


async def settled(world: Watched) -> None:
    """All who watch were told everything and are right."""
    for watcher in world.made:
        watcher.go_on()
    await world.told()
    for watcher in world.made:
        if watcher.is_open:
            assert known(watcher) == world.right(watcher), watcher.question


@settings(max_examples=200)
@given(histories, st.sampled_from((0, 1, 3, 10_000)), st.sampled_from((1, 2, 1_000)))
def test_whatever_happens_those_that_are_broken_are_known(
    history: list[list[tuple[Any, ...]]], mended_max: int, a_message: int
) -> None:
    """Whoever reads slowly, leaves and comes back; however few of those that were mended are remembered."""

    async def test() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watch_promises, "MENDED_MAX", mended_max)
            patch.setattr(watch_promises, "PROMISES_A_MESSAGE", a_message)
            patch.setattr(watch_news, "LINGER_SECONDS", 0.0)
            async with world_of() as world:
                for question in QUESTIONS:
                    world.watcher(**question)
                for step in (step for steps in history for step in steps):
                    await happen(world, step)
                await settled(world)

    asyncio.run(test())


# --- the board alone ------------------------------------------------------------------------------------------------

KITS = {"none": NETWORK, "one": WITH_SET, "other": OTHER_SET}
PARSED = {name: Network.parse(document, 1) for name, document in KITS.items()}
states = st.one_of(
    st.tuples(st.just("break"), st.integers(1, 4), st.sampled_from(("web", "web", "web", "app")), st.integers(1, 3)),
    st.tuples(st.just("mend"), st.integers(1, 4)),
)
moves = st.one_of(
    states.map(lambda move: [move]),
    states.map(lambda move: [move, ("look",)]),
    st.integers(1, 2).map(  # broken and mended again and again
        lambda number: [("break", number, "web", 1), ("look",), ("mend", number), ("look",)]
    ),
    st.just([("search anew",)]),
    st.sampled_from(sorted(PARSED)).map(lambda name: [("network", name)]),
    st.integers(0, 2).map(lambda number: [("read", number)]),
)


class Reader:
    """Takes what there is to be told of some SKUs, and keeps what it knows."""

    def __init__(self, board: Board, *names: str) -> None:
        self.names = names
        self.queue = PromiseQueue(board, "web", [name.encode() for name in names])
        self.known: dict[str, int] = {}
        self.is_caught_up = False

    def read(self, network: Network) -> bool:
        """Takes a message; whether there was one."""
        if not self.queue.has_more(network):
            return False
        fields, count = self.queue.take()
        message = pb.WatchAvailabilityResponse.FromString(fields)
        assert count == len(message.promises)
        if message.promises_begin_anew:
            self.known.clear()
            self.is_caught_up = False
        for change in message.promises:
            if change.mended:
                self.known.pop(change.key, None)
            else:
                self.known[change.key] = change.promise.quantity
        if message.promises_caught_up:
            assert not self.is_caught_up
            self.is_caught_up = True
        return True


@settings(max_examples=1_000)
@given(st.lists(moves, max_size=25), st.integers(0, 3), st.integers(1, 3))
def test_a_reader_knows_in_the_end_what_is_broken(
    history: list[list[tuple[Any, ...]]], mended_max: int, a_message: int
) -> None:
    """However late it reads, and in whatever parts."""
    broken: dict[LineKey, BrokenLine] = {}
    board, network, looked = Board(), PARSED["none"], dict(broken)
    readers = [Reader(board), Reader(board, "LAMP", "SOFA"), Reader(board, "SET")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch_promises, "MENDED_MAX", mended_max)
        patch.setattr(watch_promises, "PROMISES_A_MESSAGE", a_message)
        for move in (*chain(*history), ("look",), ("read", 0), ("read", 1), ("read", 2)):
            match move:
                case ("break", number, channel, quantity):
                    broken[0, number, False] = replace(
                        ANY_LINE, leg=(0, number), sku=SKU_OF[number], channel=channel, quantity=quantity
                    )
                case ("mend", number):
                    broken.pop((0, number, False), None)
                case ("look",) if board.is_known:
                    changed = tuple(line for key, line in broken.items() if looked.get(key) != line)
                    board.take(Change(changed, tuple(line for key, line in looked.items() if key not in broken)))
                    looked = dict(broken)
                case ("look",) | ("search anew",):
                    board.end()
                    board.begin(Change(tuple(broken.values())))
                    looked = dict(broken)
                case ("network", name):
                    network = PARSED[name]
                case ("read", number):
                    readers[number].read(network)
        for reader in readers:
            while reader.read(network):
                pass
            wanted = {*reader.names, *(part.sku for name in reader.names for part in network.kits.get(name, ()))}
            assert reader.is_caught_up
            assert reader.known == {
                f"0-{line.leg[1]}": line.quantity
                for line in broken.values()
                if line.channel == "web" and (not wanted or line.sku in wanted)
            }
    assert len(board._mended) <= mended_max


# --- one by one -----------------------------------------------------------------------------------------------------


def in_a_world(test: Callable[[Watched], Any]) -> Callable[[], None]:
    """Runs a test in a world of its own."""

    def run() -> None:
        async def within() -> None:
            async with world_of() as world:
                await test(world)

        asyncio.run(within())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_a_world
async def test_what_is_broken_is_told_whole(world: Watched) -> None:
    closed = {"reason": BreakReason.LOCATION_CLOSED, "expected_day": 0}
    world.promises.put(7, location="BER", quantity=3, customer_ref="c", order_ref="o", **closed)
    watcher = world.watcher(skus=["LAMP"])
    watcher.open()
    await world.told()
    (message,) = [message for message in watcher.messages if message.promises]
    (told,) = message.promises
    promise = told.promise
    assert (told.key, told.mended) == ("0-7", False)
    assert (promise.reservation_id, promise.line_id, promise.sku, promise.location) == ("R7", "1", "LAMP", "BER")
    assert (promise.quantity, promise.receipt_id, promise.channel) == (3, "PO1", "web")
    assert (promise.customer_ref, promise.order_ref) == ("c", "o")
    assert promise.reason == BrokenPromise.REASON_LOCATION_CLOSED
    assert promise.break_time.ToMilliseconds() == START_MS

    def day(name: str) -> tuple[int, int, int]:
        date = getattr(promise, name)
        return date.year, date.month, date.day

    promised, new = calendar_day(20_002), calendar_day(20_005)
    assert day("promised_delivery_date") == (promised.year, promised.month, promised.day)
    assert day("new_delivery_date") == (new.year, new.month, new.day)
    assert not promise.HasField("expected_date")


@in_a_world
async def test_units_that_are_short_and_others_of_the_same_allocation_are_told_apart(world: Watched) -> None:
    watcher = world.watcher()
    watcher.open()
    world.promises.put(1, quantity=3)
    world.promises.put(1, quantity=2, reason=BreakReason.SHORTFALL)
    await world.told()
    assert {key: promise.quantity for key, promise in watcher.promises.items()} == {"0-1": 3, "0-1-short": 2}
    world.promises.mend(1)
    await world.told()
    assert {key: promise.quantity for key, promise in watcher.promises.items()} == {"0-1-short": 2}


@in_a_world
async def test_it_is_told_that_there_is_none(world: Watched) -> None:
    watcher = world.watcher()
    watcher.open()
    await world.told()
    flags = [(message.promises_begin_anew, message.promises_caught_up) for message in watcher.messages]
    assert flags.count((True, True)) == 1
    assert sum(map(any, flags)) == 1


@in_a_world
async def test_availability_is_told_before_it_is_known_what_is_broken(world: Watched) -> None:
    world.promises.known.clear()
    world.promises.put(1)
    watcher = world.watcher(skus=["LAMP"])
    watcher.open()
    first = await watcher.first()
    assert [change.sku for change in first.changes] == ["LAMP"]
    assert not first.promises_begin_anew
    world.promises.known.set()
    await world.told()
    assert known(watcher) == world.right(watcher)
    assert sum(message.promises_caught_up for message in watcher.messages) == 1


@in_a_world
async def test_a_promise_message_names_the_state_that_was_told(world: Watched) -> None:
    """So that a stream which tells promises again and again does not keep an old token."""
    watcher = world.watcher(skus=["LAMP"])
    watcher.open()
    await world.told()
    token = watcher.token
    world.stock("DESK", "AMS1", 1)  # nothing to be told of, but what the token must say
    await world.watching.tick()
    world.promises.put(1)
    await world.told()
    assert watcher.messages[-1].promises
    assert watcher.messages[-1].resume_token == watcher.token != token
    assert not watcher.messages[-1].changes


@in_a_world
async def test_only_those_of_the_channel_and_the_skus_are_told(world: Watched) -> None:
    watchers = [world.watcher(**question) for question in QUESTIONS]
    plain = world.watcher(include_promises=False)
    for watcher in (*watchers, plain):
        watcher.open()
    world.use(WITH_SET)
    await world.watching.tick()
    for number, (channel, sku) in enumerate(
        [("web", "LAMP"), ("web", "CHAIR"), ("market", "LAMP"), ("app", "SOFA"), ("app", "LAMP")]
    ):
        world.promises.put(number, channel=channel, sku=sku)
    await world.told()
    assert [set(watcher.promises) for watcher in watchers] == [
        {"0-0", "0-1"},
        {"0-0"},
        {"0-0"},
        {"0-0", "0-1"},
        {"0-2"},
        {"0-3"},
    ]
    assert not any(m.promises or m.promises_begin_anew or m.promises_caught_up for m in plain.messages)


@in_a_world
async def test_what_broke_and_was_mended_meanwhile_is_not_told(world: Watched) -> None:
    watcher = world.watcher()
    watcher.open()
    world.promises.put(1)
    await world.told()
    watcher.pause()
    world.promises.put(2)  # is told, with the message that ends the reading
    await world.promises.taken()
    while watcher.is_reading:
        await asyncio.sleep(0)
    before = len(watcher.messages)
    for number in (3, 4):
        world.promises.put(number)
    await world.promises.taken()
    world.promises.mend(3)
    world.promises.mend(1)
    for quantity in range(2, 9):
        world.promises.put(4, quantity=quantity)
        await world.promises.taken()
    watcher.go_on()
    await world.told()
    told = [(change.key, change.mended) for message in watcher.messages[before:] for change in message.promises]
    assert sorted(told) == [("0-1", True), ("0-4", False)]
    assert known(watcher) == world.right(watcher)
    assert known(watcher)["0-4"][-1] == 8


@in_a_world
async def test_one_that_is_handed_over_leaves_one_channel_and_comes_to_another(world: Watched) -> None:
    web, app = world.watcher(), world.watcher(channel="app")
    web.open()
    app.open()
    world.promises.put(1)
    await world.told()
    assert (set(web.promises), set(app.promises)) == ({"0-1"}, set())
    world.promises.put(1, channel="app")
    await world.told()
    assert (set(web.promises), set(app.promises)) == (set(), {"0-1"})
    (mended,) = [change for message in web.messages for change in message.promises if change.mended]
    assert mended.promise.channel == "web"


@in_a_world
async def test_taken_up_again_all_that_are_broken_are_told_anew(world: Watched) -> None:
    world.stock("LAMP", "AMS1", 5)
    world.promises.put(1)
    world.promises.put(2)
    watcher = world.watcher(skus=["LAMP"])
    watcher.open()
    await world.told()
    await watcher.close()
    world.promises.mend(1)
    world.promises.put(3)
    watcher.open(resume=True)
    await world.told()
    assert not any(message.begins_anew for message in watcher.messages)
    assert sum(message.promises_begin_anew for message in watcher.messages) == 1
    assert not any(change.mended for message in watcher.messages for change in message.promises)
    assert set(watcher.promises) == {"0-2", "0-3"}


@in_a_world
async def test_many_come_in_parts_and_whole(world: Watched) -> None:
    for number in range(2 * PROMISES_A_MESSAGE + 1):
        world.promises.put(number, sku=f"S{number % 7}")
    all_of_them, some = world.watcher(), world.watcher(skus=["S1", "S2"])
    all_of_them.open()
    some.open()
    await world.told()
    sizes = [len(message.promises) for message in all_of_them.messages if message.promises]
    assert sizes == [PROMISES_A_MESSAGE, PROMISES_A_MESSAGE, 1]
    flags = [
        (message.promises_begin_anew, message.promises_caught_up)
        for message in all_of_them.messages
        if message.promises
    ]
    assert flags == [(True, False), (False, False), (False, True)]
    assert known(some) == world.right(some)
    before = len(all_of_them.messages)
    for number in range(PROMISES_A_MESSAGE):
        world.promises.put(number, sku=f"S{number % 7}", quantity=2)
    await world.told()
    assert sum(len(message.promises) for message in all_of_them.messages[before:]) == PROMISES_A_MESSAGE
    assert known(all_of_them) == world.right(all_of_them)
    assert world.metrics.watch.promises_told == sum(
        len(message.promises) for watcher in (all_of_them, some) for message in watcher.messages
    )


def test_who_misses_too_many_that_are_mended_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody else does; what is remembered stays bounded."""

    async def test() -> None:
        monkeypatch.setattr(watch_promises, "MENDED_MAX", 5)
        async with world_of() as world:
            reads, sleeps = world.watcher(), world.watcher()
            for watcher in (reads, sleeps):
                watcher.open()
            for number in range(20):
                world.promises.put(number)
            await world.told()
            sleeps.pause()
            world.promises.put(20)
            await world.promises.taken()
            while sleeps.is_reading:
                await asyncio.sleep(0)
            for number in range(12):
                world.promises.mend(number)
                while known(reads) != world.right(reads):
                    await asyncio.sleep(0)
                    reads.raise_fault()
            before = len(sleeps.messages)
            sleeps.go_on()
            await world.told()
            assert known(reads) == known(sleeps) == world.right(reads)
            assert sum(message.promises_begin_anew for message in reads.messages) == 1
            assert [m.promises_begin_anew for m in sleeps.messages[before:] if m.promises] == [True]
            assert [m.promises_caught_up for m in sleeps.messages[before:] if m.promises] == [True]
            board = world.watching._news.board
            assert len(board._mended) == 5
            assert sum(map(len, board._by_channel.values())) == sum(map(len, board._by_sku.values())) == 9 + 5

    asyncio.run(test())


@in_a_world
async def test_a_kit_of_other_components_is_told_anew(world: Watched) -> None:
    world.use(WITH_SET)
    for number, sku in enumerate(("LAMP", "CHAIR", "SOFA")):
        world.promises.put(number, sku=sku)
    watcher = world.watcher(skus=["SET"])
    watcher.open()
    await world.told()
    assert set(watcher.promises) == {"0-0", "0-1"}
    world.use(OTHER_SET)
    await world.watching.tick()
    await world.told()
    assert set(watcher.promises) == {"0-1", "0-2"}
    assert sum(message.promises_begin_anew for message in watcher.messages) == 2


def test_they_are_followed_while_somebody_wants_them_and_a_little_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with world_of() as world:
            promises = world.promises
            plain = world.watcher(include_promises=False)
            plain.open()
            await plain.first()
            assert promises.followed == 0
            one, other = world.watcher(), world.watcher()
            for watcher in (one, other):
                watcher.open()
                await world.told()
                await watcher.close()  # followed on for a while: the second finds all that is known
            assert (promises.followed, len(promises.following)) == (1, 1)
            monkeypatch.setattr(watch_news, "LINGER_SECONDS", 0.0)
            one.open()
            await world.told()
            await one.close()
            while promises.following:
                await asyncio.sleep(0)
            promises.put(1)
            one.open()
            await world.told()
            assert (set(one.promises), promises.followed) == ({"0-1"}, 2)

    asyncio.run(test())


@pytest.mark.asyncio
async def test_what_ends_the_following_is_not_swallowed() -> None:
    world = Watched()
    world.use(NETWORK)

    class Fault(Exception):
        pass

    async def fail() -> None:
        raise Fault

    world.promises.known.wait = fail  # type: ignore[method-assign,assignment]
    following = asyncio.ensure_future(world.watching.run_promises())
    watcher = world.watcher()
    watcher.open()
    with pytest.raises(Fault):
        await following
    assert not world.promises.following
    await watcher.close()


def test_bytes_of_a_message_are_what_protobuf_makes_of_it() -> None:
    change = pb.PromiseChange(key="1-2", promise=BrokenPromise(reservation_id="R"), mended=True)
    made = watch_promises.promise_field(change) + watch_promises.PROMISES_BEGIN_ANEW + watch_promises.PROMISES_CAUGHT_UP
    wanted = pb.WatchAvailabilityResponse(promises=[change], promises_begin_anew=True, promises_caught_up=True)
    assert made == wanted.SerializeToString(deterministic=True)
