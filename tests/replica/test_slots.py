"""Taken slots in the replica: apart from goods, over by the clock, forgotten when the log says so."""

from __future__ import annotations

import pytest

from invengine.domain.capacity import (
    Slots,
    capacity_day,
    capacity_place,
    capacity_sku,
    day_of_capacity,
    is_capacity,
    is_slot_line,
    line_of_slots,
    room,
    slot_line_id,
)
from invengine.domain.orders import Allocation, Destination, Fulfilment, ReservationLine
from invengine.domain.slot_lines import slots_in
from invengine.replica.columns import Columns
from invengine.replica.index import Locations
from invengine.replica.rows import RowMalformed
from invengine.replica.slots import TakenSlots
from invengine.replica.state import State
from invengine.store.records import LogEntry

SKU = capacity_sku("DC 1", "SHIP")
DAY = 20_780


def position(used: int, held: int, kind: str = "RESERVE", cause: str = "r", day: str = "2026-11-23") -> bytes:
    return f"P\t{SKU}\t{day}\t{used}\t{held}\t0\t0\t0\t{kind}\tweb\t{cause}\t\t\t5\t".encode()


def hold(leg: int, units: int, expires_at: int) -> bytes:
    return f"H\t{leg}\t{SKU}\t2026-11-23\t{units}\t{expires_at}\t0\t\t".encode()


def test_the_names_of_slots_say_what_they_are() -> None:
    assert (SKU, capacity_place(SKU), is_capacity(SKU), is_capacity("LAMP")) == (
        " capacity SHIP DC 1",
        ("DC 1", "SHIP"),
        True,
        False,
    )
    assert (capacity_day(DAY), day_of_capacity("2026-11-23")) == ("2026-11-23", DAY)
    for line_id in ("1", "1 SHIP DC 1", "a b"):
        name = slot_line_id("DC 1", "SHIP", line_id)
        assert (is_slot_line(name), line_of_slots(name, SKU)) == (True, line_id)
    assert line_of_slots(slot_line_id("DC 1", "SHIP"), SKU) == ""
    assert (room(10, 4, 3), room(5, 4, 3)) == (3, 0)


def test_slots_are_told_by_day_those_of_all_lines_together() -> None:
    def line(line_id: str, *allocations: Allocation) -> ReservationLine:
        name = slot_line_id("DC 1", "SHIP", line_id)
        return ReservationLine(name, SKU, 9, Fulfilment.SHIP, Destination(), allocations)

    found = slots_in(
        [
            line("1", Allocation("2026-11-23", 4, released=1), Allocation("2026-11-24", 2, fulfilled=2)),
            line("2", Allocation("2026-11-23", 2)),
        ]
    )
    assert found == (Slots("DC 1", "SHIP", DAY, 5, 0), Slots("DC 1", "SHIP", DAY + 1, 2, 0))
    assert slots_in([line("", Allocation("2026-11-23", 1))]) == (Slots("DC 1", "SHIP", DAY, 0, 1),)


def test_a_hold_that_is_over_takes_nothing_whatever_order_rows_come_in() -> None:
    slots = TakenSlots()
    slots.advance(100)
    slots.apply(0, 5, position(2, 7))
    slots.apply(0, 5, hold(1, 4, 110))
    slots.apply(0, 5, hold(2, 3, 90))  # over already
    assert slots.taken(SKU) == {DAY: 6}
    slots.advance(110)
    assert slots.taken(SKU) == {DAY: 2}
    slots.apply(0, 6, hold(1, 4, 200))  # extended
    assert slots.taken(SKU) == {DAY: 6}
    slots.apply(0, 7, position(2, 4, "EXPIRE"))  # the sweep of the other one
    slots.apply(0, 7, hold(2, 0, 0))
    assert slots.taken(SKU) == {DAY: 6}
    slots.advance(200)
    assert slots.taken(SKU) == {DAY: 2}


def test_older_rows_change_nothing_and_forgotten_days_are_gone() -> None:
    slots = TakenSlots()
    slots.load(SKU, {b"2026-11-23": b"1,2,9,0", b"2026-11-24": b"0,0,3,0"})
    slots.apply(0, 8, position(5, 5))
    assert slots.rows(SKU) == {"2026-11-23": (1, 2, 9), "2026-11-24": (0, 0, 3)}
    assert slots.idle_before(DAY + 5) == [(SKU, "2026-11-24")]
    slots.apply(0, 10, position(0, 0, "FORGET", day="2026-11-24"))
    assert slots.rows(SKU) == {"2026-11-23": (1, 2, 9)}


def test_what_a_request_is_about_to_take_counts_until_the_log_has_it() -> None:
    slots = TakenSlots()
    slots.claim(SKU, DAY, 3, "r")
    slots.claim(SKU, DAY, 2, "s")
    assert (slots.taken(SKU), slots.has_claims) == ({DAY: 5}, True)
    slots.apply(0, 1, position(0, 3, cause="r"))
    assert slots.taken(SKU) == {DAY: 5}
    version = slots.version
    slots.unclaim(SKU, DAY, "r")
    assert slots.version == version
    slots.unclaim(SKU, DAY, "s")
    assert (slots.taken(SKU), slots.has_claims) == ({DAY: 3}, False)


@pytest.mark.parametrize(
    "row", [b"P\t capacity SHIP DC\tno day\t0\t0\t0\t0\t0\tRESERVE\tweb\tr\t\t\t5\t", b"P\t \t2026"]
)
def test_what_is_no_row_of_slots_is_malformed(row: bytes) -> None:
    with pytest.raises(RowMalformed):
        TakenSlots().apply(0, 1, row)


def test_slots_never_are_among_goods() -> None:
    """Not in the columns, nor are their days among the locations, from the log as from a snapshot."""
    locations = Locations()
    state = State(Columns(locations), [0])
    state.load([(SKU, {b"2026-11-23": b"1,2,9,0"}), ("LAMP", {b"DC 1": b"4,0,1,0"})], 1)
    state.apply([LogEntry(0, 1, 0, position(1, 3) + b"\n" + hold(1, 2, 99) + b"\n")])
    assert (state.columns.sku_count, locations.names) == (1, ["DC 1"])
    assert state.slots.rows(SKU) == {"2026-11-23": (1, 2, 9)}
