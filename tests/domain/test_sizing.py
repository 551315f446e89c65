"""How large an installation must be: the steps add up, and every constant in them is one that is measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import constants
from invengine.domain.measured import MEASURED
from invengine.domain.sizing import BUSY_SHARE, Demand, size
from tests.cli.servers import CommandLine

demands = st.builds(
    Demand,
    positions=st.integers(1, 10**9),
    questions=st.integers(0, 10**6),
    reservations=st.integers(0, 10**5),
    movements=st.integers(0, 10**5),
    mean_share=st.floats(0, 1),
    live_hours=st.integers(0, 1000),
    retention_hours=st.integers(1, 1000),
    batched=st.booleans(),
)


def test_the_file_of_constants_has_what_the_benchmark_measures_and_nothing_else() -> None:
    assert {name: unit for name, (_, unit) in MEASURED.items()} == constants.UNITS
    assert all(value > 0 for value, _ in MEASURED.values())
    written = constants.module({name: value for name, (value, _) in MEASURED.items()})
    assert all(f'"{name}": (' in written for name in MEASURED)


def test_every_constant_but_those_for_comparison_is_used() -> None:
    used = {name for batched in (False, True) for name in size(Demand(positions=1, batched=batched)).constants}
    assert set(MEASURED) - used == {"server_microseconds_per_sku_in_batch"}


def test_the_page_shows_what_is_computed_now() -> None:
    text = constants.PAGE.read_text(encoding="utf-8")
    assert constants.document(text, MEASURED) == text


ROUND = {name: (10.0, unit) for name, (_, unit) in MEASURED.items()} | {
    "server_bytes_at_rest": (1e8, "bytes"),
    "server_microseconds_per_question": (200.0, "us of CPU"),
    "server_microseconds_per_followed_change": (1.0, "us of CPU"),
    "snapshot_bytes_per_memory_byte": (0.5, "ratio"),
}


def test_the_steps_are_what_a_person_computes() -> None:
    demand = Demand(
        positions=1e9, questions=10_000, reservations=1000, mean_share=0.5, live_hours=10, retention_hours=1
    )
    found = size(demand, ROUND)
    assert found.value("positions") == pytest.approx(10.0)
    assert found.value("live reservations") == pytest.approx(500 * 36_000 * 10 / 1e9)
    assert found.value("closed reservations and their requests") == pytest.approx(500 * 7200 * 40 / 1e9)
    assert found.value("cores of Redis at the peak") == pytest.approx(1000 * 30 / 1e6)
    assert found.value("masters") == 1
    assert found.value("partitions") == 16
    assert found.value("cores that answer") == pytest.approx(2 + 3000 * 10 / 1e6)
    assert found.value("of each, to follow the log") == pytest.approx(0.003)
    assert found.value("server processes, a core each") == math.ceil(2.03 / (BUSY_SHARE - 0.003))
    assert found.value("memory of each") == pytest.approx(10.1)
    assert found.value("change log to each server") == pytest.approx(3000 * 80 / 1e6)
    assert found.value("a snapshot, and a back-up") == pytest.approx(found.value("all of it, but the change log") / 2)


@given(demands)
def test_more_of_anything_never_needs_less(demand: Demand) -> None:
    small = {step.name: step.value for step in size(demand).steps}
    for name in ("positions", "questions", "reservations", "movements", "retention_hours"):
        large = {step.name: step.value for step in size(replace(demand, **{name: 2 * getattr(demand, name)})).steps}
        assert all(large[each] >= small[each] for each in small)


def test_the_command_says_how_it_came_to_each_figure() -> None:
    line = CommandLine("127.0.0.1:1")
    told = line.json("size", "--positions", "1000000", "--rps", "5000", "--reservations-rate", "200")
    found = size(Demand(positions=1e6, questions=5000, reservations=200))
    assert [(step["name"], step["value"]) for step in told["steps"]] == [(s.name, s.value) for s in found.steps]
    assert set(told["constants"]) == set(found.constants)
    text = line.run("size", "--positions", "1000000").stdout
    assert "1,000,000 x" in text
    beyond = line.run("size", "--positions", "1e8", "--reservations-rate", "1e6")
    assert "too many" in beyond.stdout
    assert "beyond what servers" in beyond.stderr
    assert json.dumps(line.json("size", "--positions", "1e8", "--reservations-rate", "1e6"), allow_nan=False)
