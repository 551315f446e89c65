"""Shortfalls over real sockets: who goes short, and what taking their units from elsewhere does and does not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from invengine.bootstrap import Running
from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import (
    admin_service_pb2,
    common_pb2,
    profile_pb2,
    shortfall_pb2,
    stock_service_pb2,
    transfer_service_pb2,
)
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import in_days
from tests.rpc.kept_shop import SHIP, KeptShop, kept_shop

pytestmark = pytest.mark.asyncio

Result = shortfall_pb2.ResourceOutcome.Result

NETWORK = """\
currency: EUR
locations:
  LON1: {kind: store, priority: 10, fulfilments: [ship, pickup]}
  PAR1: {kind: warehouse, priority: 20, costs: {parcel: 9}}
  DC: {kind: warehouse, priority: 30, costs: {parcel: 1}}
  FAR: {kind: warehouse, priority: 40}
groups:
  all: [LON1, PAR1, DC]
  far: [FAR]
  dc: [DC]
channels:
  web: {groups: [all, dc]}
  app: {groups: [all]}
  abroad: {groups: [all, far]}
safety_stock:
  - {sku: KEPT, units: 2}
kits:
  SET: {TOP: 1, LEG: 4}
"""


class Shop:
    """An engine with this network, and short ways to say what happens."""

    def __init__(self, running: Running, stubs: Stubs) -> None:
        self.running, self.stubs = running, stubs
        self._number = 0

    async def stock(self, **units: int) -> None:
        """`LAMP_PAR1=2`: so many of the SKU at the location."""
        for place, quantity in units.items():
            sku, _, location = place.rpartition("_")
            await self.stubs.receive(sku, quantity, location)

    async def reserve(self, name: str, quantity: int, sku: str = "LAMP", **more: Any) -> pb.Reservation:
        """A reservation of one line at LON1."""
        line = {"location": "LON1", **more.pop("line", {})}
        request = pb.CreateReservationRequest(
            request_id=f"create {name}",
            reservation_id=name,
            channel=more.pop("channel", "web"),
            lines=[pb.ReservationLineRequest(sku=sku, quantity=quantity, **line)],
            **more,
        )
        return (await self.stubs.reservations.CreateReservation(request)).reservation

    async def count(self, quantity: int, sku: str = "LAMP", location: str = "LON1") -> None:
        self._number += 1
        movement = stock_service_pb2.Movement(
            source="tests",
            event_id=f"count {self._number}",
            kind=stock_service_pb2.Movement.KIND_ADJUSTMENT,
            sku=sku,
            location=location,
            quantity=quantity - (await self.stubs.position(sku, location))[0],
            reason="counted",
        )
        answer = await self.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
        assert [outcome.result for outcome in answer.outcomes] == [1], answer

    async def short(self, **which: Any) -> list[tuple[Any, ...]]:
        """(SKU, location, on_hand, reserved) of each shortfall, then (reservation, has, lacks) of its lines."""
        answer = await self.stubs.network.ListShortfalls(shortfall_pb2.ListShortfallsRequest(**which))
        assert all(one.units == one.reserved - one.on_hand for one in answer.shortfalls)
        return [
            (
                (one.sku, one.location, one.on_hand, one.reserved),
                *((line.reservation_id, line.quantity, line.uncovered) for line in one.lines),
            )
            for one in answer.shortfalls
        ]

    async def resource(self, name: str = "resource", **more: Any) -> list[tuple[Any, ...]]:
        """Per line: reservation, what became of it, its moves; and how many there were where there were too few."""
        answer = await self.resourced(name, **more)
        return [
            (
                one.reservation_id,
                Result.Name(one.result).removeprefix("RESULT_"),
                *((move.location, move.units) for move in one.moves),
                *((one.available,) if one.result == Result.RESULT_NOT_ENOUGH else ()),
            )
            for one in answer.outcomes
        ]

    async def resourced(self, name: str, **more: Any) -> shortfall_pb2.ResourceShortfallsResponse:
        more.setdefault("all", not more.get("reservation_ids"))
        request = shortfall_pb2.ResourceShortfallsRequest(request_id=name, **more)
        return await self.stubs.allocation.ResourceShortfalls(request)

    async def where(self, name: str) -> list[tuple[str, str, int]]:
        """Open units of a reservation: SKU, location, units."""
        request = pb.GetReservationRequest(reservation_id=name, channel="web")
        found = (await self.stubs.reservations.GetReservation(request)).reservation
        return [
            (line.sku, its.location, its.quantity - its.fulfilled - its.released)
            for line in found.lines
            for its in line.allocations
            if its.quantity - its.fulfilled - its.released
        ]

    async def check(self) -> None:
        """Everything adds up."""
        report = await self.stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
        assert list(report.violations) == []


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """Once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network(NETWORK)
        yield Shop(running, stubs)


