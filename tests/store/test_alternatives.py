"""Requests with more than one choice: what the first finds too little for, the next one takes, in the same call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from invengine import errors
from invengine.domain.orders import LineRequest, PlacedRequest, ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import Position
from invengine.store.fitting import LINES_PER_CALL
from invengine.store.redis_store import Atomicity
from tests.redis_servers import RunningRedis
from tests.store.making import line, movement, request
from tests.store.test_pieces_crash import every_cut, looks_after, open_of, reserved, server
from tests.store.worlds import World, told

__all__ = ["server"]

pytestmark = pytest.mark.asyncio

PLACES = ("AMS1", "BER1", "PAR1")
SKUS = ("LAMP", "SOFA", "BED")  # three partitions of four
OpenWorld = Callable[..., Awaitable[World]]


async def stocked(world: World, *skus: str, units: int = 5) -> World:
    at = world.clock.now_ms
    arrive = [movement("RECEIPT", units, at, sku=sku, location=place) for sku in skus or ("LAMP",) for place in PLACES]
    await world.store.post_movements(arrive)
    return world


def at(place: str, quantity: int = 4, sku: str = "LAMP", line_id: str = "1", **more: Any) -> LineRequest:
    return line(quantity, place, sku=sku, line_id=line_id, **more)


def divided(*parts: tuple[str, int], sku: str = "LAMP", line_id: str = "1") -> PlacedRequest:
    """A line of which a plan says how many units come from where."""
    units = sum(quantity for _, quantity in parts)
    plain = line(units, *(place for place, _ in parts), sku=sku, line_id=line_id)
    named = {name: getattr(plain, name) for name in ("line_id", "sku", "quantity", "candidates")}
    return PlacedRequest(**named, asked=units, units_at=tuple(quantity for _, quantity in parts))


def choices(*lines: tuple[LineRequest, ...], **more: Any) -> ReserveRequest:
    return replace(request(*lines[0], **more), alternatives=lines[1:])


def counted(world: World) -> Counter[str]:
    """Counts the calls of functions from now on."""
    made: Counter[str] = Counter()
    write = world.store._calls.write

    async def count(function: str, *arguments: Any) -> Any:
        made[function] += 1
        return await write(function, *arguments)

    world.store._calls.write = count  # type: ignore[method-assign]
    return made


def taken(outcome: Any) -> tuple[int, list[list[tuple[str, int]]]]:
    assert isinstance(outcome, ReservationAnswer), told(outcome)
    return outcome.choice, [[(a.location, a.quantity) for a in each.allocations] for each in outcome.reservation.lines]


@pytest.fixture(params=[Atomicity.WHOLE, Atomicity.PARTITION], ids=["whole", "pieces"])
def atomicity(request: pytest.FixtureRequest) -> Atomicity:
    """How much one call sees."""
    found: Atomicity = request.param
    return found


async def test_the_first_choice_that_fits_is_taken(open_world: OpenWorld, atomicity: Atomicity) -> None:
    """And the answer says which it was: the first, the next, the one after."""
    world = await stocked(await open_world(atomicity=atomicity))
    plans = (at("AMS1"),), (at("BER1"),), (divided(("PAR1", 3), ("AMS1", 1)),)
    outcomes = [(await world.store.reserve([choices(*plans)])).outcomes[0] for _ in range(4)]
    assert [taken(outcome) for outcome in outcomes[:3]] == [
        (0, [[("AMS1", 4)]]),
        (1, [[("BER1", 4)]]),
        (2, [[("PAR1", 3), ("AMS1", 1)]]),
    ]
    assert [outcome.trips for outcome in outcomes[:3]] == [1, 1, 1]
    assert told(outcomes[3]) == (
        "InsufficientStock",
        {"short_lines": (errors.ShortLine("1", "LAMP", "", 4, 0),)},
    )
    assert (await world.store.position("LAMP", "AMS1")).reserved == 5


async def test_it_is_one_call(open_world: OpenWorld) -> None:
    """Whatever the basket has, where a call sees all of it."""
    world = await stocked(await open_world(), *SKUS)
    plans = [tuple(at(place, 6 - n, sku, sku) for sku in SKUS) for n, place in enumerate(PLACES)]
    made = counted(world)
    (outcome,) = (await world.store.reserve([choices(*plans)])).outcomes
    assert taken(outcome) == (1, [[("BER1", 5)]] * 3)
    assert made == {"invengine_reserve": 1}


async def test_a_basket_in_one_partition_takes_as_many_calls_in_pieces_as_without_choices(
    open_world: OpenWorld,
) -> None:
    """One takes its piece, one commits it."""
    world = await stocked(await open_world(atomicity=Atomicity.PARTITION))
    made = counted(world)
    first = divided(("AMS1", 3), ("BER1", 3)), at("PAR1", 1, line_id="2")
    (outcome,) = (await world.store.reserve([choices(first, (at("AMS1"),))])).outcomes
    assert taken(outcome) == (0, [[("AMS1", 3), ("BER1", 3)], [("PAR1", 1)]])
    (outcome,) = (await world.store.reserve([choices(first, (at("AMS1"), at("BER1", 1, line_id="x")))])).outcomes
    assert isinstance(outcome, errors.InsufficientStock)
    made.clear()
    (outcome,) = (await world.store.reserve([choices(first, (at("PAR1", 3), at("AMS1", 2, line_id="x")))])).outcomes
    assert taken(outcome) == (1, [[("PAR1", 3)], [("AMS1", 2)]])
    assert outcome.trips == 1
    assert made == {"invengine_reserve_pieces": 1, "invengine_commit": 1}
    assert [each.line_id for each in outcome.reservation.lines] == ["1", "x"]
    assert outcome.reservation == await world.store.reservation(outcome.reservation.reservation_id)


async def test_a_basket_in_several_partitions_takes_another_trip_in_pieces(open_world: OpenWorld) -> None:
    """The same reservation, another attempt; nothing stays of the first."""
    world = await stocked(await open_world(atomicity=Atomicity.PARTITION), *SKUS)
    assert len({partition_of(sku, 4) for sku in SKUS}) == 3
    for short in range(3):  # whichever partition is the one that is short
        plan = tuple(at("AMS1", 6 if n == short else 1, sku, sku) for n, sku in enumerate(SKUS))
        wanted = choices(plan, tuple(at("BER1", 1, sku, sku) for sku in SKUS))
        (outcome,) = (await world.store.reserve([wanted])).outcomes
        assert taken(outcome) == (1, [[("BER1", 1)]] * 3)
        assert outcome.trips == 2
        (again,) = (await world.store.reserve([wanted])).outcomes
        assert again == ReservationAnswer(outcome.reservation, replayed=True)
    assert [(await world.store.position(sku, "AMS1")).reserved for sku in SKUS] == [0, 0, 0]
    assert [(await world.store.position(sku, "BER1")).reserved for sku in SKUS] == [3, 3, 3]


async def test_a_repeat_is_answered_like_the_first(open_world: OpenWorld, atomicity: Atomicity) -> None:
    """By what was taken then, though the first choice would fit by now, and whatever choices it comes with."""
    world = await stocked(await open_world(atomicity=atomicity))
    wanted = choices((at("AMS1", 6),), (at("BER1"),))
    (first,) = (await world.store.reserve([wanted])).outcomes
    assert taken(first) == (1, [[("BER1", 4)]])
    await world.store.post_movements([movement("RECEIPT", 9, world.clock.now_ms)])
    for repeated in (wanted, replace(wanted, alternatives=()), replace(wanted, lines=wanted.alternatives[0])):
        (again,) = (await world.store.reserve([repeated])).outcomes
        assert again == ReservationAnswer(first.reservation, replayed=True)
    (other,) = (await world.store.reserve([replace(wanted, fingerprint="B")])).outcomes
    assert isinstance(other, errors.RequestMismatch)


async def test_a_call_whose_answer_was_lost_says_the_choice_again(open_world: OpenWorld, atomicity: Atomicity) -> None:
    """Of a piece; the record alone tells it. A whole one is a replay, of which no choice is known."""
    world = await stocked(await open_world(atomicity=atomicity))
    write = world.store._calls.write

    async def twice(function: str, *arguments: Any) -> Any:
        await write(function, *arguments)
        return await write(function, *arguments)

    world.store._calls.write = twice  # type: ignore[method-assign]
    (outcome,) = (await world.store.reserve([choices((at("AMS1", 6),), (at("BER1"),))])).outcomes
    assert taken(outcome) == (int(atomicity is Atomicity.PARTITION), [[("BER1", 4)]])
    assert outcome.replayed == (atomicity is Atomicity.WHOLE)
    assert (await world.store.position("LAMP", "BER1")).reserved == 4


async def test_what_is_refused_changed_nothing(world: World) -> None:
    """Not even by the choices that had taken some before one of their lines was short; the first one's lack is told."""
    await stocked(world, "LAMP", "SOFA")
    await world.store.post_movements(
        [movement("RING_FENCE", 3, world.clock.now_ms, location="BER1", channel="web", event_id="fence")]
    )
    before = {(sku, place): await world.store.position(sku, place) for sku in ("LAMP", "SOFA") for place in PLACES}
    wanted = choices(
        (at("AMS1", 2), at("AMS1", 7, "SOFA", "2")),
        (at("BER1", 4), at("BER1", 9, "SOFA", "2")),
        (at("PAR1", 6), at("BER1", 1, "SOFA", "2")),
    )
    written = await world.store.reserve([wanted])
    assert (errors.ShortLine("2", "SOFA", "", 7, 5),) == written.outcomes[0].short_lines
    assert written.entries == []
    assert before == {place: await world.store.position(*place) for place in before}


