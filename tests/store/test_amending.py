"""Amend, rebind and hand over, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from invengine import errors
from invengine.domain.orders import Candidate, LinePlacement, LineUnits, ReservationState
from invengine.domain.partitions import partition_of
from tests.store.making import change, line, movement, request
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

VERBS = ("amend", "rebind", "hand_over")
PLACES = ("AMS1", "BER1", "PAR1")


async def held(world: World, *lines, **more) -> None:
    """Reservation A over 10 units of LAMP at each of two places, and 5 of SOFA at AMS1."""
    stock = [movement("RECEIPT", 10, world.clock.now_ms, location=place) for place in PLACES[:2]]
    await world.store.post_movements([*stock, movement("RECEIPT", 5, world.clock.now_ms, sku="SOFA")])
    (outcome,) = (await world.store.reserve([request(*(lines or (4,)), reservation_id="A", **more)])).outcomes
    assert not isinstance(outcome, errors.InventoryError)


async def one(world: World, verb: str, *placements: LinePlacement, **more):
    return (await getattr(world.store, verb)([change("A", placements=placements, **more)])).outcomes[0]


def to(quantity: int, *places: str | Candidate, line_id: str = "1", **more) -> LinePlacement:
    """A line with this many units, from LAMP's places unless said otherwise."""
    candidates = tuple(p if isinstance(p, Candidate) else Candidate(p) for p in places or PLACES[:2])
    return LinePlacement(line_id, quantity, candidates, **more)


def standing(outcome) -> list[list[tuple[str, int]]]:
    """Per line its allocations."""
    return [[(a.location, a.quantity) for a in each.allocations] for each in outcome.reservation.lines]


async def reserved(world: World, sku: str = "LAMP") -> dict[str, int]:
    return {place: position.reserved for place, position in (await world.store.positions(sku)).items()}


@pytest.mark.parametrize("verb", VERBS)
async def test_what_does_not_exist_is_not_found(world: World, verb: str) -> None:
    assert told(await one(world, verb)) == ("ReservationNotFound", {"reservation_id": "A"})


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_over_is_expired(world: World, verb: str) -> None:
    await held(world, time_to_live_seconds=10)
    expires_at = (await world.store.reservation("A")).expires_at
    await world.clock.set(expires_at * 1000)
    outcome = await one(world, verb, to(9), to_channel="till")
    assert told(outcome) == ("ReservationExpired", {"reservation_id": "A", "expired_at": expires_at})


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_closed_stays_closed(world: World, verb: str) -> None:
    await held(world)
    await world.store.release([change("A")])
    assert told(await one(world, verb)) == ("ReservationClosed", {"reservation_id": "A", "state": "RELEASED"})


@pytest.mark.parametrize("verb", VERBS)
async def test_stale_revision_is_refused(world: World, verb: str) -> None:
    await held(world)
    revision = (await world.store.reservation("A")).revision
    outcome = await one(world, verb, to(9, "BER1"), to_channel="app", expected_revision=revision - 1)
    assert told(outcome) == ("RevisionMismatch", {"expected_revision": revision - 1, "revision": revision})
    outcome = await one(world, verb, to(9, "BER1"), to_channel="app", expected_revision=revision)
    assert outcome.reservation.revision > revision


@pytest.mark.parametrize("verb", VERBS)
async def test_a_repeat_is_answered_as_the_first_time_and_other_content_refused(world: World, verb: str) -> None:
    await held(world)
    wanted = change("A", placements=(to(6, "BER1"),), to_channel="app")
    first, second = (await getattr(world.store, verb)([wanted, wanted])).outcomes
    assert (first.replayed, second.replayed, second.reservation) == (False, True, first.reservation)
    other = change("A", placements=(to(8),), request_id=wanted.request_id, fingerprint="B")
    assert told((await getattr(world.store, verb)([other])).outcomes[0])[0] == "RequestMismatch"