async def three(shop: Shop) -> None:
    """The example of docs/planning.md."""
    await shop.stock(LAMP_LON1=6, LAMP_PAR1=2, LAMP_DC=1)
    for name in "ABC":
        await shop.reserve(name, 2)
        await asyncio.sleep(0.002)  # of one millisecond the order of the allocations would count
    await shop.count(3)


async def test_the_newest_go_short_and_are_listed_first(shop: Shop) -> None:
    assert await shop.short() == []
    await three(shop)
    assert await shop.short() == [(("LAMP", "LON1", 3, 6), ("C", 2, 2), ("B", 2, 1))]
    await shop.count(6)
    assert await shop.short() == []


async def test_the_list_is_narrowed_and_paged(shop: Shop) -> None:
    for sku in ("CHAIR", "LAMP", "SOFA"):
        await shop.stock(**{f"{sku}_LON1": 2, f"{sku}_PAR1": 1})
        await shop.reserve(f"web {sku}", 1, sku)
        await shop.reserve(f"app {sku}", 1, sku, channel="app", customer_ref="carla", order_ref="o-1")
        await shop.count(0, sku)
    await shop.reserve("par", 1, "SOFA", line={"location": "PAR1"})
    await shop.count(0, "SOFA", "PAR1")
    assert [one[0][:2] for one in await shop.short()] == [
        ("CHAIR", "LON1"),
        ("LAMP", "LON1"),
        ("SOFA", "LON1"),
        ("SOFA", "PAR1"),
    ]
    assert await shop.short(sku="LAMP", channel="app") == [(("LAMP", "LON1", 0, 2), ("app LAMP", 1, 1))]
    assert await shop.short(location="PAR1") == [(("SOFA", "PAR1", 0, 1), ("par", 1, 1))]
    seen, token = [], ""
    for _ in range(4):
        asked = shortfall_pb2.ListShortfallsRequest(page_size=1, page_token=token)
        answer = await shop.stubs.network.ListShortfalls(asked)
        seen += [(one.sku, one.location) for one in answer.shortfalls]
        token = answer.next_page_token
    assert (seen, token) == (
        [("CHAIR", "LON1"), ("LAMP", "LON1"), ("SOFA", "LON1"), ("SOFA", "PAR1")],
        "",
    )
    (of_app,) = (
        await shop.stubs.network.ListShortfalls(shortfall_pb2.ListShortfallsRequest(sku="LAMP", channel="app"))
    ).shortfalls
    (line,) = of_app.lines
    assert (line.customer_ref, line.order_ref, line.channel, line.line_id) == ("carla", "o-1", "app", "1")
    assert line.expire_time.seconds > line.create_time.seconds > 0


