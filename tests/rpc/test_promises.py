"""GetPromise and BatchGetPromise over gRPC: options, gaps, kits, columns, bad input."""

from __future__ import annotations

import struct
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest

from invengine.v1 import common_pb2, reservation_service_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.rpc.engines import Stubs, refused
from tests.rpc.promised import MUNICH, NETWORK, PICKUP, SHIP, STORE, basket, day_of, days_after, line, receipt

PROMISED, NOT_PROMISABLE = pb.PromiseOption.STATUS_PROMISED, pb.PromiseOption.STATUS_NOT_PROMISABLE
IN_MUC = common_pb2.Destination(location="MUC")
pytestmark = pytest.mark.asyncio


async def stocked(stubs: Stubs, **units: dict[str, int]) -> None:
    """The network, and stock by SKU and location."""
    await stubs.apply_network(NETWORK)
    for sku, places in units.items():
        for location, quantity in places.items():
            await stubs.receive(sku, quantity, location)


def told(option: pb.PromiseOption, answer: pb.GetPromiseResponse) -> tuple[Any, ...]:
    """(service, days until it is there, locations, cost) of an option."""
    places = [part.location for one in option.lines for part in one.allocations]
    return option.service, days_after(answer, option.delivery_day), places, option.cost.units + option.cost.nanos / 1e9


async def test_options_stand_side_by_side_each_with_its_best_locations(stubs: Stubs) -> None:
    """The earliest day first, then the cheapest, then the fewest parcels."""
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2}, CHAIR={"MUC": 3})
    answer = await stubs.promises.GetPromise(basket(line("LAMP"), line("CHAIR", 2)))
    assert [told(option, answer) for option in answer.options] == [
        ("express", 1, ["MUC", "MUC"], 6.0),
        ("standard", 2, ["MUC", "MUC"], 4.5),
    ]
    assert answer.zone == "de-south"
    assert [option.parcels for option in answer.options] == [1, 1]
    assert all(option.order_before.seconds > answer.promise_time.seconds for option in answer.options)
    assert answer.consistency_token
    only = await stubs.promises.GetPromise(basket(line("LAMP"), services=["standard", "express"]))
    assert [told(option, only) for option in only.options] == [
        ("standard", 2, ["DC"], 4.25),
        ("express", 1, ["MUC"], 6.0),
    ]


async def test_two_lines_never_take_the_same_unit(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 2, "BER": 2})
    answer = await stubs.promises.GetPromise(basket(line("LAMP", 2), line("LAMP", 2), services=["standard"]))
    (option,) = answer.options
    assert {part.location for one in option.lines for part in one.allocations} == {"MUC", "BER"}
    assert option.parcels == 2
    short = await stubs.promises.GetPromise(basket(line("LAMP", 2), line("LAMP", 1), line("LAMP", 2)))
    assert {option.status for option in short.options} == {NOT_PROMISABLE}
    assert {one.problem for option in short.options for one in option.lines} == {pb.LINE_PROBLEM_TOGETHER}


async def test_a_line_is_split_only_where_the_basket_is_earlier_by_it(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 2, "BER": 2})
    whole = await stubs.promises.GetPromise(basket(line("LAMP", 3), services=["standard"]))
    assert whole.options[0].status == NOT_PROMISABLE
    assert (whole.options[0].lines[0].problem, whole.options[0].lines[0].available) == (
        pb.LINE_PROBLEM_NOT_ENOUGH_UNITS,
        2,
    )
    split = await stubs.promises.GetPromise(basket(line("LAMP", 3, allow_split=True), services=["standard"]))
    (option,) = split.options
    assert sorted((part.location, part.quantity) for part in option.lines[0].allocations) == [("BER", 1), ("MUC", 2)]
    assert day_of(option.bound.delivery_day) == day_of(option.delivery_day)
    enough = await stubs.promises.GetPromise(basket(line("LAMP", 2, allow_split=True), services=["standard"]))
    assert len(enough.options[0].lines[0].allocations) == 1
    assert not enough.options[0].HasField("bound")


