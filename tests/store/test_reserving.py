"""Reserving, rule by rule."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from invengine import errors
from invengine.domain.orders import (
    Candidate,
    ReservationState,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import UNITS_MAX, Position, safety_units
from tests.store.making import change, line, movement, request
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio


async def stocked(world: World, **quantities: int) -> None:
    now_ms = world.clock.now_ms
    await world.store.post_movements(
        [movement("RECEIPT", quantity, now_ms, location=location) for location, quantity in quantities.items()]
    )


async def reserve(world: World, *requests):
    return (await world.store.reserve(requests)).outcomes


def taken(outcome: ReservationAnswer) -> list[list[tuple[str, int]]]:
    return [[(a.location, a.quantity) for a in each.allocations] for each in outcome.reservation.lines]


async def test_first_candidate_that_covers_the_whole_line_serves_it(world: World) -> None:
    await stocked(world, AMS1=3, BER1=9, PAR1=9)
    (outcome,) = await reserve(world, request(line(5, "AMS1", "BER1", "PAR1")))
    assert taken(outcome) == [[("BER1", 5)]]


async def test_split_takes_greedily_in_the_order_of_candidates(world: World) -> None:
    await stocked(world, AMS1=3, BER1=9, PAR1=9)
    (outcome,) = await reserve(world, request(line(14, "PAR1", "AMS1", "BER1", allow_split=True)))
    assert taken(outcome) == [[("PAR1", 9), ("AMS1", 3), ("BER1", 2)]]


async def test_two_lines_never_take_the_same_unit(world: World) -> None:
    await stocked(world, AMS1=10)
    (outcome,) = await reserve(world, request(line(6, line_id="1"), line(6, line_id="2")))
    assert ("InsufficientStock", {"short_lines": (errors.ShortLine("2", "LAMP", "", 6, 4),)}) == told(outcome)
    assert Position(10, 0, 1) == await world.store.position("LAMP", "AMS1")


async def test_refusal_lists_every_short_line_with_what_there_is(world: World) -> None:
    await stocked(world, AMS1=4, BER1=6)
    (outcome,) = await reserve(
        world,
        request(
            line(2, "AMS1", line_id="1", named_location="AMS1"),
            line(9, "AMS1", "BER1", line_id="2"),
            line(9, "AMS1", "BER1", line_id="3", allow_split=True),
            line(3, "AMS1", line_id="4", named_location="AMS1"),
        ),
    )
    assert (
        errors.ShortLine("2", "LAMP", "", 9, 6),
        errors.ShortLine("3", "LAMP", "", 9, 8),
        errors.ShortLine("4", "LAMP", "AMS1", 3, 2),
    ) == outcome.short_lines


async def test_best_effort_takes_what_there_is(world: World) -> None:
    await stocked(world, AMS1=4, BER1=6)
    lines = (
        line(9, "AMS1", "BER1", line_id="1"),
        line(9, "AMS1", "BER1", line_id="2", allow_split=True),
        line(1, line_id="3"),
    )
    (outcome,) = await reserve(world, request(*lines, best_effort=True))
    assert taken(outcome) == [[("BER1", 6)], [("AMS1", 4)], []]
    assert [each.short_quantity for each in outcome.reservation.lines] == [3, 5, 1]


async def test_best_effort_is_refused_only_when_there_is_nothing(world: World) -> None:
    await stocked(world, AMS1=4)
    first, second = await reserve(world, request(4, best_effort=True), request(1, best_effort=True))
    assert isinstance(first, ReservationAnswer)
    assert (errors.ShortLine("1", "LAMP", "", 1, 0),) == second.short_lines


async def test_unknown_sku_is_named(world: World) -> None:
    await stocked(world, AMS1=4)
    (outcome,) = await reserve(world, request(line(9, line_id="1"), line(1, sku="LUMP", line_id="2")))
    assert told(outcome) == ("UnknownSku", {"sku": "LUMP"})


async def test_known_sku_without_stock_at_the_candidate_is_short_not_unknown(world: World) -> None:
    await stocked(world, AMS1=4)
    (outcome,) = await reserve(world, request(line(1, "BER1")))
    assert (errors.ShortLine("1", "LAMP", "", 1, 0),) == outcome.short_lines


@pytest.mark.parametrize("on_hand", [1, 9_999, 10_001, 123_456_789, 2**53 - 1])
@pytest.mark.parametrize("parts", [1, 333, 9_999, 10_000])
async def test_safety_stock_is_exact_at_any_size(world: World, on_hand: int, parts: int) -> None:
    """One unit over what safety stock leaves is refused, and exactly that much is granted."""
    await stocked(world, AMS1=on_hand)
    free = on_hand - safety_units(on_hand, 0, parts)
    candidate = Candidate("AMS1", 0, parts)
    (outcome,) = await reserve(world, request(line(min(free + 1, UNITS_MAX), candidate)))
    assert (errors.ShortLine("1", "LAMP", "", free + 1, free),) == outcome.short_lines
    if free:
        (outcome,) = await reserve(world, request(line(free, candidate)))
        assert [[("AMS1", free)]] == taken(outcome)
        assert free == (await world.store.position("LAMP", "AMS1")).reserved


async def test_larger_of_the_two_safety_rules_counts(world: World) -> None:
    await stocked(world, AMS1=100)
    by_units, by_parts = await reserve(
        world,
        request(line(100, Candidate("AMS1", 30, 1_000)), best_effort=True),
        request(line(30, Candidate("AMS1", 3, 2_000))),
    )
    assert taken(by_units) == [[("AMS1", 70)]]
    assert by_parts.short_lines[0].available == 10


@pytest.mark.parametrize("order_ref", ["", "O"])
async def test_the_usual_item_is_recorded_as_any_other(world: World, order_ref: str) -> None:
    """A line that the pool of its first candidate covers is decided in one go. One with a second line, which here gets
    nothing, is not: the same rows come out, but for that line, ids and numbers that only differ by being later.
    """
    await stocked(world, AMS1=9)
    first = line(2, "AMS1", "BER1")
    lines = {"R1": [first], "R2": [first, line(1, sku="LAMP", line_id="2", named_location="PAR1")]}
    lines["R2"][1] = replace(lines["R2"][1], candidates=(Candidate("PAR1"),))
    said = []
    for reservation_id, wanted in lines.items():
        made = request(*wanted, reservation_id=reservation_id, best_effort=True, order_ref=order_ref)
        (outcome,) = (written := await world.store.reserve([made])).outcomes
        rows = [row.split("\t") for entry in written.entries for row in entry.rows.decode().splitlines()]
        said.append((replace(outcome.reservation, reservation_id="", lines=()), outcome.reservation.lines[0], rows))
    (usual, usual_line, usual_rows), (other, other_line, other_rows) = said
    assert usual_line == other_line
    assert replace(usual, revision=0) == replace(other, revision=0)
    kinds = sorted(row[0] for row in usual_rows)
    assert kinds == sorted(row[0] for row in other_rows) == ["H", "P", "R"]
    rows_of = [{row[0]: row for row in rows} for rows in (usual_rows, other_rows)]
    for kind, later in (("P", (4, 10)), ("H", (1,))):  # reserved and the reservation; the leg
        one, two = (["" if n in later else text for n, text in enumerate(rows[kind])] for rows in rows_of)
        assert one == two
    assert [rows["P"][4] for rows in rows_of] == ["2", "4"]


async def test_numbers_near_2_to_the_53_stay_exact(world: World) -> None:
    await stocked(world, AMS1=UNITS_MAX)
    first, second, third = await reserve(world, request(UNITS_MAX - 3), request(2, reservation_id="two"), request(2))
    assert taken(first) == [[("AMS1", UNITS_MAX - 3)]]
    assert taken(second) == [[("AMS1", 2)]]
    assert third.short_lines[0].available == 1
    assert Position(UNITS_MAX, UNITS_MAX - 1, 2) == await world.store.position("LAMP", "AMS1")
    await world.store.release([change("two")])
    assert (await world.store.position("LAMP", "AMS1")).reserved == UNITS_MAX - 3


async def test_same_request_gets_the_first_answer_again_also_after_changes(world: World) -> None:
    await stocked(world, AMS1=10)
    wanted = request(4, reservation_id="A")
    (first,) = await reserve(world, wanted)
    await world.store.confirm([change("A")])
    written = await world.store.reserve([wanted])
    assert [ReservationAnswer(first.reservation, replayed=True)] == written.outcomes
    assert written.entries == []
    assert (await world.store.position("LAMP", "AMS1")).reserved == 4


async def test_same_request_twice_in_a_batch_is_done_once(world: World) -> None:
    await stocked(world, AMS1=10)
    wanted = request(4)
    first, second = await reserve(world, wanted, wanted)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.reservation == second.reservation
    assert (await world.store.position("LAMP", "AMS1")).reserved == 4


async def test_same_request_id_with_other_content_is_a_mismatch(world: World) -> None:
    await stocked(world, AMS1=10)
    await reserve(world, request(1, request_id="Q"))
    (outcome,) = await reserve(world, request(2, request_id="Q", fingerprint="B"))
    assert told(outcome) == ("RequestMismatch", {"request_id": "Q"})


async def test_same_request_id_of_another_channel_is_another_request(world: World) -> None:
    await stocked(world, AMS1=10)
    first, second = await reserve(world, request(1, request_id="Q"), request(2, request_id="Q", channel="till"))
    assert isinstance(first, ReservationAnswer)
    assert not second.replayed


async def test_refused_request_is_judged_anew(world: World) -> None:
    wanted = request(1)
    assert told((await reserve(world, wanted))[0]) == ("UnknownSku", {"sku": "LAMP"})
    await stocked(world, AMS1=1)
    (outcome,) = await reserve(world, wanted)
    assert isinstance(outcome, ReservationAnswer)
    assert not outcome.replayed


async def test_reservation_id_is_given_once(world: World) -> None:
    """Live, closed or made by the same batch: the id is taken."""
    await stocked(world, AMS1=10)
    outcomes = await reserve(world, request(1, reservation_id="A"), request(1, reservation_id="A"))
    assert told(outcomes[1]) == ("ReservationExists", {"reservation_id": "A"})
    await world.store.release([change("A")])
    assert told((await reserve(world, request(1, reservation_id="A")))[0]) == (
        "ReservationExists",
        {"reservation_id": "A"},
    )


async def test_hold_stops_counting_when_its_second_begins(world: World) -> None:
    """Nobody swept: the call that needs the units expires the hold itself."""
    await stocked(world, AMS1=5)
    (held,) = await reserve(world, request(5, reservation_id="A", time_to_live_seconds=10))
    await world.clock.set(held.reservation.expires_at * 1000 - 1)
    assert (await reserve(world, request(1)))[0].short_lines[0].available == 0
    await world.clock.advance(1)
    written = await world.store.reserve([request(5)])
    assert isinstance(written.outcomes[0], ReservationAnswer)
    assert ReservationState.EXPIRED is (await world.store.reservation("A")).state
    assert sum(entry.rows.count(b"\tEXPIRE\t") for entry in written.entries) == 1
    assert (await world.store.position("LAMP", "AMS1")).reserved == 5


async def test_time_to_live_is_rounded_up_to_whole_seconds(world: World) -> None:
    await stocked(world, AMS1=5)
    await world.clock.advance(1)
    (held,) = await reserve(world, request(1, time_to_live_seconds=10))
    assert held.reservation.expires_at * 1000 == world.clock.now_ms - 1 + 11_000


async def test_many_due_holds_are_swept_in_several_calls(open_world) -> None:
    """A call expires a bounded number; the store sweeps the rest and asks again, and the caller notices nothing."""
    world = await open_world(EXPIRE_MAX="3", partitions=1)
    await stocked(world, AMS1=20)
    await reserve(world, *(request(1, time_to_live_seconds=1 + n % 3) for n in range(20)))
    await world.clock.advance(5_000)
    written = await world.store.reserve([request(20, reservation_id="A"), request(1, reservation_id="B")])
    assert isinstance(written.outcomes[0], ReservationAnswer)
    assert written.outcomes[1].short_lines[0].available == 0
    assert sum(entry.rows.count(b"\tEXPIRE\t") for entry in written.entries) == 20
    revisions = [entry.revision for entry in written.entries]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))
    assert {state: n for state, n in (await world.store.states()).items() if n} == {"HELD": 1, "EXPIRED": 20}


async def test_movement_that_needs_due_units_waits_for_the_sweep_too(open_world) -> None:
    world = await open_world(EXPIRE_MAX="3", partitions=1)
    await stocked(world, AMS1=20)
    await reserve(world, *(request(1, time_to_live_seconds=1) for _ in range(20)))
    await world.clock.advance(5_000)
    written = await world.store.post_movements(
        [movement("SALE", 20, world.clock.now_ms), movement("RECEIPT", 1, world.clock.now_ms)]
    )
    assert [outcome.on_hand for outcome in written.outcomes] == [0, 1]


async def test_long_batch_is_done_in_parts_in_order(open_world) -> None:
    """What a call does not get to goes into the next one; the answers come back as one."""
    world = await open_world(WORK_MAX="5", partitions=2)
    await world.store.post_movements([movement("RECEIPT", 1, world.clock.now_ms, sku=f"S{n}") for n in range(40)])
    requests = [request(line(1, sku=f"S{n % 40}"), reservation_id=f"R{n}") for n in range(80)]
    outcomes = await reserve(world, *requests)
    assert [isinstance(outcome, ReservationAnswer) for outcome in outcomes] == [True] * 40 + [False] * 40
    confirmed = (await world.store.confirm([change(f"R{n}") for n in range(40)])).outcomes
    assert [f"R{n}" for n in range(40)] == [outcome.reservation.reservation_id for outcome in confirmed]


async def test_one_of_two_hundred_gets_the_last_unit(world: World) -> None:
    await stocked(world, AMS1=1)
    answers = await asyncio.gather(*(world.store.reserve([request(1)]) for _ in range(200)))
    won = [written for written in answers if isinstance(written.outcomes[0], ReservationAnswer)]
    assert len(won) == 1
    assert Position(1, 1, 2) == await world.store.position("LAMP", "AMS1")


async def test_many_candidates_and_many_splits(world: World) -> None:
    """A line over thousands of places, one unit each: more than one command carries, each allocation with its leg."""
    places = [f"L{n}" for n in range(2_500)]
    await world.store.post_movements([movement("RECEIPT", 1, world.clock.now_ms, location=place) for place in places])
    (outcome,) = await reserve(world, request(line(2_500, *places, allow_split=True)))
    assert taken(outcome) == [[(place, 1) for place in places]]
    holds = [entry.rows async for chunk in world.store.snapshot_holds() for entry in chunk]
    assert len({row.split(b"\t")[1] for row in b"".join(holds).splitlines()}) == 2_500
    assert sum(position.reserved for position in (await world.store.positions("LAMP")).values()) == 2_500
    await world.store.release([change(outcome.reservation.reservation_id)])
    assert sum(position.reserved for position in (await world.store.positions("LAMP")).values()) == 0


async def test_holds_that_end_in_many_different_seconds_are_all_swept(world: World) -> None:
    await stocked(world, AMS1=150)
    await reserve(world, *(request(1, time_to_live_seconds=n) for n in range(1, 151)))
    await world.clock.advance(200_000)
    (outcome,) = await reserve(world, request(150))
    assert taken(outcome) == [[("AMS1", 150)]]


async def test_basket_of_several_lines_is_looked_at_once(world: World) -> None:
    await stocked(world, AMS1=10, BER1=10)
    await reserve(world, request(line(1, line_id="1"), line(1, "BER1", line_id="2"), line(1, line_id="3")))
    (bucket,) = await world.client.keys("{p*}:expiry:*")
    assert await world.client.llen(bucket) == 1


async def test_control_characters_never_reach_the_store(world: World) -> None:
    with pytest.raises(errors.InvalidArgument):
        await world.store.reserve([request(1, customer_ref="a\tb")])
    with pytest.raises(errors.InvalidArgument):
        await world.store.post_movements([movement("RECEIPT", 1, 1, reason="a\nb")])