async def test_later_items_of_a_batch_see_the_choice_that_was_taken(world: World) -> None:
    await stocked(world)
    wanted = [choices((at("AMS1", 3),), (at("BER1", 3),), (at("PAR1", 3),)) for _ in range(4)]
    outcomes = (await world.store.reserve(wanted)).outcomes
    assert [taken(outcome)[0] for outcome in outcomes[:3]] == [0, 1, 2]
    assert isinstance(outcomes[3], errors.InsufficientStock)
    found = (await world.store.reserve([request(at("AMS1", 2)), choices((at("BER1", 3),), (at("PAR1", 2),))])).outcomes
    assert [taken(outcome) for outcome in found] == [(0, [[("AMS1", 2)]]), (1, [[("PAR1", 2)]])]


async def test_holds_that_are_over_stand_in_the_way_of_no_choice(open_world: OpenWorld, atomicity: Atomicity) -> None:
    """What is due is expired before a choice is given up, so the better one is taken."""
    world = await stocked(await open_world(atomicity=atomicity))
    await world.store.reserve([request(at("AMS1", 5), time_to_live_seconds=5)])
    wanted = choices((at("AMS1", 4),), (at("BER1", 4),))
    await world.clock.advance(6_000)
    (outcome,) = (await world.store.reserve([wanted])).outcomes
    assert taken(outcome) == (0, [[("AMS1", 4)]])