@pytest.mark.parametrize("verb", ["amend", "rebind"])
async def test_unknown_lines_are_named(world: World, verb: str) -> None:
    await held(world)
    expected = {"reservation_id": "A", "line_id": "7", "location": ""}
    assert told(await one(world, verb, to(1), to(1, line_id="7"))) == ("LineNotFound", expected)
    assert await reserved(world) == {"AMS1": 4, "BER1": 0}


@pytest.mark.parametrize("verb", ["amend", "rebind"])
async def test_a_damaged_position_is_told_as_a_fault_and_left_as_it_is(world: World, verb: str) -> None:
    await held(world)
    key = f"{{p{partition_of('LAMP', world.store.partitions)}}}:stock:LAMP"
    await world.client.hset(key, "AMS1", "10,3,2,0")
    assert isinstance(await one(world, verb, to(2, "BER1")), errors.InternalError)
    assert await reserved(world) == {"AMS1": 3, "BER1": 0}


# amend


@pytest.mark.parametrize("is_confirmed", [False, True])
async def test_a_line_is_raised_where_it_stands_before_anywhere_else(world: World, is_confirmed: bool) -> None:
    await held(world, line(4, "BER1"))
    if is_confirmed:
        await world.store.confirm([change("A")])
    outcome = await one(world, "amend", to(9, "AMS1", "BER1"))
    assert standing(outcome) == [[("BER1", 9)]]
    assert (outcome.reservation.lines[0].quantity, outcome.reservation.lines[0].short_quantity) == (9, 0)
    assert outcome.reservation.state == ("CONFIRMED" if is_confirmed else "HELD")
    assert await reserved(world) == {"AMS1": 0, "BER1": 9}


async def test_what_is_not_there_any_more_comes_from_the_candidates_whole_or_in_parts(world: World) -> None:
    await held(world, line(8))
    outcome = await one(world, "amend", to(12))
    assert standing(outcome) == [[("AMS1", 8), ("BER1", 4)]]
    outcome = await one(world, "amend", to(17, allow_split=True))
    assert standing(outcome) == [[("AMS1", 10), ("BER1", 7)]]


async def test_units_beyond_what_there_is_are_refused_with_the_true_numbers(world: World) -> None:
    """Numbers are of the units that are missing; every short line is listed and nothing is changed."""
    await held(world, line(4), line(1, sku="SOFA", line_id="2"))
    outcome = await one(
        world,
        "amend",
        to(12, "AMS1", named_location="AMS1"),
        to(9, Candidate("AMS1", 2), line_id="2"),
    )
    assert outcome.short_lines == (
        errors.ShortLine("1", "LAMP", "AMS1", 8, 6),
        errors.ShortLine("2", "SOFA", "", 8, 2),
    )
    assert (await reserved(world), await reserved(world, "SOFA")) == ({"AMS1": 4, "BER1": 0}, {"AMS1": 1})


async def test_a_line_gives_back_from_its_last_place_first(world: World) -> None:
    await held(world, line(14, "AMS1", "BER1", allow_split=True))
    assert standing(await one(world, "amend", to(11))) == [[("AMS1", 10), ("BER1", 1)]]
    assert standing(await one(world, "amend", to(3))) == [[("AMS1", 3)]]
    assert await reserved(world) == {"AMS1": 3, "BER1": 0}


async def test_what_one_line_gives_back_another_may_take_in_the_same_step(world: World) -> None:
    await held(world, line(10, line_id="1"), line(10, "BER1", line_id="2"))
    assert told(await one(world, "amend", to(11, "AMS1", line_id="1")))[0] == "InsufficientStock"
    outcome = await one(world, "amend", to(13, "BER1", line_id="1"), to(7, "BER1", line_id="2"))
    assert standing(outcome) == [[("AMS1", 10), ("BER1", 3)], [("BER1", 7)]]
    assert await reserved(world) == {"AMS1": 10, "BER1": 10}


async def test_a_removed_line_stays_without_units_and_can_be_raised_again(world: World) -> None:
    await held(world, line(4), line(2, sku="SOFA", line_id="2"))
    outcome = await one(world, "amend", to(0))
    assert [(each.line_id, each.quantity) for each in outcome.reservation.lines] == [("1", 0), ("2", 2)]
    assert standing(outcome) == [[], [("AMS1", 2)]]
    assert standing(await one(world, "amend", to(5, "BER1"))) == [[("BER1", 5)], [("AMS1", 2)]]


