"""Lines of the log: which call they belong to, which calls have one, what never stands in them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from invengine.metrics import MethodMetrics, Metrics
from invengine.rpc import calls
from invengine.rpc.calls import METADATA, Call, Observing
from invengine.rpc.endpoints import Streams
from invengine.rpc.logs import JsonLines, TextLines, configure_logging
from invengine.services.reservations import Reservations
from invengine.v1 import (
    availability_service_pb2,
    network_service_pb2,
    reservation_service_pb2,
    stock_service_pb2,
)
from tests.rpc.engines import NETWORK, Stubs, client, create, engine
from tests.rpc.tokens import authorization, guarded

CREATE = "/invengine.v1.ReservationService/CreateReservation"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE_PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class ExecuteBatchError(Exception):
    """Named as gRPC names an answer that could not be sent."""


@pytest.mark.parametrize(("fault", "lines"), [(ExecuteBatchError("no connection"), 0), (ValueError("ours"), 1)])
def test_a_caller_who_was_gone_is_no_fault_of_the_server(
    fault: Exception, lines: int, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("INFO", as_json=True)
        logging.getLogger("grpc._cython.cygrpc").error("Unexpected [%s] raised", type(fault).__name__, exc_info=fault)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert len(capfd.readouterr().err.splitlines()) == lines


class Gone:
    """A call whose caller reads nothing any more, which the next answer finds out."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> None:
        return None

    async def write(self, _: bytes) -> None:
        raise ExecuteBatchError("no connection")


class Answering:
    """An exchange that answers before it has read anything."""

    async def serve(self, read: Any, write: Any) -> None:
        del read
        await write(b"")

    def stop(self) -> None:
        raise AssertionError("nobody stops it")


@pytest.mark.asyncio
async def test_a_stream_whose_caller_was_gone_is_cancelled_and_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    metrics, series = Metrics(CollectorRegistry()), MethodMetrics("bidi_stream", "S", "M")
    observed = Observing().method("/S/M", bytes, is_stream=True)
    handler = Streams().wrap_exchange(observed, lambda _: Answering(), series, metrics)
    with pytest.raises(asyncio.CancelledError):
        await handler.stream_stream(None, Gone())
    assert {code: count for code, count in series.handled.items() if count} == {"Canceled": 1}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


class Lines:
    """What is logged, as JSON objects."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(JsonLines())

    def of(self, logger: str = "invengine.access") -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [entry for entry in entries if entry["logger"] == logger]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """From the level INFO on; the access log can be set lower."""
    found, root = Lines(), logging.getLogger()
    before, access = root.level, calls.logger.level
    root.addHandler(found.handler)
    root.setLevel(logging.INFO)
    yield found
    root.removeHandler(found.handler)
    root.setLevel(before)
    calls.logger.setLevel(access)


def trailing(metadata: Any) -> dict[str, Any]:
    return dict(metadata or ())


async def refusal(stubs: Stubs, metadata: tuple[tuple[str, str], ...] = (), request_id: str = "r") -> dict[str, Any]:
    """The trailing metadata of a reservation that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stubs.reservations.CreateReservation(create(request_id, sku="GHOST"), metadata=metadata)
    return trailing(refused.value.trailing_metadata())


@pytest.mark.asyncio
async def test_with_the_access_log_every_call_has_a_line_with_the_facts_and_without_the_body(
    redis_url: str, lines: Lines
) -> None:
    calls.logger.setLevel(logging.DEBUG)
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("SECRET-LAMP", 5)
        await stubs.reservations.CreateReservation(create("order-1", "SECRET-LAMP", customer_ref="anna@example.com"))
        await refusal(stubs, request_id="order-2")
    done, refused = [line for line in lines.of() if line["method"] == CREATE]
    assert (done["request_id"], done["code"], done["level"]) == ("order-1", "OK", "DEBUG")
    assert done["bytes_in"] > 20
    assert done["bytes_out"] > 20
    assert done["ms"] > 0
    assert "reason" not in done
    assert (refused["request_id"], refused["code"], refused["reason"]) == ("order-2", "NotFound", "UNKNOWN_SKU")
    assert "SECRET-LAMP" not in str(lines.of())
    assert "anna" not in lines.stream.getvalue()


