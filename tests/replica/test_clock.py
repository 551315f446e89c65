"""The estimate of Redis's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.replica.clock import LEAD, StoreClock, uptime_seconds


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


def stepped(seconds: float) -> tuple[Local, StoreClock, list[float]]:
    """A clock at 50,000 s whose Redis was set by so many seconds, in the moment after it was asked first."""
    local, steps = Local(), list[float]()
    clock = StoreClock(local, on_step=steps.append)
    clock.observe(50_000_000, local.seconds, local.seconds)
    clock.observe(50_000_000 + round(seconds * 1000), local.seconds, local.seconds)
    return local, clock, steps


@pytest.mark.parametrize("seconds", [-60, -5, 5, 60])
def test_a_small_step_of_redis_is_taken_as_it_is(seconds: int) -> None:
    _, clock, steps = stepped(seconds)
    assert clock.now_ms() == clock.latest_ms() == clock.for_call() == 50_000_000 + seconds * 1000
    assert steps == []


@pytest.mark.parametrize("seconds", [-100_000_000, -3600, -61, 61, 3600, 100_000_000])
def test_a_step_of_redis_is_counted_and_told_and_the_clock_goes_on(
    seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    local, clock, steps = stepped(seconds)
    assert clock.now_ms() == 50_000_000
    assert clock.latest_ms() == 50_000_000 + max(0, seconds * 1000)
    assert clock.ahead_seconds == seconds
    assert steps == [pytest.approx(seconds, abs=0.01)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    local.seconds += 900
    assert abs(clock.now_ms() - 50_900_000) <= 3_600
    assert steps == [pytest.approx(seconds, abs=0.01)]


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_the_clock_is_led_to_the_new_one_evenly_and_goes_by_it_in_the_end(seconds: int) -> None:
    """However often it is asked, and whether Redis answers meanwhile or not."""
    local, clock, steps = stepped(seconds)
    redis_ms, before = 50_000_000 + seconds * 1000, clock.now_ms()
    for _ in range(250):
        local.seconds += 3600
        redis_ms += 3_600_000
        clock.now_ms()
        clock.observe(redis_ms, local.seconds, local.seconds)
        assert abs(clock.now_ms() - before - 3_600_000) <= 3_600_000 * LEAD + 1
        before = clock.now_ms()
        assert clock.for_call() == -before or clock.ahead_seconds == 0
    assert clock.now_ms() == clock.for_call() == redis_ms
    assert len(steps) == 1


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_the_last_part_of_a_step_is_no_step(seconds: int) -> None:
    """Within a minute of the new clock the functions are still told to go by the estimate."""
    local, clock, _ = stepped(seconds)
    local.seconds += (3600 - 30) / LEAD
    assert clock.for_call() == -clock.now_ms()
    assert abs(clock.ahead_seconds) == pytest.approx(30)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_right_again_is_followed_soon(seconds: int) -> None:
    local, clock, steps = stepped(seconds)
    local.seconds += 100
    clock.now_ms()
    clock.observe(50_100_000, local.seconds, local.seconds)
    assert abs(clock.now_ms() - 50_100_000) <= 400
    local.seconds += 100
    assert clock.now_ms() == clock.for_call() == 50_200_000
    assert [round(step) for step in steps] == [seconds, -seconds]


def test_before_the_first_answer_calls_say_no_time() -> None:
    clock = StoreClock()
    assert (clock.for_call(), clock.ahead_seconds) == (0, 0)


def test_a_slow_answer_is_no_step() -> None:
    """It says only that Redis's clock was somewhere in between."""
    local = Local()
    clock = StoreClock(local)
    clock.observe(50_000_000, 100.0, 100.0)
    local.seconds += 300
    clock.observe(50_000_000, 100.0, 400.0)
    assert (clock.now_ms(), clock.ahead_seconds) == (50_300_000, 0)


def test_the_local_clock_is_one_that_nobody_sets() -> None:
    before = uptime_seconds()
    assert before <= StoreClock().local() <= uptime_seconds()
