"""Traces by OpenTelemetry, where they are wanted and the extra `otel` is installed: a span for each sampled call.

A call goes on with the trace of its caller (W3C `traceparent`); of the others so many begin one as the ratio says.
Below the span of a call that answers once stand those of its writes to the store, from when they were queued until the
copy in memory had them, and of its kernels. What is not sampled costs the look at its metadata and one decision.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from invengine import __version__
from invengine.metric_kinds import Distribution
from invengine.metrics import KERNEL_SECONDS_BUCKETS, Metrics
from invengine.rpc import calls
from invengine.rpc.calls import Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables, of which one is enough."""

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
CHILDREN_MAX: Final = 100
"""Spans below one call; a call of thousands of items would be no picture."""

_CODES: Final = {
    "OK": 0,
    "Canceled": 1,
    "Unknown": 2,
    "InvalidArgument": 3,
    "DeadlineExceeded": 4,
    "NotFound": 5,
    "AlreadyExists": 6,
    "PermissionDenied": 7,
    "ResourceExhausted": 8,
    "FailedPrecondition": 9,
    "Aborted": 10,
    "OutOfRange": 11,
    "Unimplemented": 12,
    "Internal": 13,
    "Unavailable": 14,
    "DataLoss": 15,
    "Unauthenticated": 16,
}
_ERRORS: Final = frozenset({"Unknown", "DeadlineExceeded", "Unimplemented", "Internal", "Unavailable", "DataLoss"})
"""What OpenTelemetry counts as an error of a gRPC server."""


class NotInstalled(Exception):
    """Traces are wanted and cannot be had; the sentence says what to install."""


def wanted(endpoint: str, environment: Mapping[str, str]) -> bool:
    """Whether traces are wanted: somewhere to send them is known, and nobody switched them off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return bool(endpoint) or any(environment.get(name) for name in ENDPOINTS)


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends spans as OTLP over HTTP; without an endpoint where OpenTelemetry's own variables say. NotInstalled."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise NotInstalled(
            "traces are wanted, but OpenTelemetry is not installed: pip install 'invengine[otel]', or unset "
            f"INVENGINE_TRACES_ENDPOINT, {' and '.join(ENDPOINTS)}"
        ) from None
    return OTLPSpanExporter(endpoint=endpoint or None)


class Traces:
    """Makes the spans of calls and sends them from a thread of its own. `ratio`: of calls without a trace, 0 to 1."""

    def __init__(self, exporter: SpanExporter, *, ratio: float) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = os.environ.get(SERVICE_NAME) or "invengine"
        self._provider = TracerProvider(
            sampler=None if os.environ.get(SAMPLER) else ParentBasedTraceIdRatio(ratio),
            resource=Resource.create({"service.name": name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("invengine", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER

    def begin(self, call: Call) -> CallSpan | None:
        """The span of a call that has arrived; None where it is not sampled."""
        sent = {key: value for key, value in call.metadata if isinstance(value, str)}
        service, _, method = call.method.path.strip("/").partition("/")
        span = self._tracer.start_span(
            f"{service}/{method}",
            context=self._propagator.extract(sent),
            kind=self._kind,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )
        return CallSpan(self._tracer, span) if span.is_recording() else None

    def watch(self, metrics: Metrics) -> None:
        """Makes spans of what kernels and the store are timed by, below the calls that they are for."""
        for name in metrics.kernel_seconds:
            metrics.kernel_seconds[name] = TracedDistribution(KERNEL_SECONDS_BUCKETS, f"kernel {name}")
        metrics.on_stored = lambda verb, seconds: below_current(f"store {verb}", seconds)

    async def close(self) -> None:
        """Sends what is left."""
        await asyncio.to_thread(self._provider.shutdown)


class CallSpan:
    """The span of one call, and those below it."""

    def __init__(self, tracer: Tracer, span: Any) -> None:
        self._tracer = tracer
        self._span = span
        self._children = 0
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def below(self, name: str, seconds: float) -> None:
        """Something that was done for the call has taken so long until now."""
        from opentelemetry.trace import set_span_in_context

        self._children += 1
        if self._children > CHILDREN_MAX:
            return
        now = time.time_ns()
        begun = max(now - int(seconds * 1e9), self._span.start_time)
        self._tracer.start_span(name, context=set_span_in_context(self._span), start_time=begun).end(now)

    def end(self, call: Call, code: str, reason: str) -> None:
        """The call is over."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("rpc.grpc.status_code", _CODES.get(code, _CODES["Unknown"]))
        self._span.set_attribute("invengine.request_id", call.request_id)
        if reason:
            self._span.set_attribute("invengine.reason", reason)
        if code in _ERRORS:
            self._span.set_status(StatusCode.ERROR, reason or code)
        self._span.end()


def below_current(name: str, seconds: float) -> None:
    """A span below that of the call that is answered here, if it is traced and answers once."""
    call = calls.current()
    if call is not None and isinstance(call.span, CallSpan) and not call.method.is_stream:
        call.span.below(name, seconds)


class TracedDistribution(Distribution):
    """A distribution each of whose observations is a span too, where the call that it was made for is traced."""

    __slots__ = ("_name",)

    def __init__(self, bounds: tuple[float, ...], name: str) -> None:
        super().__init__(bounds)
        self._name = name

    def observe(self, value: float) -> None:
        """Counts one observation."""
        super().observe(value)
        below_current(self._name, value)