async def test_what_comes_is_promised_from_its_day_on(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 1})
    today = date.today()
    await receipt(stubs, "LAMP", "DC", 5, today + timedelta(days=9))
    await receipt(stubs, "LAMP", "MUC", 5, today + timedelta(days=4))
    answer = await stubs.promises.GetPromise(basket(line("LAMP", 3), services=["standard"]))
    (option,) = answer.options
    part = option.lines[0].allocations[0]
    assert (part.location, day_of(part.available_day)) == ("MUC", today + timedelta(days=4))
    assert day_of(option.delivery_day) == today + timedelta(days=6)


async def test_collecting_and_having_it_sent_to_a_store(stubs: Stubs) -> None:
    """What the store has need not be sent: LAMP comes from DC, CHAIR lies there."""
    await stocked(stubs, LAMP={"DC": 5}, CHAIR={"MUC": 3})
    answer = await stubs.promises.GetPromise(basket(line("LAMP"), line("CHAIR"), destination=IN_MUC))
    pickup, store = answer.options
    assert (pickup.fulfilment, pickup.location, pickup.status) == (PICKUP, "MUC", NOT_PROMISABLE)
    assert [one.problem for one in pickup.lines] == [pb.LINE_PROBLEM_NOT_ENOUGH_UNITS, 0]
    assert (store.fulfilment, store.location, store.status) == (STORE, "MUC", PROMISED)
    assert [part.location for one in store.lines for part in one.allocations] == ["DC", "MUC"]
    assert days_after(answer, store.delivery_day) == 1
    assert (store.cost.units, store.cost.nanos) == (1, 200_000_000)
    assert store.ready_time.seconds > answer.promise_time.seconds


async def test_collecting_anywhere_answers_where_all_of_it_is(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2, "BER": 2}, CHAIR={"MUC": 3})
    anywhere = basket(line("LAMP"), fulfilments=[PICKUP], destination=common_pb2.Destination())
    answer = await stubs.promises.GetPromise(anywhere)
    assert [option.location for option in answer.options] == ["MUC", "BER"]
    both = basket(line("LAMP"), line("CHAIR"), fulfilments=[PICKUP], destination=common_pb2.Destination())
    answer = await stubs.promises.GetPromise(both)
    assert [option.location for option in answer.options] == ["MUC"]


async def test_a_kit_comes_together_at_one_location(stubs: Stubs) -> None:
    await stocked(stubs, SOFA={"DC": 1, "MUC": 4}, CUSHION={"DC": 40, "MUC": 7})
    answer = await stubs.promises.GetPromise(basket(line("SET"), services=["standard"]))
    (option,) = answer.options
    assert told(option, answer) == ("standard", 2, ["MUC"], 4.5)  # 5 units of 0.30 and 3.95 are dearer from DC
    two = await stubs.promises.GetPromise(basket(line("SET", 2), services=["standard"]))
    assert two.options[0].lines[0].problem == pb.LINE_PROBLEM_NOT_ENOUGH_UNITS
    assert two.options[0].lines[0].available == 1
    await receipt(stubs, "CUSHION", "MUC", 1, date.today() + timedelta(days=3))
    later = await stubs.promises.GetPromise(basket(line("SET", 2), services=["standard"]))
    assert days_after(later, later.options[0].delivery_day) in (4, 5, 6)
    shares = await stubs.promises.GetPromise(basket(line("SET"), line("SOFA", 4), services=["standard"]))
    assert {part.location for one in shares.options[0].lines for part in one.allocations} == {"DC", "MUC"}


async def test_what_the_network_does_not_say_is_named_beside_the_options(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5, "BARE": 5, "BER": 1})
    answer = await stubs.promises.GetPromise(basket(line("LAMP")))
    assert [gap.message for gap in answer.gaps] == [
        "no lane from BER to zone de-south with express",
        "location BARE has no calendar",
    ]
    assert [option.status for option in answer.options] == [PROMISED, PROMISED]
    abroad = common_pb2.Destination(country="FR", postal_code="75001")
    nowhere = await stubs.promises.GetPromise(basket(line("LAMP"), destination=abroad))
    assert {gap.kind for gap in nowhere.gaps} == {pb.PromiseGap.KIND_NO_ZONE, pb.PromiseGap.KIND_NO_CALENDAR}
    assert "postal code FR 75001 is in no zone" in [gap.message for gap in nowhere.gaps]
    assert [one.problem for option in nowhere.options for one in option.lines] == [pb.LINE_PROBLEM_GAP] * 2
    to_ber = basket(line("LAMP", 2), fulfilments=[STORE], destination=common_pb2.Destination(location="BER"))
    store = await stubs.promises.GetPromise(to_ber)
    assert "no transfer lane from DC to BER" in [gap.message for gap in store.gaps]


