"""The estimate of Redis's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.replica.clock import StoreClock


class Local:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_without_an_answer_there_is_no_time() -> None:
    with pytest.raises(RuntimeError, match="not asked"):
        StoreClock().now_ms()


@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 0.2), st.floats(0.0, 30.0)), min_size=1, max_size=20))
def test_the_estimate_is_within_what_the_best_answer_allows(answers: list[tuple[float, float, float]]) -> None:
    """Each answer: seconds to the store, seconds back, seconds until the next. The clocks run alike."""
    local, true_ms = Local(), 1_700_000_000_000.0
    clock = StoreClock(local)
    best = float("inf")
    for there, back, pause in answers:
        sent = local.seconds
        answered = int(true_ms + there * 1000)
        local.seconds += there + back
        true_ms += (there + back) * 1000
        clock.observe(answered, sent, local.seconds)
        best = min(best, (there + back) * 1000 + 1)
        local.seconds += pause
        true_ms += pause * 1000
    assert abs(clock.now_ms() - true_ms) <= best + 1


def test_small_corrections_never_take_the_clock_back() -> None:
    local = Local()
    clock = StoreClock(local)
    clock.observe(5_000_000, 100.0, 100.0)
    assert clock.now_ms() == 5_000_000
    clock.observe(4_999_900, 100.0, 100.0)
    assert clock.now_ms() == 5_000_000
    local.seconds += 1
    assert clock.now_ms() == 5_000_900


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_step_of_the_stores_clock_is_followed(step_ms: int) -> None:
    local = Local()
    clock = StoreClock(local)
    clock.observe(50_000_000, 100.0, 100.0)
    clock.now_ms()
    clock.observe(50_000_000 + step_ms, 100.0, 100.0)
    assert clock.now_ms() == 50_000_000 + step_ms
