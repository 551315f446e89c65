"""ApplySnapshot through the API: rows as counts of an instant, what is not listed, refused or repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from invengine.v1 import stock_service_pb2
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.snapshots import (
    MINUTE,
    Request,
    change,
    instant,
    move,
    now_ms,
    order,
    parts,
    snapshot,
    state_of,
    states,
    units,
    violations,
)

pytestmark = pytest.mark.asyncio


async def test_rows_are_counts_of_their_instant_and_what_moved_later_stays(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await move(stubs, "LAMP", 3, start - 5 * MINUTE)
    await move(stubs, "SOFA", 4, start - 30 * MINUTE)
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 7), ("SOFA", 4), ("RUG", 1)])
    assert (answer.applied, answer.repeated, answer.ignored, answer.zeroed, answer.refused) == (3, 0, 0, 0, 0)
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA", "RUG")] == [(10, 0), (4, 0), (1, 0)]
    assert answer.snapshot_id == "s1"
    assert await violations(stubs) == []


async def test_a_full_snapshot_sets_what_it_does_not_list_to_zero_as_of_its_instant(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await move(stubs, "SOFA", 4, start - 30 * MINUTE)
    await move(stubs, "SOFA", 2, start - 5 * MINUTE)
    await move(stubs, "NEW", 6, start - 5 * MINUTE)
    await stubs.receive("LAMP", 5, "LON")
    answer = await snapshot(stubs, start - 10 * MINUTE, [("RUG", 1)])
    assert (answer.applied, answer.zeroed) == (1, 2)
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA", "NEW")] == [(0, 0), (2, 0), (6, 0)]
    assert (await stubs.position("LAMP", "LON"))[0] == 5
    ledger = await stubs.stock.ListMovements(stock_service_pb2.ListMovementsRequest(sku="LAMP", location="DC"))
    newest = ledger.entries[0]
    assert (newest.kind, newest.actor, newest.cause, newest.reason) == ("COUNT", "erp", "s1", "not in the snapshot")
    assert (newest.on_hand_before, newest.on_hand_after, newest.occurred_at) == (10, 0, instant(start - 10 * MINUTE))
    assert await violations(stubs) == []


async def test_an_empty_full_snapshot_empties_the_location(stubs: Stubs) -> None:
    await move(stubs, "LAMP", 10, now_ms() - MINUTE)
    answer = await snapshot(stubs, now_ms(), [])
    assert (answer.applied, answer.zeroed) == (0, 1)
    assert await units(stubs, "LAMP") == (0, 0)


async def test_what_comes_late_and_had_no_position_is_in_the_snapshot_already(stubs: Stubs) -> None:
    """A receipt of before the snapshot that arrives after it, of a SKU that had no position when it was applied."""
    start = now_ms()
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 1)])
    late = await move(stubs, "SOFA", 5, start - 20 * MINUTE)
    assert late.result == stock_service_pb2.PostMovementsResponse.Outcome.RESULT_STALE
    later = await move(stubs, "SOFA", 3, start - 5 * MINUTE)
    assert (later.result, later.on_hand) == (1, 3)
    older = await move(stubs, "CHAIR", 9, start - 20 * MINUTE, "COUNT")
    assert older.result == stock_service_pb2.PostMovementsResponse.Outcome.RESULT_STALE


async def test_units_in_states_are_counted_each_by_itself(stubs: Stubs) -> None:
    start = now_ms()
    for state, quantity in (("", 10), ("damaged", 4), ("quarantine", 6)):
        await move(stubs, "LAMP", quantity, start - 30 * MINUTE, state=state, event_id=f"old{state}")
    await move(stubs, "LAMP", 1, start - 5 * MINUTE, state="damaged")
    await move(stubs, "SOFA", 2, start - 30 * MINUTE, state="damaged")
    rows = [("LAMP", 8, "on_hand"), ("LAMP", 3, "damaged"), ("RUG", 2, "quarantine")]
    answer = await snapshot(stubs, start - 10 * MINUTE, rows)
    assert (answer.applied, answer.zeroed, answer.shortfalls) == (3, 2, 0)  # LAMP in quarantine, damaged SOFA
    assert (await units(stubs, "LAMP"), await states(stubs, "LAMP")) == ((8, 0), {"damaged": 4})
    assert (await states(stubs, "SOFA"), await states(stubs, "RUG")) == ({}, {"quarantine": 2})
    again = await snapshot(stubs, start - 10 * MINUTE, rows)
    assert (again.applied, again.repeated, again.zeroed) == (0, 3, 0)
    late = await move(stubs, "SOFA", 5, start - 20 * MINUTE, state="quarantine")
    assert late.result == stock_service_pb2.PostMovementsResponse.Outcome.RESULT_STALE
    assert await violations(stubs) == []


async def test_a_partial_snapshot_of_a_state_leaves_the_others(stubs: Stubs) -> None:
    start = now_ms()
    for state in ("", "damaged", "quarantine"):
        await move(stubs, "LAMP", 5, start - 30 * MINUTE, state=state, event_id=f"old{state}")
    await order(stubs, "o-1")
    rows = [("LAMP", 1, "damaged")]
    answer = await snapshot(stubs, start - 10 * MINUTE, rows, partial=True, contains_order_refs=["o-1"])
    assert (answer.applied, answer.fulfilled) == (1, 0)  # of sellable units it says nothing
    assert await units(stubs, "LAMP") == (5, 2)
    assert await states(stubs, "LAMP") == {"damaged": 1, "quarantine": 5}


async def test_a_row_of_a_state_that_cannot_be_is_told_with_its_state(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 5, start - 30 * MINUTE, state="damaged")
    await move(stubs, "LAMP", -4, start - 5 * MINUTE, "ADJUSTMENT", state="damaged")
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 2, "damaged")], partial=True)
    (row,) = answer.refused_rows
    assert (row.row, row.sku, row.state, row.refusal.metadata["quantity"]) == (0, "LAMP", "damaged", "-4")


async def test_a_partial_snapshot_says_nothing_of_what_it_does_not_list(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await move(stubs, "SOFA", 4, start - 30 * MINUTE)
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 7)], partial=True)
    assert (answer.applied, answer.zeroed) == (1, 0)
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA")] == [(7, 0), (4, 0)]
    late = await move(stubs, "RUG", 5, start - 20 * MINUTE)
    assert (late.result, late.on_hand) == (1, 5)


async def test_an_older_snapshot_is_ignored_row_by_row(stubs: Stubs) -> None:
    start = now_ms()
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 7), ("SOFA", 3)])
    older = await snapshot(stubs, start - 20 * MINUTE, [("LAMP", 2), ("RUG", 5)], snapshot_id="s0")
    assert (older.applied, older.ignored, older.zeroed) == (0, 2, 0)
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA")] == [(7, 0), (3, 0)]
    newer = await snapshot(stubs, start - 5 * MINUTE, [("LAMP", 1)], snapshot_id="s2")
    assert (newer.applied, newer.zeroed) == (1, 1)


async def test_one_that_is_older_than_counts_may_be_is_ignored(redis_url: str) -> None:
    async with engine(redis_url, count_window_hours=1) as (_, stubs):
        await stubs.apply_network()
        await move(stubs, "LAMP", 10, now_ms() - MINUTE)
        answer = await snapshot(stubs, now_ms() - 90 * MINUTE, [("LAMP", 7), ("SOFA", 3)])
        assert (answer.applied, answer.ignored, answer.zeroed, answer.refused) == (1, 1, 0, 0)
        assert [await units(stubs, sku) for sku in ("LAMP", "SOFA")] == [(10, 0), (3, 0)]


async def test_a_row_that_cannot_be_is_told_and_the_others_stay(stubs: Stubs) -> None:
    """More left after the instant than was there then."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await move(stubs, "LAMP", -8, start - 5 * MINUTE, "ADJUSTMENT")
    answer = await snapshot(stubs, start - 10 * MINUTE, [("SOFA", 1), ("RUG", 2), ("LAMP", 7)])
    assert (answer.applied, answer.refused, len(answer.refused_rows)) == (2, 1, 1)
    row = answer.refused_rows[0]
    assert (row.row, row.sku, dict(row.refusal.metadata)["quantity"]) == (2, "LAMP", "-8")
    assert await units(stubs, "LAMP") == (2, 0)
    await move(stubs, "LAMP", 1, start - 4 * MINUTE)
    again = await snapshot(stubs, start - 10 * MINUTE, [("SOFA", 1), ("RUG", 2), ("LAMP", 7)])
    assert (again.applied, again.repeated, again.refused) == (1, 2, 0)  # judged anew
    assert await units(stubs, "LAMP") == (0, 0)