async def test_without_any_units_left_it_is_released(world: World) -> None:
    await held(world)
    assert (await one(world, "amend", to(0))).reservation.state is ReservationState.RELEASED
    assert await reserved(world) == {"AMS1": 0, "BER1": 0}
    assert {state: n for state, n in (await world.store.states()).items() if n} == {"RELEASED": 1}


async def test_units_that_left_stay_and_closing_at_them_is_fulfilled(world: World) -> None:
    await held(world, line(6))
    await world.store.confirm([change("A")])
    await world.store.fulfil([change("A", LineUnits("1", "", 2))])
    outcome = await one(world, "amend", to(1))
    wanted = {"reservation_id": "A", "line_id": "1", "wanted": 5, "open": 4}
    assert told(outcome) == ("QuantityExceedsOpen", wanted)
    outcome = await one(world, "amend", to(2))
    assert outcome.reservation.state is ReservationState.FULFILLED
    (allocation,) = outcome.reservation.lines[0].allocations
    assert (allocation.quantity, allocation.fulfilled, allocation.released) == (2, 2, 0)


async def test_units_given_back_before_do_not_count_as_the_lines(world: World) -> None:
    await held(world, line(6))
    await world.store.release([change("A", LineUnits("1", "", 2))])
    same = await one(world, "amend", to(4))
    assert (same.reservation.lines[0].quantity, standing(same)) == (4, [[("AMS1", 4)]])
    assert standing(await one(world, "amend", to(7))) == [[("AMS1", 7)]]
    assert await reserved(world) == {"AMS1": 7, "BER1": 0}


async def test_a_line_that_was_short_is_filled_up(world: World) -> None:
    await held(world, line(12), best_effort=True)
    outcome = await one(world, "amend", to(12))
    assert (standing(outcome), outcome.reservation.lines[0].short_quantity) == ([[("AMS1", 10), ("BER1", 2)]], 0)


async def test_lines_are_added_with_the_id_that_they_bring_or_their_place(world: World) -> None:
    await held(world)
    added = (line(2, sku="SOFA", line_id="gift"), line(1, "BER1", line_id="", fulfilment="SHIP"))
    outcome = await one(world, "amend", added=added)
    assert [(each.line_id, each.sku) for each in outcome.reservation.lines] == [
        ("1", "LAMP"),
        ("gift", "SOFA"),
        ("3", "LAMP"),
    ]
    assert outcome.reservation.lines[2].fulfilment == "SHIP"
    assert (await reserved(world), await reserved(world, "SOFA")) == ({"AMS1": 4, "BER1": 1}, {"AMS1": 2})


async def test_a_line_id_is_used_once(world: World) -> None:
    await held(world)
    outcome = await one(world, "amend", added=(line(2, sku="SOFA", line_id="1"),))
    assert told(outcome) == ("LineExists", {"reservation_id": "A", "line_id": "1"})
    outcome = await one(world, "amend", added=(line(1, line_id="2"), line(1, line_id="2")))
    assert told(outcome) == ("LineExists", {"reservation_id": "A", "line_id": "2"})


async def test_a_reservation_has_at_most_200_lines(world: World) -> None:
    await held(world, line(1))
    await world.store.post_movements([movement("RECEIPT", 500, world.clock.now_ms)])
    outcome = await one(world, "amend", added=tuple(line(1, line_id="") for _ in range(199)))
    assert len(outcome.reservation.lines) == 200
    refused = await one(world, "amend", added=(line(1, line_id=""),))
    assert (type(refused), refused.field) == (errors.InvalidArgument, "added_lines")


async def test_an_unknown_sku_cannot_be_added(world: World) -> None:
    await held(world)
    outcome = await one(world, "amend", to(6), added=(line(1, sku="RUG", line_id="2"),))
    assert told(outcome) == ("UnknownSku", {"sku": "RUG"})
    assert await reserved(world) == {"AMS1": 4, "BER1": 0}


