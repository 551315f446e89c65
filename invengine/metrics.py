"""What the server counts and measures: one class, the registry handed in.

Units are seconds and units of stock; label values come from enums and the contract only, never from callers; every
series exists at 0 from the start, so that an alert on "absent" and one on "rate" mean different things. What every call
counts is counted in plain numbers and exposed when asked for: the library's own counters cost 6 us a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from invengine import __version__
from invengine.domain.kept import BreakReason
from invengine.domain.orders import ReservationState
from invengine.domain.reservation_answers import PlanTaken
from invengine.domain.stock import MovementResult
from invengine.errors import all_refusals
from invengine.metric_kinds import Distribution, Distributions, NewestGauge
from invengine.server_metrics import RedisMetrics, StockMetrics

SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
KERNEL_SECONDS_BUCKETS: Final = (0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.001, 0.01, 0.1)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)

VERBS: Final = (
    "reserve",
    "confirm",
    "extend",
    "release",
    "fulfil",
    "amend",
    "rebind",
    "hand_over",
    "repromise",
    "post_movements",
    "stream_movements",
    "change_incoming",
    "create_transfer",
    "ship_transfer",
    "cancel_transfer",
    "close_transfer",
    "receive_return",
    "dispose_return",
)
"""The writes that share calls to the store."""

INVARIANTS: Final = (
    "RESERVED_IS_OPEN_UNITS",
    "POSITION_IS_LOGGED",
    "REPLICA_IS_STORE",
    "READABLE",
    "LOG_REPLAYS",
    "PROMISED_IS_OPEN_UNITS",
    "RING_FENCE_IS_POSSIBLE",
    "BROKEN_PROMISE_IS_OPEN",
)
"""What the integrity check checks."""

KERNELS: Final = ("get", "batch", "stream", "watch", "promise", "promise_batch", "plan")
"""The reads whose kernels are timed; of a watch, one look at what changed for all who watch."""

WATCHED: Final = ("totals", "locations", "levels")
"""What those who watch want to be told."""

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
    "Unauthenticated",
    "PermissionDenied",
)
"""The status codes that the server answers, as the gRPC dashboards spell them."""


class MethodMetrics:
    """What is counted of one gRPC method: plain numbers, since every call counts five times."""

    __slots__ = ("handled", "labels", "received", "seconds", "sent", "started")

    def __init__(self, kind: str, service: str, method: str) -> None:
        self.labels = (kind, service, method)
        self.started = 0
        self.received = 0
        self.sent = 0
        self.handled = dict.fromkeys(CODES, 0)
        self.seconds = Distribution(SECONDS_BUCKETS)


class MethodsCollector(Collector):
    """The methods in the names that ready-made gRPC dashboards know."""

    def __init__(self) -> None:
        self.methods: list[MethodMetrics] = []

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        labels = ["grpc_type", "grpc_service", "grpc_method"]
        started = CounterMetricFamily("grpc_server_started", "Calls begun.", labels=labels)
        received = CounterMetricFamily("grpc_server_msg_received", "Messages received.", labels=labels)
        sent = CounterMetricFamily("grpc_server_msg_sent", "Messages sent.", labels=labels)
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls ended, by status code.", labels=[*labels, "grpc_code"]
        )
        seconds = HistogramMetricFamily(
            "grpc_server_handling_seconds", "Time from a call's arrival to its answer.", labels=labels
        )
        for method in self.methods:
            started.add_metric(method.labels, method.started)
            received.add_metric(method.labels, method.received)
            sent.add_metric(method.labels, method.sent)
            for code, count in method.handled.items():
                handled.add_metric((*method.labels, code), count)
            method.seconds.add_to(seconds, method.labels)
        yield from (started, received, sent, handled, seconds)


class WatchMetrics(Collector):
    """What is counted of those who watch: plain numbers, since every message counts."""

    def __init__(self) -> None:
        self.subscribers = 0
        self.behind = 0
        self.told = 0
        self.coalesced = 0
        self.promises_told = 0

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        yield GaugeMetricFamily("invengine_watch_subscribers", "Callers that watch now.", value=self.subscribers)
        yield GaugeMetricFamily(
            "invengine_watch_subscribers_behind",
            "Of these, those that had not taken their last message at the newest look.",
            value=self.behind,
        )
        yield CounterMetricFamily("invengine_watch_changes", "Changes told to those who watch.", value=self.told)
        yield CounterMetricFamily(
            "invengine_watch_coalesced",
            "Changes of positions that were told together with a later one of the same SKU, while somebody watches.",
            value=self.coalesced,
        )
        yield CounterMetricFamily(
            "invengine_watch_promises", "Changes of broken promises told to those who watch.", value=self.promises_told
        )


class Metrics:
    """Every series of the server, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.on_stored: Callable[[str, float], None] | None = None
        """Told of each write of a call, once the replica has it: the verb, and how many seconds that took."""
        self._newest: dict[tuple[str, ...], NewestGauge] = {}
        self._methods = MethodsCollector()
        registry.register(self._methods)
        self.watch = WatchMetrics()
        self.redis = RedisMetrics()
        self.stock = StockMetrics()
        for figures in (self.watch, self.redis, self.stock):
            registry.register(figures)
        self._add_store(registry)
        self._add_engine(registry)
        self._add_feeds(registry)
        self._add_demand(registry)

    def _add_store(self, registry: CollectorRegistry) -> None:
        self.store_seconds = self._distributions(
            "invengine_store_roundtrip_seconds",
            "Time of one write to Redis, repeats after a lost connection included.",
            ("call", VERBS, SECONDS_BUCKETS),
        )
        self.batch_size = self._distributions(
            "invengine_batch_size", "Requests that shared one call to Redis.", ("verb", VERBS, BATCH_BUCKETS)
        )
        errors = Counter(
            "invengine_store_errors_total", "Calls to Redis that failed, by reason.", ("reason",), registry=registry
        )
        reasons = ("STORE_UNAVAILABLE", "STORE_FULL", "OUTCOME_UNKNOWN", "INTERNAL")
        self.store_errors = {reason: errors.labels(reason) for reason in reasons}
        depth = Gauge("invengine_queue_depth", "Requests waiting for a call to Redis.", ("verb",), registry=registry)
        self.queue_depth = {verb: depth.labels(verb) for verb in VERBS}
        self.queue_max = Gauge(
            "invengine_queue_limit", "Requests that may wait for a call to Redis, per verb.", registry=registry
        )
        self.log_entries = self._one_newest("invengine_log_entries", "Entries in the change log.")
        self.reservations = self._newest_by(
            "invengine_reservations",
            "Reservations that are HELD or CONFIRMED, or ended in another state since the store was made.",
            ("state", map(str, ReservationState)),
        )
        self.clock_steps = Counter(
            "invengine_store_clock_steps_total",
            "Times that the clock of Redis was set by more than a minute.",
            registry=registry,
        )
        self.clock_ahead = Gauge(
            "invengine_store_clock_ahead_seconds",
            "How far the clock of Redis is ahead of the time that holds are judged by.",
            registry=registry,
        )
        plans = Counter(
            "invengine_reservations_by_profile_total",
            "Reservations by a profile: of the best plan, of the next as that was gone, or after another trip.",
            ("plan",),
            registry=registry,
        )
        self.plans_taken = {taken: plans.labels(taken.value) for taken in PlanTaken}
        self.expired = Counter(
            "invengine_reservations_expired_total", "Holds that this server's sweeper tidied.", registry=registry
        )

    def _add_engine(self, registry: CollectorRegistry) -> None:
        self.replica_lag = Gauge(
            "invengine_replica_lag_seconds", "How old a change may be that the replica misses.", registry=registry
        )
        self.kernel_seconds = self._distributions(
            "invengine_kernel_seconds",
            "Time of one read behind the wire: message in, kernels, message out.",
            ("kernel", KERNELS, KERNEL_SECONDS_BUCKETS),
        )
        self.watch_lag = self._distributions(
            "invengine_watch_lag_seconds",
            "Time from the oldest change in a message, applied by this server, until the connection took the message.",
            ("told", WATCHED, SECONDS_BUCKETS),
        )
        self.integrity_violations = self._newest_by(
            "invengine_integrity_violations",
            "What the newest integrity check found; must be 0.",
            ("invariant", INVARIANTS),
        )
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
        self.broken_promises = self._newest_by(
            "invengine_broken_promises",
            "Allocations of live reservations that cannot be kept as promised, at the newest look at all of them.",
            ("reason", map(str, BreakReason)),
        )
        build = Gauge(
            "invengine_build_info", "Always 1; the label says which version.", ("version",), registry=registry
        )
        build.labels(__version__).set(1)
        self.workers = Gauge("invengine_workers", "Processes that serve.", registry=registry)
        self.worker_restarts = Counter(
            "invengine_worker_restarts_total", "Processes that ended and were started again.", registry=registry
        )
        self.libraries = self._newest_by(
            "invengine_library_version",
            "Version of the function library: that this server brings along, and that Redis has (its oldest primary).",
            ("of", ("server", "store")),
        )

    def _add_feeds(self, registry: CollectorRegistry) -> None:
        movements = Counter(
            "invengine_feed_movements_total",
            "Movements of streams that were acknowledged, by what became of them.",
            ("result",),
            registry=registry,
        )
        self.feed_movements = {result.value: movements.labels(result.value) for result in MovementResult}
        self.feed_streams = Gauge("invengine_feed_streams", "Streams of movements that are open.", registry=registry)
        self.feed_unacknowledged = Gauge(
            "invengine_feed_unacknowledged_movements",
            "Movements that open streams have read and not acknowledged.",
            registry=registry,
        )
        self.feed_lag = Gauge(
            "invengine_feed_lag_seconds",
            "How old the movement acknowledged last was then, of the open stream that is furthest behind.",
            registry=registry,
        )

        self.feed_acknowledged = Gauge(
            "invengine_feed_last_acknowledged_timestamp_seconds",
            "When this server last acknowledged movements of a stream; 0: never since the start.",
            registry=registry,
        )

    def _add_demand(self, registry: CollectorRegistry) -> None:
        self.demand_lines = Counter(
            "invengine_demand_lines_total", "Lines that customers wanted, read for forecasts.", registry=registry
        )
        self.demand_skus = Gauge("invengine_demand_skus", "SKUs with a forecast of demand.", registry=registry)

    def method(self, kind: str, service: str, method: str) -> MethodMetrics:
        """The series of one method; `kind` is `unary`, `server_stream`, `client_stream` or `bidi_stream`."""
        series = MethodMetrics(kind, service, method)
        self._methods.methods.append(series)
        return series

    def _distributions(
        self, name: str, help_: str, shape: tuple[str, Iterable[str], tuple[float, ...]]
    ) -> dict[str, Distribution]:
        collector = Distributions(name, help_, *shape)
        self.registry.register(collector)
        return collector.of

    def _newest_by(self, name: str, help_: str, by: tuple[str, Iterable[str]]) -> dict[str, NewestGauge]:
        """Gauges by the values of their one label."""
        gauge = NewestGauge(name, help_, (by[0],), registry=self.registry)
        made = {value: gauge.labels(value) for value in by[1]}
        self._newest |= {(name, value): one for value, one in made.items()}
        return made

    def _one_newest(self, name: str, help_: str) -> NewestGauge:
        self._newest[(name,)] = gauge = NewestGauge(name, help_, registry=self.registry)
        return gauge

    def set_at(self) -> dict[tuple[str, ...], float]:
        """When figures of which the newest counts were set, by name and label; 0 for those that were not."""
        return {key: gauge.set_at for key, gauge in self._newest.items()} | self.redis.set_at()

    def set_reservations(self, states: Mapping[str, int]) -> None:
        """Takes over how many reservations are in each state."""
        for state, gauge in self.reservations.items():
            gauge.set(states.get(state, 0))

    def set_violations(self, counts: Mapping[str, int], now_seconds: float, *, replayed: bool) -> None:
        """Takes over what an integrity check found, by invariant; of the log only what a replay found."""
        for name, gauge in self.integrity_violations.items():
            if replayed or name != "LOG_REPLAYS":
                gauge.set(counts.get(name, 0))
        if not any(counts.values()):
            self.integrity_checked.set(now_seconds)

    def count_refusals(self, reasons: Iterable[str]) -> None:
        """Counts refusals by their words."""
        for reason in reasons:
            self.refused[reason].inc()
            if reason == "OUTCOME_UNKNOWN":
                self.outcome_unknown.inc()
