"""The schedule of receipts, pegs and broken promises, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from invengine import errors
from invengine.domain.incoming import BrokenReason, Receipt
from invengine.domain.orders import Candidate, Future, LinePlacement, LineUnits
from invengine.domain.partitions import partition_of
from invengine.store import keys
from tests.store.making import change, incoming, line, movement, request
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

ANY_DAY = Future()


def today(world: World) -> int:
    return world.clock.now_ms // 86_400_000


async def changed(world: World, kind: str, quantity: int = 0, in_days: int = 0, receipt_id: str = "PO1", **more):
    day = today(world) + in_days if in_days else 0
    return (await world.store.change_incoming([incoming(kind, quantity, day, receipt_id, **more)])).outcomes[0]


async def waiting(world: World, reservation_id: str, quantity: int, future: Future = ANY_DAY, **more):
    """A reservation of LAMP that may wait."""
    asked = line(quantity, *more.pop("places", ("AMS1",)), future=future, allow_split=more.pop("split", False))
    return (await world.store.reserve([request(asked, reservation_id=reservation_id, **more)])).outcomes[0]


async def units(world: World, reservation_id: str) -> list[tuple[str, str, int]]:
    """Per allocation that has open units: where, what it is, how many."""
    reservation = await world.store.reservation(reservation_id)
    return [
        (a.location, "backorder" if a.backordered else a.receipt_id or "on hand", a.open)
        for its in reservation.lines
        for a in its.allocations
        if a.open
    ]


async def stock(world: World, location: str = "AMS1") -> tuple[int, int]:
    position = await world.store.position("LAMP", location)
    return (position.on_hand, position.reserved) if position else (0, 0)


async def broken(world: World, **more) -> list[tuple[str, int, str, BrokenReason]]:
    listed, _ = await world.store.broken_promises(limit=100, **more)
    return [(one.reservation_id, one.quantity, one.receipt_id, one.reason) for one in listed]


async def test_a_receipt_is_set_slipped_and_cancelled(world: World) -> None:
    day = today(world)
    outcome = await changed(world, "SET", 50, 3)
    assert outcome.receipt == Receipt("LAMP", "AMS1", "PO1", day + 3, 50, 0, 1)
    assert (await changed(world, "SLIP", in_days=9)).receipt.expected_day == day + 9
    assert await world.store.receipts("LAMP") == [Receipt("LAMP", "AMS1", "PO1", day + 9, 50, 0, 2)]
    assert (await changed(world, "CANCEL")).receipt is None
    assert await world.store.receipts("LAMP") == []
    expected = {"receipt_id": "PO1", "sku": "LAMP", "location": "AMS1"}
    for kind in ("SLIP", "CANCEL", "RECEIVE"):
        assert told(await changed(world, kind)) == ("ReceiptNotFound", expected)


async def test_a_repeat_changes_nothing_and_a_stale_revision_is_refused(world: World) -> None:
    first = incoming("SET", 50, today(world) + 3)
    (one, two), other = (await world.store.change_incoming([first, first])).outcomes, first
    assert (one.replayed, two.replayed, two.receipt) == (False, True, one.receipt)
    assert (await world.store.change_incoming([other])).outcomes[0].replayed
    outcome = await changed(world, "SET", 5, 3, expected_revision=0)
    assert told(outcome) == ("RevisionMismatch", {"expected_revision": 0, "revision": 1})
    assert (await changed(world, "SET", 5, 3, expected_revision=1)).receipt.quantity == 5
    assert (await changed(world, "SET", 5, 3, "PO2", expected_revision=0)).receipt.receipt_id == "PO2"


async def test_a_receipt_of_fifty_pegged_by_an_order_is_reserved_when_it_arrives(world: World) -> None:
    await changed(world, "SET", 50, 3)
    made = await waiting(world, "A", 50)
    (allocation,) = made.reservation.lines[0].allocations
    assert (allocation.receipt_id, allocation.due_day, allocation.is_on_hand) == ("PO1", today(world) + 3, False)
    assert made.reservation.lines[0].future == ANY_DAY
    assert (await world.store.receipts("LAMP"))[0].pegged == 50
    outcome = await changed(world, "RECEIVE", 50)
    assert (outcome.receipt, outcome.on_hand, outcome.reserved) == (None, 50, 50)
    assert (await units(world, "A"), await stock(world)) == ([("AMS1", "on hand", 50)], (50, 50))
    rows = [
        (e.kind, e.actor, e.cause, e.on_hand_after, e.reserved_after) for e in (await world.store.ledger("LAMP"))[0]
    ]
    assert rows == [("COVER", "web", "A", 50, 50), ("RECEIVE", "erp", rows[1][2], 50, 0)]


async def test_on_hand_comes_first_then_receipts_by_day_then_backorders(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 2, world.clock.now_ms)])
    await changed(world, "SET", 3, 9, "LATE")
    await changed(world, "SET", 4, 5, "SOON")
    await waiting(world, "A", 12, Future(0, 5))
    assert await units(world, "A") == [
        ("AMS1", "on hand", 2),
        ("AMS1", "SOON", 4),
        ("AMS1", "LATE", 3),
        ("AMS1", "backorder", 3),
    ]
    assert (await stock(world), await world.store.backordered("LAMP")) == ((2, 2), {"AMS1": 3})


async def test_only_receipts_in_time_count(world: World) -> None:
    await changed(world, "SET", 3, 9, "LATE")
    await changed(world, "SET", 4, 5, "SOON")
    short = await waiting(world, "A", 5, Future(today(world) + 8))
    assert (short.short_lines[0].wanted, short.short_lines[0].available) == (5, 4)
    await waiting(world, "A", 4, Future(today(world) + 8))
    (allocation,) = (await world.store.reservation("A")).lines[0].allocations
    assert (allocation.receipt_id, allocation.due_day) == ("SOON", today(world) + 8)


async def test_a_receipt_that_is_overdue_counts_as_tomorrow(world: World) -> None:
    day = today(world)
    await changed(world, "SET", 5, 1)
    await world.clock.advance(3 * 86_400_000)
    assert isinstance(await waiting(world, "A", 5, Future(day + 3)), errors.InsufficientStock)
    assert (await waiting(world, "A", 5)).reservation.lines[0].allocations[0].due_day == day + 4


async def test_a_line_that_may_not_be_split_stays_at_one_place(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 3, world.clock.now_ms)])
    await changed(world, "SET", 5, 3, location="BER1")
    places = ("AMS1", "BER1")
    assert (await waiting(world, "A", 6, places=places)).short_lines[0].available == 3
    await waiting(world, "A", 5, places=places)
    assert await units(world, "A") == [("BER1", "PO1", 5)]
    await waiting(world, "B", 3, places=places, split=True)
    assert await units(world, "B") == [("AMS1", "on hand", 3)]


async def test_parts_arrive_to_the_oldest_peg_first(world: World) -> None:
    await changed(world, "SET", 10, 3)
    for name, quantity in (("A", 4), ("B", 4)):
        await waiting(world, name, quantity)
    outcome = await changed(world, "RECEIVE", 5)
    assert (outcome.receipt.quantity, outcome.receipt.pegged, outcome.on_hand, outcome.reserved) == (5, 3, 5, 5)
    assert await units(world, "A") == [("AMS1", "on hand", 4)]
    assert await units(world, "B") == [("AMS1", "PO1", 3), ("AMS1", "on hand", 1)]


async def test_more_than_expected_is_on_hand_too(world: World) -> None:
    await changed(world, "SET", 5, 3)
    await waiting(world, "A", 5)
    outcome = await changed(world, "RECEIVE", 9)
    assert (outcome.receipt, outcome.on_hand, outcome.reserved) == (None, 9, 5)


async def test_what_a_count_contains_is_not_added_again(world: World) -> None:
    await changed(world, "SET", 5, 3)
    await waiting(world, "A", 5)
    await world.store.post_movements([movement("COUNT", 5, world.clock.now_ms)])
    outcome = await changed(world, "RECEIVE", 5, occurred_at_ms=world.clock.now_ms - 1)
    assert (outcome.receipt, outcome.on_hand, outcome.reserved) == (None, 5, 5)


async def test_a_count_of_before_the_arrival_keeps_it_on_top(world: World) -> None:
    await changed(world, "SET", 5, 3)
    await changed(world, "RECEIVE", 5, occurred_at_ms=world.clock.now_ms)
    await world.store.post_movements([movement("COUNT", 2, world.clock.now_ms - 1_000)])
    assert await stock(world) == (7, 0)


async def test_a_slip_breaks_promises_and_a_return_to_the_day_mends_them(world: World) -> None:
    day = today(world)
    await changed(world, "SET", 10, 3)
    await waiting(world, "A", 4)
    await waiting(world, "B", 4, Future(day + 6))
    outcome = await changed(world, "SLIP", in_days=5)
    (promise,) = outcome.broken
    assert (promise.reservation_id, promise.quantity, promise.reason) == ("A", 4, "SLIPPED")
    assert (promise.due_day, promise.expected_day, promise.broken_at_ms) == (day + 3, day + 5, world.clock.now_ms)
    assert (await changed(world, "SLIP", in_days=7)).broken[0].reservation_id == "B"
    slipped = [("A", 4, "PO1", BrokenReason.SLIPPED), ("B", 4, "PO1", BrokenReason.SLIPPED)]
    assert await broken(world) == await broken(world, sku="LAMP", location="AMS1", receipt_id="PO1") == slipped
    assert await broken(world, receipt_id="PO2") == await broken(world, location="BER1") == []
    assert (await changed(world, "SLIP", in_days=6)).broken == ()
    assert [name for name, *_ in await broken(world)] == ["A"]
    await changed(world, "RECEIVE", 10)
    assert await broken(world) == []


async def test_a_smaller_quantity_leaves_the_newest_pegs_without_cover(world: World) -> None:
    await changed(world, "SET", 10, 3)
    for name in ("A", "B", "C"):
        await waiting(world, name, 3)
    outcome = await changed(world, "SET", 5, 3)
    assert (outcome.receipt.quantity, outcome.receipt.pegged) == (5, 5)
    assert [(one.reservation_id, one.quantity, one.reason) for one in outcome.broken] == [
        ("B", 1, "SHORTENED"),
        ("C", 3, "SHORTENED"),
    ]
    assert await units(world, "B") == [("AMS1", "PO1", 2), ("AMS1", "backorder", 1)]
    assert await units(world, "C") == [("AMS1", "backorder", 3)]
    await world.store.post_movements([movement("RECEIPT", 2, world.clock.now_ms)])
    assert await broken(world) == [("C", 2, "PO1", BrokenReason.SHORTENED)]
    await world.store.release([change("C")])
    assert (await broken(world), await world.store.backordered("LAMP")) == ([], {})


@pytest.mark.parametrize("kind", ["CANCEL", "RECEIVE"])
async def test_what_never_comes_becomes_backorders(world: World, kind: str) -> None:
    await changed(world, "SET", 10, 3)
    await waiting(world, "A", 6)
    closing = {"quantity": 2, "closes": True} if kind == "RECEIVE" else {}
    outcome = await changed(world, kind, **closing)
    left = 4 if kind == "RECEIVE" else 6
    assert [(one.quantity, one.reason, one.expected_day) for one in outcome.broken] == [(left, "CANCELLED", 0)]
    assert (outcome.receipt, await world.store.backordered("LAMP")) == (None, {"AMS1": left})


async def test_what_is_free_covers_at_once_what_lost_its_receipt(world: World) -> None:
    await changed(world, "SET", 4, 3)
    await waiting(world, "A", 4)
    await world.store.post_movements([movement("RECEIPT", 3, world.clock.now_ms)])
    outcome = await changed(world, "CANCEL")
    assert (outcome.reserved, [one.quantity for one in outcome.broken]) == (3, [1])


async def test_a_hold_that_is_over_gets_nothing_and_breaks_nothing(world: World) -> None:
    await changed(world, "SET", 4, 3)
    await waiting(world, "A", 4)
    await world.clock.advance(60_000)
    outcome = await changed(world, "RECEIVE", 4)
    assert (outcome.reserved, (await world.store.reservation("A")).state) == (0, "EXPIRED")


async def test_an_expired_hold_gives_its_pegs_back(world: World) -> None:
    await changed(world, "SET", 4, 3)
    await waiting(world, "A", 4)
    await world.clock.advance(60_000)
    assert (await waiting(world, "B", 4)).reservation.lines[0].allocations[0].receipt_id == "PO1"
    assert (await world.store.receipts("LAMP"))[0].pegged == 4
    key = f"{{p{partition_of('LAMP', 4)}}}:pegs:LAMP\tAMS1\tPO1"
    assert [entry.split(b"\t")[1] for entry in await world.client.lrange(key, 0, -1)] == [b"B"]


async def test_only_units_on_hand_are_fulfilled(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 2, world.clock.now_ms)])
    await changed(world, "SET", 4, 3)
    await waiting(world, "A", 5)
    await world.store.confirm([change("A")])
    everything = (await world.store.fulfil([change("A")])).outcomes[0]
    assert [(s.line_id, s.location, s.wanted, s.available) for s in everything.short_lines] == [("1", "", 5, 2)]
    named = (await world.store.fulfil([change("A", LineUnits("1", "AMS1", 3))])).outcomes[0]
    assert [(s.line_id, s.location, s.wanted, s.available) for s in named.short_lines] == [("1", "AMS1", 3, 2)]
    beyond = (await world.store.fulfil([change("A", LineUnits("1", "AMS1", 6))])).outcomes[0]
    assert isinstance(beyond, errors.QuantityExceedsOpen)
    assert (await world.store.fulfil([change("A", LineUnits("1"))])).outcomes[0].reservation.state == "CONFIRMED"
    assert (await stock(world), await units(world, "A")) == ((0, 0), [("AMS1", "PO1", 3)])


async def test_backorders_are_released_before_pegs_before_units_on_hand(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 2, world.clock.now_ms)])
    await changed(world, "SET", 2, 3)
    await waiting(world, "A", 6, Future(0, 5))
    await world.store.release([change("A", LineUnits("1", quantity=3))])
    assert await units(world, "A") == [("AMS1", "on hand", 2), ("AMS1", "PO1", 1)]
    less = change("A", placements=(LinePlacement("1", 1, (Candidate("AMS1"),)),))
    await world.store.amend([less])
    assert (await units(world, "A"), (await world.store.receipts("LAMP"))[0].pegged) == ([("AMS1", "on hand", 1)], 0)


async def test_amended_and_rebound_lines_may_wait_where_they_say_so(world: World) -> None:
    await changed(world, "SET", 5, 3)
    await changed(world, "SET", 5, 3, location="BER1")
    await waiting(world, "A", 2)
    more = LinePlacement("1", 4, (Candidate("AMS1"),))
    assert isinstance(
        (await world.store.amend([change("A", placements=(more,))])).outcomes[0], errors.InsufficientStock
    )
    more = LinePlacement("1", 4, (Candidate("AMS1"),), future=ANY_DAY)
    await world.store.amend([change("A", placements=(more,))])
    assert await units(world, "A") == [("AMS1", "PO1", 2), ("AMS1", "PO1", 2)]
    moved = LinePlacement("1", 0, (Candidate("BER1"),), future=ANY_DAY)
    await world.store.rebind([change("A", placements=(moved,))])
    assert await units(world, "A") == [("BER1", "PO1", 4)]
    pegged = {receipt.location: receipt.pegged for receipt in await world.store.receipts("LAMP")}
    assert pegged == {"AMS1": 0, "BER1": 4}


async def test_the_snapshot_has_receipts_and_backorders(world: World) -> None:
    await changed(world, "SET", 5, 3)
    await waiting(world, "A", 7, Future(0, 5))
    found = [receipt for chunk in [c async for c in world.store.snapshot_incoming()] for receipt in chunk]
    assert sorted((r.receipt_id, r.quantity, r.pegged) for r in found) == [("", 0, 2), ("PO1", 5, 5)]
    assert [r.receipt_id for r in await world.store.receipts("LAMP")] == ["PO1"]


async def test_the_quantity_stays_in_range(world: World) -> None:
    await world.store.post_movements([movement("RECEIPT", 2**53 - 3, world.clock.now_ms)])
    await changed(world, "SET", 5, 3)
    assert isinstance(await changed(world, "RECEIVE", 3), errors.QuantityOutOfRange)
    assert (await changed(world, "RECEIVE", 2)).on_hand == 2**53 - 1


# steps


async def test_a_receipt_with_many_pegs_is_taken_in_by_steps_and_once(open_world: Callable[..., Any]) -> None:
    world = await open_world(PEGS_MAX="2")
    await changed(world, "SET", 10, 3)
    for n in range(7):
        await waiting(world, f"A{n}", 1)
    received = incoming("RECEIVE", 9)
    written = await world.store.change_incoming([received, incoming("SET", 4, today(world) + 3)])
    first, second = written.outcomes
    assert (first.on_hand, first.reserved, first.receipt.quantity, first.receipt.pegged) == (9, 7, 1, 0)
    assert second.receipt.quantity == 4
    for entry in written.entries:  # never free in between
        for row in entry.rows.decode().split("\n"):
            if row.startswith("P\t") and "\tCOVER\t" in row:
                assert int(row.split("\t")[4]) <= int(row.split("\t")[3])
    again = (await world.store.change_incoming([received])).outcomes[0]
    assert (again.replayed, again.on_hand, again.reserved) == (True, 9, 7)


async def test_a_slip_of_many_pegs_judges_each_once(open_world: Callable[..., Any]) -> None:
    world = await open_world(PEGS_MAX="2")
    await changed(world, "SET", 10, 3)
    for n in range(5):
        await waiting(world, f"A{n}", 1)
    outcome = await changed(world, "SLIP", in_days=5)
    assert [one.reservation_id for one in outcome.broken] == [f"A{n}" for n in range(5)]
    listed, pages = [], 0
    after = ""
    while True:
        page, after = await world.store.broken_promises(after=after, limit=2)
        listed += [one.reservation_id for one in page]
        pages += 1
        if not after:
            break
    assert (listed, pages) == ([f"A{n}" for n in range(5)], 3)
    with pytest.raises(errors.InvalidArgument):
        await world.store.broken_promises(after="x:1", limit=2)


async def test_a_cancellation_of_many_pegs_goes_by_steps(open_world: Callable[..., Any]) -> None:
    world = await open_world(PEGS_MAX="2")
    await changed(world, "SET", 10, 3)
    for n in range(5):
        await waiting(world, f"A{n}", 2)
    outcome = await changed(world, "CANCEL")
    assert (outcome.receipt, sorted(one.reservation_id for one in outcome.broken)) == (
        None,
        [f"A{n}" for n in range(5)],
    )
    assert await world.store.backordered("LAMP") == {"AMS1": 10}
    stored = await world.client.hgetall(keys.incoming(partition_of("LAMP", 4), "LAMP"))
    assert list(stored) == [b"AMS1\t"]


async def test_an_overdue_receipt_slips_to_tomorrow_or_stops_counting(world: World) -> None:
    """As the candidate says; what was pegged before stays pegged, and arrives."""
    await changed(world, "SET", 5, in_days=1)
    await changed(world, "SET", 5, in_days=2, receipt_id="PO2")
    stops = Candidate("AMS1", overdue_stops=True)
    await waiting(world, "early", 2, places=(stops,), time_to_live_seconds=900_000)
    assert await units(world, "early") == [("AMS1", "PO1", 2)]
    await world.clock.advance(2 * 86_400_000)
    await waiting(world, "late", 4, places=(stops,))
    assert await units(world, "late") == [("AMS1", "PO2", 4)]
    refusal = await waiting(world, "last", 2, places=(stops,))
    assert told(refusal) == told(errors.InsufficientStock((errors.ShortLine("1", "LAMP", "", 2, 1),)))
    await waiting(world, "slipped", 3)
    assert await units(world, "slipped") == [("AMS1", "PO2", 1), ("AMS1", "PO1", 2)]
    reservation = await world.store.reservation("slipped")
    assert [a.due_day - today(world) for a in reservation.lines[0].allocations] == [0, 1]
    assert await broken(world) == []
    await changed(world, "RECEIVE", 5)
    assert await units(world, "early") == [("AMS1", "on hand", 2)]
