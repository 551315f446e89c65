"""Figures of several workers as those of one server."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from invengine.metric_rules import OF_WORKERS
from invengine.metrics import Metrics
from invengine.rpc import servicers
from invengine.rpc.endpoints import Streams
from invengine.workers.joining import Joined, told


class AnyServicer:
    """Has every method."""

    def __getattr__(self, name: str) -> object:
        return None


def metrics() -> Metrics:
    made = Metrics(CollectorRegistry())
    servicers.handlers(dict.fromkeys(servicers.SERVICES, AnyServicer()), Streams(), made)
    return made


def samples(joined: Joined) -> dict[Any, float]:
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(joined.page().decode())
        for one in family.samples
    }


def test_every_gauge_says_how_those_of_several_workers_are_one() -> None:
    families = {family.name: family.type for family in metrics().registry.collect()}
    assert {name for name, type_ in families.items() if type_ == "gauge"} <= set(OF_WORKERS) <= set(families)


def test_what_one_worker_finds_for_all_is_noted_with_its_time() -> None:
    """As the table says, and nothing else: a gauge without its time would never be the newest."""
    noted = {key[0].removesuffix("_total") for key in metrics().set_at()}
    assert noted == {name for name, rule in OF_WORKERS.items() if rule == "newest"}


def test_one_worker_alone_is_told_as_it_is() -> None:
    one, joined = metrics(), Joined()
    one.replays.inc(3)
    one.store_seconds["reserve"].observe(0.02)
    joined.of[0] = told(one.registry, one.set_at())
    expected = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in one.registry.collect()
        for sample in family.samples
    }
    assert samples(joined) == expected


def test_counts_and_histograms_are_added_up_and_gauges_as_the_table_says() -> None:
    one, other, joined = metrics(), metrics(), Joined()
    for made, seconds in ((one, 0.002), (other, 0.2)):
        made.replays.inc(2)
        made.watch.subscribers = 5
        made.store_seconds["reserve"].observe(seconds)
        made.replica_lag.set(seconds)
        made.workers.set(1)
    other.set_violations({"READABLE": 4}, 50.0, replayed=False)
    one.set_violations({"READABLE": 1}, 60.0, replayed=False)
    one.set_reservations({"HELD": 9})
    other.set_reservations({"HELD": 8})
    joined.of = {0: told(one.registry, one.set_at()), 1: told(other.registry, other.set_at())}
    found = samples(joined)
    bucket = ("invengine_store_roundtrip_seconds_bucket", ("call", "reserve"))
    assert found["invengine_request_replays_total",] == 4
    assert found["invengine_watch_subscribers",] == 10
    assert found["invengine_workers",] == 2
    assert (found[(*bucket, ("le", "0.0025"))], found[(*bucket, ("le", "+Inf"))]) == (1, 2)
    assert found["invengine_store_roundtrip_seconds_sum", ("call", "reserve")] == 0.202
    assert found["invengine_replica_lag_seconds",] == 0.2
    assert found["invengine_integrity_violations", ("invariant", "READABLE")] == 1
    assert found["invengine_reservations", ("state", "HELD")] == 8
    assert found["invengine_build_info", ("version", "0.1.0")] == 1


def test_what_a_worker_counted_stays_when_it_is_gone_and_what_it_had_open_does_not() -> None:
    one, other, joined = metrics(), metrics(), Joined()
    for made in (one, other):
        made.replays.inc(2)
        made.feed_streams.set(3)
        made.kernel_seconds["get"].observe(1e-6)
    one.set_reservations({"HELD": 9})
    one.integrity_checked.set(70)
    joined.of = {0: told(one.registry, one.set_at()), 1: told(other.registry, other.set_at())}
    before = samples(joined)
    for _ in range(3):
        joined.lose(0)
        again = metrics()
        again.replays.inc()
        joined.of[0] = told(again.registry, again.set_at())
    after = samples(joined)
    assert before["invengine_request_replays_total",] == 4
    assert after["invengine_request_replays_total",] == 4 + 3
    assert after["invengine_feed_streams",] == 3
    assert after["invengine_reservations", ("state", "HELD")] == 9
    assert after["invengine_integrity_last_success_timestamp_seconds",] == 70
    assert {key for key, value in before.items() if key[0].endswith("_bucket") and after[key] < value} == set()


def test_series_of_a_process_are_told_for_each() -> None:
    registry, joined = CollectorRegistry(), Joined()
    ProcessCollector(registry=registry)
    joined.of = {0: told(registry), 1: told(registry)}
    joined.own = told(registry)
    workers = {key[1] for key in samples(joined) if key[0] == "process_resident_memory_bytes"}
    assert workers == {("worker", "0"), ("worker", "1"), ("worker", "supervisor")}
    joined.lose(1)
    workers = {key[1] for key in samples(joined) if key[0] == "process_resident_memory_bytes"}
    assert workers == {("worker", "0"), ("worker", "supervisor")}