@pytest.mark.asyncio
async def test_without_it_only_slow_calls_and_faults_have_one(
    redis_url: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        logging.getLogger("invengine.test").warning("within")
        raise ZeroDivisionError("a fault of ours")

    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        await refusal(stubs)
        assert lines.of() == []
        monkeypatch.setattr(Reservations, "create", fail)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stubs.reservations.CreateReservation(create("order-3"), metadata=(("traceparent", TRACE_PARENT),))
        assert trailing(failed.value.trailing_metadata())["x-request-id"] == "order-3"
    (fault,) = lines.of()
    assert (fault["level"], fault["code"], fault["reason"]) == ("INFO", "Internal", "INTERNAL")
    (within,) = lines.of("invengine.test")
    (incident,) = lines.of("invengine.rpc.endpoints")
    assert "ZeroDivisionError" in incident["exception"]
    for line in (fault, within, incident):
        assert (line["request_id"], line["trace_id"]) == ("order-3", TRACE), line


@pytest.mark.asyncio
async def test_a_slow_call_has_a_line_and_a_stream_is_never_slow(redis_url: str, lines: Lines) -> None:
    async with engine(redis_url, slow_call_ms=1) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1)
        ask = availability_service_pb2.StreamAvailabilityRequest(sku="LAMP", channel="web")
        stream = stubs.availability.StreamAvailability()
        await stream.write(ask)
        await stream.read()
        await asyncio.sleep(0.01)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    slow = lines.of()
    assert [line for line in slow if "Apply" in line["method"] and line["message"] == "a slow call"]
    assert not [line for line in slow if "Stream" in line["method"]]
    assert {line["level"] for line in slow} == {"INFO"}


@pytest.mark.asyncio
async def test_the_id_that_a_caller_sends_comes_back(redis_url: str, lines: Lines) -> None:
    calls.logger.setLevel(logging.DEBUG)
    sent = (("x-request-id", "cart 7"), ("traceparent", TRACE_PARENT))
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1)
        ask = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web")
        call = stubs.availability.GetAvailability(ask, metadata=sent)
        await call
        assert trailing(await call.trailing_metadata())["x-request-id"] == "cart 7"
        plain = stubs.availability.GetAvailability(ask)
        await plain
        assert "x-request-id" not in trailing(await plain.trailing_metadata())
        # a refusal has what the caller calls the call, which may be another name than that of the write
        assert (await refusal(stubs, sent))["x-request-id"] == "cart 7"
        assert (await refusal(stubs, request_id="order-9"))["x-request-id"] == "order-9"
        assert "x-request-id" not in await refusal(stubs, request_id="bücher 1")  # metadata are ASCII
        missing = stock_service_pb2.GetPositionRequest(sku="GHOST", location="DC")
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stubs.stock.GetPosition(missing)
        assert len(trailing(unknown.value.trailing_metadata())["x-request-id"]) == 16
        posted = stubs.stock.StreamMovements(metadata=sent)
        await posted.write(stock_service_pb2.StreamMovementsRequest())
        await posted.read()
        await posted.done_writing()
        assert await posted.read() is grpc.aio.EOF
    by_method = {line["method"].rpartition("/")[2]: line for line in lines.of() if line.get("trace_id") == TRACE}
    assert by_method["GetAvailability"]["request_id"] == "cart 7"
    assert by_method["StreamMovements"]["request_id"] == "cart 7"
    written = by_method["CreateReservation"]  # is found by either
    assert (written["request_id"], written["x_request_id"]) == ("r", "cart 7")
    assert "x_request_id" not in by_method["GetAvailability"]


@pytest.mark.asyncio
async def test_a_write_that_many_calls_share_belongs_to_none_of_them(
    redis_url: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1)

        async def fail(*_: object) -> None:
            raise ZeroDivisionError("a fault of the store")

        monkeypatch.setattr(type(running.store), "_call", fail)
        with pytest.raises(grpc.aio.AioRpcError):
            await stubs.reservations.CreateReservation(create("order-4"))
    (shared,) = lines.of("invengine.services.group_commit")
    assert "request_id" not in shared
    (incident,) = lines.of("invengine.rpc.endpoints")
    assert incident["request_id"] == "order-4"


