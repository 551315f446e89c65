"""Every field with every bad value: refused with INVALID_ARGUMENT, the field named, nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import (
    admin_service_pb2,
    availability_service_pb2,
    common_pb2,
    incoming_service_pb2,
    network_service_pb2,
    promise_service_pb2,
    stock_service_pb2,
)
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc import bad_returns
from tests.rpc.engines import Stubs, create, engine, refused

UNITS_MAX = 2**53 - 1
BAD_IDS = ["x" * 65, "ü" * 33, "a\tb", "a\x00", "a\x7f", "a\x85b", " a", "a ", "\u2003a"]
"""Too long in bytes, control characters of both ranges, spaces at the ends."""

REQUIRED_ID = ["", *BAD_IDS]
TIMES_TO_LIVE = [Duration(), Duration(seconds=-1), Duration(seconds=1, nanos=-1), Duration(seconds=315_576_000_001)]
INSTANTS = [
    Timestamp(seconds=-1),
    Timestamp(seconds=253_402_300_800),
    Timestamp(seconds=1, nanos=-1),
    Timestamp(seconds=1, nanos=1_000_000_000),
    Timestamp(seconds=33_000_000_000),
]
GOOD_DATE = common_pb2.Date(year=2030, month=1, day=31)
BAD_DATES = [
    common_pb2.Date(),
    common_pb2.Date(year=2030, month=2, day=29),
    common_pb2.Date(year=2030, month=13, day=1),
    common_pb2.Date(year=2030, month=1),
    common_pb2.Date(month=1, day=1),
    common_pb2.Date(year=-1, month=1, day=1),
    common_pb2.Date(year=10_000, month=1, day=1),
    common_pb2.Date(year=1970, month=1, day=1),
    common_pb2.Date(year=2**31 - 1, month=2**31 - 1, day=2**31 - 1),
]
"""Not set, impossible, too early or too late for a calendar."""

LINE = {"line_id": "1", "sku": "LAMP", "quantity": 1}
MOVEMENT = {"source": "till", "event_id": "e", "kind": 1, "sku": "LAMP", "location": "DC", "quantity": 1}


def lines(*given: dict[str, Any]) -> list[pb.ReservationLineRequest]:
    return [pb.ReservationLineRequest(**LINE | line) for line in given]


def moved(**given: Any) -> stock_service_pb2.PostMovementsRequest:
    """Two movements, of which the second is bad."""
    movements = [stock_service_pb2.Movement(**MOVEMENT), stock_service_pb2.Movement(**MOVEMENT | given)]
    return stock_service_pb2.PostMovementsRequest(movements=movements)


def of_create() -> list[tuple[str, Message]]:
    bad: list[tuple[str, Message]] = []
    bad += [("request_id", create(text)) for text in REQUIRED_ID]
    bad += [("reservation_id", create("r", reservation_id=text)) for text in BAD_IDS]
    bad += [("channel", create("r", channel=text)) for text in REQUIRED_ID]
    bad += [
        (field, create("r", **{field: text})) for field in ("customer_ref", "order_ref", "cart_ref") for text in BAD_IDS
    ]
    bad += [("policy", create("r", policy=number)) for number in (3, -1)]
    bad += [("time_to_live", create("r", time_to_live=wrong)) for wrong in TIMES_TO_LIVE]
    whole = {"request_id": "r", "channel": "web"}
    bad += [("lines", pb.CreateReservationRequest(**whole))]
    bad += [("lines", pb.CreateReservationRequest(**whole, lines=lines(*({"line_id": str(n)} for n in range(201)))))]

    def second(field: str, **given: Any) -> None:
        request = pb.CreateReservationRequest(**whole, lines=lines({}, {"line_id": "2"} | given))
        bad.append((f"lines[1].{field}", request))

    second("line_id", line_id="1")
    for text in BAD_IDS:
        second("line_id", line_id=text)
        second("location", location=text)
        second("group", group=text)
        second("destination.location", destination=common_pb2.Destination(location=text))
    for text in REQUIRED_ID:
        second("sku", sku=text)
    for quantity in (0, -1, UNITS_MAX + 1, 2**63 - 1, -(2**63)):
        second("quantity", quantity=quantity)
    second("group", location="DC", group="all")
    for number in (4, -1):
        second("fulfilment", fulfilment=number)
    second("location", fulfilment=common_pb2.FULFILMENT_PICKUP)
    second("destination.location", fulfilment=common_pb2.FULFILMENT_SHIP_TO_STORE)
    for country in ("gb", "GBR", "G", "G1", "ÄÖ"):
        second("destination.country", destination=common_pb2.Destination(country=country))
    for postal_code in ("x" * 17, "a\nb", " N1"):
        second("destination.postal_code", destination=common_pb2.Destination(postal_code=postal_code))
    for day in BAD_DATES:
        second("needed_by", allow_backorder=True, needed_by=day)
    second("needed_by", needed_by=GOOD_DATE)
    bad += [("max_parcels", create("r", max_parcels=number)) for number in (-1, 201, 2**31 - 1, -(2**31))]
    return bad


def of_changes() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []
    whole: dict[str, Any] = {"request_id": "r", "reservation_id": "res", "channel": "web"}
    kinds = {
        "ConfirmReservation": pb.ConfirmReservationRequest,
        "ExtendReservation": pb.ExtendReservationRequest,
        "ReleaseReservation": pb.ReleaseReservationRequest,
        "FulfilReservation": pb.FulfilReservationRequest,
    }
    for method, kind in kinds.items():
        bad += [(method, field, kind(**whole | {field: text})) for field in whole for text in REQUIRED_ID]
        bad += [
            (method, "expected_revision", kind(**whole, expected_revision=number)) for number in (-1, UNITS_MAX + 1)
        ]
    bad += [("ConfirmReservation", "order_ref", pb.ConfirmReservationRequest(**whole, order_ref=t)) for t in BAD_IDS]
    bad += [
        ("ExtendReservation", "time_to_live", pb.ExtendReservationRequest(**whole, time_to_live=wrong))
        for wrong in TIMES_TO_LIVE
    ]
    for method in ("ReleaseReservation", "FulfilReservation"):
        kind = kinds[method]

        def second(field: str, method: str = method, kind: Any = kind, **given: Any) -> None:
            units = [pb.LineUnits(line_id="1"), pb.LineUnits(**{"line_id": "2"} | given)]
            bad.append((method, f"lines[1].{field}", kind(**whole, lines=units)))

        for text in REQUIRED_ID:
            second("line_id", line_id=text)
        for text in BAD_IDS:
            second("location", location=text)
        for quantity in (-1, UNITS_MAX + 1):
            second("quantity", quantity=quantity)
        bad.append((method, "lines", kind(**whole, lines=[pb.LineUnits(line_id="1")] * 201)))
    return bad


def of_reservation_reads() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []
    for text in REQUIRED_ID:
        bad.append(("GetReservation", "reservation_id", pb.GetReservationRequest(reservation_id=text, channel="web")))
        bad.append(("GetReservation", "channel", pb.GetReservationRequest(reservation_id="r", channel=text)))
    for field in ("customer_ref", "order_ref", "cart_ref", "channel"):
        bad += [("ListReservations", field, pb.ListReservationsRequest(**{field: text})) for text in BAD_IDS]
    bad += [("ListReservations", "state", pb.ListReservationsRequest(state=number)) for number in (6, -1)]
    bad += [("ListReservations", "page_size", pb.ListReservationsRequest(page_size=-1))]
    bad += [
        ("ListReservations", "page_token", pb.ListReservationsRequest(page_token=t)) for t in ("!", "AAAA", "a" * 99)
    ]
    requests = [create(f"r{n}") for n in range(1001)]
    bad.append(("BatchCreateReservations", "requests", pb.BatchCreateReservationsRequest(requests=requests)))
    bad.append(("BatchCreateReservations", "requests", pb.BatchCreateReservationsRequest()))
    many = pb.CreateReservationRequest(lines=[pb.ReservationLineRequest()] * 101)
    bad.append(("BatchCreateReservations", "requests", pb.BatchCreateReservationsRequest(requests=[many] * 100)))
    return bad


def of_stock() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []

    def second(field: str, **given: Any) -> None:
        bad.append(("PostMovements", f"movements[1].{field}", moved(**given)))

    for field in ("source", "sku", "location"):
        for text in REQUIRED_ID:
            second(field, **{field: text})
    for text in (*BAD_IDS, ""):
        second("event_id", event_id=text)
    for text in BAD_IDS:
        second("reference", reference=text)
    for text in ("x" * 129, "a\nb"):
        second("reason", reason=text)
    for instant in INSTANTS:
        second("occurred_at", occurred_at=instant)
    for number in (0, 8, -1):
        second("kind", kind=number)
    for text in BAD_IDS:
        second("channel", kind=2, channel=text)
    for text in REQUIRED_ID:
        second("channel", kind=6, channel=text)
    for kind in (1, 4, 5):
        second("channel", kind=kind, channel="web")
    second("channel", kind=3, reason="why", channel="web")
    for quantity in (0, UNITS_MAX + 1, -UNITS_MAX - 1):
        second("quantity", kind=6, quantity=quantity, channel="web")
    for kind in (1, 2, 5):
        for quantity in (0, -1, UNITS_MAX + 1):
            second("quantity", kind=kind, quantity=quantity)
    for quantity in (0, UNITS_MAX + 1, -UNITS_MAX - 1):
        second("quantity", kind=3, quantity=quantity, reason="why")
    second("reason", kind=3, quantity=1)
    for quantity in (-1, UNITS_MAX + 1):
        second("quantity", kind=4, quantity=quantity)
    for number in (-1, UNITS_MAX + 1):
        second("expected_revision", expected_revision=number)
    empty = stock_service_pb2.PostMovementsRequest()
    bad.append(("PostMovements", "movements", empty))
    many = [stock_service_pb2.Movement(**MOVEMENT)] * 5001
    bad.append(("PostMovements", "movements", stock_service_pb2.PostMovementsRequest(movements=many)))
    for text in BAD_IDS:
        request = moved()
        request.request_id = text
        bad.append(("PostMovements", "request_id", request))
    for text in REQUIRED_ID:
        bad.append(("GetPosition", "sku", stock_service_pb2.GetPositionRequest(sku=text, location="DC")))
        bad.append(("GetPosition", "location", stock_service_pb2.GetPositionRequest(sku="LAMP", location=text)))
        bad.append(("ListMovements", "sku", stock_service_pb2.ListMovementsRequest(sku=text)))
    for token in ("", "x", "a" * 40):
        consistency = common_pb2.Consistency(at_least_as_fresh=token)
        request = stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC", consistency=consistency)
        bad.append(("GetPosition", "consistency.at_least_as_fresh", request))
    for text in BAD_IDS:
        bad.append(("ListMovements", "location", stock_service_pb2.ListMovementsRequest(sku="LAMP", location=text)))
    bad.append(("ListFeeds", "page_size", stock_service_pb2.ListFeedsRequest(page_size=-1)))
    bad.append(("ListFeeds", "page_token", stock_service_pb2.ListFeedsRequest(page_token="!")))
    bad.append(("ListMovements", "page_size", stock_service_pb2.ListMovementsRequest(sku="LAMP", page_size=-1)))
    bad.append(("ListMovements", "page_token", stock_service_pb2.ListMovementsRequest(sku="LAMP", page_token="!")))
    return bad


def of_incoming() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []
    texts = {"request_id": "r", "source": "erp", "receipt_id": "po", "sku": "LAMP", "location": "DC"}
    whole: dict[str, tuple[Any, dict[str, Any]]] = {
        "SetIncoming": (incoming_service_pb2.SetIncomingRequest, {"quantity": 1, "expected_date": GOOD_DATE}),
        "SlipIncoming": (incoming_service_pb2.SlipIncomingRequest, {"expected_date": GOOD_DATE}),
        "CancelIncoming": (incoming_service_pb2.CancelIncomingRequest, {}),
        "ReceiveIncoming": (incoming_service_pb2.ReceiveIncomingRequest, {"quantity": 1}),
    }
    for method, (kind, rest) in whole.items():
        good = texts | rest
        bad += [(method, field, kind(**good | {field: text})) for field in texts for text in REQUIRED_ID]
        bad += [(method, "expected_revision", kind(**good, expected_revision=n)) for n in (-1, UNITS_MAX + 1)]
        if "quantity" in rest:
            bad += [(method, "quantity", kind(**good | {"quantity": n})) for n in (0, -1, UNITS_MAX + 1)]
        if "expected_date" in rest:
            bad += [(method, "expected_date", kind(**good | {"expected_date": day})) for day in BAD_DATES]
            bad.append((method, "expected_date", kind(**texts, **{n: v for n, v in rest.items() if n == "quantity"})))
    kind, rest = whole["ReceiveIncoming"]
    bad.append(("ReceiveIncoming", "quantity", kind(**texts, quantity=-1, closes=True)))
    bad += [("ReceiveIncoming", "occurred_at", kind(**texts, **rest, occurred_at=instant)) for instant in INSTANTS]
    lists: dict[str, Any] = {
        "ListIncoming": incoming_service_pb2.ListIncomingRequest,
        "ListBrokenPromises": promise_service_pb2.ListBrokenPromisesRequest,
    }
    for method, kind in lists.items():
        bad += [(method, field, kind(**{field: t})) for field in ("sku", "location", "receipt_id") for t in BAD_IDS]
        bad.append((method, "page_size", kind(page_size=-1)))
        bad += [(method, "page_token", kind(page_token=token)) for token in ("!", "AAAA", "a" * 99)]
    stale = common_pb2.Consistency(at_least_as_fresh="x")
    bad.append(
        ("ListIncoming", "consistency.at_least_as_fresh", incoming_service_pb2.ListIncomingRequest(consistency=stale))
    )
    return bad


def of_placements() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []
    whole: dict[str, Any] = {"request_id": "r", "reservation_id": "res", "channel": "web"}
    for day in BAD_DATES:
        amended = pb.LineAmendment(line_id="1", quantity=2, allow_backorder=True, needed_by=day)
        bad.append(("AmendReservation", "lines[0].needed_by", pb.AmendReservationRequest(**whole, lines=[amended])))
        bound = pb.LineRebinding(line_id="1", allow_backorder=True, needed_by=day)
        bad.append(("RebindReservation", "lines[0].needed_by", pb.RebindReservationRequest(**whole, lines=[bound])))
    bound = pb.LineRebinding(line_id="1", needed_by=GOOD_DATE)
    bad.append(("RebindReservation", "lines[0].needed_by", pb.RebindReservationRequest(**whole, lines=[bound])))
    added = lines({"needed_by": GOOD_DATE})
    bad.append(("AmendReservation", "added_lines[0].needed_by", pb.AmendReservationRequest(**whole, added_lines=added)))
    return bad


def of_the_rest() -> list[tuple[str, str, Message]]:
    bad: list[tuple[str, str, Message]] = []
    for number in (-1, 1001):
        request = admin_service_pb2.CheckIntegrityRequest(violations_max=number)
        bad.append(("CheckIntegrity", "violations_max", request))
    for text in REQUIRED_ID:
        request = network_service_pb2.ApplyNetworkRequest(request_id=text, document="locations: {}")
        bad.append(("ApplyNetwork", "request_id", request))
        get = availability_service_pb2.GetAvailabilityRequest
        bad.append(("GetAvailability", "sku", get(sku=text, channel="web")))
        bad.append(("GetAvailability", "channel", get(sku="LAMP", channel=text)))
        batch = availability_service_pb2.BatchGetAvailabilityRequest
        bad.append(("BatchGetAvailability", "skus[1]", batch(skus=["LAMP", text], channel="web")))
        bad.append(("BatchGetAvailability", "channel", batch(skus=["LAMP"], channel=text)))
        times = network_service_pb2.ApplyTransitTimesRequest(request_id=text, document='{"version": 1, "lanes": {}}')
        bad.append(("ApplyTransitTimes", "request_id", times))
    bad += of_transit_times()
    bad.append(("ApplyNetwork", "document", network_service_pb2.ApplyNetworkRequest(request_id="n")))
    revision = network_service_pb2.ApplyNetworkRequest(request_id="n", document="x", expected_revision=-1)
    bad.append(("ApplyNetwork", "expected_revision", revision))
    both = {"locations": ["DC"], "group": "all"}
    bad.append(("GetAvailability", "group", get(sku="LAMP", channel="web", **both)))
    bad.append(("GetAvailability", "fulfilment", get(sku="LAMP", channel="web", fulfilment=9)))
    bad.append(("GetAvailability", "locations", get(sku="LAMP", channel="web", locations=["DC"] * 1001)))
    bad.append(("BatchGetAvailability", "skus", batch(channel="web")))
    bad.append(("BatchGetAvailability", "skus", batch(skus=["LAMP"] * 10_001, channel="web")))
    return bad


def of_transit_times() -> list[tuple[str, str, Message]]:
    apply, listed = network_service_pb2.ApplyTransitTimesRequest, network_service_pb2.ListTransitLanesRequest
    bad: list[tuple[str, str, Message]] = [
        ("ApplyTransitTimes", "document", apply(request_id="t")),
        ("ApplyTransitTimes", "expected_revision", apply(request_id="t", document="{}", expected_revision=-1)),
        ("ListTransitLanes", "page_size", listed(page_size=-1)),
        ("ListTransitLanes", "page_token", listed(page_token="nonsense")),
        ("ListTransitLanes", "confidences", listed(confidences=[0.5] * 21)),
    ]
    for text in BAD_IDS:
        for field in ("location", "zone", "service"):
            bad.append(("ListTransitLanes", field, listed(**{field: text})))
    for number in (0.0, 1.0, -0.5, 0.00001, 0.99999, float("nan"), float("inf")):
        bad.append(("ListTransitLanes", "confidences[1]", listed(confidences=[0.5, number])))
    return bad


CASES = [
    *(("CreateReservation", field, request) for field, request in of_create()),
    *of_changes(),
    *of_reservation_reads(),
    *of_placements(),
    *of_stock(),
    *of_incoming(),
    *bad_returns.cases(BAD_IDS, INSTANTS),
    *of_the_rest(),
]


@pytest_asyncio.fixture
async def stocked(redis_url: str) -> AsyncIterator[tuple[Stubs, Any]]:
    async with engine(redis_url) as (running, clients):
        await clients.apply_network()
        await clients.receive("LAMP", 10)
        yield clients, running.store


@pytest.mark.asyncio
async def test_bad_input_is_refused_with_its_field_and_changes_nothing(stocked: tuple[Stubs, Any]) -> None:
    stubs, store = stocked
    services = (
        stubs.reservations,
        stubs.stock,
        stubs.incoming,
        stubs.returns,
        stubs.promises,
        stubs.admin,
        stubs.availability,
        stubs.network,
    )
    before = await store.revisions()
    wrong = []
    for method, field, request in CASES:
        call = next(getattr(service, method) for service in services if hasattr(service, method))
        why = await refused(call(request))
        if (why.code, why.reason, why.fields) != (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field]):
            wrong.append(f"{method} {field}: {why.code} {why.reason} {why.fields} for {str(request)[:300]!r}")
        elif (why.metadata["field"], bool(why.metadata["problem"])) != (field, True) or field not in why.message:
            wrong.append(f"{method} {field}: {why.metadata} {why.message}")
    assert not wrong, "\n".join(wrong)
    assert len(CASES) > 500
    assert await store.revisions() == before


@pytest.mark.asyncio
async def test_an_item_of_a_batch_is_refused_alone_with_its_path(stocked: tuple[Stubs, Any]) -> None:
    stubs, _ = stocked
    bad = of_create()
    requests = [request for _, request in bad if len(request.lines) < 200]
    fields = [field for field, request in bad if len(request.lines) < 200]
    response = await stubs.reservations.BatchCreateReservations(
        pb.BatchCreateReservationsRequest(requests=[*requests, create("good")])
    )
    for place, (field, outcome) in enumerate(zip(fields, response.outcomes, strict=False)):
        assert outcome.refusal.reason == common_pb2.ERROR_REASON_INVALID_ARGUMENT
        assert outcome.refusal.metadata["field"] == f"requests[{place}].{field}"
    assert response.outcomes[-1].reservation.lines[0].quantity == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("sku", ["x" * 64, "ü" * 32, "a b", "日本", "a\u2003b", "-", "'; DROP", "a/b?c#d%"])
async def test_any_other_text_is_an_id(stocked: tuple[Stubs, Any], sku: str) -> None:
    stubs, _ = stocked
    await stubs.receive(sku, 3, event_id="e")
    answer = await stubs.reservations.CreateReservation(create(sku, sku=sku, reservation_id=sku, cart_ref=sku))
    assert answer.reservation.reservation_id == sku
    found = await stubs.reservations.ListReservations(pb.ListReservationsRequest(cart_ref=sku))
    assert [reservation.lines[0].sku for reservation in found.reservations] == [sku]
    assert (await stubs.position(sku))[:2] == (3, 1)
