"""What the server counts and measures: one class, the registry handed in.

Units are seconds and units of stock; label values come from enums and the contract only, never from callers; every
series exists at 0 from the start, so that an alert on "absent" and one on "rate" mean different things. Children are
looked up once: `labels()` costs four times what counting does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from invengine import __version__
from invengine.domain.orders import ReservationState
from invengine.errors import all_refusals

SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
KERNEL_SECONDS_BUCKETS: Final = (0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.001, 0.01, 0.1)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)

VERBS: Final = ("reserve", "confirm", "extend", "release", "fulfil", "amend", "rebind", "hand_over", "post_movements")
"""The writes that share calls to the store."""

STORE_CALLS: Final = (*VERBS, "expire_due", "forget_old", "read_log", "read", "apply_network")
"""What a round trip to the store was for."""

INVARIANTS: Final = ("RESERVED_IS_OPEN_UNITS", "POSITION_IS_LOGGED", "REPLICA_IS_STORE", "READABLE")
"""What the integrity check checks."""

KERNELS: Final = ("get", "batch", "stream")
"""The reads whose kernels are timed."""

CODES: Final = (
    "OK",
    "Canceled",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "Unimplemented",
    "Internal",
    "Unavailable",
)
"""The status codes that the server answers, as the gRPC dashboards spell them."""


class MethodMetrics:
    """The series of one gRPC method, looked up once."""

    __slots__ = ("handled", "received", "seconds", "sent", "started")

    def __init__(self, metrics: Metrics, kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self.started = metrics.rpc_started.labels(*labels)
        self.handled = {code: metrics.rpc_handled.labels(*labels, code) for code in CODES}
        self.seconds = metrics.rpc_seconds.labels(*labels)
        self.received = metrics.rpc_received.labels(*labels)
        self.sent = metrics.rpc_sent.labels(*labels)


class Metrics:
    """Every series of the server, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._add_rpc(registry)
        self._add_store(registry)
        self._add_engine(registry)

    def _add_rpc(self, registry: CollectorRegistry) -> None:
        method = ("grpc_type", "grpc_service", "grpc_method")
        self.rpc_started = Counter("grpc_server_started_total", "Calls begun.", method, registry=registry)
        self.rpc_handled = Counter(
            "grpc_server_handled_total", "Calls ended, by status code.", (*method, "grpc_code"), registry=registry
        )
        self.rpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's first byte to its answer.",
            method,
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.rpc_received = Counter("grpc_server_msg_received_total", "Messages received.", method, registry=registry)
        self.rpc_sent = Counter("grpc_server_msg_sent_total", "Messages sent.", method, registry=registry)

    def _add_store(self, registry: CollectorRegistry) -> None:
        roundtrip = Histogram(
            "invengine_store_roundtrip_seconds",
            "Time of one call to Redis, repeats after a lost connection included.",
            ("call",),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.store_seconds = {call: roundtrip.labels(call) for call in STORE_CALLS}
        errors = Counter(
            "invengine_store_errors_total", "Calls to Redis that failed, by reason.", ("reason",), registry=registry
        )
        reasons = ("STORE_UNAVAILABLE", "STORE_FULL", "OUTCOME_UNKNOWN", "INTERNAL")
        self.store_errors = {reason: errors.labels(reason) for reason in reasons}
        batch = Histogram(
            "invengine_batch_size",
            "Requests that shared one call to Redis.",
            ("verb",),
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.batch_size = {verb: batch.labels(verb) for verb in VERBS}
        depth = Gauge("invengine_queue_depth", "Requests waiting for a call to Redis.", ("verb",), registry=registry)
        self.queue_depth = {verb: depth.labels(verb) for verb in VERBS}
        self.log_entries = Gauge("invengine_log_entries", "Entries in the change log.", registry=registry)
        states = Gauge(
            "invengine_reservations",
            "Reservations that are HELD or CONFIRMED, or ended in another state since the store was made.",
            ("state",),
            registry=registry,
        )
        self.reservations = {str(state): states.labels(str(state)) for state in ReservationState}
        self.expired = Counter(
            "invengine_reservations_expired_total", "Holds that this server's sweeper tidied.", registry=registry
        )

    def _add_engine(self, registry: CollectorRegistry) -> None:
        self.replica_lag = Gauge(
            "invengine_replica_lag_seconds", "How old a change may be that the replica misses.", registry=registry
        )
        kernel = Histogram(
            "invengine_kernel_seconds",
            "Time in the kernels of one read.",
            ("kernel",),
            buckets=KERNEL_SECONDS_BUCKETS,
            registry=registry,
        )
        self.kernel_seconds = {name: kernel.labels(name) for name in KERNELS}
        violations = Gauge(
            "invengine_integrity_violations",
            "What the newest integrity check found; must be 0.",
            ("invariant",),
            registry=registry,
        )
        self.integrity_violations = {name: violations.labels(name) for name in INVARIANTS}
        self.integrity_checked = Gauge(
            "invengine_integrity_last_success_timestamp_seconds",
            "When an integrity check last found nothing; 0: never since the start.",
            registry=registry,
        )
        refused = Counter(
            "invengine_refused_total",
            "Refusals, those of single items of a batch included.",
            ("reason",),
            registry=registry,
        )
        self.refused = {reason: refused.labels(reason) for reason in all_refusals()}
        self.replays = Counter(
            "invengine_request_replays_total", "Requests answered as they were before.", registry=registry
        )
        self.outcome_unknown = Counter(
            "invengine_outcome_unknown_total", "Writes whose outcome is not known.", registry=registry
        )
        self.loop_lag = Gauge(
            "invengine_event_loop_lag_seconds", "How late the event loop woke, newest look.", registry=registry
        )
        build = Gauge(
            "invengine_build_info", "Always 1; the label says which version.", ("version",), registry=registry
        )
        build.labels(__version__).set(1)

    def method(self, kind: str, service: str, method: str) -> MethodMetrics:
        """The series of one method; `kind` is `unary`, `server_stream`, `client_stream` or `bidi_stream`."""
        return MethodMetrics(self, kind, service, method)

    def set_reservations(self, states: Mapping[str, int]) -> None:
        """Takes over how many reservations are in each state."""
        for state, gauge in self.reservations.items():
            gauge.set(states.get(state, 0))

    def set_violations(self, counts: Mapping[str, int], now_seconds: float) -> None:
        """Takes over what an integrity check found, by invariant."""
        for name, gauge in self.integrity_violations.items():
            gauge.set(counts.get(name, 0))
        if not any(counts.values()):
            self.integrity_checked.set(now_seconds)

    def count_refusals(self, reasons: Iterable[str]) -> None:
        """Counts refusals by their words."""
        for reason in reasons:
            self.refused[reason].inc()
            if reason == "OUTCOME_UNKNOWN":
                self.outcome_unknown.inc()