async def test_a_network_without_delivery_says_what_it_lacks(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 5, "DC")
    answer = await stubs.promises.GetPromise(basket(line("LAMP")))
    assert [gap.kind for gap in answer.gaps] == [pb.PromiseGap.KIND_NO_SERVICES]
    assert len(answer.options) == 0
    anywhere = basket(line("LAMP"), fulfilments=[PICKUP], destination=common_pb2.Destination())
    assert (await stubs.promises.GetPromise(anywhere)).options[0].status == NOT_PROMISABLE


async def test_unknown_skus_and_locations_that_cannot_are_problems_of_lines(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5})
    answer = await stubs.promises.GetPromise(basket(line("NONE"), line("LAMP"), line("LAMP", location="OLD")))
    assert [one.problem for one in answer.options[0].lines] == [
        pb.LINE_PROBLEM_UNKNOWN_SKU,
        0,
        pb.LINE_PROBLEM_NO_LOCATION,
    ]


async def test_it_takes_nothing_and_sees_what_others_took(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 2})
    question = basket(line("LAMP", 2), services=["standard"], consistency=common_pb2.Consistency(fully_consistent=True))
    for _ in range(2):
        assert (await stubs.promises.GetPromise(question)).options[0].status == PROMISED
    assert (await stubs.position("LAMP", "MUC"))[:2] == (2, 0)
    taken = reservation_service_pb2.ReservationLineRequest(sku="LAMP", quantity=1, location="MUC")
    await stubs.reservations.CreateReservation(
        reservation_service_pb2.CreateReservationRequest(request_id="r1", channel="web", lines=[taken])
    )
    assert (await stubs.promises.GetPromise(question)).options[0].lines[0].available == 1


@pytest.mark.parametrize("service", ["standard", "express"])
async def test_a_reservation_that_is_promised_gets_the_day_that_was_answered(stubs: Stubs, service: str) -> None:
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2})
    answer = await stubs.promises.GetPromise(basket(line("LAMP", 2), services=[service]))
    wanted = reservation_service_pb2.ReservationLineRequest(
        sku="LAMP", quantity=2, fulfilment=SHIP, destination=MUNICH, service=service
    )
    made = await stubs.reservations.CreateReservation(
        reservation_service_pb2.CreateReservationRequest(request_id="r1", channel="web", lines=[wanted])
    )
    (promised,) = made.reservation.lines
    assert promised.promise.service == service
    assert day_of(promised.promise.delivery_date) == day_of(answer.options[0].delivery_day)


async def test_more_lines_than_are_looked_at_exactly_are_promised_with_a_bound(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK)
    skus = [f"S{number}" for number in range(14)]
    for number, sku in enumerate(skus):
        await stubs.receive(sku, 1, "MUC" if number % 2 else "BER")
    answer = await stubs.promises.GetPromise(basket(*map(line, skus), services=["standard"]))
    (option,) = answer.options
    assert (option.parcels, days_after(answer, option.delivery_day), option.cost.units) == (2, 2, 9)
    assert day_of(option.bound.delivery_day) == day_of(option.delivery_day)
    assert option.bound.cost.units <= 9


# --- many ------------------------------------------------------------------------------------------------------------


def many(**fields: Any) -> pb.BatchGetPromiseRequest:
    return pb.BatchGetPromiseRequest(**{"channel": "web", "destination": MUNICH, **fields})


def number_of(answer: pb.BatchGetPromiseResponse, days: int) -> int:
    """The number of a day so many days after today in Berlin."""
    from zoneinfo import ZoneInfo

    now = answer.promise_time.ToDatetime(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo("Europe/Berlin")).date()
    return (now - date(1970, 1, 1)).days + days


