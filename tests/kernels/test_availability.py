"""What can be taken: kernels against their definitions, up to 2^53-1 units."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.domain.stock import UNITS_MAX, ConfidenceRule, safety_units
from invengine.kernels.availability import safety_units as safety_units_kernel
from invengine.kernels.layout import (
    ANSWER_BYTES_MORE,
    KIT_COLUMNS,
    MOMENTS_END,
    POSITION_BYTES_MAX,
    REASONS_MAX,
    TERM_COLUMNS,
)
from invengine.v1 import availability_service_pb2 as pb
from tests.kernels import reference
from tests.kernels.reference import NOW_MS, Asked, Asker, Ignored
from tests.kernels.strategies import (
    LOCATIONS,
    SKUS,
    Worlds,
    askers,
    compiled,
    ignored_units,
    parts,
    selections,
    skus,
    units,
    worlds,
)


@given(units, units, parts)
def test_safety_stock_is_exact_up_to_the_largest_quantity(on_hand: int, least: int, share: int) -> None:
    assert safety_units(on_hand, least, share) == safety_units_kernel(on_hand, least, share)


@given(
    worlds(), selections, ignored_units, askers, st.dictionaries(st.sampled_from(("", *LOCATIONS)), st.integers(0, 100))
)
def test_positions_and_their_message_agree_with_the_definition(
    both: Worlds, selection: reference.Selection, ignored: dict[str, Ignored], asker: Asker, thresholds: dict[str, int]
) -> None:
    """Terms, reasons and level; the message is byte for byte what protobuf writes."""
    columns, chosen = both.columns, compiled(selection, both.columns, asker)
    terms = np.empty((len(SKUS), TERM_COLUMNS), np.int64)
    low = np.array([thresholds.get(name, 0) for name in ("", *chosen.asked)], np.int64)
    out = np.empty(len(SKUS) * POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
    for sku in both.state.skus:
        number = columns.find_sku(sku)
        arrays = number, columns.positions, columns.skus, columns.fences, chosen.block, chosen.ignored(ignored, asker)
        expected = reference.available_positions(both.state, sku, selection, ignored, asker)
        count = kernels.available_positions(*arrays, terms)
        assert [
            reference.Terms(
                chosen.asked[rank],
                *numbers,
                tuple(bit for bit in range(REASONS_MAX + 1) if reasons >> bit & 1),
                others,
                own,
                uncertain,
            )
            for rank, *numbers, reasons, others, own, uncertain in terms[:count].tolist()
        ] == expected
        length = kernels.answer_availability(*arrays, chosen.names, chosen.name_ends, low, terms, out)
        message = reference.answer_availability(both.state, sku, selection, thresholds, ignored, asker)
        assert pb.GetAvailabilityResponse.FromString(out[:length].tobytes()) == message
        assert out[:length].tobytes() == message.SerializeToString(deterministic=True)


@given(worlds(), selections, askers, st.lists(skus, max_size=20))
def test_totals_and_rows_agree_with_the_definition(
    both: Worlds, selection: reference.Selection, asker: Asker, wanted: list[str]
) -> None:
    columns, chosen = both.columns, compiled(selection, both.columns, asker)
    numbers = np.array([columns.find_sku(sku) for sku in wanted], np.int64)
    arrays = numbers, columns.positions, columns.skus, columns.fences, chosen.block
    status, totals = np.empty(len(wanted), np.uint8), np.empty(len(wanted), np.int64)
    expected = reference.available_totals(both.state, wanted, selection, asker)

    kernels.available_totals(*arrays, status, totals)
    assert expected == list(zip(status.tolist(), totals.tolist(), strict=True))

    room = kernels.rows_at_most(numbers, columns.skus)
    assert reference.rows_at_most(both.state, wanted) == room
    row_counts, index, available = np.empty(len(wanted), np.int32), np.empty(room, np.int32), np.empty(room, np.int64)
    status[:], totals[:] = 0, -1
    rows = kernels.available_rows(*arrays, status, totals, row_counts, index, available)
    assert rows == row_counts.sum()
    index, available = index[:rows], available[:rows]
    assert expected == list(zip(status.tolist(), totals.tolist(), strict=True))
    ends = np.cumsum(row_counts)
    found = [
        {chosen.usable[place]: quantity for place, quantity in zip(places, quantities, strict=True)}
        for places, quantities in zip(
            np.split(index, ends[:-1]) if wanted else (), np.split(available, ends[:-1]) if wanted else (), strict=True
        )
    ]
    assert reference.available_rows(both.state, wanted, selection, asker) == found
    for sku, number in zip(wanted, numbers.tolist(), strict=True):
        if number >= 0:
            assert reference.available_total(both.state, sku, selection, asker) == kernels.available_total(
                number, columns.positions, columns.skus, columns.fences, chosen.block
            )


@given(worlds(), selections, askers, st.dictionaries(skus, st.integers(1, 9) | st.just(10**6), min_size=1, max_size=4))
def test_kits_agree_with_their_definition(
    both: Worlds, selection: reference.Selection, asker: Asker, kit: dict[str, int]
) -> None:
    """At each location as many as of the component of which there is the least; nothing where one never was."""
    columns, chosen = both.columns, compiled(selection, both.columns, asker)
    numbers = np.array([columns.find_sku(sku) for sku in kit], np.int64)
    found = np.full((len(chosen.usable), KIT_COLUMNS), -1, np.int64)
    total = kernels.available_kits(
        numbers,
        np.array(list(kit.values()), np.int64),
        columns.positions,
        columns.skus,
        columns.fences,
        chosen.block,
        found,
    )
    expected = reference.available_kits(both.state, kit, selection, asker)
    assert expected == {name: tuple(line) for name, line in zip(chosen.usable, found.tolist(), strict=True)}
    assert total == min(sum(kits for kits, _ in expected.values()), 2**62)


moments = st.integers(NOW_MS - 20_000, NOW_MS + 20_000)


@given(worlds(), selections, st.lists(skus, max_size=9), moments, moments)
def test_what_time_alone_changes_agrees_with_its_definition(
    both: Worlds, selection: reference.Selection, wanted: list[str], after: int, until: int
) -> None:
    columns, chosen = both.columns, compiled(selection, both.columns)
    numbers = np.array([columns.find_sku(sku) for sku in wanted], np.int64)
    begun = np.full(len(wanted), 7, np.uint8)
    coming = kernels.rules_begun(numbers, columns.positions, columns.skus, chosen.block, after, until, begun)
    expected, moments_of_all = reference.rules_begun(both.state, wanted, selection, after, until)
    assert begun.tolist() == expected
    assert coming == min([moment for moment in moments_of_all if moment > NOW_MS], default=MOMENTS_END)


@given(st.lists(units, max_size=9), units)
def test_levels_agree_with_their_definition(totals: list[int], threshold: int) -> None:
    levels = np.zeros(len(totals), np.uint8)
    kernels.stock_levels(np.array(totals, np.int64), threshold, levels)
    assert reference.stock_levels(totals, threshold) == levels.tolist()


def test_sums_stop_at_two_to_the_62_instead_of_wrapping() -> None:
    both = Worlds()
    names = [f"L{i}" for i in range(1100)]
    both.apply(0, 1, "".join(f"P\tBIG\t{name}\t{UNITS_MAX}\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n" for name in names))
    selection = {name: Asked() for name in names}
    chosen, columns = compiled(selection, both.columns), both.columns
    total = kernels.available_total(0, columns.positions, columns.skus, columns.fences, chosen.block)
    assert reference.available_total(both.state, "BIG", selection) == total == 2**62


def test_an_answer_without_room_says_how_much_it_needs() -> None:
    both = Worlds()
    both.apply(0, 1, "".join(f"P\tA\tL{i}\t1\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n" for i in range(3)))
    chosen = compiled({"L0": Asked()}, both.columns)
    arrays = (
        0,
        both.columns.positions,
        both.columns.skus,
        both.columns.fences,
        chosen.block,
        chosen.ignored({}, Asker()),
        chosen.names,
        chosen.name_ends,
    )
    terms, out = np.empty((3, TERM_COLUMNS), np.int64), np.zeros(3 * POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
    low = np.zeros(2, np.int64)
    assert kernels.answer_availability(*arrays, low, terms[:2], out) == -3
    assert kernels.answer_availability(*arrays, low, terms, out[:-1]) == -3
    assert not out.any()
    assert kernels.answer_availability(*arrays, low, terms, out) > 0


def test_the_longest_position_fits_into_its_room() -> None:
    """Every number at its most, the longest name, all the reasons that go together."""
    both, location = Worlds(), "L" * 64
    rows = [f"P\tA\t{location}\t{UNITS_MAX}\t{2**40}\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n"]
    rows += [f"F\tA\t{location}\tC{i}\t{UNITS_MAX}\t\n" for i in range(600)]
    both.apply(0, 1, "".join(rows))
    both.check()
    rules = (ConfidenceRule(1, 0, 2**50, 0),)
    selection, asker = {location: Asked(units=2**51, rules=rules)}, Asker("C7")
    chosen, columns = compiled(selection, both.columns, asker), both.columns
    terms, out = np.empty((1, TERM_COLUMNS), np.int64), np.zeros(POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
    ignored = {location: Ignored(1, {"C7": 1})}
    length = kernels.answer_availability(
        0,
        columns.positions,
        columns.skus,
        columns.fences,
        chosen.block,
        chosen.ignored(ignored, asker),
        chosen.names,
        chosen.name_ends,
        np.zeros(2, np.int64),
        terms,
        out,
    )
    message = reference.answer_availability(both.state, "A", selection, {}, ignored, asker)
    assert pb.GetAvailabilityResponse.FromString(out[:length].tobytes()) == message
    assert message.positions[0].ByteSize() > 127  # so that its length takes two bytes
    assert (message.positions[0].fenced, message.positions[0].own_fence) == (2**62, UNITS_MAX)