async def test_an_amendment_to_what_is_changes_nothing(world: World) -> None:
    await held(world)
    before = await world.store.reservation("A")
    written = await world.store.amend([change("A", placements=(to(4),))])
    assert (written.outcomes[0].reservation, written.entries) == (before, [])


async def test_holds_that_are_over_make_room(world: World) -> None:
    await held(world)
    await world.store.reserve([request(6, reservation_id="B", time_to_live_seconds=5)])
    assert told(await one(world, "amend", to(9, "AMS1")))[0] == "InsufficientStock"
    await world.clock.advance(6_000)
    assert standing(await one(world, "amend", to(9, "AMS1"))) == [[("AMS1", 9)]]
    assert (await world.store.reservation("B")).state is ReservationState.EXPIRED


@pytest.mark.parametrize("verb", ["amend", "rebind"])
async def test_more_due_holds_than_a_call_expires_are_swept_first(open_world: Callable[..., Any], verb: str) -> None:
    world = await open_world(EXPIRE_MAX="2", partitions=1)
    await held(world, line(4, "BER1"))
    await world.store.reserve([request(1, time_to_live_seconds=1) for _ in range(10)])
    await world.clock.advance(5_000)
    outcome = await one(world, verb, to(14, "AMS1"))
    assert standing(outcome) == [[("BER1", 4), ("AMS1", 10)] if verb == "amend" else [("AMS1", 4)]]


async def test_units_of_an_added_line_expire_with_the_others(world: World) -> None:
    """Whoever sweeps the partition of the added SKU alone finds the reservation too."""
    assert partition_of("LAMP", 4) != partition_of("SOFA", 4)
    await held(world, line(2, sku="SOFA"), time_to_live_seconds=10)
    await one(world, "amend", added=(line(3, "BER1", line_id="2"),))
    await world.clock.advance(11_000)
    assert (await world.store.expire_due(partition_of("LAMP", 4)))[0].outcomes == ["A"]
    assert (await reserved(world), await reserved(world, "SOFA")) == ({"AMS1": 0, "BER1": 0}, {"AMS1": 0})


async def test_the_ledger_says_who_amended(world: World) -> None:
    await held(world, order_ref="O1")
    await one(world, "amend", to(6), channel="till")
    entry = (await world.store.ledger("LAMP"))[0][0]
    assert (entry.kind, entry.actor, entry.cause, entry.reference) == ("AMEND", "till", "A", "O1")
    assert (entry.reserved_before, entry.reserved_after) == (4, 6)


# rebind


async def test_open_units_move_and_their_place_is_free(world: World) -> None:
    await held(world, line(10))
    assert standing(await one(world, "rebind", to(0, "BER1"))) == [[("BER1", 10)]]
    assert await reserved(world) == {"AMS1": 0, "BER1": 10}
    assert (await world.store.ledger("LAMP"))[0][0].kind == "REBIND"


async def test_what_left_stays_where_it_left(world: World) -> None:
    await held(world, line(6))
    await world.store.confirm([change("A")])
    await world.store.fulfil([change("A", LineUnits("1", "", 2))])
    outcome = await one(world, "rebind", to(0, "BER1"))
    assert [(a.location, a.quantity, a.fulfilled) for a in outcome.reservation.lines[0].allocations] == [
        ("AMS1", 2, 2),
        ("BER1", 4, 0),
    ]
    assert outcome.reservation.lines[0].quantity == 6


async def test_a_destination_without_enough_refuses_all_lines(world: World) -> None:
    """What one line takes there, the next does not find."""
    await held(world, line(6), line(6, "BER1", line_id="2"), line(2, line_id="3"))
    outcome = await one(world, "rebind", to(0, "BER1", line_id="3"), to(0, "BER1", named_location="BER1"))
    assert outcome.short_lines == (errors.ShortLine("1", "LAMP", "BER1", 6, 2),)
    assert await reserved(world) == {"AMS1": 8, "BER1": 6}


