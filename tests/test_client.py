"""The Python client: every call, with and without asyncio; outages; refusals as their classes."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2

from invengine import errors
from invengine.client import (
    CallFailed,
    Client,
    Line,
    LineAmendment,
    LineRebinding,
    LineUnits,
    Movement,
    PromiseLine,
    PromiseOrder,
    ServerUnreachable,
    SnapshotRow,
    SyncClient,
    as_date,
    connect,
)
from invengine.client.refusals import error_from_refusal
from invengine.v1 import common_pb2, stock_service_pb2, stock_service_pb2_grpc
from invengine.v1.availability_service_pb2 import AvailabilityStatus
from invengine.v1.promise_service_pb2 import BatchGetPromiseResponse
from invengine.v1.reservation_service_pb2 import Reservation
from tests.cli.servers import NETWORK, Server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(tmp_path_factory.mktemp("client"))
    try:
        server.wait()
        with connect(server.address) as client:
            client.apply_network(NETWORK)
        yield server.address
    finally:
        assert server.stop() == 0


@pytest_asyncio.fixture
async def web(address: str) -> AsyncIterator[Client]:
    async with Client(address, channel="web") as client:
        yield client


def receipt(sku: str, location: str, quantity: int) -> Movement:
    return Movement(source="test", kind=Movement.KIND_RECEIPT, sku=sku, location=location, quantity=quantity)


@pytest.mark.asyncio
async def test_stock_and_availability(web: Client) -> None:
    await web.post_movements([receipt("c-a", "WH1", 5), receipt("c-a", "ST1", 2)])
    answer = await web.get_availability("c-a")
    assert (answer.available, [p.location for p in answer.positions]) == (7, ["ST1", "WH1"])
    assert (await web.get_availability("c-a", channel="till")).available == 2
    batch = await web.batch_get_availability(["c-a", "c-none"], totals_only=True)
    known, unknown = AvailabilityStatus.AVAILABILITY_STATUS_KNOWN, AvailabilityStatus.AVAILABILITY_STATUS_UNKNOWN_SKU
    assert (list(batch.available), list(batch.status)) == ([7, 0], [known, unknown])
    streamed = [a async for a in web.stream_availability(["c-a", "c-none"] * 400, in_flight=7)]
    assert [a.query_id for a in streamed] == list(range(800))
    assert {a.available for a in streamed[::2]} == {7}
    assert (await web.get_position("c-a", "WH1")).position.on_hand == 5
    assert [entry.kind for entry in (await web.list_movements("c-a", location="ST1")).entries] == ["RECEIPT"]
    assert (await web.check_integrity()).violations_count == 0
    assert (await web.get_network()).document == NETWORK


@pytest.mark.asyncio
async def test_batches_learn_handles_and_find_back_to_names(web: Client) -> None:
    """The second batch asks by handle; where handles mean nothing any more, names are asked again."""
    await web.post_movements([receipt("c-h", "WH1", 5), receipt("c-h2", "WH1", 6)])
    skus = ["c-h", "c-none", "c-h2", "c-h"]
    for _ in range(2):
        answer = await web.batch_get_availability(skus)
        assert list(answer.available) == [5, 0, 6, 5]
        assert [bool(handle) for handle in answer.handles] == [True, False, True, True]
    assert not (await web.batch_get_availability(["c-h2", "c-h"])).handles  # nothing is left to learn
    web._handles._epoch ^= 2  # as if another server had told them
    assert list((await web.batch_get_availability(["c-h2", "c-h"])).available) == [6, 5]
    assert list((await web.batch_get_availability(["c-h2", "c-h"])).available) == [6, 5]
    with pytest.raises(errors.InvalidArgument, match="skus"):
        await web.batch_get_availability([])


@pytest.mark.asyncio
async def test_transit_times_are_learnt_listed_and_forgotten(web: Client) -> None:
    document = '{"version":1,"lanes":{"WH1":{"north":{"standard":{"arrived":{"1":90,"2":10}}}}}}'
    looked = await web.apply_transit_times(document, validate_only=True)
    assert [change.path for change in looked.changes] == ["lanes.WH1"]
    applied = await web.apply_transit_times(document, expected_revision=looked.revision)
    found = await web.get_transit_times()
    assert (found.document, found.revision, found.deliveries) == (document, applied.revision, 100)
    (lane,) = (await web.list_transit_lanes(zone="north", confidences=[0.95], with_distribution=True)).lanes
    assert ([one.days for one in lane.days], len(lane.distribution)) == ([2], 3)
    with pytest.raises(errors.TransitInvalid) as refused:
        await web.apply_transit_times('{"version": 1, "lanes": {"WH1": 5}}')
    assert refused.value.path == "lanes.WH1"
    await web.apply_transit_times('{"version": 1, "lanes": {}}')
    assert list((await web.list_transit_lanes()).lanes) == []


@pytest.mark.asyncio
async def test_numbers_are_explained_listed_and_exported(web: Client) -> None:
    await web.post_movements([receipt(f"c-x{n}", place, n + 1) for n in range(3) for place in ("WH1", "ST2")])
    (position,) = (await web.explain_availability("c-x2", locations=["ST2"])).positions
    assert [(term.name, term.quantity) for term in position.terms] == [
        ("on_hand", 3),
        ("reserved", 0),
        ("safety_stock", -1),
    ]
    pages = [page async for page in web.position_pages(sku_prefix="c-x", location="WH1")]
    assert sorted((p.sku, p.on_hand) for page in pages for p in page.positions) == [
        ("c-x0", 1),
        ("c-x1", 2),
        ("c-x2", 3),
    ]
    parts = [part async for part in web.movement_pages(sku_prefix="c-x")]
    assert sorted((e.sku, e.location) for part in parts for e in part.entries) == [
        (f"c-x{n}", place) for n in range(3) for place in ("ST2", "WH1")
    ]
    await web.post_movements([receipt("c-x0", "WH1", 5)])
    after = [part async for part in web.movement_pages(after_token=parts[-1].consistency_token)]
    assert [e.on_hand_after for part in after for e in part.entries] == [6]
    ledger = await web.list_movements("c-x0", kinds=["RECEIPT"], actor="test", page_size=1)
    assert [e.on_hand_after for e in ledger.entries] == [6]


@pytest.mark.asyncio
async def test_a_stream_is_refused_with_a_class(web: Client) -> None:
    answers = [answer async for answer in web.stream_availability(["c-a"], channel="nobody")]
    assert isinstance(error_from_refusal(answers[0].refusal), errors.UnknownChannel)


@pytest.mark.asyncio
async def test_reservations(web: Client) -> None:
    await web.post_movements([receipt("c-r", "WH1", 9)])
    held = await web.reserve(
        [Line(sku="c-r", quantity=4)], time_to_live_seconds=60.5, order_ref="c-o", best_effort=True
    )
    name = held.reservation.reservation_id
    extended = await web.extend(name, time_to_live_seconds=600)
    assert extended.reservation.expire_time.seconds > held.reservation.expire_time.seconds
    released = await web.release(name, lines=[LineUnits(line_id="1", quantity=1)])
    assert released.reservation.lines[0].allocations[0].released == 1
    revision = released.reservation.revision
    confirmed = await web.confirm(name, channel="till", order_ref="c-o2", expected_revision=revision)
    assert confirmed.reservation.order_ref == "c-o2"
    fulfilled = await web.fulfil(name, request_id="c-f")
    assert fulfilled.reservation.state == Reservation.STATE_FULFILLED
    assert (await web.fulfil(name, request_id="c-f")).replayed
    assert (await web.get_reservation(name)).reservation == fulfilled.reservation
    listed = await web.list_reservations(order_ref="c-o2", state=Reservation.STATE_FULFILLED)
    assert [reservation.reservation_id for reservation in listed.reservations] == [name]
    many = await web.reserve_many([web.create_request([Line(sku="c-r", quantity=quantity)]) for quantity in (6, 1)])
    assert [outcome.WhichOneof("outcome") for outcome in many.outcomes] == ["reservation", "refusal"]


@pytest.mark.asyncio
async def test_reservations_that_change(web: Client) -> None:
    await web.post_movements([receipt("c-m", "WH1", 9), receipt("c-m", "ST1", 9)])
    name = (await web.reserve([Line(sku="c-m", quantity=4)])).reservation.reservation_id
    amended = await web.amend(
        name, lines=[LineAmendment(line_id="1", quantity=2)], added_lines=[Line(sku="c-m", quantity=1)]
    )
    assert [(line.line_id, line.quantity) for line in amended.reservation.lines] == [("1", 2), ("2", 1)]
    revision = amended.reservation.revision
    rebound = await web.rebind(name, lines=[LineRebinding(location="ST1")], expected_revision=revision)
    assert {a.location for line in rebound.reservation.lines for a in line.allocations} == {"ST1"}
    handed = await web.hand_over(name, to_channel="till", to_customer_ref="c-bob", time_to_live_seconds=60)
    assert (handed.reservation.channel, handed.reservation.customer_ref) == ("till", "c-bob")
    with pytest.raises(errors.LineExists) as exists:
        await web.amend(name, added_lines=[Line(line_id="1", sku="c-m", quantity=1)])
    assert (exists.value.reservation_id, exists.value.line_id) == (name, "1")


@pytest.mark.asyncio
async def test_what_is_expected_and_promises_that_break(web: Client) -> None:
    await web.post_movements([receipt("c-i", "WH1", 1)])
    christmas = date(2099, 12, 24)
    made = await web.set_incoming("po-1", "c-i", "WH1", quantity=4, expected_date=christmas)
    assert (made.receipt.quantity, made.receipt.expected_date) == (4, as_date(christmas))
    with pytest.raises(errors.InsufficientStock) as short:
        await web.reserve([Line(sku="c-i", quantity=3)])
    (line,) = short.value.short_lines
    assert (line.available, line.next_date) == (1, "2099-12-24")
    assert str(line).endswith("1 available to sell, the rest expected by 2099-12-24")
    waits = Line(sku="c-i", quantity=3, allow_backorder=True, needed_by=as_date(christmas))
    held = (await web.reserve([waits])).reservation
    assert [a.receipt_id for a in held.lines[0].allocations] == ["", "po-1"]
    slipped = await web.slip_incoming("po-1", "c-i", "WH1", expected_date=date(2100, 1, 1), source="erp")
    assert [broken.reservation_id for broken in slipped.broken_promises] == [held.reservation_id]
    assert (await web.list_broken_promises(sku="c-i")).broken_promises == slipped.broken_promises
    soon = datetime.now(UTC).date() + timedelta(days=9)
    await web.set_incoming("po-2", "c-i", "WH1", quantity=2, expected_date=soon)
    promised = await web.get_available_to_promise("c-i", locations=["WH1"], days=30)
    assert (promised.available, [step.units for step in promised.steps]) == (0, [0, 2])
    assert promised.steps[1].date == as_date(soon) == (await web.get_availability("c-i")).next_date
    part = await web.receive_incoming("po-1", "c-i", "WH1", quantity=1, request_id="c-i-1")
    assert (part.on_hand, part.reserved, part.receipt.pegged) == (2, 2, 1)
    assert (await web.receive_incoming("po-1", "c-i", "WH1", quantity=1, request_id="c-i-1")).replayed
    listed = await web.list_incoming(sku="c-i", location="WH1", receipt_id="po-1")
    assert [(r.quantity, r.pegged) for r in listed.receipts] == [(3, 1)]
    await web.cancel_incoming("po-1", "c-i", "WH1", expected_revision=part.receipt.revision)
    with pytest.raises(errors.ReceiptNotFound) as gone:
        await web.cancel_incoming("po-1", "c-i", "WH1")
    assert (gone.value.receipt_id, gone.value.sku, gone.value.location) == ("po-1", "c-i", "WH1")


@pytest.mark.asyncio
async def test_promises(web: Client) -> None:
    """Of a network that says nothing about delivery: each answer names what is missing."""
    await web.post_movements([receipt("c-promise", "ST1", 2)])
    to, wanted = common_pb2.Destination(location="ST1"), [PromiseLine(sku="c-promise", quantity=1)]
    fresh = common_pb2.Consistency(fully_consistent=True)
    answer = await web.get_promise(wanted, to, explain=True, confidence=0.95, consistency=fresh)
    assert [gap.message for gap in answer.gaps] == ["location ST1 has no calendar"]
    status = BatchGetPromiseResponse.Status
    page = await web.batch_get_promise(["c-promise", "c-nothing"], to, quantities=[1, 1], consistency=fresh)
    assert list(page.status) == [status.STATUS_GAP, status.STATUS_UNKNOWN_SKU]
    orders = await web.date_orders([PromiseOrder(lines=wanted)], destination=to)
    assert (list(orders.status), list(orders.delivery_days)) == ([status.STATUS_GAP], [0])
    with pytest.raises(errors.UnknownService, match="service 'rocket' is not in the network"):
        await web.get_promise(wanted, common_pb2.Destination(country="DE"), services=["rocket"])


@pytest.mark.asyncio
async def test_snapshots(web: Client) -> None:
    """More rows than fit into a message; sent again, nothing changes."""
    await web.post_movements([receipt("c-s0", "ST2", 3)])
    as_of = timestamp_pb2.Timestamp()
    as_of.GetCurrentTime()
    rows = [SnapshotRow(sku=f"c-s{n}", quantity=n % 5) for n in range(6_000)]
    made = await web.apply_snapshot("ST2", rows, as_of=as_of, source="erp", snapshot_id="c-1", partial=True)
    assert (made.applied, made.repeated, made.snapshot_id) == (6_000, 0, "c-1")
    again = await web.apply_snapshot("ST2", rows, as_of=as_of, source="erp", snapshot_id="c-1", partial=True)
    assert (again.applied, again.repeated) == (0, 6_000)
    assert (await web.get_position("c-s4", "ST2")).position.on_hand == 4
    with pytest.raises(errors.InvalidArgument) as bad:
        await web.apply_snapshot("ST2", [*rows, rows[0]], as_of=as_of, partial=True)
    assert bad.value.field == "rows[6000].sku"


@pytest.mark.asyncio
async def test_few_parcels(web: Client) -> None:
    await web.post_movements([receipt("c-p", "WH1", 1), receipt("c-p", "ST1", 1)])
    lines = [Line(sku="c-p", quantity=2, allow_split=True)]
    with pytest.raises(errors.TooManyParcels) as many:
        await web.reserve(lines, max_parcels=1)
    assert (many.value.parcels_max, many.value.parcels) == (1, 2)
    assert len((await web.reserve(lines, max_parcels=2)).reservation.lines[0].allocations) == 2


@pytest.mark.asyncio
async def test_refusals_are_raised_as_their_classes_with_the_numbers(web: Client) -> None:
    await web.post_movements([receipt("c-e", "WH1", 1)])
    with pytest.raises(errors.InsufficientStock) as short:
        await web.reserve([Line(sku="c-e", quantity=3, location="WH1", line_id="x")])
    assert short.value.short_lines == (errors.ShortLine("x", "c-e", "WH1", 3, 1),)
    with pytest.raises(errors.UnknownSku) as unknown:
        await web.get_availability("c-nothing")
    assert unknown.value.sku == "c-nothing"
    with pytest.raises(errors.InvalidArgument) as invalid:
        await web.reserve([Line(sku="c-e", quantity=0)])
    assert invalid.value.field == "lines[0].quantity"
    with pytest.raises(errors.TimeToLiveTooLong) as long:
        await web.reserve([Line(sku="c-e", quantity=1)], time_to_live_seconds=99_999)
    assert (long.value.wanted_seconds, long.value.seconds_max) == (99_999, 7200)
    with pytest.raises(errors.NetworkInvalid) as faulty:
        await web.apply_network("locations: {A: {kind: shop}}\nchannels: {web: {groups: [x]}}\n")
    assert {fault.line for fault in faulty.value.faults} >= {1, 2}
    assert all(fault.path and fault.problem for fault in faulty.value.faults)


def test_without_asyncio_from_many_threads(address: str) -> None:
    with connect(address, channel="web") as engine:
        engine.post_movements([receipt("c-t", "WH1", 100)])

        def take(number: int) -> int:
            name = engine.reserve([Line(sku="c-t", quantity=1)]).reservation.reservation_id
            engine.confirm(name)
            return number

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(take, range(40))) == list(range(40))
        assert engine.get_availability("c-t").available == 60
        with pytest.raises(errors.UnknownChannel):
            engine.get_availability("c-t", channel="nobody")
    engine.close()  # once more does no harm
    assert "invengine-client" not in {thread.name for thread in threading.enumerate()}


def test_the_waiting_client_has_every_call_of_the_other() -> None:
    calls = {
        name
        for name, method in inspect.getmembers(Client)
        if (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))
        and not name.startswith("_")
        and name != "close"
    }
    assert calls == {
        name
        for name, method in vars(SyncClient).items()
        if not name.startswith("_") and name != "close" and callable(method)
    }
    for name in calls - {"feed"}:  # which takes its movements in another way
        assert getattr(SyncClient, name).__doc__ == getattr(Client, name).__doc__


def test_every_refusal_comes_back_as_its_class_with_its_fields() -> None:
    values: dict[str, Any] = {"str": "text", "int": 7}
    for word, kind in errors.all_refusals().items():
        if kind is errors.InsufficientStock or issubclass(kind, errors.DocumentInvalid):
            continue
        given = {field.name: values[str(field.type)] for field in fields(kind) if str(field.type) in values}  # type: ignore[arg-type]
        sent = kind(**given)
        refusal = common_pb2.Refusal(
            reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{word}"), message=str(sent), metadata=sent.metadata
        )
        back = error_from_refusal(refusal)
        assert type(back) is kind
        assert (str(back), getattr(back, "metadata", None)) == (str(sent), sent.metadata)


def test_a_word_of_a_newer_server_is_told_as_it_is() -> None:
    told = error_from_refusal(common_pb2.Refusal(reason=common_pb2.ERROR_REASON_UNKNOWN_SKU, message="gone"))
    assert isinstance(told, CallFailed)
    assert str(told) == "UNKNOWN_SKU: gone"


# What happens on the way: a server that fails as it is told


Answer = Callable[[Any, Any], Coroutine[Any, Any, stock_service_pb2.PostMovementsResponse]]


class Scripted(stock_service_pb2_grpc.StockServiceServicer):
    """Answers each call with the next of its script, and remembers the request ids."""

    def __init__(self, *script: Answer) -> None:
        self.seen: list[str] = []
        self._script = iter(script)

    async def PostMovements(self, request: Any, context: Any) -> stock_service_pb2.PostMovementsResponse:  # type: ignore[override]
        self.seen.append(request.request_id)
        return await next(self._script)(request, context)


async def well(request: Any, context: Any) -> stock_service_pb2.PostMovementsResponse:
    return stock_service_pb2.PostMovementsResponse(consistency_token="done")


async def never(request: Any, context: Any) -> stock_service_pb2.PostMovementsResponse:
    return await asyncio.Future()


def refuses(code: grpc.StatusCode, *details: Any) -> Answer:
    async def answer(request: Any, context: Any) -> stock_service_pb2.PostMovementsResponse:
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        status = status_pb2.Status(code=code.value[0], message="as told", details=packed)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(code, "as told")
        raise AssertionError

    return answer


def refusal(word: str, **metadata: str) -> common_pb2.Refusal:
    return common_pb2.Refusal(reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{word}"), metadata=metadata)


async def posted(folder: Path, scripted: Scripted, **options: float) -> str:
    """The token of one posting to the scripted server."""
    server = grpc.aio.server()
    stock_service_pb2_grpc.add_StockServiceServicer_to_server(scripted, server)
    address = f"unix:{folder}/scripted.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with Client(address, **options) as client:
            return (await client.post_movements([receipt("a", "b", 1)])).consistency_token
    finally:
        await server.stop(None)


@pytest.mark.asyncio
async def test_passing_trouble_is_repeated_with_the_same_request_id(tmp_path: Path) -> None:
    scripted = Scripted(
        refuses(grpc.StatusCode.UNAVAILABLE),
        refuses(grpc.StatusCode.UNAVAILABLE, refusal("STORE_UNAVAILABLE")),
        refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, refusal("OVERLOADED")),
        refuses(grpc.StatusCode.ABORTED, refusal("OUTCOME_UNKNOWN")),
        well,
    )
    assert await posted(tmp_path, scripted) == "done"
    assert len(scripted.seen) == 5
    assert len(set(scripted.seen)) == 1
    assert scripted.seen[0]


@pytest.mark.asyncio
async def test_what_stays_is_raised_at_once(tmp_path: Path) -> None:
    scripted = Scripted(refuses(grpc.StatusCode.NOT_FOUND, refusal("UNKNOWN_LOCATION", location="b")), well)
    with pytest.raises(errors.UnknownLocation):
        await posted(tmp_path, scripted)
    assert len(scripted.seen) == 1


@pytest.mark.asyncio
async def test_error_info_alone_is_enough(tmp_path: Path) -> None:
    info = error_details_pb2.ErrorInfo(reason="UNKNOWN_LOCATION", domain="invengine", metadata={"location": "b"})
    with pytest.raises(errors.UnknownLocation):
        await posted(tmp_path, Scripted(refuses(grpc.StatusCode.NOT_FOUND, info)))


@pytest.mark.asyncio
async def test_a_failure_without_a_refusal_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as failed:
        await posted(tmp_path, Scripted(refuses(grpc.StatusCode.PERMISSION_DENIED)))
    assert str(failed.value) == "PERMISSION_DENIED: as told"


@pytest.mark.asyncio
async def test_a_write_without_an_answer_is_an_unknown_outcome(tmp_path: Path) -> None:
    scripted = Scripted(never, never)
    with pytest.raises(errors.OutcomeUnknown):
        await posted(tmp_path, scripted, timeout_seconds=0.3)
    assert len(set(scripted.seen)) == 1


@pytest.mark.asyncio
async def test_repeating_ends_when_its_time_is_over(tmp_path: Path) -> None:
    scripted = Scripted(*[refuses(grpc.StatusCode.UNAVAILABLE)] * 1000)
    with pytest.raises(ServerUnreachable):
        await posted(tmp_path, scripted, retry_seconds=0.3)
    assert 2 <= len(scripted.seen) < 50


@pytest.mark.asyncio
async def test_nobody_there(tmp_path: Path) -> None:
    async with Client(f"unix:{tmp_path}/nobody.sock", retry_seconds=0.1) as client:
        with pytest.raises(ServerUnreachable, match="no server answers at unix:"):
            await client.get_network()


@pytest.mark.asyncio
async def test_a_call_or_a_watch_that_a_server_ends_is_made_again() -> None:
    """gRPC raises CancelledError for the one and tells CANCELLED for the other: nobody here has cancelled anything."""
    asked = []

    async def ended_once(request: object, timeout: float) -> str:
        asked.append(request)
        if len(asked) == 1:
            raise asyncio.CancelledError
        return "answer"

    class Broken:
        async def read(self) -> None:
            raise grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, grpc.aio.Metadata(), grpc.aio.Metadata())

    async with Client("127.0.0.1:1") as client:
        assert await client._call(ended_once, "request") == "answer"
        assert asked == ["request"] * 2
        with pytest.raises(ServerUnreachable):
            await client._heard(Broken(), 5)
        waiting = asyncio.create_task(client._call(lambda request, timeout: asyncio.sleep(60), "request"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
