"""Who goes short, and when those who wait have their units: rules that hold for any queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.kept import Waiting, days_of_waiting, who_is_short

units = st.integers(1, 20)
reserved = st.lists(st.tuples(st.integers(0, 5), units), max_size=8).map(
    lambda rows: [(made_at, (0, leg), count) for leg, (made_at, count) in enumerate(rows)]
)


@given(st.integers(0, 60), reserved, st.randoms(use_true_random=False))
def test_the_oldest_keep_their_units(on_hand: int, rows: list, random) -> None:
    """Unit by unit, in the order of age, whatever order they are looked at in."""
    expected, left = [], on_hand
    for _, leg, count in sorted(rows):
        there = sum(1 for unit in range(count) if unit < left)
        left -= there
        if there < count:
            expected.append(Waiting(leg, count - there))
    shuffled = list(rows)
    random.shuffle(shuffled)
    found = who_is_short(on_hand, shuffled)
    assert expected == found
    assert sum(one.units for one in found) == max(0, sum(count for _, _, count in rows) - on_hand)
    assert sum(one.units < {leg: count for _, leg, count in rows}[one.leg] for one in found) <= 1


@given(st.lists(units, max_size=8), st.lists(st.tuples(st.integers(1, 30), units), max_size=8))
def test_each_has_its_units_on_the_day_of_the_last_of_them(wanted: list[int], coming: list[tuple[int, int]]) -> None:
    """Unit by unit: the n-th unit that is waited for is the n-th that comes."""
    days = [day for day, count in sorted(coming) for _ in range(count)]
    expected, first = {}, 0
    for leg, count in enumerate(wanted):
        first += count
        if first <= len(days):
            expected[0, leg] = days[first - 1]
    queue = [Waiting((0, leg), count) for leg, count in enumerate(wanted)]
    assert expected == days_of_waiting(queue, coming)