async def test_unknown_skus_are_named_whatever_choices_there_are(open_world: OpenWorld, atomicity: Atomicity) -> None:
    world = await stocked(await open_world(atomicity=atomicity))
    wanted = choices((at("AMS1"), at("AMS1", 1, "LUMP", "2")), (at("BER1"), at("BER1", 1, "LUMP", "2")))
    (outcome,) = (await world.store.reserve([wanted])).outcomes
    assert told(outcome) == ("UnknownSku", {"sku": "LUMP"})
    assert (await world.store.position("LAMP", "AMS1")) == Position(5, 0, 1)


async def test_what_an_alternative_says_is_checked_like_the_lines(open_world: OpenWorld, atomicity: Atomicity) -> None:
    world = await stocked(await open_world(atomicity=atomicity))
    for bad in (at("BER1", line_id="a\tb"), at("BER\n1"), at("BER1", sku="LA\tMP")):
        with pytest.raises(errors.InvalidArgument):
            await world.store.reserve([choices((at("AMS1"),), (bad,))])
    assert (await world.store.position("LAMP", "AMS1")).reserved == 0


async def test_lines_of_alternatives_count_for_the_size_of_a_call(world: World) -> None:
    """Three choices of so many lines are three times as many."""
    skus = [f"S{n}" for n in range(LINES_PER_CALL // 4)]
    await stocked(world, *skus)
    plan = tuple(at("AMS1", 1, sku, str(n)) for n, sku in enumerate(skus))
    made = counted(world)
    outcomes = (await world.store.reserve([choices(plan, plan, plan) for _ in range(2)])).outcomes
    assert [taken(outcome)[0] for outcome in outcomes] == [0, 0]
    assert made == {"invengine_reserve": 2}


@pytest.mark.parametrize("is_repeated", [False, True], ids=["swept", "repeated"])
async def test_a_server_that_dies_between_two_choices_leaves_one_of_them_or_none(
    server: RunningRedis, is_repeated: bool
) -> None:
    """In pieces, after any of its calls: it is wholly held or wholly free, and a repeat holds it."""
    last = max(SKUS, key=lambda sku: partition_of(sku, 4))
    plan = tuple(at("AMS1", 11 if sku == last else 4, sku, sku) for sku in SKUS)
    wanted = choices(plan, tuple(at("BER1", 4, sku, sku) for sku in SKUS), reservation_id="R", time_to_live_seconds=600)
    found = []

    async def act(store: Any) -> None:
        await store.reserve([wanted])

    async def check(world: World, is_done: bool) -> None:
        if is_repeated:
            (answer,) = (await world.store.reserve([wanted])).outcomes
            assert isinstance(answer, ReservationAnswer)
        await looks_after(world)
        held = await reserved(world)
        assert held == open_of(await world.store.reservation("R"))
        assert held in ({}, {(sku, "BER1"): 4 for sku in SKUS})
        assert bool(held) or not (is_done or is_repeated)
        found.append(bool(held))

    assert await every_cut(server, None, act, check) > 2 * len(SKUS)
    assert is_repeated or set(found) == {False, True}