async def test_sent_again_it_changes_nothing(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await order(stubs, "o-1")
    rows, header = [("SOFA", 4), ("LAMP", 8), ("RUG", 1)], {"contains_order_refs": ["o-1"]}
    first = await snapshot(stubs, start - 10 * MINUTE, rows, **header)
    assert (first.applied, first.fulfilled) == (3, 1)
    before = [(await stubs.position(sku)) for sku in ("LAMP", "SOFA", "RUG")]
    await move(stubs, "NEW", 6, start - 20 * MINUTE)
    another = await order(stubs, "o-1", quantity=3, reservation_id="another")
    again = await snapshot(stubs, start - 10 * MINUTE, reversed(rows), per_message=1, **header)
    assert (again.applied, again.repeated, again.zeroed, again.fulfilled) == (0, 3, 0, 0)
    assert again.consistency_token
    assert await state_of(stubs, another) == "CONFIRMED"
    assert await units(stubs, "LAMP") == (8, 3)
    assert [(await stubs.position(sku)) for sku in ("SOFA", "RUG")] == before[1:]


@pytest.mark.parametrize(
    "other",
    [
        {"rows": [("LAMP", 8)]},
        {"rows": [("LAMP", 7), ("SOFA", 0)]},
        {"as_of": instant(now_ms() - 9 * MINUTE)},
        {"partial": True},
        {"contains_order_refs": ["o-2"]},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_an_id_stands_for_one_content(stubs: Stubs, other: dict[str, object]) -> None:
    start = now_ms()
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 7)])
    header = {"rows": [("LAMP", 7)], **other}
    told = await refused(stubs.stock.ApplySnapshot(parts(start - 10 * MINUTE, header.pop("rows"), **header)))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISMATCH")
    assert await units(stubs, "LAMP") == (7, 0)


