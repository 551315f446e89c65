"""Metrics: plain numbers are exposed as the library's own would be; every series is there from the start."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from invengine.errors import all_refusals
from invengine.metrics import CODES, SECONDS_BUCKETS, Distributions, Metrics
from invengine.rpc import servicers
from invengine.rpc.endpoints import Streams
from invengine.rpc.errors import STATUS_CODES, code_name
from invengine.rpc.logs import JsonLines


@given(st.lists(st.one_of(st.sampled_from(SECONDS_BUCKETS), st.floats(0, 10))))
def test_a_distribution_is_exposed_as_a_histogram_of_the_library(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distributions = Distributions("seconds", "Help.", "of", ["x"], SECONDS_BUCKETS)
    ours.register(distributions)
    histogram = Histogram("seconds", "Help.", ["of"], buckets=SECONDS_BUCKETS, registry=theirs)
    histogram.labels("x")
    for value in values:
        distributions.of["x"].observe(value)
        histogram.labels("x").observe(value)
    expected = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == expected


def test_every_series_is_there_at_0_from_the_start() -> None:
    metrics = Metrics(CollectorRegistry())
    services = dict.fromkeys(servicers.SERVICES, AnyServicer())
    servicers.handlers(services, Streams(), metrics)
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    for path, method in servicers.methods():
        service = path.split("/")[1]
        kind = {
            (False, False): "unary",
            (False, True): "server_stream",
            (True, False): "client_stream",
            (True, True): "bidi_stream",
        }[method.client_streaming, method.server_streaming]
        labels = (("grpc_method", method.name), ("grpc_service", service), ("grpc_type", kind))
        assert found["grpc_server_started_total", labels] == 0
        for code in CODES:
            assert found["grpc_server_handled_total", (("grpc_code", code), *labels)] == 0
    for reason in all_refusals():
        assert found["invengine_refused_total", (("reason", reason),)] == 0
    assert {value for (name, _), value in found.items() if name != "invengine_build_info"} == {0}
    assert len([name for name, _ in found if name == "invengine_build_info"]) == 1


def test_every_code_that_is_answered_is_counted() -> None:
    assert {code_name(code) for code in STATUS_CODES.values()} <= set(CODES)


class AnyServicer:
    """Has every method."""

    def __getattr__(self, name: str) -> object:
        return None


def test_a_log_line_is_one_json_object(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("words\nand more")
    except ValueError:
        logging.getLogger("invengine.test").exception("it is %s", "so")
    line = JsonLines().format(caplog.records[0])
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["logger"], entry["message"]) == ("ERROR", "invengine.test", "it is so")
    assert "ValueError: words" in entry["exception"]
