"""Traces: which calls have spans, what stands below them, where they are sent; nothing of it where none are wanted."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from invengine import bootstrap
from invengine.rpc import calls, traces
from invengine.rpc.calls import METADATA, Observing
from invengine.settings import Settings, SettingsInvalid
from invengine.v1 import availability_service_pb2
from tests.rpc.engines import create, engine, settings_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
NOT_SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
NOWHERE = "http://127.0.0.1:1/v1/traces"


class Kept(InMemorySpanExporter):
    """Spans that can be read after the engine has gone."""

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name.endswith(name)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """What an engine sends."""
    exporter = Kept()

    def instead(_: str) -> SpanExporter:
        return exporter

    monkeypatch.setattr(traces, "otlp_exporter", instead)
    return exporter


def below(kept: Kept, span: ReadableSpan) -> list[str]:
    assert span.context is not None
    mine = [one for one in kept.get_finished_spans() if one.parent and one.parent.span_id == span.context.span_id]
    for one in mine:
        assert (span.start_time or 0) <= (one.start_time or 0) <= (one.end_time or 0) <= (span.end_time or 0)
    return sorted(one.name for one in mine)


@pytest.mark.asyncio
async def test_calls_go_on_with_the_traces_of_their_callers(redis_url: str, kept: Kept) -> None:
    ask = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web")
    async with engine(redis_url, traces_endpoint=NOWHERE, traces_ratio=0) as (running, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 2)
        await stubs.reservations.CreateReservation(create("order-1"), metadata=SAMPLED)
        await stubs.availability.GetAvailability(ask, metadata=SAMPLED)
        await stubs.availability.GetAvailability(ask, metadata=NOT_SAMPLED)
        with pytest.raises(grpc.aio.AioRpcError):
            await stubs.reservations.CreateReservation(create("order-2", quantity=9), metadata=SAMPLED)
        stream = stubs.availability.StreamAvailability(metadata=SAMPLED)
        await stream.write(availability_service_pb2.StreamAvailabilityRequest(sku="LAMP", channel="web"))
        await stream.read()
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        observed = running.metrics.registry.get_sample_value("invengine_kernel_seconds_count", {"kernel": "get"})
    assert observed == 2  # they are counted as ever
    reserved, refused = kept.of("ReservationService/CreateReservation")
    assert reserved.name == "invengine.v1.ReservationService/CreateReservation"
    assert reserved.kind is SpanKind.SERVER
    assert reserved.context is not None
    assert reserved.parent is not None
    assert (f"{reserved.context.trace_id:x}", f"{reserved.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(reserved.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": "invengine.v1.ReservationService",
        "rpc.method": "CreateReservation",
        "rpc.grpc.status_code": 0,
        "invengine.request_id": "order-1",
    }
    assert "store reserve" in below(kept, reserved)
    assert (refused.attributes or {})["invengine.reason"] == "INSUFFICIENT_STOCK"
    assert (refused.attributes or {})["rpc.grpc.status_code"] == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert refused.status.status_code is StatusCode.UNSET  # the caller's affair, no error of the server
    (asked,) = kept.of("GetAvailability")
    assert below(kept, asked) == ["kernel get"]
    (streamed,) = kept.of("StreamAvailability")
    assert below(kept, streamed) == []
    assert {span.name.partition(" ")[0] for span in kept.get_finished_spans() if span.parent is None} == set()
    service = reserved.resource.attributes["service.name"]
    assert service == "invengine"


@pytest.mark.asyncio
async def test_of_the_other_calls_as_many_are_traced_as_is_wanted(redis_url: str, kept: Kept) -> None:
    async with engine(redis_url, traces_endpoint=NOWHERE, traces_ratio=1) as (_, stubs):
        await stubs.apply_network()
    (applied,) = kept.of("ApplyNetwork")
    assert applied.parent is None


def test_an_error_of_ours_is_one_of_the_span_and_children_are_bounded() -> None:
    exporter = Kept()
    made = traces.Traces(exporter, ratio=1)
    METADATA.set(SAMPLED)
    observed = Observing(trace=made.begin).method("/invengine.v1.X/Y", bytes, is_stream=False)
    call = observed.begun()
    assert call.trace_id == TRACE
    for _ in range(traces.CHILDREN_MAX + 5):
        traces.below_current("kernel get", 10.0)  # longer than the call itself: cut to it
    observed.end(call, "Internal", "INTERNAL", 0.001)
    made._provider.shutdown()
    (span,) = exporter.of("X/Y")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "INTERNAL")
    assert len(below(exporter, span)) == traces.CHILDREN_MAX
    assert calls.current() is None


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        ("", {}, False),
        (NOWHERE, {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (NOWHERE, {"OTEL_SDK_DISABLED": "true"}, False),
        (NOWHERE, {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_where_traces_are_wanted(endpoint: str, environment: dict[str, str], expected: bool) -> None:
    assert traces.wanted(endpoint, environment) is expected


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(SettingsInvalid, match="INVENGINE_TRACES_ENDPOINT: must be an address"):
        Settings.load(traces_endpoint="collector:4317")


@pytest.mark.asyncio
async def test_without_the_packages_the_start_says_what_to_install(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(bootstrap.Broken, match=r"pip install 'invengine\[otel\]'"):
        async with bootstrap.running(settings_for(redis_url, traces_endpoint=NOWHERE)):
            pass


def test_nothing_is_loaded_where_no_traces_are_wanted() -> None:
    """Nor is it needed: the extra is optional. (redis-py looks for OpenTelemetry by itself, for its own metrics.)"""
    ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
    program = f"import sys, invengine.bootstrap; print([m for m in sys.modules if m.startswith({ours})])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A server that takes OTLP over HTTP: its address, and what it was sent."""
    got: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.asyncio
async def test_spans_arrive_at_a_collector_when_the_server_stops(
    redis_url: str, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    address, got = collector
    async with engine(redis_url, traces_endpoint=address, traces_ratio=1) as (_, stubs):
        await stubs.apply_network()
    spans = [
        span.name
        for request in got
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert "invengine.v1.NetworkService/ApplyNetwork" in spans
