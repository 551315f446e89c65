"""What customers wanted, read out of the change log: the kernel against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.layout import DEMAND_COLUMNS
from tests.kernels import reference
from tests.kernels.demand_reference import Wanted

ids = st.sampled_from(["LAMP", "é", " cap X", "A-1", "x" * 40])
places = st.sampled_from(["AMS1", "DUS", ""])
numbers = st.integers(0, 2**53 - 1)
ways = st.sampled_from(["ANY", "SHIP", "PICKUP", "SHIP_TO_STORE", "TRANSFER"])
states = st.sampled_from(["HELD", "CONFIRMED", "FULFILLED", "RELEASED", "EXPIRED"])


def row(*columns: object) -> str:
    return "".join(f"{column}\t" for column in columns) + "\n"


@st.composite
def position_rows(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["SALE", "RESERVE", "RETURN", "SALES"]))
    change = draw(st.integers(-9, 9))
    numbers_before = draw(numbers), draw(numbers), draw(numbers)
    return row("P", draw(ids), draw(places), *numbers_before, change, 0, kind, "till", "", "", "", 5)


@st.composite
def record_rows(draw: st.DrawFn) -> str:
    head = [draw(states), "web", 1, 2, 3, "customer", "", "", draw(st.sampled_from(["", "a1 2", "!a1"]))]
    lines = draw(st.lists(st.tuples(ids, st.integers(0, 9), ways, st.lists(places, max_size=3)), max_size=4))
    columns: list[object] = []
    for number, (sku, units, way, served) in enumerate(lines):
        columns += [number, 1, sku, units, way, "NL", "1011 AB", "", "", len(served)]
        for place in served:
            columns += [place, 65_536, units, 0, 0, ""]
    return row("R", "r-1", draw(st.just("") | states), *head, len(lines), *columns)


others = st.builds(lambda sku: row("U", sku, "AMS1", "damaged", 1, 1, 0) + row("G", "r-1", "", "HELD", "web"), ids)
entries = st.lists(st.lists(position_rows() | record_rows() | others, max_size=4).map("".join), min_size=1, max_size=4)


def decoded(texts: list[str]) -> list[Wanted]:
    raw = [text.encode() for text in texts]
    ends = np.cumsum([len(text) for text in raw])
    spans = np.stack((ends - [len(text) for text in raw], ends), axis=1).astype(np.int64)
    buffer = b"".join(raw) or b"\n"
    out = np.full((len(buffer) // 16 + 1, DEMAND_COLUMNS), -1, np.int64)
    count = kernels.demand_lines(np.frombuffer(buffer, np.uint8), spans, out)

    def text(at: int, length: int) -> str:
        return buffer[at : at + length].decode()

    return [
        Wanted(entry, order, text(sku, sku_long), text(place, place_long), text(to, to_long), units)
        for entry, order, sku, sku_long, place, place_long, to, to_long, units in out[:count].tolist()
    ]


@given(entries)
def test_demand_agrees_with_its_definition(texts: list[str]) -> None:
    assert reference.demand_lines(texts) == decoded(texts)


@given(entries, st.data())
def test_rows_that_are_cut_or_damaged_break_nothing(texts: list[str], data: st.DataObject) -> None:
    """What is read lies within the entries, whatever stands in them."""
    text = "".join(texts).encode()
    damaged = bytearray(text[: data.draw(st.integers(0, len(text)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from(b"\t\n-9xR"))
    buffer = bytes(damaged) or b"\n"
    out = np.full((len(buffer) // 16 + 1, DEMAND_COLUMNS), -1, np.int64)
    count = kernels.demand_lines(np.frombuffer(buffer, np.uint8), np.array([[0, len(buffer)]], np.int64), out)
    found = out[:count]
    assert (found[:, 8] > 0).all()
    for at, length in ((2, 3), (4, 5), (6, 7)):
        assert (found[:, at] >= 0).all()
        assert (found[:, length] >= 0).all()
        assert (found[:, at] + found[:, length] <= len(buffer)).all()