async def test_a_page_of_skus_has_a_column_for_each_way(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2}, CHAIR={"BER": 3}, SOFA={"DC": 1}, CUSHION={"DC": 4})
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()  # where it is due and promised
    await receipt(stubs, "DESK", "DC", 5, today + timedelta(days=20))
    to = common_pb2.Destination(country="DE", postal_code="81671", location="MUC")
    skus = ["LAMP", "CHAIR", "NONE", "SET", "DESK", "LAMP"]
    answer = await stubs.promises.BatchGetPromise(many(skus=skus, quantities=[3, 1, 1, 1, 1, 9], destination=to))
    status = pb.BatchGetPromiseResponse.Status.Name
    assert [status(one).removeprefix("STATUS_") for one in answer.status] == [
        *("PROMISED", "PROMISED", "UNKNOWN_SKU", "PROMISED", "PROMISED", "NOT_PROMISABLE")
    ]
    days = {(c.fulfilment, c.service, c.location): list(c.delivery_days) for c in answer.options}
    first = number_of(answer, 0)
    after = {way: [day and day - first for day in column] for way, column in days.items()}
    assert after[SHIP, "express", ""] == [1, 0, 0, 1, 21, 0]
    assert after[SHIP, "standard", ""] == [2, 2, 0, 2, 22, 0]
    assert after[PICKUP, "", "MUC"] == [0, 0, 0, 0, 0, 0]
    assert after[STORE, "", "MUC"] == [1, 2, 0, 1, 21, 0]


LIMITED = NETWORK.replace("MUC: {kind: store, ", "MUC: {kind: store, ship: {capacity: {units: 3}}, ").replace(
    "BER: {kind: store, ", "BER: {kind: store, ship: {capacity: {orders: 1}}, "
)


@pytest.mark.parametrize("network", [NETWORK, LIMITED], ids=["free", "limited"])
async def test_a_page_says_the_same_as_one_at_a_time(stubs: Stubs, network: str) -> None:
    """Each SKU of a page, and each order, is answered as GetPromise answers it alone."""
    await stocked(
        stubs, LAMP={"DC": 5, "MUC": 2}, CHAIR={"BER": 3, "MUC": 1}, SOFA={"DC": 2, "BER": 1}, CUSHION={"DC": 9}
    )
    await stubs.apply_network(network, "again")
    await receipt(stubs, "CHAIR", "DC", 5, date.today() + timedelta(days=2))
    to = common_pb2.Destination(country="DE", postal_code="81671", location="MUC")
    page = await stubs.promises.BatchGetPromise(
        many(skus=["LAMP", "CHAIR", "SET"], quantities=[3, 2, 1], destination=to)
    )
    baskets = [
        [line("LAMP", 3)],
        [line("CHAIR", 2)],
        [line("SET")],
        [line("LAMP", 3), line("CHAIR", 2)],
        [line("LAMP", 2), line("LAMP", 5)],
        [line("CHAIR", 4, allow_split=True), line("SOFA")],
        [line("SET"), line("SOFA")],
        [line("LAMP", location="MUC"), line("CHAIR", group="stores")],
        [line("CHAIR", 20)],
        [line("LAMP", 2), line("CHAIR")],
        [line("LAMP"), line("CHAIR")],
    ]
    orders = await stubs.promises.BatchGetPromise(
        many(orders=[pb.PromiseOrder(lines=lines) for lines in baskets], destination=to)
    )
    assert list(orders.line_counts) == [len(lines) for lines in baskets]
    first_line = 0
    for place, lines in enumerate(baskets):
        alone = await stubs.promises.GetPromise(basket(*lines, destination=to))
        days = {
            (o.fulfilment, o.service, o.location): (day_of(o.delivery_day) - date(1970, 1, 1)).days
            for o in alone.options
            if o.status == PROMISED
        }
        if place < len(page.status):
            assert {
                (c.fulfilment, c.service, c.location): c.delivery_days[place]
                for c in page.options
                if c.delivery_days[place]
            } == days
        way, at = orders.option_index[place], first_line
        first_line += len(lines)
        if not days:
            assert (orders.delivery_days[place], way) == (0, -1)
            assert orders.status[place] == pb.BatchGetPromiseResponse.STATUS_NOT_PROMISABLE
            continue
        column = orders.options[way]
        best = next(
            o
            for o in alone.options
            if (o.fulfilment, o.service, o.location) == (column.fulfilment, column.service, column.location)
        )
        assert orders.delivery_days[place] == min(days.values()) == days[best.fulfilment, best.service, best.location]
        served = [orders.locations[number] for number in orders.line_location_index[at : at + len(lines)]]
        assert served == [one.location for one in best.lines]