async def test_bad_questions_are_refused(shop: Shop) -> None:
    listed = shop.stubs.network.ListShortfalls
    for fields, field in (
        ({"sku": " x"}, "sku"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "?"}, "page_token"),
    ):
        assert (await refused(listed(shortfall_pb2.ListShortfallsRequest(**fields)))).fields == [field]  # type: ignore[arg-type]
    unknown = await refused(listed(shortfall_pb2.ListShortfallsRequest(channel="nobody")))
    assert unknown.reason == "UNKNOWN_CHANNEL"
    for more, field in (
        ({"request_id": ""}, "request_id"),
        ({"all": False}, "all"),
        ({"lines_max": 1001}, "lines_max"),
        ({"reservation_ids": [""]}, "reservation_ids[0]"),
    ):
        fields = {"request_id": "bad", "all": True, **more}
        request = shortfall_pb2.ResourceShortfallsRequest(**fields)  # type: ignore[arg-type]
        assert (await refused(shop.stubs.allocation.ResourceShortfalls(request))).fields == [field]
    group = shortfall_pb2.ResourceShortfallsRequest(request_id="bad", all=True, to_group="nowhere")
    assert (await refused(shop.stubs.allocation.ResourceShortfalls(group))).reason == "UNKNOWN_GROUP"


@pytest.mark.parametrize("dry_run", [True, False])
async def test_the_older_chooses_first_and_only_what_is_missing_goes(shop: Shop, *, dry_run: bool) -> None:
    await three(shop)
    assert await shop.resource(dry_run=dry_run) == [("B", "MOVED", ("PAR1", 1)), ("C", "NOT_ENOUGH", 1)]
    if dry_run:
        assert await shop.short() == [(("LAMP", "LON1", 3, 6), ("C", 2, 2), ("B", 2, 1))]
        return
    assert await shop.where("A") == [("LAMP", "LON1", 2)]
    assert await shop.where("B") == [("LAMP", "LON1", 1), ("LAMP", "PAR1", 1)]
    assert await shop.where("C") == [("LAMP", "LON1", 2)]
    assert await shop.short() == [(("LAMP", "LON1", 3, 5), ("C", 2, 2))]
    await shop.check()


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_line_is_split_where_that_is_allowed(shop: Shop, *, dry_run: bool) -> None:
    await three(shop)
    assert await shop.resource(allow_split=True, dry_run=dry_run) == [
        ("B", "MOVED", ("PAR1", 1)),
        ("C", "MOVED", ("PAR1", 1), ("DC", 1)),
    ]
    if not dry_run:
        assert await shop.short() == []
        await shop.check()


async def test_best_effort_moves_what_there_is(shop: Shop) -> None:
    await three(shop)
    assert await shop.resource(best_effort=True) == [("B", "MOVED", ("PAR1", 1)), ("C", "MOVED_IN_PART", ("PAR1", 1))]
    assert await shop.short() == [(("LAMP", "LON1", 3, 4), ("C", 1, 1))]
    assert await shop.resource("again", best_effort=True) == [("C", "MOVED", ("DC", 1))]
    assert await shop.short() == []
    await shop.check()


async def test_nothing_else_becomes_short(shop: Shop) -> None:
    """Safety stock, ring-fences and what others reserved stay where they are."""
    await shop.stock(KEPT_LON1=3, KEPT_PAR1=3, KEPT_DC=4)
    await shop.reserve("others", 1, "KEPT", line={"location": "DC"})
    fence = stock_service_pb2.Movement(
        source="tests",
        event_id="fence",
        kind=stock_service_pb2.Movement.KIND_RING_FENCE,
        sku="KEPT",
        location="PAR1",
        quantity=3,
        channel="app",
    )
    await shop.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[fence]))
    await shop.reserve("A", 1, "KEPT")
    await shop.count(0, "KEPT")
    assert await shop.resource(dry_run=True) == [("A", "MOVED", ("DC", 1))]
    assert await shop.resource() == [("A", "MOVED", ("DC", 1))]
    assert await shop.short() == []
    await shop.check()


async def test_the_same_request_moves_nothing_twice(shop: Shop) -> None:
    await three(shop)
    first = await shop.resourced("once", best_effort=True)
    await shop.stock(LAMP_FAR=9)
    again = await shop.resourced("once", best_effort=True)
    assert (again.replayed, again.outcomes) == (True, first.outcomes)
    assert await shop.short() == [(("LAMP", "LON1", 3, 4), ("C", 1, 1))]
    other = shortfall_pb2.ResourceShortfallsRequest(request_id="once", all=True)
    assert (await refused(shop.stubs.allocation.ResourceShortfalls(other))).reason == "REQUEST_MISMATCH"


