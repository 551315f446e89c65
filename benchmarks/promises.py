"""What does GetPromise cost beside an empty handler, a page beside single calls, and dating 100,000 orders?"""

from __future__ import annotations

import random
import statistics
import time
from datetime import date

import grpc

from benchmarks import engine, h2load
from benchmarks.delivery_network import document
from benchmarks.figures import Figure, compare, say
from benchmarks.unary_against_empty import empty_server
from invengine.v1 import common_pb2, network_service_pb2, network_service_pb2_grpc
from invengine.v1 import promise_service_pb2 as pb
from invengine.v1 import promise_service_pb2_grpc as services

METHOD = "/invengine.v1.PromiseService/GetPromise"
SKUS, LOCATIONS, SERVICES, UNITS = 1_000, 20, 4, 1_000
PAGE, ORDERS, ORDERS_A_CALL = 200, 100_000, 10_000
MUNICH = common_pb2.Destination(country="DE", postal_code="81671")
EPOCH = date(1970, 1, 1)


def basket(lines: int) -> pb.GetPromiseRequest:
    """Different SKUs, each at every location."""
    wanted = [pb.PromiseLineRequest(sku=engine.sku(SKUS // 2 + number), quantity=1) for number in range(lines)]
    return pb.GetPromiseRequest(channel=engine.CHANNEL, lines=wanted, destination=MUNICH)


def day(wire: common_pb2.Date) -> int:
    """Days since 1970."""
    return (date(wire.year, wire.month, wire.day) - EPOCH).days


def orders(random_of: random.Random, count: int) -> list[pb.PromiseOrder]:
    """Open orders of 1 to 3 lines to anywhere in the country, each with the service that it was sold with."""
    found = []
    for _ in range(count):
        skus = random_of.sample(range(SKUS), random_of.choice((1, 1, 2, 3)))
        found.append(
            pb.PromiseOrder(
                lines=[pb.PromiseLineRequest(sku=engine.sku(number), quantity=1) for number in skus],
                destination=common_pb2.Destination(country="DE", postal_code=f"{random_of.randrange(10_000, 99_999)}"),
                services=[random_of.choice(("standard", "express"))],
            )
        )
    return found


def check(stub: services.PromiseServiceStub) -> pb.GetPromiseResponse:
    """What is timed is right: a page and orders say what single calls say; the answer to the basket that is timed."""
    answer = stub.GetPromise(basket(3))
    if [option.status for option in answer.options] != [pb.PromiseOption.STATUS_PROMISED] * SERVICES:
        raise RuntimeError(f"wrong answer: {answer}")
    page = stub.BatchGetPromise(pb.BatchGetPromiseRequest(channel=engine.CHANNEL, skus=["NONE"], destination=MUNICH))
    if list(page.status) != [pb.BatchGetPromiseResponse.STATUS_UNKNOWN_SKU]:
        raise RuntimeError(f"wrong answer: {page}")
    some = orders(random.Random(1), 20)
    many = stub.BatchGetPromise(pb.BatchGetPromiseRequest(channel=engine.CHANNEL, orders=some))
    for order, found in zip(some, many.delivery_days, strict=True):
        alone = stub.GetPromise(
            pb.GetPromiseRequest(
                channel=engine.CHANNEL, lines=order.lines, destination=order.destination, services=order.services
            )
        )
        if found != day(alone.options[0].delivery_day):
            raise RuntimeError(f"{order} has day {found}, alone {alone}")
    return answer


def dated(stub: services.PromiseServiceStub, calls: list[pb.BatchGetPromiseRequest]) -> float:
    """Seconds for all calls, one after another, client included."""
    began = time.perf_counter()
    for call in calls:
        answer = stub.BatchGetPromise(call)
        if len(answer.delivery_days) != len(call.orders) or not all(answer.delivery_days):
            raise RuntimeError("an order has no day")
    return time.perf_counter() - began


def run(*, quick: bool) -> list[Figure]:
    """20 locations with lanes by 4 services, every SKU at all of them; a real server, a gRPC client."""
    with engine.engine() as address:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        options = [("grpc.max_receive_message_length", 1 << 26), ("grpc.max_send_message_length", 1 << 26)]
        with grpc.insecure_channel(address, options=options) as channel:
            network_service_pb2_grpc.NetworkServiceStub(channel).ApplyNetwork(
                network_service_pb2.ApplyNetworkRequest(request_id="delivers", document=document(LOCATIONS, SERVICES))
            )
            stub = services.PromiseServiceStub(channel)
            answer = check(stub)
            figures = [*_against_empty(address, answer, quick), _page(stub, quick)]
            calls = _calls()
            seconds = statistics.median(dated(stub, calls) for _ in range(1 if quick else 3))
    say(
        "dating 100,000 open orders over gRPC, seconds",
        "5: 50 us an order, parsing and client included",
        f"{seconds:.2f}",
    )
    setup = "1 to 3 lines, 20 locations, one service each, calls of 10,000, client on the same cores"
    return [*figures, Figure("100,000 open orders dated anew", seconds, "s", "lower", 10, setup)]


def _against_empty(address: str, answer: pb.GetPromiseResponse, quick: bool) -> list[Figure]:
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    answer.ClearField("staleness")  # its size varies
    body, least = basket(3).SerializeToString(), answer.ByteSize() // 2
    with empty_server() as empty:
        ratio = compare(
            lambda: h2load.requests_per_second(address, METHOD, body, least, count=1_500),
            lambda: h2load.requests_per_second(empty, METHOD, body, 0, count=6_000),
            rounds=5 if quick else 11,
        )
    say("GetPromise / empty handler, requests/s", "0.2: a millisecond of own work beside 200 us", str(ratio))
    setup = "3 lines x 20 locations x 4 services, 64 in flight, h2load"
    return [Figure("GetPromise / empty gRPC handler", ratio.median, "x", "higher", 0.15, setup)]


def _page(stub: services.PromiseServiceStub, quick: bool) -> Figure:
    """SKUs a second in a page against as many single calls."""
    skus = [engine.sku(number) for number in range(PAGE)]
    request = pb.BatchGetPromiseRequest(channel=engine.CHANNEL, skus=skus, destination=MUNICH)
    ones = [
        pb.GetPromiseRequest(
            channel=engine.CHANNEL, lines=[pb.PromiseLineRequest(sku=sku, quantity=1)], destination=MUNICH
        )
        for sku in skus[:20]
    ]

    def page() -> float:
        began = time.perf_counter()
        answer = stub.BatchGetPromise(request)
        if not all(all(column.delivery_days) for column in answer.options):
            raise RuntimeError("a SKU has no day")
        return PAGE / (time.perf_counter() - began)

    def single() -> float:
        began = time.perf_counter()
        for one in ones:
            stub.GetPromise(one)
        return len(ones) / (time.perf_counter() - began)

    ratio = compare(page, single, rounds=5 if quick else 11)
    say("a page of 200 SKUs / single calls, SKUs a second", "30: the wire is paid once", str(ratio))
    setup = "200 SKUs x 20 locations x 4 services, one call at a time"
    return Figure("page of promises / single calls, SKUs/s", ratio.median, "x", "higher", 20, setup)


def _calls() -> list[pb.BatchGetPromiseRequest]:
    random_of = random.Random(7)
    return [
        pb.BatchGetPromiseRequest(channel=engine.CHANNEL, orders=orders(random_of, ORDERS_A_CALL))
        for _ in range(ORDERS // ORDERS_A_CALL)
    ]