async def test_the_same_id_of_another_location_is_another_snapshot(stubs: Stubs) -> None:
    await snapshot(stubs, now_ms() - MINUTE, [("LAMP", 7)])
    await snapshot(stubs, now_ms() - MINUTE, [("LAMP", 2)], location="LON")
    assert ((await stubs.position("LAMP"))[0], (await stubs.position("LAMP", "LON"))[0]) == (7, 2)


async def test_without_an_id_the_request_id_or_the_instant_stands_for_it(stubs: Stubs) -> None:
    at = now_ms() - MINUTE
    by_instant = await snapshot(stubs, at, [("LAMP", 7)], snapshot_id="")
    assert by_instant.snapshot_id == str(at)
    by_request = await snapshot(stubs, at, [("LAMP", 7)], snapshot_id="", request_id="r1")
    assert (by_request.snapshot_id, by_request.applied, by_request.repeated) == ("r1", 0, 1)


ROW = ("LAMP", 1)
BAD = [
    ({"source": ""}, [ROW], "source"),
    ({"location": ""}, [ROW], "location"),
    ({"snapshot_id": "x" * 65}, [ROW], "snapshot_id"),
    ({"snapshot_id": "a\tb"}, [ROW], "snapshot_id"),
    ({"as_of": None}, [ROW], "as_of"),
    ({"as_of": instant(now_ms() + 60 * MINUTE)}, [ROW], "as_of"),
    ({"as_of": instant(0)}, [ROW], "as_of"),
    ({"row_count": 2}, [ROW], "row_count"),
    ({"row_count": -1}, [ROW], "row_count"),
    ({"contains_order_refs": ["o-1", " "]}, [ROW], "contains_order_refs[1]"),
    ({}, [ROW, ("", 1)], "rows[1].sku"),
    ({}, [ROW, ("SOFA", 1), ("RUG", -1)], "rows[2].quantity"),
    ({}, [ROW, ("SOFA", 1), ("RUG", 2**53)], "rows[2].quantity"),
    ({}, [ROW, ("SOFA", 1), ("RUG", 1), ("X\n", 2)], "rows[3].sku"),
    ({}, [ROW, ("SOFA", 1, "on_hand"), ("RUG", 1), ("SOFA", 1)], "rows[3].sku"),
    ({}, [ROW, ROW], "rows[1].sku"),
    ({}, [ROW, ("SOFA", 1, "nowhere")], "rows[1].state"),
    ({}, [ROW, ("SOFA", 1, "gone")], "rows[1].state"),
    ({}, [ROW, ("SOFA", 1, "damaged"), ("SOFA", 2, "damaged")], "rows[2].sku"),
]


