"""Units over days as a plot of block characters, for terminals and for files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
PLAIN_BLOCKS: Final = " ....####"
"""For outputs that cannot write the blocks."""

_EIGHTHS: Final = 8

Point = tuple[int, int]
"""From this day on (0 is the first) so many units."""


def step_plot(
    points: Sequence[Point], days: int, ends: tuple[str, str], *, width: int, height: int = 8, blocks: str = BLOCKS
) -> list[str]:
    """The lines of the plot, at most `width` characters each: units upwards, `days` days to the right.

    `points` begin with day 0. A column is the day at its place, the first one the first day and the last one the last;
    where it has any units it shows some. `ends` are the words below the first and the last column.
    """
    top = max(units for _, units in points)
    marks = {0: "0", height - 1: str(top)}
    margin = max(len(mark) for mark in marks.values())
    count = max(1, min(days, width - margin - 2))
    eighths = [_eighths(units, top, height) for units in _sampled(points, days, count)]
    is_plain = not blocks.isascii()
    corner, wall, floor = ("└", "│", "─") if is_plain else ("+", "|", "-")
    lines = []
    for row in range(height - 1, -1, -1):
        cells = "".join(blocks[min(max(filled - row * _EIGHTHS, 0), _EIGHTHS)] for filled in eighths)
        lines.append(f"{marks.get(row, ''):>{margin}} {wall}{cells}".rstrip())
    lines.append(f"{'':>{margin}} {corner}{floor * count}")
    first, last = ends
    gap = max(1, count - len(first) - len(last))
    lines.append(f"{'':>{margin}}  {first}{' ' * gap}{last}" if count > 1 else f"{'':>{margin}}  {first}")
    return lines


def _sampled(points: Sequence[Point], days: int, count: int) -> list[int]:
    """The units on the day of each column."""
    found, place = [], 0
    for column in range(count):
        day = column * (days - 1) // (count - 1) if count > 1 else 0
        while place + 1 < len(points) and points[place + 1][0] <= day:
            place += 1
        found.append(points[place][1])
    return found


def _eighths(units: int, top: int, height: int) -> int:
    """Eighths of a line that a column fills: all of it for the most units, something for any."""
    if not units:
        return 0
    return max(1, units * height * _EIGHTHS // top)