async def test_lines_may_change_places_with_each_other(world: World) -> None:
    await held(world, line(10), line(10, "BER1", line_id="2"))
    outcome = await one(world, "rebind", to(0, "AMS1", line_id="2"), to(0, "BER1"))
    assert standing(outcome) == [[("BER1", 10)], [("AMS1", 10)]]


async def test_units_that_are_sourced_to_where_they_are_stay_without_a_trace(world: World) -> None:
    await held(world, line(8))
    before = await world.store.position("LAMP", "AMS1")
    written = await world.store.rebind([change("A", placements=(to(0),))])
    assert (standing(written.outcomes[0]), written.entries) == ([[("AMS1", 8)]], [])
    await world.store.post_movements([movement("ADJUSTMENT", -5, world.clock.now_ms, reason="fire")])
    outcome = await one(world, "rebind", to(0, allow_split=True))
    assert standing(outcome) == [[("AMS1", 5), ("BER1", 3)]]
    assert (before.reserved, await reserved(world)) == (8, {"AMS1": 5, "BER1": 3})


async def test_safety_stock_of_the_destination_is_kept(world: World) -> None:
    await held(world)
    outcome = await one(world, "rebind", to(0, Candidate("BER1", 8), named_location="BER1"))
    assert outcome.short_lines == (errors.ShortLine("1", "LAMP", "BER1", 4, 2),)


async def test_a_line_with_nothing_open_has_nothing_to_move(world: World) -> None:
    await held(world, line(4), line(2, line_id="2"))
    await world.store.release([change("A", LineUnits("1"))])
    before = await world.store.reservation("A")
    assert (await one(world, "rebind", to(0, "BER1"))).reservation == before


# hand over


async def test_another_channel_and_customer_keep_units_and_id(world: World) -> None:
    await held(world, customer_ref="ann")
    before = await world.store.reservation("A")
    after = (await one(world, "hand_over", to_channel="till", to_customer_ref="bob")).reservation
    assert (after.channel, after.customer_ref) == ("till", "bob")
    assert (after.lines, after.expires_at, after.state) == (before.lines, before.expires_at, before.state)
    assert await reserved(world) == {"AMS1": 4, "BER1": 0}


async def test_the_customer_finds_it_and_the_one_before_does_not(world: World) -> None:
    await held(world, customer_ref="ann")
    await one(world, "hand_over", to_customer_ref="bob")
    assert await world.store.list_reservations(customer_ref="ann", limit=10) == ([], "")
    found, _ = await world.store.list_reservations(customer_ref="bob", limit=10)
    assert [reservation.reservation_id for reservation in found] == ["A"]


async def test_what_is_left_out_is_kept(world: World) -> None:
    await held(world, customer_ref="ann")
    after = (await one(world, "hand_over", to_channel="till")).reservation
    assert (after.channel, after.customer_ref) == ("till", "ann")
    written = await world.store.hand_over([change("A", to_channel="till", to_customer_ref="ann")])
    assert (written.outcomes[0].reservation, written.entries) == (after, [])


async def test_a_hold_may_get_more_time_with_it(world: World) -> None:
    await held(world, time_to_live_seconds=10)
    await world.clock.advance(4_000)
    after = (await one(world, "hand_over", to_channel="till", time_to_live_seconds=60)).reservation
    assert after.expires_at * 1000 == world.clock.now_ms + 60_000
    await world.clock.advance(20_000)
    for partition in range(4):
        assert (await world.store.expire_due(partition))[0].outcomes == []


async def test_what_is_confirmed_is_handed_over_without_a_time_to_live(world: World) -> None:
    await held(world)
    await world.store.confirm([change("A")])
    outcome = await one(world, "hand_over", to_channel="till", time_to_live_seconds=60)
    assert told(outcome) == ("ReservationConfirmed", {"reservation_id": "A"})
    assert (await world.store.reservation("A")).channel == "web"
    assert (await one(world, "hand_over", to_channel="till")).reservation.channel == "till"
