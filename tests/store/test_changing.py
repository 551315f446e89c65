"""Confirm, extend, release, fulfil and expiry, rule by rule."""

from __future__ import annotations

import pytest

from invengine import errors
from invengine.domain.orders import LineUnits, ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Position
from tests.store.making import change, line, movement, request
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio


async def held(world: World, *lines, **more) -> None:
    """Reservation A over 10 units at each of two places."""
    await world.store.post_movements(
        [movement("RECEIPT", 10, world.clock.now_ms, location=place) for place in ("AMS1", "BER1")]
    )
    (outcome,) = (await world.store.reserve([request(*(lines or (4,)), reservation_id="A", **more)])).outcomes
    assert not isinstance(outcome, errors.InventoryError)


async def one(world: World, verb: str, *args, **more):
    return (await getattr(world.store, verb)([change(*args, **more)])).outcomes[0]


async def confirmed(world: World, *lines) -> None:
    await held(world, *lines)
    await one(world, "confirm", "A")


@pytest.mark.parametrize("verb", ["confirm", "extend", "release", "fulfil"])
async def test_what_does_not_exist_is_not_found(world: World, verb: str) -> None:
    outcome = await one(world, verb, "A", time_to_live_seconds=5)
    assert told(outcome) == ("ReservationNotFound", {"reservation_id": "A"})


@pytest.mark.parametrize("verb", ["confirm", "extend", "release", "fulfil"])
@pytest.mark.parametrize("swept", [False, True])
async def test_what_is_over_is_expired_swept_or_not(world: World, verb: str, swept: bool) -> None:
    await held(world, time_to_live_seconds=10)
    expires_at = (await world.store.reservation("A")).expires_at
    await world.clock.set(expires_at * 1000)
    if swept:
        for partition in range(world.store.partitions):
            await world.store.expire_due(partition)
    outcome = await one(world, verb, "A", time_to_live_seconds=5)
    assert told(outcome) == ("ReservationExpired", {"reservation_id": "A", "expired_at": expires_at})


@pytest.mark.parametrize("verb", ["confirm", "extend", "release", "fulfil"])
async def test_what_is_closed_stays_closed(world: World, verb: str) -> None:
    await held(world)
    await one(world, "release", "A")
    outcome = await one(world, verb, "A", time_to_live_seconds=5)
    assert told(outcome) == ("ReservationClosed", {"reservation_id": "A", "state": "RELEASED"})


@pytest.mark.parametrize("verb", ["confirm", "extend"])
async def test_what_is_confirmed_cannot_be_confirmed_or_extended(world: World, verb: str) -> None:
    await confirmed(world)
    outcome = await one(world, verb, "A", time_to_live_seconds=5)
    assert told(outcome) == ("ReservationConfirmed", {"reservation_id": "A"})


async def test_only_what_is_confirmed_can_be_fulfilled(world: World) -> None:
    await held(world)
    assert told(await one(world, "fulfil", "A")) == ("ReservationNotConfirmed", {"reservation_id": "A"})


@pytest.mark.parametrize("verb", ["confirm", "extend", "release"])
async def test_stale_revision_is_refused(world: World, verb: str) -> None:
    await held(world)
    revision = (await world.store.reservation("A")).revision
    outcome = await one(world, verb, "A", time_to_live_seconds=5, expected_revision=revision - 1)
    assert told(outcome) == ("RevisionMismatch", {"expected_revision": revision - 1, "revision": revision})
    outcome = await one(world, verb, "A", time_to_live_seconds=5, expected_revision=revision)
    assert outcome.reservation.revision > revision


async def test_confirmed_never_expires(world: World) -> None:
    await held(world, time_to_live_seconds=5)
    outcome = await one(world, "confirm", "A", order_ref="O1")
    assert (outcome.reservation.state, outcome.reservation.expires_at) == (ReservationState.CONFIRMED, 0)
    await world.clock.advance(60_000)
    for partition in range(world.store.partitions):
        assert (await world.store.expire_due(partition))[0].outcomes == []
    assert await world.store.position("LAMP", "AMS1") == Position(10, 4, 2)
    listed, _ = await world.store.list_reservations(order_ref="O1", limit=10)
    assert [reservation.reservation_id for reservation in listed] == ["A"]