async def test_each_order_has_its_own_destination_and_ways(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2})
    orders = [
        pb.PromiseOrder(lines=[line("LAMP")]),
        pb.PromiseOrder(lines=[line("LAMP")], services=["standard"]),
        pb.PromiseOrder(lines=[line("LAMP")], destination=common_pb2.Destination(country="DE", postal_code="10115")),
        pb.PromiseOrder(lines=[line("LAMP")], destination=IN_MUC),
        pb.PromiseOrder(lines=[line("LAMP")], destination=common_pb2.Destination(country="FR", postal_code="1")),
    ]
    answer = await stubs.promises.BatchGetPromise(many(orders=orders))
    first = number_of(answer, 0)
    assert [day and day - first for day in answer.delivery_days] == [1, 2, 3, 0, 0]
    ways = [answer.options[way] if way >= 0 else None for way in answer.option_index]
    assert [way and (way.service, way.location) for way in ways] == [
        ("express", ""),
        ("standard", ""),
        ("standard", ""),
        ("", "MUC"),
        None,
    ]
    assert answer.status[4] == pb.BatchGetPromiseResponse.STATUS_GAP
    assert answer.gaps[0].message == "postal code FR 1 is in no zone"


async def test_more_orders_than_are_dated_in_one_go(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 2}, CHAIR={"BER": 1})
    orders = [pb.PromiseOrder(lines=[line(("LAMP", "CHAIR", "NONE")[number % 3])]) for number in range(2_500)]
    answer = await stubs.promises.BatchGetPromise(many(orders=orders, services=["standard"]))
    first = number_of(answer, 0)
    assert [day and day - first for day in answer.delivery_days] == [(2, 2, 0)[number % 3] for number in range(2_500)]


# --- bad input -------------------------------------------------------------------------------------------------------

LONG, ODD = "x" * 65, "a\nb"
NOT_IDS = [LONG, ODD, " a"]
GET = {
    "channel": [{"channel": ""}, *({"channel": text} for text in NOT_IDS)],
    "lines": [{"lines": []}, {"lines": [line("LAMP")] * 51}],
    "lines[0].sku": [{"lines": [line(text)]} for text in ("", *NOT_IDS)],
    "lines[1].quantity": [{"lines": [line("LAMP"), line("LAMP", units)]} for units in (0, -1, 2**53)],
    "lines[0].line_id": [{"lines": [line("LAMP", line_id=text)]} for text in NOT_IDS],
    "lines[1].line_id": [{"lines": [line("LAMP"), line("LAMP", line_id="1")]}],
    "lines[0].location": [{"lines": [line("LAMP", location=text)]} for text in NOT_IDS],
    "lines[0].group": [
        {"lines": [line("LAMP", location="DC", group="all")]},
        *({"lines": [line("LAMP", group=text)]} for text in NOT_IDS),
    ],
    "destination": [{"destination": common_pb2.Destination()}],
    "destination.country": [
        *({"destination": common_pb2.Destination(country=text)} for text in ("de", "D", "DEU", "D1", "ÄÖ")),
        {"destination": common_pb2.Destination(postal_code="81671")},
        {"destination": IN_MUC, "fulfilments": [SHIP]},
    ],
    "destination.postal_code": [
        {"destination": common_pb2.Destination(country="DE", postal_code=text)} for text in ("1" * 17, ODD, " 1")
    ],
    "destination.location": [
        *({"destination": common_pb2.Destination(location=text)} for text in NOT_IDS),
        {"fulfilments": [STORE]},
    ],
    "fulfilments[0]": [{"fulfilments": [0]}, {"fulfilments": [4]}, {"fulfilments": [99]}],
    "fulfilments[1]": [{"fulfilments": [SHIP, SHIP]}],
    "fulfilments": [{"fulfilments": [SHIP] * 4}],
    "services[0]": [{"services": [text]} for text in ("", *NOT_IDS)],
    "services[1]": [{"services": ["standard", "standard"]}],
    "services": [{"services": [f"s{number}" for number in range(101)]}],
    "confidence": [{"confidence": share} for share in (0.0, 1.0, -1.0, 95.0, float("nan"), float("inf"), 0.00001)],
    "consistency.at_least_as_fresh": [{"consistency": common_pb2.Consistency(at_least_as_fresh="no token")}],
}


