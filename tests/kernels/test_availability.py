"""What can be taken: kernels against their definitions, up to 2^53-1 units."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.domain.stock import UNITS_MAX, safety_units
from invengine.kernels.availability import safety_units as safety_units_kernel
from invengine.kernels.layout import TERM_COLUMNS
from invengine.v1 import availability_service_pb2 as pb
from tests.kernels import reference
from tests.kernels.strategies import SKUS, Worlds, compiled, locations, parts, selections, skus, units, worlds

ignored_units = st.dictionaries(locations, st.integers(0, 30), max_size=3)


@given(units, units, parts)
def test_safety_stock_is_exact_up_to_the_largest_quantity(on_hand: int, least: int, share: int) -> None:
    assert safety_units(on_hand, least, share) == safety_units_kernel(on_hand, least, share)


@given(worlds(), selections, ignored_units, st.integers(0, 100))
def test_positions_and_their_message_agree_with_the_definition(
    both: Worlds, selection: reference.Selection, ignored: dict[str, int], threshold: int
) -> None:
    """Terms, reasons and level; the message is byte for byte what protobuf writes."""
    columns, chosen = both.columns, compiled(selection, both.columns.locations)
    terms = np.empty((len(SKUS), TERM_COLUMNS), np.int64)
    out = np.empty(len(SKUS) * 128 + 16, np.uint8)
    for sku in both.state.skus:
        number = columns.find_sku(sku)
        arrays = number, columns.positions, columns.skus, chosen.block, chosen.units(ignored)
        expected = reference.available_positions(both.state, sku, selection, ignored)
        count = kernels.available_positions(*arrays, terms)
        assert [
            reference.Terms(chosen.asked[rank], *numbers, tuple(bit for bit in range(8) if reasons >> bit & 1))
            for rank, *numbers, reasons in terms[:count].tolist()
        ] == expected
        length = kernels.answer_availability(*arrays, chosen.names, chosen.name_ends, threshold, terms, out)
        message = reference.answer_availability(both.state, sku, selection, threshold, ignored)
        assert pb.GetAvailabilityResponse.FromString(out[:length].tobytes()) == message
        assert out[:length].tobytes() == message.SerializeToString(deterministic=True)


@given(worlds(), selections, st.lists(skus, max_size=20))
def test_totals_and_rows_agree_with_the_definition(
    both: Worlds, selection: reference.Selection, wanted: list[str]
) -> None:
    columns, chosen = both.columns, compiled(selection, both.columns.locations)
    numbers = np.array([columns.find_sku(sku) for sku in wanted], np.int64)
    arrays = numbers, columns.positions, columns.skus, chosen.block
    status, totals = np.empty(len(wanted), np.uint8), np.empty(len(wanted), np.int64)
    expected = reference.available_totals(both.state, wanted, selection)

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
    assert reference.available_rows(both.state, wanted, selection) == found
    for sku, number in zip(wanted, numbers.tolist(), strict=True):
        if number >= 0:
            assert reference.available_total(both.state, sku, selection) == kernels.available_total(
                number, columns.positions, columns.skus, chosen.block
            )


def test_sums_stop_at_two_to_the_62_instead_of_wrapping() -> None:
    both = Worlds()
    names = [f"L{i}" for i in range(1100)]
    both.apply(0, 1, "".join(f"P\tBIG\t{name}\t{UNITS_MAX}\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n" for name in names))
    selection = {name: reference.Asked() for name in names}
    chosen = compiled(selection, both.columns.locations)
    total = kernels.available_total(0, both.columns.positions, both.columns.skus, chosen.block)
    assert reference.available_total(both.state, "BIG", selection) == total == 2**62


def test_an_answer_without_room_says_how_much_it_needs() -> None:
    both = Worlds()
    both.apply(0, 1, "".join(f"P\tA\tL{i}\t1\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n" for i in range(3)))
    chosen = compiled({"L0": reference.Asked()}, both.columns.locations)
    arrays = (
        0,
        both.columns.positions,
        both.columns.skus,
        chosen.block,
        chosen.units({}),
        chosen.names,
        chosen.name_ends,
    )
    terms, out = np.empty((3, TERM_COLUMNS), np.int64), np.zeros(3 * 128 + 16, np.uint8)
    assert kernels.answer_availability(*arrays, 0, terms[:2], out) == -3
    assert kernels.answer_availability(*arrays, 0, terms, out[:-1]) == -3
    assert not out.any()
    assert kernels.answer_availability(*arrays, 0, terms, out) > 0