async def test_new_order_reference_replaces_the_old_one(world: World) -> None:
    await held(world, order_ref="O1")
    await one(world, "confirm", "A", order_ref="O2")
    assert await world.store.list_reservations(order_ref="O1", limit=10) == ([], "")
    assert len((await world.store.list_reservations(order_ref="O2", limit=10))[0]) == 1


async def test_extension_counts_from_now(world: World) -> None:
    await held(world, time_to_live_seconds=10)
    await world.clock.advance(4_001)
    outcome = await one(world, "extend", "A", time_to_live_seconds=10)
    assert outcome.reservation.expires_at * 1000 == world.clock.now_ms - 1 + 11_000
    await world.clock.advance(9_000)  # past the first expiry: its entry is stale
    for partition in range(world.store.partitions):
        assert (await world.store.expire_due(partition))[0].outcomes == []
    await world.clock.advance(3_000)
    expired = [await world.store.expire_due(partition) for partition in range(world.store.partitions)]
    assert [written.outcomes for written, _ in expired if written.outcomes] == [["A"]]


async def test_part_of_a_hold_can_be_given_back(world: World) -> None:
    await held(world, line(6, line_id="1"), line(6, "BER1", line_id="2"))
    outcome = await one(world, "release", "A", LineUnits("1", "", 2), LineUnits("2", "BER1", 6))
    assert outcome.reservation.state is ReservationState.HELD
    assert [each.allocations[0].open for each in outcome.reservation.lines] == [4, 0]
    outcome = await one(world, "release", "A")
    assert outcome.reservation.state is ReservationState.RELEASED
    assert [position.reserved for position in (await world.store.positions("LAMP")).values()] == [0, 0]


async def test_units_leave_and_the_rest_is_given_back(world: World) -> None:
    await confirmed(world, line(6))
    outcome = await one(world, "fulfil", "A", LineUnits("1", "AMS1", 4))
    assert outcome.reservation.state is ReservationState.CONFIRMED
    assert (await world.store.position("LAMP", "AMS1")).on_hand == 6
    outcome = await one(world, "release", "A")
    assert outcome.reservation.state is ReservationState.FULFILLED  # something left, so it was not for nothing
    position = await world.store.position("LAMP", "AMS1")
    assert (position.on_hand, position.reserved) == (6, 0)


async def test_line_without_location_is_served_in_the_order_of_its_allocations(world: World) -> None:
    await confirmed(world, line(14, "AMS1", "BER1", allow_split=True))
    outcome = await one(world, "fulfil", "A", LineUnits("1", "", 12))
    assert [(a.location, a.fulfilled) for a in outcome.reservation.lines[0].allocations] == [("AMS1", 10), ("BER1", 2)]


@pytest.mark.parametrize("verb", ["release", "fulfil"])
async def test_more_than_is_open_is_refused_with_what_is(world: World, verb: str) -> None:
    """Units named twice in one call are added up."""
    await confirmed(world)
    outcome = await one(world, verb, "A", LineUnits("1", "", 3), LineUnits("1", "AMS1", 2))
    wanted = {"reservation_id": "A", "line_id": "1", "wanted": 2, "open": 1}
    assert told(outcome) == ("QuantityExceedsOpen", wanted)
    assert (await world.store.position("LAMP", "AMS1")).reserved == 4


@pytest.mark.parametrize("name", [LineUnits("2"), LineUnits("1", "BER1")])
async def test_unknown_line_or_place_is_named(world: World, name: LineUnits) -> None:
    await confirmed(world)
    expected = {"reservation_id": "A", "line_id": name.line_id, "location": name.location}
    assert told(await one(world, "release", "A", name)) == ("LineNotFound", expected)


async def test_fulfilment_after_a_loss_names_what_is_there(world: World) -> None:
    await confirmed(world, line(6, line_id="1"), line(4, line_id="2"))
    await world.store.post_movements([movement("ADJUSTMENT", -5, world.clock.now_ms, reason="fire")])
    outcome = await one(world, "fulfil", "A")
    assert outcome.short_lines == (errors.ShortLine("1", "LAMP", "AMS1", 6, 5),)
    assert (await world.store.reservation("A")).state is ReservationState.CONFIRMED
    outcome = await one(world, "fulfil", "A", LineUnits("2"))
    assert outcome.reservation.lines[1].allocations[0].fulfilled == 4