async def test_the_same_request_is_answered_as_before_when_what_it_names_is_gone(shop: Shop) -> None:
    await three(shop)
    first = await shop.resourced("once", to_group="dc", best_effort=True)
    await shop.stubs.apply_network(
        NETWORK.replace("  dc: [DC]\n", "").replace("[all, dc]", "[all]"), "the group is gone"
    )
    again = await shop.resourced("once", to_group="dc", best_effort=True)
    assert (again.replayed, again.outcomes) == (True, first.outcomes)
    other = shortfall_pb2.ResourceShortfallsRequest(request_id="new", all=True, to_group="dc")
    assert (await refused(shop.stubs.allocation.ResourceShortfalls(other))).reason == "UNKNOWN_GROUP"


async def test_the_same_request_twice_at_once(shop: Shop) -> None:
    await three(shop)
    answers = await asyncio.gather(*(shop.resourced("twice", allow_split=True) for _ in range(4)))
    assert await shop.short() == []
    assert sum(units for _, _, units in await shop.where("C")) == 2
    assert all(answer.outcomes == answers[0].outcomes for answer in answers if answer.replayed)
    await shop.check()


async def test_who_is_asked_for(shop: Shop) -> None:
    """By reservation, channel, group of destinations; and so many at most."""
    await three(shop)
    assert await shop.resource("c", reservation_ids=["C", "nobody"], to_group="dc") == [("C", "NOT_ENOUGH", 1)]
    assert await shop.resource("app", channel="app") == []
    answer = await shop.resourced("one", lines_max=1)
    assert ([one.reservation_id for one in answer.outcomes], answer.has_more) == (["B"], True)


async def test_a_profile_chooses_the_locations(shop: Shop) -> None:
    """The one that is named, else the active one; what it excludes gives nothing, what it forbids to split is not."""
    for text in ("name: cheap\n", "name: narrow\nrules: {exclude: [DC], split: never}\n"):
        put = profile_pb2.PutProfileRequest(request_id=text[6:11], document=text)
        await shop.stubs.allocation.PutProfile(put)
    await three(shop)
    assert await shop.resource("1", dry_run=True, profile="cheap@1") == [
        ("B", "MOVED", ("DC", 1)),
        ("C", "MOVED", ("PAR1", 2)),
    ]
    assert await shop.resource("2", dry_run=True, profile="narrow", allow_split=True) == [
        ("B", "MOVED", ("PAR1", 1)),
        ("C", "NOT_ENOUGH", 1),
    ]
    activate = profile_pb2.ActivateProfileRequest(request_id="a", channel="web", profile="cheap")
    await shop.stubs.allocation.ActivateProfile(activate)
    assert await shop.resource("3") == [("B", "MOVED", ("DC", 1)), ("C", "MOVED", ("PAR1", 2))]
    request = shortfall_pb2.ResourceShortfallsRequest(request_id="4", all=True, profile="nothing")
    assert (await refused(shop.stubs.allocation.ResourceShortfalls(request))).reason == "UNKNOWN_PROFILE"
    await shop.check()


async def test_a_channel_goes_only_where_it_may(shop: Shop) -> None:
    await shop.stock(SOFA_LON1=2, SOFA_FAR=5)
    await shop.reserve("A", 1, "SOFA")
    await shop.reserve("B", 1, "SOFA", channel="abroad")
    await shop.count(0, "SOFA")
    assert await shop.resource() == [("A", "NOT_ENOUGH", 0), ("B", "MOVED", ("FAR", 1))]


async def test_kits_go_whole(shop: Shop) -> None:
    await shop.stock(TOP_LON1=2, LEG_LON1=8, TOP_PAR1=1, LEG_PAR1=4, LEG_DC=99)
    await shop.reserve("A", 2, "SET")
    await shop.count(5, "LEG")
    assert await shop.short() == [(("LEG", "LON1", 5, 8), ("A", 8, 3))]
    assert await shop.resource("dry", dry_run=True) == [("A", "MOVED", ("PAR1", 1))]
    assert await shop.resource() == [("A", "MOVED", ("PAR1", 1))]
    assert sorted(await shop.where("A")) == [
        ("LEG", "LON1", 4),
        ("LEG", "PAR1", 4),
        ("TOP", "LON1", 1),
        ("TOP", "PAR1", 1),
    ]
    await shop.count(0, "TOP")
    assert await shop.resource("more") == [("A", "NOT_ENOUGH", 0)]
    await shop.check()


