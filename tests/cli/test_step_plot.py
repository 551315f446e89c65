"""Units over days, drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from invengine.cli.step_plot import BLOCKS, PLAIN_BLOCKS, step_plot


def test_a_step_rises_on_its_day() -> None:
    lines = step_plot([(0, 2), (4, 8)], 8, ("today", "then"), width=40, height=2)
    assert lines == [
        "8 │    ████",
        "0 │▄▄▄▄████",
        "  └────────",
        "   today then",
    ]


def test_more_days_than_columns_are_sampled_from_the_first_to_the_last() -> None:
    lines = step_plot([(0, 0), (50, 10), (99, 20)], 100, ("a", "b"), width=14, height=1)
    assert lines == ["20 │     ▄▄▄▄█", "   └──────────", "    a        b"]


def test_any_units_are_seen_and_nothing_is_nothing() -> None:
    assert step_plot([(0, 1), (1, 10_000)], 2, ("a", "b"), width=20, height=1)[0] == "10000 │▁█"
    assert step_plot([(0, 0)], 3, ("a", "b"), width=20, height=1)[0] == "0 │"


def test_where_blocks_cannot_be_written_it_is_plain() -> None:
    lines = step_plot([(0, 2), (2, 8)], 4, ("a", "b"), width=20, height=1, blocks=PLAIN_BLOCKS)
    assert lines == ["8 |..##", "  +----", "   a  b"]
    assert "".join(lines).isascii()


@given(
    st.dictionaries(st.integers(1, 729), st.integers(1, 2**53), max_size=8),
    st.integers(0, 2**53),
    st.integers(1, 730),
    st.integers(0, 200),
    st.integers(1, 12),
)
def test_it_is_as_wide_and_high_as_told_and_never_falls(
    gains: dict[int, int], first: int, days: int, width: int, height: int
) -> None:
    points, units = [(0, first)], first
    for day, gain in sorted(gains.items()):
        if day < days:
            units += gain
            points.append((day, units))
    lines = step_plot(points, days, ("2026-11-22", "2027-02-19"), width=width, height=height)
    assert len(lines) == height + 2
    margin = max(len(str(units)), 1) + 2
    room = max(1, min(days, width - margin))
    drawn = [line[margin:].ljust(room) for line in lines[:height]]
    assert all(len(row) == room for row in drawn)
    heights = [sum(BLOCKS.index(row[column]) for row in drawn) for column in range(room)]
    assert heights == sorted(heights)
    if room > 1:
        assert heights[-1] == (8 * height if units else 0)
    if first:
        assert heights[0] >= 1
