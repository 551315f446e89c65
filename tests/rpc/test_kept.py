"""Promises that are kept or broken, over real sockets: old and new days after all that can happen to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from invengine.domain.days import calendar_day
from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import admin_service_pb2, promise_service_pb2
from tests.rpc.engines import refused
from tests.rpc.expected import in_days
from tests.rpc.kept_shop import KeptShop, Reason, kept_shop

pytestmark = pytest.mark.asyncio

KEEP = promise_service_pb2.RepromiseRequest.POLICY_KEEP_LOCATION
MOVE = promise_service_pb2.RepromiseRequest.POLICY_MOVE
Outcome = promise_service_pb2.RepromiseOutcome


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[KeptShop]:
    """Once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with kept_shop(redis_url) as shop:
        yield shop


def told(answer: promise_service_pb2.RepromiseResponse) -> list[tuple[Any, ...]]:
    """Per line what became of it, and where it is then."""
    return sorted(
        (one.reservation_id, Outcome.Result.Name(one.result).removeprefix("RESULT_"), *one.to_locations)
        for one in answer.outcomes
    )


async def pegged(shop: KeptShop) -> None:
    """A and B are pegged to po-1, which comes in 4 days; C to po-2; D has what is on hand."""
    lamps = shop.schedule()
    await shop.stubs.receive("LAMP", 2)
    await lamps.set("po-1", 5, 4)
    await lamps.set("po-2", 5, 5)
    await shop.promised("D", 2, 0)
    await shop.promised("A", 3, 4)
    await shop.promised("B", 2, 4, channel="app", customer_ref="carla", order_ref="o-1")
    await shop.promised("C", 5, 5)
    assert await shop.broken() == []


async def test_a_receipt_slips_by_three_days(shop: KeptShop) -> None:
    """Exactly those pegged to it are listed, with old and new days; and nobody once it is in time again."""
    await pegged(shop)
    slipped = await shop.schedule().slip("po-1", 7)
    assert await shop.broken() == [("A", 3, "SLIPPED", 6, 9), ("B", 2, "SLIPPED", 6, 9)]
    assert sorted((one.reservation_id, shop.days(one.new_delivery_date)) for one in slipped.broken_promises) == [
        ("A", 9),
        ("B", 9),
    ]
    (b,) = (
        await shop.stubs.promises.ListBrokenPromises(
            promise_service_pb2.ListBrokenPromisesRequest(customer_ref="carla")
        )
    ).broken_promises
    assert (b.line_id, b.sku, b.location, b.receipt_id, b.channel) == ("1", "LAMP", "DC", "po-1", "app")
    assert (b.customer_ref, b.order_ref, shop.days(b.due_date), shop.days(b.expected_date)) == ("carla", "o-1", 4, 7)
    assert b.break_time.seconds > 0
    await shop.schedule().slip("po-1", 4)
    assert await shop.broken() == []


async def test_a_slip_within_what_was_promised_breaks_nothing(shop: KeptShop) -> None:
    """The day of the customer counts, not that of the receipt."""
    await shop.schedule().set("po-1", 5, 4)
    await shop.promised("A", 3, 6, is_given=True)
    await shop.schedule().slip("po-1", 6)
    assert await shop.broken() == []
    await shop.schedule().slip("po-1", 7)
    assert await shop.broken() == [("A", 3, "SLIPPED", 8, 9)]


async def test_a_receipt_that_shrinks_or_is_cancelled(shop: KeptShop) -> None:
    """The newest lose theirs; the new day is that on which others make it good, where there are any."""
    await pegged(shop)
    await shop.schedule().set("po-1", 4, 4)
    assert await shop.broken() == [("B", 1, "SHORTENED", 6, None)]
    await shop.schedule().set("po-3", 9, 8)
    assert await shop.broken() == [("B", 1, "SHORTENED", 6, 10)]
    await shop.schedule().cancel("po-1")
    assert await shop.broken() == [
        ("A", 3, "CANCELLED", 6, 10),
        ("B", 1, "CANCELLED", 6, 10),
        ("B", 1, "SHORTENED", 6, 10),
    ]
    await shop.stubs.receive("LAMP", 5, event_id="more")
    assert await shop.broken() == []