async def test_what_is_collected_stays_and_transfers_too(shop: Shop) -> None:
    await shop.stock(LAMP_LON1=3, LAMP_PAR1=9)
    await shop.reserve("A", 1, line={"fulfilment": 2})
    created = await shop.stubs.transfers.CreateTransfer(
        transfer_service_pb2.CreateTransferRequest(
            request_id="t",
            source="tests",
            transfer_id="T",
            from_location="LON1",
            to_location="DC",
            lines=[transfer_service_pb2.TransferLineRequest(sku="LAMP", quantity=1)],
            expected_date=in_days(3),
        )
    )
    assert created.transfer.transfer_id == "T"
    await shop.count(0)
    outcomes = {one.reservation_id: one for one in (await shop.resourced("r")).outcomes}
    assert outcomes["A"].result == Result.RESULT_COLLECTED
    assert outcomes["T"].result == Result.RESULT_REFUSED
    assert outcomes["T"].refusal.reason == common_pb2.ERROR_REASON_OF_TRANSFER
    assert await shop.where("A") == [("LAMP", "LON1", 1)]


async def test_units_that_came_or_went_meanwhile_are_not_moved(shop: Shop) -> None:
    """A hold that runs out is not short any more, and what a release frees covers those before it."""
    await three(shop)
    found = (await shop.resourced("dry", dry_run=True)).outcomes
    assert len(found) == 2
    await shop.stubs.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(request_id="release", reservation_id="A", channel="web")
    )
    assert await shop.short() == [(("LAMP", "LON1", 3, 4), ("C", 2, 1))]
    assert await shop.resource() == [("C", "MOVED", ("PAR1", 1))]
    await shop.check()


