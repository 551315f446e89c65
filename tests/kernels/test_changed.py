"""Which SKUs changed: what is noted, and what a revision tells."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from tests.kernels import reference
from tests.kernels.strategies import SKUS, Worlds, rows, seconds

entries = st.tuples(st.just(0), st.integers(1, 9), st.lists(rows(), max_size=6).map("".join))
steps = st.lists(st.one_of(entries, seconds, st.none()), max_size=25)


@given(steps)
def test_every_sku_that_changes_is_noted_once_until_somebody_looks(
    taken: list[tuple[int, int, str] | int | None],
) -> None:
    """By rows, and by the clock in both directions; None is a look."""
    both = Worlds()
    both.columns.note_changes(True)
    for step in taken:
        if step is None:
            expected, found = both.taken()
            assert expected == found
        elif isinstance(step, int):
            both.advance(step)
        else:
            both.apply(*step)
    expected, found = both.taken()
    assert expected == found
    assert both.taken() == ([], [])


@given(steps)
def test_nothing_is_noted_while_nobody_watches(taken: list[tuple[int, int, str] | int | None]) -> None:
    both = Worlds()
    for step in taken:
        if isinstance(step, int):
            both.advance(step)
        elif step is not None:
            both.apply(*step)
    assert not both.columns.has_changed
    assert both.columns.take_changed()[0].tolist() == []


def test_thousands_of_new_skus_are_noted_while_the_arrays_grow() -> None:
    both = Worlds()
    both.columns.note_changes(True)
    lines = [f"P\tSKU-{i}\tAMS1\t{i}\t3\t0\t1\t0\tCOUNT\t\t\t\t\t0\t\n" for i in range(3000)]
    both.apply(0, 7, "".join(lines + lines[:10]))
    numbers, positions = both.columns.take_changed()
    assert numbers.tolist() == list(range(3000))
    assert positions == 3010


@given(steps, st.integers(0, 9))
def test_what_a_revision_and_the_clock_tell_of_a_sku(taken: list[tuple[int, int, str] | int | None], seen: int) -> None:
    both = Worlds()
    for step in taken:
        if isinstance(step, int):
            both.advance(step)
        elif step is not None:
            both.apply(*step)
    numbers = np.array([both.columns.find_sku(sku) for sku in SKUS], np.int64)
    out = np.empty(len(SKUS), np.uint8)
    kernels.changed_since(numbers, np.array([seen], np.int64), both.columns.positions, both.columns.skus, out)
    assert reference.changed_since(both.state, SKUS, dict.fromkeys(SKUS, seen)) == out.astype(bool).tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_slots_that_changed_after_a_count(changed_at: list[int], data: st.DataObject) -> None:
    slots = data.draw(st.lists(st.integers(0, len(changed_at) - 1)))
    count = data.draw(st.integers(0, 6))
    out = np.empty(len(slots), np.int64)
    found = kernels.newer_slots(np.array(slots, np.int64), np.array(changed_at, np.int64), count, out)
    assert reference.newer_slots(slots, changed_at, count) == out[:found].tolist()