async def test_a_count_below_what_is_reserved(shop: KeptShop) -> None:
    """The oldest keep their units, the newest go short; receipts that are promised to nobody make it good."""
    await shop.stubs.receive("LAMP", 6)
    for name in "ABC":
        await shop.promised(name, 2, 1, is_given=True)
    await shop.count(3)
    assert await shop.broken() == [("B", 1, "SHORTFALL", 3, None), ("C", 2, "SHORTFALL", 3, None)]
    await shop.schedule().set("po-1", 2, 3)
    assert await shop.broken() == [("B", 1, "SHORTFALL", 3, 5), ("C", 2, "SHORTFALL", 3, None)]
    await shop.schedule().set("po-2", 1, 6)
    assert await shop.broken() == [("B", 1, "SHORTFALL", 3, 5), ("C", 2, "SHORTFALL", 3, 8)]
    await shop.count(6)
    assert await shop.broken() == []


async def test_units_that_come_in_time_break_nothing(shop: KeptShop) -> None:
    await shop.stubs.receive("LAMP", 2)
    await shop.promised("A", 2, 5, is_given=True)
    await shop.count(0)
    assert await shop.broken() == [("A", 2, "SHORTFALL", 7, None)]
    await shop.schedule().set("po-1", 2, 5)
    assert await shop.broken() == []


async def test_who_was_promised_no_day_is_told_all_the_same(shop: KeptShop) -> None:
    """Units that were reserved and are not there; and receipts by the day that they were due."""
    await shop.stubs.receive("LAMP", 2)
    await shop.schedule("SOFA").set("po-1", 2, 3)
    for name, sku in (("A", "LAMP"), ("B", "SOFA")):
        line = {"location": "DC", "sku": sku, "quantity": 2, "allow_backorder": True}
        await shop.stubs.reservations.CreateReservation(
            promise_request(name, line),
        )
    await shop.count(1)
    await shop.schedule("SOFA").slip("po-1", 4)
    assert await shop.broken() == [("A", 1, "SHORTFALL", None, None), ("B", 2, "SLIPPED", None, None)]
    await shop.count(2)
    await shop.schedule("SOFA").slip("po-1", 3)
    assert await shop.broken() == []


async def test_a_location_that_is_switched_off(shop: KeptShop) -> None:
    await pegged(shop)
    await shop.stubs.receive("LAMP", 3, "FAR")
    await shop.promised("E", 3, 0, location="FAR")
    await shop.apply(enabled=False)
    closed = [("A", 3), ("B", 2), ("C", 5), ("D", 2)]
    promised = {"A": 6, "B": 6, "C": 7, "D": 2}
    assert await shop.broken() == [(name, units, "LOCATION_CLOSED", promised[name], None) for name, units in closed]
    await shop.apply()
    assert await shop.broken() == []


async def test_a_lane_that_is_slower(shop: KeptShop) -> None:
    await pegged(shop)
    await shop.apply(transit=3)
    assert await shop.broken() == [
        ("A", 3, "CALENDAR_CHANGED", 6, 7),
        ("B", 2, "CALENDAR_CHANGED", 6, 7),
        ("C", 5, "CALENDAR_CHANGED", 7, 8),
        ("D", 2, "CALENDAR_CHANGED", 2, 3),
    ]
    await shop.apply(transit=1)
    assert await shop.broken() == []
    await shop.apply()
    assert await shop.broken() == []


async def test_a_day_that_is_closed_now(shop: KeptShop) -> None:
    """Those who were to leave on it leave on the next one; others are not concerned."""
    await pegged(shop)
    await shop.apply(closed=(calendar_day(shop.today + 5),))
    assert await shop.broken() == [("C", 5, "CALENDAR_CHANGED", 7, 8)]
    await shop.apply()
    assert await shop.broken() == []


