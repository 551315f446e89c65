"""The positions of many SKUs at once are those of each."""

from __future__ import annotations

from invengine.replica.replica import Replica
from tests.replica.fakes import START_MS, Entry, position_row


def test_many_skus_are_read_as_one_by_one() -> None:
    replica = Replica(1, b"12345678")
    rows = [
        position_row(sku, place, number, 0) for number, (sku, place) in enumerate(("AX", "BX", "AY", "CZ", "AZ"), 3)
    ]
    replica.apply([Entry(0, 1, START_MS, "".join(rows).encode())])
    columns = replica.columns
    wanted = ["C", "none", "A", "B", "A"]
    found, places = columns.rows_of(wanted)
    expected = [
        (place, row)
        for place, sku in enumerate(wanted)
        if columns.find_sku(sku) >= 0
        for row in columns.rows(columns.find_sku(sku)).tolist()
    ]
    assert list(zip(places.tolist(), found.tolist(), strict=True)) == expected
    assert len(expected) == 1 + 3 + 1 + 3
    found[:] = 0
    assert columns.rows(columns.find_sku("C")).any()  # it was a copy
    for nothing in ([], ["none"]):
        empty, of = columns.rows_of(nothing)
        assert (len(empty), len(of)) == (0, 0)