@pytest.mark.parametrize(("field", "more"), [(field, more) for field, cases in GET.items() for more in cases])
async def test_bad_input_names_its_field(stubs: Stubs, field: str, more: dict[str, Any]) -> None:
    await stubs.apply_network(NETWORK)
    request = pb.GetPromiseRequest(**{"channel": "web", "lines": [line("LAMP")], "destination": MUNICH, **more})
    found = await refused(stubs.promises.GetPromise(request))
    assert (found.code, found.reason, found.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        [field],
    )


BATCH = {
    "skus": [{}, {"skus": ["LAMP"] * 10_001}],
    "skus[1]": [{"skus": ["LAMP", text]} for text in ("", *NOT_IDS)],
    "orders": [
        {"skus": ["LAMP"], "orders": [pb.PromiseOrder()]},
        {"orders": [pb.PromiseOrder(lines=[line("LAMP")])] * 10_001},
        {"orders": [pb.PromiseOrder(lines=[line("LAMP")] * 11)] * 5_000},
    ],
    "quantities": [
        {"skus": ["LAMP"], "quantities": [1, 2]},
        {"orders": [pb.PromiseOrder(lines=[line("LAMP")])], "quantities": [1]},
    ],
    "quantities[1]": [{"skus": ["LAMP", "LAMP"], "quantities": [1, units]} for units in (0, -1, 2**53)],
    "orders[1].lines": [{"orders": [pb.PromiseOrder(lines=[line("LAMP")]), pb.PromiseOrder()]}],
    "orders[0].lines[0].sku": [{"orders": [pb.PromiseOrder(lines=[line("")])]}],
    "orders[0].lines[0].quantity": [{"orders": [pb.PromiseOrder(lines=[line("LAMP", 0)])]}],
    "orders[0].fulfilments[0]": [{"orders": [pb.PromiseOrder(lines=[line("LAMP")], fulfilments=[4])]}],
    "orders[0].services[0]": [{"orders": [pb.PromiseOrder(lines=[line("LAMP")], services=[ODD])]}],
    "orders[0].destination": [
        {"orders": [pb.PromiseOrder(lines=[line("LAMP")], destination=common_pb2.Destination())]}
    ],
    "orders[0].destination.country": [
        {"orders": [pb.PromiseOrder(lines=[line("LAMP")], destination=common_pb2.Destination(country="de"))]}
    ],
    "destination": [{"skus": ["LAMP"], "destination": common_pb2.Destination()}],
    "destination.location": [{"skus": ["LAMP"], "fulfilments": [PICKUP]}],
    "confidence": [{"skus": ["LAMP"], "confidence": 2.0}],
}


@pytest.mark.parametrize(("field", "more"), [(field, more) for field, cases in BATCH.items() for more in cases])
async def test_bad_input_of_many_names_its_field(stubs: Stubs, field: str, more: dict[str, Any]) -> None:
    await stubs.apply_network(NETWORK)
    found = await refused(stubs.promises.BatchGetPromise(many(**more)))
    assert (found.reason, found.fields) == ("INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("UNKNOWN_CHANNEL", {"channel": "nobody"}),
        ("CHANNEL_DISABLED", {"channel": "closed"}),
        ("UNKNOWN_SERVICE", {"services": ["rocket"]}),
        ("UNKNOWN_LOCATION", {"destination": common_pb2.Destination(location="NOWHERE")}),
        ("LOCATION_NOT_USABLE", {"destination": common_pb2.Destination(location="DC")}),
        ("LOCATION_NOT_USABLE", {"destination": common_pb2.Destination(location="OLD")}),
        ("UNKNOWN_LOCATION", {"lines": [line("LAMP", location="NOWHERE")]}),
        ("UNKNOWN_GROUP", {"lines": [line("LAMP", group="nobody")]}),
        ("GROUP_NOT_USABLE", {"lines": [line("LAMP", group="others")]}),
    ],
)
async def test_what_the_network_refuses(stubs: Stubs, reason: str, more: dict[str, Any]) -> None:
    await stocked(stubs, LAMP={"DC": 1})
    fields = {"channel": "web", "lines": [line("LAMP")], "destination": MUNICH, **more}
    assert (await refused(stubs.promises.GetPromise(pb.GetPromiseRequest(**fields)))).reason == reason
    order = pb.PromiseOrder(lines=fields.pop("lines"))
    assert (
        await refused(stubs.promises.BatchGetPromise(pb.BatchGetPromiseRequest(orders=[order], **fields)))
    ).reason == reason