async def test_filters_and_stable_pages(shop: KeptShop) -> None:
    await shop.schedule().set("po-1", 20, 4)
    await shop.schedule("SOFA").set("po-2", 20, 4)
    for number in range(9):
        await shop.promised(f"L{number}", 2, 4, channel="app" if number % 2 else "web")
        await shop.promised(f"S{number}", 2, 4, sku="SOFA", order_ref=f"o-{number % 3}")
    await shop.schedule().slip("po-1", 5)
    await shop.schedule("SOFA").cancel("po-2")
    assert len(await shop.broken()) == 18
    assert {name[0] for name, *_ in await shop.broken(sku="LAMP")} == {"L"}
    assert {name for name, *_ in await shop.broken(channel="app")} == {f"L{number}" for number in (1, 3, 5, 7)}
    assert {name for name, *_ in await shop.broken(order_ref="o-1")} == {"S1", "S4", "S7"}
    assert {name for name, *_ in await shop.broken(reservation_id="S4")} == {"S4"}
    assert {name[0] for name, *_ in await shop.broken(receipt_id="po-2")} == {"S"}
    assert {name[0] for name, *_ in await shop.broken(reason=Reason.REASON_SLIPPED)} == {"L"}
    assert await shop.broken(location="FAR") == []
    found, token = [], ""
    while True:
        request = promise_service_pb2.ListBrokenPromisesRequest(page_size=4, page_token=token)
        page = await shop.stubs.promises.ListBrokenPromises(request)
        assert len(page.broken_promises) <= 4
        found += [one.reservation_id for one in page.broken_promises]
        token = page.next_page_token
        if len(found) == 4:  # one that is not listed yet is gone, one that is listed stays
            await shop.promised("M", 2, 5)
        if not token:
            break
    assert sorted(found) == sorted([f"L{number}" for number in range(9)] + [f"S{number}" for number in range(9)])
    request = promise_service_pb2.ListBrokenPromisesRequest(page_token="bm9uc2Vuc2U")
    assert (await refused(shop.stubs.promises.ListBrokenPromises(request))).fields == ["page_token"]
    request = promise_service_pb2.ListBrokenPromisesRequest(reason=99)  # type: ignore[arg-type]
    assert (await refused(shop.stubs.promises.ListBrokenPromises(request))).fields == ["reason"]


async def test_the_new_days_are_accepted(shop: KeptShop) -> None:
    """KEEP_LOCATION: they are the promise from then on, and broken again when that does not hold either."""
    await pegged(shop)
    await shop.schedule().slip("po-1", 7)
    dry = await shop.repromise(KEEP, "try", filter={"receipt_id": "po-1"}, dry_run=True)
    assert told(dry) == [("A", "KEPT"), ("B", "KEPT")]
    assert len(await shop.broken()) == 2
    answer = await shop.repromise(KEEP, "accept", filter={"receipt_id": "po-1"})
    assert told(answer) == [("A", "KEPT"), ("B", "KEPT")]
    (first, *_) = answer.outcomes
    assert [shop.days(day) for day in (first.promised_delivery_date, first.new_delivery_date)] == [6, 9]
    assert (shop.days(first.delivery_date), list(first.from_locations), first.quantity > 1) == (9, ["DC"], True)
    assert await shop.broken() == []
    again = await shop.repromise(KEEP, "accept", filter={"receipt_id": "po-1"})
    assert (again.replayed, list(again.outcomes)) == (True, list(answer.outcomes))
    other = shop.repromise(MOVE, "accept", filter={"receipt_id": "po-1"})
    assert (await refused(other)).reason == "REQUEST_MISMATCH"
    await shop.schedule().slip("po-1", 8)
    assert await shop.broken() == [("A", 3, "SLIPPED", 9, 10), ("B", 2, "SLIPPED", 9, 10)]
    stays = await shop.running.store.reservation("A")
    assert [(its.receipt_id, its.open) for its in stays.lines[0].allocations] == [("po-1", 3)]
    checked = await shop.stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert list(checked.violations) == []


