"""Decoding log rows and loading positions, against plain text handling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.layout import (
    FENCE_SLOTS,
    PARTS_BITS,
    PARTS_MASK,
    POSITION_COUNT,
    ROW_COUNT,
    SAFETY_PARTS,
    SAFETY_UNITS,
)
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.index import Locations
from tests.kernels import reference
from tests.kernels.strategies import (
    LOCATIONS,
    SKUS,
    Worlds,
    channels,
    locations,
    parts,
    rows,
    seconds,
    skus,
    units,
    worlds,
)

entries = st.tuples(st.integers(0, 2), st.integers(1, 9), st.lists(rows(), max_size=8).map("".join))
steps = st.lists(st.one_of(entries, seconds), max_size=25)


@given(steps)
def test_rows_and_the_clock_leave_what_the_definition_says(taken: list[tuple[int, int, str] | int]) -> None:
    """Positions in any order of revisions, holds made, changed, ended, over; the clock goes forward and back."""
    both = Worlds()
    for step in taken:
        if isinstance(step, int):
            both.advance(step)
        else:
            both.apply(*step)
        both.check()


@given(st.lists(entries, min_size=1, max_size=20))
def test_many_entries_at_once_are_the_same_as_one_by_one(taken: list[tuple[int, int, str]]) -> None:
    columns, state = Columns(Locations()), reference.State()
    ends = np.cumsum([len(text.encode()) for *_, text in taken])
    spans = [
        (partition, revision, int(end) - len(text.encode()), int(end))
        for (partition, revision, text), end in zip(taken, ends, strict=True)
    ]
    passed = columns.apply("".join(text for *_, text in taken).encode(), np.array(spans, np.int64))
    expected = []
    for place, (partition, revision, text) in enumerate(taken):
        before = len(state.passed)
        reference.apply_rows(state, partition, revision, text)
        expected += [(place, row.encode()) for row in state.passed[before:]]
    assert state.rows() == list(columns.all_positions())
    assert state.ring_fences() == list(columns.all_ring_fences())
    assert expected == passed


def test_structures_grow_while_rows_are_applied() -> None:
    """Thousands of SKUs, positions, holds, ring-fences and locations in one call, long names among them."""
    lines = []
    for i in range(6000):
        sku, location = f"SKU-{i % 3000}" + "-LONG" * (i % 7 * 2), f"LOC{i % 200}"
        lines.append(f"P\t{sku}\t{location}\t{i}\t3\t0\t1\t0\tCOUNT\t\t\t\t\t0\t\n")
        lines.append(f"H\t{i}\t{sku}\t{location}\t2\t{i % 500 + 1}\t{i % 2}\t{'web' * (i % 2)}\t\n")
        lines.append(f"F\t{sku}\t{location}\tchannel-{i % 300}\t{i % 3}\t\n")
        lines.append(f"I\t{sku}\t{location}\tPO{i}\t20000\t5\t0\tSET\terp\te\t\n")
    both = Worlds()
    both.apply(1, 7, "".join(lines))
    both.check()
    for second in (100, 350, 2**17, 40):
        both.advance(second)
    both.check()
    for i in range(0, 6000, 3):
        lines[4 * i + 1] = lines[4 * i + 1].rsplit("\t", 5)[0] + "\t0\t0\t0\t\t\n"
    both.apply(1, 8, "".join(lines))
    both.check()


@given(st.lists(entries, max_size=3), st.text("PHRFIBG\t\n0123456789aé-", max_size=40))
def test_whatever_is_not_a_row_is_refused(before: list[tuple[int, int, str]], text: str) -> None:
    """The kernel takes exactly what the definition takes."""
    both = Worlds()
    for entry in before:
        both.apply(*entry)
    encoded = text.encode()
    spans = np.array([[0, 9, 0, len(encoded)]], np.int64)
    try:
        reference.apply_rows(both.state, 0, 9, text)
    except reference.Malformed:
        with pytest.raises(LogMalformed):
            both.columns.apply(encoded, spans)
    else:
        both.columns.apply(encoded, spans)
        both.check()


_GOOD = "P\tLAMP\tAMS1\t5\t1\t0\t5\t0\tRECEIPT\tdock\te1\t\t\t0\t\n"


@pytest.mark.parametrize(
    "row",
    [
        _GOOD[:-1],  # no line feed
        _GOOD.replace("\t\n", "\n"),  # the last column has no end
        _GOOD.replace("\t5\t1\t", "\t-5\t1\t"),
        _GOOD.replace("\t5\t1\t", "\t5.0\t1\t"),
        _GOOD.replace("\t5\t1\t", "\t\t1\t"),
        _GOOD.replace("\t5\t1\t", f"\t{2**53}\t1\t"),
        _GOOD.replace("\t5\t1\t", f"\t{10**18}\t1\t"),
        _GOOD.replace("LAMP", ""),
        _GOOD.replace("AMS1", ""),
        _GOOD.replace("RECEIPT\t", ""),
        _GOOD.replace("RECEIPT", "RECEIPT\tmore"),
        _GOOD.replace("P", "q", 1),
        _GOOD.replace("P\t", "PP\t", 1),
        "H\t1\tLAMP\tAMS1\t1\t2\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\t0\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\t0\t\t\t\n",
        "H\tx\tLAMP\tAMS1\t1\t2\t0\t\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\t1\t\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\t0\tweb\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\t2\tweb\t\n",
        "H\t1\tLAMP\tAMS1\t1\t2\tx\tweb\t\n",
        "F\tLAMP\tAMS1\tweb\t\n",
        "F\tLAMP\tAMS1\t\t1\t\n",
        "F\tLAMP\tAMS1\tweb\t-1\t\n",
        "F\tLAMP\tAMS1\tweb\t1\t2\t\n",
        "F\tLAMP\t\tweb\t1\t\n",
        "I\tLAMP\tAMS1\tPO\t1\t2\t0\tSET\terp\t\n",
        "I\tLAMP\tAMS1\tPO\t1\t2\t0\tSET\terp\te\tBER\tmore\t\n",
        "B\t1\t2\tr\tl\tLAMP\tAMS1\tPO\t\t0\t\n",
        "R\tid\tHELD\t\n",
        "G\tid\tHELD\t\n",
        "\n",
        "\t\n",
    ],
)
def test_a_malformed_row_is_named(row: str) -> None:
    both = Worlds()
    both.apply(0, 1, _GOOD)
    text = (_GOOD + row).encode()
    with pytest.raises(LogMalformed, match="not a row"):
        both.columns.apply(text, np.array([[0, 2, 0, len(text)]], np.int64))
    with pytest.raises(reference.Malformed):
        reference.apply_rows(both.state, 0, 2, row)


def test_a_row_of_a_kind_that_a_newer_library_brings_is_passed_over() -> None:
    both = Worlds()
    both.apply(0, 1, "Q\tanything\t\n" + _GOOD + "Z\tx\t\n")
    both.check()


@pytest.mark.parametrize("text", [_GOOD.encode().replace(b"AMS1", b"\xff"), b"F\tLAMP\tAMS1\t\xff\t1\t\n"])
def test_a_name_that_is_not_utf8_is_malformed(text: bytes) -> None:
    with pytest.raises(LogMalformed):
        Columns(Locations()).apply(text, np.array([[0, 2, 0, len(text)]], np.int64))


numbers = st.tuples(units, units, st.integers(0, 12), units).map(lambda n: ",".join(map(str, n)))
stored = st.tuples(numbers, st.just({}) | st.dictionaries(channels, units)).map(
    lambda parts: "\t".join([parts[0], *(f"{channel}\t{fenced}" for channel, fenced in parts[1].items())])
)
chunks = st.lists(st.tuples(skus, st.dictionaries(locations, stored, max_size=7)), max_size=12)


@given(st.lists(entries, max_size=3), chunks)
def test_loading_takes_what_is_newer(
    before: list[tuple[int, int, str]], chunk: list[tuple[str, dict[str, str]]]
) -> None:
    both = Worlds()
    for entry in before:
        both.apply(*entry)
    both.columns.load(
        [(sku, {name.encode(): text.encode() for name, text in fields.items()}) for sku, fields in chunk], 64
    )
    reference.load_positions(both.state, chunk)
    both.check()


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,",
        "-1,2,3,4",
        "1, 2,3,4",
        "a,2,3,4",
        "",
        "1,2,3,4\t",
        "1,2,3,4\tweb",
        "1,2,3,4\tweb\t",
        "1,2,3,4\tweb\t1\t",
        "1,2,3,4\tweb\t1\ttill",
        "1,2,3,4\t\t1",
        "1,2,3,4\tweb\t1,2",
    ],
)
def test_a_malformed_position_is_refused(text: str) -> None:
    with pytest.raises(LogMalformed):
        Columns(Locations()).load([("LAMP", {b"AMS1": text.encode()})], 64)
    with pytest.raises(reference.Malformed):
        reference.load_positions(reference.State(), [("LAMP", {"AMS1": text})])


def test_a_malformed_position_is_named() -> None:
    with pytest.raises(LogMalformed, match=r"AMS1 1,2,3\\tweb\\t1"):
        Columns(Locations()).load([("LAMP", {b"BER": b"1,2,3,4", b"AMS1": b"1,2,3\tweb\t1"}), ("X", {})], 64)


def test_thousands_of_ring_fences_are_loaded() -> None:
    columns = Columns(Locations())
    wanted = [(f"S{i % 100}", f"L{i // 100}", f"c{i % 70}", i + 1) for i in range(3000)]
    chunk: dict[str, dict[bytes, bytes]] = {}
    for sku, location, channel, kept in wanted:
        chunk.setdefault(sku, {})[location.encode()] = f"9,0,1,0\t{channel}\t{kept}\td\t1".encode()
    columns.load(list(chunk.items()), 64)
    expected = [(*row, 0) for row in wanted] + [(sku, location, "d", 1, 0) for sku, location, *_ in wanted]
    assert sorted(expected) == sorted(columns.all_ring_fences())


@given(worlds(), st.data())
def test_lines_of_ring_fences_that_end_are_used_again(both: Worlds, data: st.DataObject) -> None:
    """However often ring-fences come and go, they need no more lines."""
    text = "".join(data.draw(st.lists(rows("FH"), max_size=30)))
    both.apply(0, 9, text)
    used = int(both.columns.counters[FENCE_SLOTS])
    for _ in range(3):
        for sku, location, channel, _, _ in list(both.columns.all_ring_fences()):
            both.apply(0, 9, f"F\t{sku}\t{location}\t{channel}\t0\t\n")
        both.apply(
            0, 9, "".join(f"H\t{leg}\t{SKUS[leg % 5]}\t{LOCATIONS[leg % 4]}\t0\t0\t0\t\t\n" for leg in range(13))
        )
        both.check()
        assert list(both.columns.all_ring_fences()) == []
        both.apply(0, 9, text)
        both.check()
    assert used == both.columns.counters[FENCE_SLOTS]


def test_a_bulk_load_sets_aside_exactly_what_it_needs() -> None:
    columns = Columns(Locations())
    for begin in range(0, 3000, 100):
        columns.load(
            [(f"S{i}", {b"L%d" % j: b"1,0,1,0" for j in range(i % 12)}) for i in range(begin, begin + 100)], 64
        )
    assert columns.counters[ROW_COUNT] == columns.counters[POSITION_COUNT] == sum(i % 12 for i in range(3000))


def test_a_sku_may_be_at_thousands_of_locations() -> None:
    """Its room is most of the block when it grows."""
    both = Worlds()
    both.apply(0, 1, "".join(f"P\tLAMP\tL{i}\t{i}\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n" for i in range(5000)))
    both.check()
    both.columns.load([("CHAIR", {b"L%d" % i: b"1,0,1,0" for i in range(4000)})], 64)
    both.columns.settle()
    both.apply(0, 2, "P\tCHAIR\tNEW\t1\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n")
    assert both.columns.position_count == 9_001


@given(worlds())
def test_packing_changes_nothing_but_the_room(both: Worlds) -> None:
    columns = both.columns
    packed = np.empty_like(columns.positions)
    kernels.pack_rows(columns.positions, packed, columns.skus, columns.counters)
    columns.positions = packed
    state, lines = reference.pack_rows(both.state)
    assert state.rows() == list(columns.all_positions())
    assert lines == columns.counters[ROW_COUNT]


@given(worlds(), st.data())
def test_safety_rules_are_raised_and_cleared(both: Worlds, data: st.DataObject) -> None:
    columns, state = both.columns, both.state

    def found() -> list[tuple[int, int, int]]:
        return [
            (least, parts & PARTS_MASK, parts >> PARTS_BITS)
            for number in range(columns.sku_count)
            for least, parts in columns.rows(number)[:, [SAFETY_UNITS, SAFETY_PARTS]].tolist()
        ]

    def expected() -> list[tuple[int, int, int]]:
        return [
            (*position.safety, position.counted_at) for places in state.skus.values() for position in places.values()
        ]

    assert expected() == found()
    kernels.clear_safety(columns.positions, columns.skus, columns.counters)
    reference.clear_safety(state)
    assert expected() == found()
    for sku in state.skus:
        location, least, share = data.draw(st.none() | locations), data.draw(units), data.draw(parts)
        place = -1 if location is None else columns.locations.number(location)
        kernels.raise_safety(columns.positions, columns.skus, columns.find_sku(sku), place, least, share)
        reference.raise_safety(state, sku, location, least, share)
    assert expected() == found()