async def test_a_kit_of_more_units_than_can_be_counted_is_refused(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK)
    found = await refused(stubs.promises.GetPromise(basket(line("SET", 2**52))))
    assert found.fields == ["lines[0].quantity"]


async def test_bytes_that_are_no_message_are_refused(stubs: Stubs) -> None:
    call = stubs.channel.unary_unary("/invengine.v1.PromiseService/GetPromise")
    assert (await refused(call(b"\xff" + struct.pack("<q", 1)))).reason == "MALFORMED_MESSAGE"


NEAR_MUC = pb.Near(latitude=48.14, longitude=11.58)


async def test_where_a_customer_could_collect_is_told_by_distance(stubs: Stubs) -> None:
    """The nearest first, not the one that is ready first; a location without a position is not near anything."""
    places = {"MUC": (48.1, 11.6), "BER": (52.5, 13.4)}
    network = NETWORK.replace("  BARE: {", "  LOST: {kind: store, calendar: always, time_zone: UTC}\n  BARE: {")
    network = network.replace("all: [", "all: [LOST, ")
    for name, (latitude, longitude) in places.items():
        network = network.replace(f"  {name}: {{", f"  {name}: {{latitude: {latitude}, longitude: {longitude}, ")
    await stubs.apply_network(network)
    for name in ("MUC", "BER", "LOST", "DC"):
        await stubs.receive("LAMP", 3, name)

    async def found(units: int = 1, **near: float) -> list[tuple[str, float, int]]:
        point = pb.Near(latitude=48.14, longitude=11.58, **near)
        request = basket(line("LAMP", units), near=point)
        request.ClearField("destination")
        answer = await stubs.promises.GetPromise(request)
        return [(one.location, round(one.distance_km), one.status) for one in answer.options]

    assert await found() == [("MUC", 5, PROMISED), ("BER", 502, PROMISED)]
    assert await found(radius_km=100) == [("MUC", 5, PROMISED)]
    assert await found(units=4) == [("", 0, NOT_PROMISABLE)]
    request = basket(line("LAMP"), near=pb.Near(latitude=-30, longitude=11, radius_km=1))
    both = await stubs.promises.GetPromise(request)  # shipped too, as there is a country
    assert [one.fulfilment for one in both.options] == [SHIP, SHIP, PICKUP]
    assert both.options[2].lines[0].problem == pb.LINE_PROBLEM_NO_LOCATION


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("near.latitude", basket(line("LAMP"), near=pb.Near(latitude=90.1))),
        ("near.latitude", basket(line("LAMP"), near=pb.Near(latitude=float("nan")))),
        ("near.longitude", basket(line("LAMP"), near=pb.Near(longitude=-181))),
        ("near.radius_km", basket(line("LAMP"), near=pb.Near(radius_km=0))),
        ("near.radius_km", basket(line("LAMP"), near=pb.Near(radius_km=float("inf")))),
        ("near", basket(line("LAMP"), near=NEAR_MUC, fulfilments=[SHIP])),
        ("near", basket(line("LAMP"), near=NEAR_MUC, destination=IN_MUC)),
    ],
)
async def test_a_point_that_cannot_be_is_refused(stubs: Stubs, field: str, request_: pb.GetPromiseRequest) -> None:
    await stubs.apply_network(NETWORK)
    found = await refused(stubs.promises.GetPromise(request_))
    assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