@pytest.mark.parametrize("capacity", ["units: 3", "orders: 1"])
async def test_capacity_goes_with_the_days(shop: KeptShop, capacity: str) -> None:
    """What is accepted is prepared on other days: the old ones are free again, the new ones are taken."""
    await shop.apply(capacity=capacity)
    units = 3 if "units" in capacity else 1
    await shop.schedule().set("po-1", 9, 4)
    await shop.promised("A", 3, 4)
    await shop.promised("B", 3, 5)  # the day of A is full
    assert [await shop.promise_of(name) for name in "AB"] == [(6, [(4, units)]), (7, [(5, units)])]
    await shop.schedule().slip("po-1", 6)
    assert await shop.broken() == [("A", 3, "SLIPPED", 6, 8), ("B", 3, "SLIPPED", 7, 8)]
    assert told(await shop.repromise(KEEP, "1", reservation_ids=["A"])) == [("A", "KEPT")]
    assert await shop.promise_of("A") == (8, [(6, units)])
    assert await shop.broken() == [("B", 3, "SLIPPED", 7, 9)]  # A has that day now
    assert told(await shop.repromise(KEEP, "2", reservation_ids=["B"])) == [("B", "KEPT")]
    assert await shop.promise_of("B") == (9, [(7, units)])
    assert await shop.broken() == []
    await shop.stubs.receive("SOFA", 3)
    await shop.promised("C", 3, 0, sku="SOFA")  # nobody has today
    checked = await shop.stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert list(checked.violations) == []
    assert (await shop.running.store.reservation("A")).lines[0].allocations[0].due_day == shop.today + 6


async def test_a_day_that_was_asked_for_is_given_up_where_none_keeps_it(shop: KeptShop) -> None:
    """Moved to the place that comes nearest, or accepted, the line is promised that day."""
    await shop.schedule().set("po-1", 9, 4)
    await shop.stubs.receive("SOFA", 1, "FAR")
    for name in "AB":
        request = {"line": {"needed_by": in_days(6)}}
        await shop.promised(name, 3, 4, **request)
    await shop.schedule(location="FAR").set("po-2", 3, 5)
    await shop.schedule().slip("po-1", 9)
    answer = await shop.repromise(MOVE, "1", reservation_ids=["A", "B"])
    assert sorted(one[1:] for one in told(answer)) == [("MOVED", "FAR"), ("NO_LOCATION",)]
    (moved,) = [one[0] for one in told(answer) if one[1] == "MOVED"]
    (left,) = {"A", "B"} - {moved}
    assert (await shop.promise_of(moved))[0] == 7
    assert told(await shop.repromise(KEEP, "2", filter={"sku": "LAMP"})) == [(left, "KEPT")]
    assert (await shop.promise_of(left))[0] == 11
    assert await shop.broken() == []


async def test_what_no_day_is_known_for_cannot_be_accepted(shop: KeptShop) -> None:
    await shop.stubs.receive("LAMP", 2)
    await shop.promised("A", 2, 0)
    await shop.count(0)
    assert told(await shop.repromise(KEEP, "1", reservation_ids=["A", "B"])) == [("A", "NO_DATE"), ("B", "REFUSED")]
    await shop.count(2)
    assert told(await shop.repromise(KEEP, "2", reservation_ids=["A"])) == [("A", "NOT_BROKEN")]