async def test_lines_of_one_fulfilment_share_what_is_there(world: World) -> None:
    await confirmed(world, *(line(3, line_id=n) for n in "123"))
    await world.store.post_movements([movement("ADJUSTMENT", -2, world.clock.now_ms, reason="fire")])
    outcome = await one(world, "fulfil", "A")
    assert outcome.short_lines == (errors.ShortLine("3", "LAMP", "AMS1", 3, 2),)


async def test_hold_rows_say_what_is_still_held(world: World) -> None:
    await held(world, line(6, line_id="1"), line(6, "BER1", line_id="2"))
    written = await world.store.release([change("A", LineUnits("1", "", 2), LineUnits("2"))])
    rows = [row.split(b"\t") for entry in written.entries for row in entry.rows.splitlines() if row.startswith(b"H")]
    expires_at = b"%d" % written.outcomes[0].reservation.expires_at
    assert [row[3:6] for row in rows] == [[b"AMS1", b"4", expires_at], [b"BER1", b"0", b"0"]]


async def test_damaged_position_harms_only_its_own_reservation(world: World) -> None:
    """Fewer units reserved than the records say: told as a fault, the others go on, and sweeping goes on."""
    await held(world, line(6), time_to_live_seconds=5)
    await world.store.reserve([request(line(3, "BER1"), reservation_id="B", time_to_live_seconds=5)])
    key = f"{{p{partition_of('LAMP', world.store.partitions)}}}:stock:LAMP"
    await world.client.hset(key, "AMS1", "10,5,2,0")
    damaged, sound = (await world.store.release([change("A"), change("B", LineUnits("1", "", 1))])).outcomes
    assert isinstance(damaged, errors.InternalError)
    assert sound.reservation.lines[0].allocations[0].released == 1
    await world.clock.advance(60_000)
    written, more = await world.store.expire_due(partition_of("LAMP", world.store.partitions))
    assert (written.outcomes, more) == (["B"], False)
    assert await world.client.hget(key, "AMS1") == b"10,5,2,0"


async def test_repeated_change_is_answered_as_the_first_time(world: World) -> None:
    await held(world)
    wanted = change("A")
    first, second = (await world.store.confirm([wanted, wanted])).outcomes
    assert (first.replayed, second.replayed, second.reservation) == (False, True, first.reservation)
    await one(world, "fulfil", "A")
    assert (await world.store.confirm([wanted])).outcomes == [second]


async def test_later_items_of_a_batch_see_the_earlier_ones(world: World) -> None:
    await held(world)
    written = await world.store.release([change("A", LineUnits("1", "", 1)), change("A"), change("A")])
    states = [getattr(outcome, "state", None) or outcome.reservation.state for outcome in written.outcomes]
    assert states == ["HELD", "RELEASED", "RELEASED"]
    assert isinstance(written.outcomes[2], errors.ReservationClosed)


async def test_nothing_left_to_name_changes_nothing(world: World) -> None:
    """A line without open units, all of it: accepted, and no new revision."""
    await held(world, line(4, line_id="1"), line(4, "BER1", line_id="2"))
    before = (await one(world, "release", "A", LineUnits("1"))).reservation
    written = await world.store.release([change("A", LineUnits("1"))])
    assert (written.outcomes[0].reservation, written.entries) == (before, [])


async def test_sweep_is_bounded_and_says_when_more_is_due(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms)])
    await world.store.reserve([request(1, time_to_live_seconds=1 + n // 4) for n in range(10)])
    await world.clock.advance(10_000)
    partition = partition_of("LAMP", world.store.partitions)
    found = [await world.store.expire_due(partition, limit=3) for _ in range(4)]
    assert [(len(written.outcomes), more) for written, more in found] == [(3, True), (3, True), (3, True), (1, False)]
    assert await world.client.keys("{p*}:expiry*") == []