@pytest.mark.parametrize(("header", "rows", "field"), BAD, ids=[f"{n} {bad[2]}" for n, bad in enumerate(BAD)])
async def test_a_bad_message_refuses_all_of_it_and_names_row_and_field(
    stubs: Stubs, header: dict[str, object], rows: list[tuple[object, ...]], field: str
) -> None:
    await move(stubs, "CHAIR", 5, now_ms() - 10 * MINUTE)
    told = await refused(stubs.stock.ApplySnapshot(parts(now_ms() - MINUTE, rows, **header)))
    assert (told.code, told.reason, told.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    assert await units(stubs, "CHAIR") == (5, 0)
    gone = await refused(stubs.stock.GetPosition(stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC")))
    assert gone.reason == "UNKNOWN_SKU"


async def test_a_later_message_may_repeat_the_header_and_not_change_it(stubs: Stubs) -> None:
    at = now_ms() - MINUTE
    header = {"source": "erp", "snapshot_id": "s1", "location": "DC", "as_of": instant(at)}
    rows = [[stock_service_pb2.SnapshotRow(sku=sku, quantity=1)] for sku in ("LAMP", "SOFA")]
    answer = await stubs.stock.ApplySnapshot(iter([Request(**header, rows=part) for part in rows]))
    assert answer.applied == 2
    for field, other in {"source": "x", "location": "LON", "snapshot_id": "s2", "as_of": instant(at - 1)}.items():
        parts_ = [Request(**header, rows=rows[0]), Request(rows=rows[1], **{field: other})]
        told = await refused(stubs.stock.ApplySnapshot(iter(parts_)))
        assert told.fields == [field]


async def test_a_location_that_nobody_knows_is_refused(stubs: Stubs) -> None:
    told = await refused(stubs.stock.ApplySnapshot(parts(now_ms(), [ROW], location="MARS")))
    assert told.reason == "UNKNOWN_LOCATION"


async def test_a_stream_without_messages_is_refused(stubs: Stubs) -> None:
    told = await refused(stubs.stock.ApplySnapshot(iter(())))
    assert told.fields == ["source"]


async def test_a_stream_that_is_broken_off_applies_nothing(stubs: Stubs) -> None:
    """Whenever its caller goes away before the end: nothing is applied, above all nothing is set to zero."""
    await move(stubs, "CHAIR", 5, now_ms() - 10 * MINUTE)
    for attempt in range(40):
        sent = asyncio.Event()

        async def broken_off(attempt: int, sent: asyncio.Event) -> AsyncIterator[Request]:
            for message in parts(now_ms() - MINUTE, [("LAMP", 1), ("SOFA", 1)], 1, snapshot_id=f"cut {attempt}"):
                yield message
            sent.set()
            await asyncio.Event().wait()

        call = stubs.stock.ApplySnapshot(broken_off(attempt, sent))
        await sent.wait()
        for _ in range(attempt % 4):
            await asyncio.sleep(0)
        call.cancel()
    assert await units(stubs, "CHAIR") == (5, 0)
    kept = await snapshot(stubs, now_ms() - MINUTE, [("CHAIR", 4)], snapshot_id="whole")
    assert (kept.applied, kept.zeroed) == (1, 0)  # no LAMP and no SOFA


async def test_many_rows_over_many_messages(stubs: Stubs) -> None:
    rows = [(f"S{n}", n % 7) for n in range(9_001)]
    answer = await snapshot(stubs, now_ms() - MINUTE, rows, per_message=5_000, row_count=len(rows))
    assert (answer.applied, answer.refused) == (9_001, 0)
    assert await units(stubs, "S9000") == (9_000 % 7, 0)
    less = await snapshot(stubs, now_ms(), rows[:1_000], snapshot_id="s2", per_message=20_000)
    assert (less.applied, less.zeroed) == (1_000, sum(1 for _, quantity in rows[1_000:] if quantity))
    assert await violations(stubs) == []


async def test_shortfalls_that_it_makes_are_told(stubs: Stubs) -> None:
    start = now_ms()
    for sku in ("LAMP", "SOFA", "RUG"):
        await move(stubs, sku, 10, start - 30 * MINUTE)
        await order(stubs, f"of {sku}", sku, 6)
    await move(stubs, "RUG", -7, start - 20 * MINUTE, "ADJUSTMENT")  # short already
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 4), ("SOFA", 6), ("RUG", 2)])
    assert answer.shortfalls == 1
    assert [(p.sku, p.on_hand, p.reserved) for p in answer.shortfall_positions] == [("LAMP", 4, 6)]
    zero = await snapshot(stubs, start - 9 * MINUTE, [("LAMP", 6)], snapshot_id="s2")
    assert [(p.sku, p.on_hand, p.reserved) for p in zero.shortfall_positions] == [("SOFA", 0, 6)]


async def test_holds_that_are_over_make_no_shortfall(stubs: Stubs) -> None:
    """Their units are free whether or not a sweep has tidied them."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    held = await order(stubs, "o-1", quantity=6)
    await change(stubs, "Release", held)
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 4)])
    assert answer.shortfalls == 0