async def test_what_can_be_moved_is_moved_and_the_rest_says_why_not(shop: KeptShop) -> None:
    """A fits elsewhere and keeps its day; B comes after it and finds less than it needs; C is collected."""
    await shop.schedule().set("po-1", 9, 4)
    await shop.stubs.receive("LAMP", 4, "FAR")
    await shop.promised("A", 3, 4)
    await shop.promised("B", 2, 4)
    await shop.stubs.receive("LAMP", 1, "SHOP")
    await shop.promised("P", 1, 0, location="SHOP", line={"fulfilment": 2})
    await shop.count(0, location="SHOP")
    await shop.schedule().slip("po-1", 7)
    dry = await shop.repromise(MOVE, "dry", filter={"sku": "LAMP"}, dry_run=True)
    assert len(await shop.broken()) == 3
    answer = await shop.repromise(MOVE, "move", filter={"sku": "LAMP"})
    assert told(answer) == told(dry)
    moved = {one[0] for one in told(answer) if one[1:] == ("MOVED", "FAR")}
    assert moved in ({"A"}, {"B"}) if "A" in moved else moved == {"B"}
    assert {one[1] for one in told(answer) if one[0] not in moved} == {"NO_LOCATION", "COLLECTED"}
    left = {name for name, *_ in await shop.broken()}
    assert left == {"A", "B", "P"} - moved
    (name,) = moved
    now = await shop.running.store.reservation(name)
    assert {its.location for its in now.lines[0].allocations if its.open} == {"FAR"}


async def test_a_place_that_is_later_than_where_it_is_is_no_help(shop: KeptShop) -> None:
    await shop.schedule().set("po-1", 9, 4)
    await shop.apply(far=20)
    await shop.stubs.receive("LAMP", 9, "FAR")
    await shop.promised("A", 3, 4)
    await shop.schedule().slip("po-1", 7)
    assert told(await shop.repromise(MOVE, "1", reservation_ids=["A"])) == [("A", "NOT_BETTER")]
    await shop.schedule().cancel("po-1")
    assert told(await shop.repromise(MOVE, "2", reservation_ids=["A"], dry_run=True)) == [("A", "MOVED", "FAR")]


async def test_after_a_move_others_have_their_units(shop: KeptShop) -> None:
    """Of two that are short, one that moves away makes room for the other."""
    await shop.stubs.receive("LAMP", 4)
    await shop.stubs.receive("LAMP", 9, "FAR")
    await shop.promised("A", 2, 0)
    await shop.promised("B", 2, 0)
    await shop.count(1)
    assert [one[:2] for one in await shop.broken()] == [("A", 1), ("B", 2)]
    assert told(await shop.repromise(MOVE, "1", reservation_ids=["A"])) == [("A", "MOVED", "FAR")]
    assert [one[:2] for one in await shop.broken()] == [("B", 1)]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"policy": 0, "reservation_ids": ["A"]}, "policy"),
        ({"policy": 9, "reservation_ids": ["A"]}, "policy"),
        ({"policy": KEEP}, "reservation_ids"),
        ({"policy": KEEP, "reservation_ids": ["A", ""]}, "reservation_ids[1]"),
        ({"policy": KEEP, "filter": {"sku": " A"}}, "filter.sku"),
        ({"policy": KEEP, "filter": {"reason": 77}}, "filter.reason"),
        ({"policy": KEEP, "filter": {}, "lines_max": 1001}, "lines_max"),
        ({"policy": KEEP, "filter": {}, "name": ""}, "request_id"),
    ],
)
async def test_bad_requests_name_their_field(shop: KeptShop, fields: dict[str, Any], named: str) -> None:
    fields = {"name": "bad"} | fields
    assert (await refused(shop.repromise(fields.pop("policy"), fields.pop("name"), **fields))).fields == [named]


def promise_request(name: str, line: dict[str, Any]) -> Any:
    """A reservation of one line, without a promise."""
    from invengine.v1 import reservation_service_pb2 as pb

    return pb.CreateReservationRequest(
        request_id=f"create {name}", reservation_id=name, channel="web", lines=[pb.ReservationLineRequest(**line)]
    )
