"""What is left of capacity: counted from positions."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.domain.capacity import capacity_day, day_of_capacity
from invengine.domain.days import day_number
from invengine.kernels.layout import EXPIRED, LOCATION, SLOT_COLUMNS
from invengine.replica.columns import Columns
from invengine.replica.index import Locations
from tests.kernels import reference

FIRST = date(2026, 11, 20)
DAYS = 6
few = st.integers(0, 9)
slots = st.dictionaries(st.integers(-2, DAYS + 2), st.tuples(few, few, few), max_size=9)
"""By day: held, of these over by the clock, used up."""


@given(st.lists(st.tuples(st.integers(1, 99), slots), min_size=1, max_size=4), st.booleans())
def test_room_is_capacity_without_what_is_held_and_used(
    rules: list[tuple[int, dict[int, tuple[int, int, int]]]], is_known: bool
) -> None:
    columns = Columns(Locations())
    columns.load([("LAMP", {b"AMS1": b"7,3,0,1"})], 1)
    taken = {}
    for number, (_, days) in enumerate(rules):
        places = {
            capacity_day(day_number(FIRST) + day).encode(): b"%d,%d,0,1" % (used, held)
            for day, (held, _, used) in days.items()
        }
        if places:
            columns.load([(f" capacity SHIP L{number}", places)], 1)
        taken[number] = [(FIRST + timedelta(days=day), *numbers) for day, numbers in days.items()]
    _expire(columns, rules)
    day_of = np.array([_day(name) for name in columns.locations.names], np.int64)
    found = np.full((len(rules) + 1, DAYS + 2), -7, np.int64)
    block = np.array(
        [
            (line + 1, columns.find_sku(f" capacity SHIP L{line}") if is_known else -1, capacity)
            for line, (capacity, _) in enumerate(rules)
        ],
        np.int64,
    ).reshape(-1, SLOT_COLUMNS)
    kernels.count_slots(day_number(FIRST), block, day_of, columns.positions, columns.skus, found)
    for line, (capacity, _) in enumerate(rules):
        expected = [
            reference.count_slots(capacity, taken[line] if is_known else [], FIRST + timedelta(days=day))
            for day in range(DAYS)
        ]
        assert expected == found[line + 1, :DAYS].tolist()
    assert set(found[0].tolist()) == {-7}


def _day(name: str) -> int:
    return day_of_capacity(name) if name[0].isdigit() else 0


def _expire(columns: Columns, rules: list[tuple[int, dict[int, tuple[int, int, int]]]]) -> None:
    """Marks held slots as over, as the clock does."""
    for number, (_, days) in enumerate(rules):
        sku = columns.find_sku(f" capacity SHIP L{number}")
        if sku < 0:
            continue
        first, rows = columns.skus[sku, :2].tolist()
        for row in range(first, first + rows):
            day = day_of_capacity(columns.locations.names[columns.positions[row, LOCATION]]) - day_number(FIRST)
            columns.positions[row, EXPIRED] = days[day][1]