async def test_a_sale_meanwhile_takes_nothing_twice(shop: Shop) -> None:
    """Others buy what was to be taken: nobody gets a unit that is not there."""
    await shop.stock(LAMP_LON1=20, LAMP_PAR1=10, LAMP_DC=5)
    for number in range(20):
        await shop.reserve(f"r{number}", 1)
    await shop.count(0)

    async def bought(number: int) -> int:
        """Units that a shopper got, who takes what there is."""
        line = pb.ReservationLineRequest(sku="LAMP", quantity=1, location="PAR1" if number % 2 else "DC")
        request = pb.CreateReservationRequest(
            request_id=f"buy {number}", reservation_id=f"b{number}", channel="web", lines=[line]
        )
        batch = pb.BatchCreateReservationsRequest(requests=[request])
        (outcome,) = (await shop.stubs.reservations.BatchCreateReservations(batch)).outcomes
        assert outcome.HasField("reservation") or outcome.refusal.short_lines
        return int(outcome.HasField("reservation"))

    answer, *sold = await asyncio.gather(shop.resourced("r"), *(bought(number) for number in range(12)))
    moved = sum(move.units for one in answer.outcomes for move in one.moves)
    assert len(answer.outcomes) == 20
    for location, units in (("PAR1", 10), ("DC", 5)):
        on_hand, reserved, _ = await shop.stubs.position("LAMP", location)
        assert (on_hand, reserved <= on_hand) == (units, True)
    assert moved + sum(sold) == sum([(await shop.stubs.position("LAMP", place))[1] for place in ("PAR1", "DC")])
    on_hand, reserved, _ = await shop.stubs.position("LAMP", "LON1")
    assert (on_hand, reserved) == (0, 20 - moved)
    await shop.check()


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def dated(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[KeptShop]:
    """A shop whose lines are promised days."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with kept_shop(redis_url) as shop:
        yield shop


async def resource(shop: KeptShop, name: str, **more: Any) -> list[tuple[Any, ...]]:
    request = shortfall_pb2.ResourceShortfallsRequest(request_id=name, all=True, **more)
    answer = await shop.stubs.allocation.ResourceShortfalls(request)
    return [
        (
            one.reservation_id,
            Result.Name(one.result).removeprefix("RESULT_"),
            *((move.location, move.units) for move in one.moves),
            shop.days(one.promised_delivery_date),
            shop.days(one.delivery_date),
        )
        for one in answer.outcomes
    ]


async def test_a_promised_day_is_kept_elsewhere(dated: KeptShop) -> None:
    """Part of a line goes; the line keeps its day, and says from where its parts come."""
    await dated.stubs.receive("LAMP", 4)
    await dated.stubs.receive("LAMP", 9, "FAR")
    await dated.promised("A", 4, 0)
    await dated.count(3)
    assert await resource(dated, "dry", dry_run=True) == [("A", "MOVED", ("FAR", 1), 2, 2)]
    assert await resource(dated, "r") == [("A", "MOVED", ("FAR", 1), 2, 2)]
    assert (await dated.promise_of("A"))[0] == 2
    request = pb.GetReservationRequest(reservation_id="A", channel="web")
    found = (await dated.stubs.reservations.GetReservation(request)).reservation
    assert sorted(part.location for part in found.lines[0].promise.parts) == ["DC", "FAR"]
    assert await dated.broken() == []


async def test_a_later_day_only_where_it_is_accepted(dated: KeptShop) -> None:
    await dated.apply(far=5)
    await dated.stubs.receive("LAMP", 2)
    await dated.stubs.receive("LAMP", 9, "FAR")
    await dated.promised("A", 2, 0)
    await dated.count(0)
    assert await resource(dated, "r") == [("A", "TOO_LATE", 2, 5)]
    assert await resource(dated, "dry", accept_later=True, dry_run=True) == [("A", "MOVED", ("FAR", 2), 2, 5)]
    assert await resource(dated, "later", accept_later=True) == [("A", "MOVED", ("FAR", 2), 2, 5)]
    assert (await dated.promise_of("A"))[0] == 5
    assert await dated.broken() == []


@pytest.mark.parametrize("capacity", ["units: 10", "orders: 3"])
async def test_capacity_goes_along(dated: KeptShop, capacity: str) -> None:
    """Slots of what leaves are free again where it left."""
    await dated.apply(capacity=capacity)
    await dated.stubs.receive("LAMP", 4)
    await dated.stubs.receive("LAMP", 9, "FAR")
    made = await dated.promised("A", 4, 0)
    assert [(slot.units, slot.orders) for slot in made.slots] == [(4, 0) if "units" in capacity else (0, 1)]
    await dated.count(1)
    assert await resource(dated, "r") == [("A", "MOVED", ("FAR", 3), 2, 2)]
    assert (await dated.promise_of("A"))[1] == [(0, 1)]
    await dated.count(0)
    assert await resource(dated, "rest") == [("A", "MOVED", ("FAR", 1), 2, 2)]
    assert (await dated.promise_of("A"))[1] == []
    report = await dated.stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert list(report.violations) == []


async def test_a_shipped_line_without_a_date_takes_slots_where_it_goes(dated: KeptShop) -> None:
    await dated.apply(capacity="units: 10")
    await dated.stubs.receive("LAMP", 2, "FAR")
    await dated.stubs.receive("LAMP", 9)
    request = pb.CreateReservationRequest(
        request_id="create",
        reservation_id="A",
        channel="web",
        lines=[
            pb.ReservationLineRequest(
                sku="LAMP",
                quantity=2,
                location="FAR",
                fulfilment=SHIP,
                destination={"country": "DE", "postal_code": "10115"},  # type: ignore[arg-type]
            )
        ],
    )
    await dated.stubs.reservations.CreateReservation(request)
    await dated.count(1, location="FAR")
    assert await resource(dated, "r") == [("A", "MOVED", ("DC", 1), None, None)]
    assert (await dated.promise_of("A"))[1] == [(0, 1)]