def test_what_outlives_a_call_does_not_carry_its_id() -> None:
    observed = Observing().method("/x", bytes, is_stream=False)
    call = observed.begun()
    assert calls.current() is call
    observed.end(call, "OK", "", 0.0)
    assert calls.current() is None


@pytest.mark.parametrize("sent", ["", "a\nb", "x" * 129, "é", "tab\t"])
def test_an_id_that_cannot_stand_in_a_log_is_replaced(sent: str) -> None:
    METADATA.set((("user-agent", "x"), ("x-request-id", sent)))
    call = Call(Observing().method("/x", bytes, is_stream=False), None)
    assert call.sent_id() == ""
    assert call.request_id not in ("", sent)
    assert call.request_id == call.request_id


@pytest.mark.parametrize(
    "sent", ["", "00-short", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"zz-{TRACE}-00f067aa0ba902b7-01"]
)
def test_a_trace_that_is_none_is_left_out(sent: str) -> None:
    METADATA.set((("traceparent", sent),))
    assert Call(Observing().method("/x", bytes, is_stream=False), None).trace_id == ""


def test_the_bytes_of_no_message_have_no_id() -> None:
    """They are refused as malformed; the line of that still has an id."""
    decode = reservation_service_pb2.CreateReservationRequest.FromString
    METADATA.set(())
    call = Call(Observing().method("/x", decode, is_stream=False), b"\xff\xff")
    assert len(call.request_id) == 16


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "invengine.x", "levelname": "INFO", "msg": "done %d", "args": (3,), **extra})
    made.stack_info = "Stack (most recent call last):\n  here"
    return made


def test_facts_are_fields_of_json_and_words_of_a_line() -> None:
    call = Observing().method("/x", bytes, is_stream=False).begun()
    METADATA.set((("x-request-id", "r 1"),))
    try:
        made = record(ms=1.5, told="two words", level="never", odd={1})
        entry = json.loads(JsonLines().format(made))
        assert (entry["message"], entry["ms"], entry["told"], entry["odd"]) == ("done 3", 1.5, "two words", "{1}")
        assert (entry["level"], entry["request_id"], entry["stack"]) == ("INFO", "r 1", made.stack_info)
        line = TextLines().format(made)
        assert line.splitlines()[0].endswith(
            'invengine.x: done 3 request_id="r 1" ms=1.5 told="two words" level=never odd={1}'
        )
    finally:
        call.ended = True
    assert "request_id" not in TextLines().format(record())


@pytest.mark.asyncio
async def test_the_caller_is_named_and_who_is_unknown_is_not_read(redis_url: str, lines: Lines, tmp_path: Path) -> None:
    """What somebody sends whom nobody vouches for is not decoded, not even for its id; secrets are in no line."""
    calls.logger.setLevel(logging.DEBUG)
    async with guarded(redis_url, tmp_path, access_log=True) as server, client(server.address) as stubs:
        token = await server.token("web-shop", "read", "plan", "reserve")
        await stubs.network.ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id="network", document=NETWORK),
            metadata=authorization(token),
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stubs.reservations.CreateReservation(create("order-8"), metadata=authorization("nobody.secret"))
    assert len(trailing(refused.value.trailing_metadata())["x-request-id"]) == 16
    by_method = {line["method"].rpartition("/")[2]: line for line in lines.of()}
    assert by_method["ApplyNetwork"]["principal"] == "web-shop"
    stranger = by_method["CreateReservation"]
    assert (stranger["code"], stranger["reason"]) == ("Unauthenticated", "UNAUTHENTICATED")
    assert "principal" not in stranger
    assert "order-8" not in lines.stream.getvalue()
    assert token.partition(".")[2] not in lines.stream.getvalue()
    assert server.admin_token.partition(".")[2] not in lines.stream.getvalue()
