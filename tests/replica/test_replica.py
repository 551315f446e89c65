"""The replica: entries in order, the clock, waiting, tokens, rules."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from invengine.domain.incoming import Receipt
from invengine.domain.partitions import decode_token, partition_of
from invengine.errors import ReplicaBehind
from invengine.kernels.layout import EXPIRED, SAFETY_PARTS, SAFETY_UNITS
from invengine.replica.columns import Columns
from invengine.replica.replica import STALENESS_UNKNOWN_MS, Replica
from invengine.replica.state import State
from tests.replica.fakes import PARTITIONS, START_MS, STORE_ID, Entry, fence_row, hold_row, incoming_row, position_row

LAMP = partition_of("LAMP", PARTITIONS)


def replica() -> Replica:
    return Replica(PARTITIONS, STORE_ID)


def entry(revision: int, rows: str, partition: int = LAMP) -> Entry:
    return Entry(partition, revision, START_MS, rows.encode())


def on_hand(of: Replica) -> dict[tuple[str, str], int]:
    return {(sku, location): units for sku, location, units, *_ in of.columns.all_positions()}


def test_entries_are_applied_in_order_once_and_never_over_a_gap() -> None:
    of = replica()
    first, second, third = (entry(n, position_row("LAMP", "AMS1", 10 * n, 0)) for n in (1, 2, 3))
    of.apply([first])
    of.apply([third])
    assert (of.applied[LAMP], on_hand(of)) == (1, {("LAMP", "AMS1"): 10})
    of.apply([first, second])
    assert (of.applied[LAMP], on_hand(of)) == (2, {("LAMP", "AMS1"): 20})
    of.apply([second, third])
    assert (of.applied[LAMP], on_hand(of)) == (3, {("LAMP", "AMS1"): 30})
    assert of.state.has_gap([entry(5, "")])
    assert not of.state.has_gap([first, third])


def test_partitions_advance_on_their_own() -> None:
    of = replica()
    of.apply([entry(1, position_row("A", "X", 1, 0), 0), entry(1, position_row("B", "X", 2, 0), 1), entry(2, "", 0)])
    assert of.applied == [2, 1, 0, 0]


def test_a_malformed_row_spares_the_caller_and_stops_the_replica() -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 1, 0)), entry(2, "nonsense\n")])
    assert of.fault is not None
    assert "nonsense" in str(of.fault)
    of.apply([entry(3, position_row("LAMP", "AMS1", 3, 0))])
    assert on_hand(of) == {("LAMP", "AMS1"): 1}
    of.become(State(Columns(of.locations), [0] * PARTITIONS))
    assert of.fault is None


def test_a_hold_stops_counting_at_its_second_and_the_sweep_changes_nothing() -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 10, 4) + hold_row(7, "LAMP", "AMS1", 3, 1000))])

    def counting() -> int:
        row = of.columns.rows(0)[0]
        return int(row[2] - row[EXPIRED])

    of.advance(999_999)
    assert counting() == 4
    of.advance(1_000_000)
    assert counting() == 1
    of.apply([entry(2, position_row("LAMP", "AMS1", 10, 1) + hold_row(7, "LAMP", "AMS1", 0, 0))])
    assert counting() == 1
    assert of.columns.hold_count == 0


def test_a_hold_that_was_over_counts_again_when_it_is_extended() -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 10, 3) + hold_row(7, "LAMP", "AMS1", 3, 1000))])
    of.advance(1_000_000)
    of.apply([entry(2, hold_row(7, "LAMP", "AMS1", 3, 2000))])
    assert of.columns.rows(0)[0, EXPIRED] == 0
    of.advance(2_000_000)
    assert of.columns.rows(0)[0, EXPIRED] == 3


def fences(of: Replica) -> list[tuple[str, int]]:
    """Channel and units of LAMP in AMS1, as they count."""
    return [(channel, units + over) for _, _, channel, units, over in of.columns.all_ring_fences()]


def test_fenced_units_of_a_hold_are_back_in_their_ring_fence_at_its_second_and_the_sweep_changes_nothing() -> None:
    of = replica()
    taken = position_row("LAMP", "AMS1", 10, 5) + fence_row("LAMP", "AMS1", "web", 1)
    of.apply([entry(1, taken + hold_row(7, "LAMP", "AMS1", 5, 1000, 3, "web"))])
    of.advance(999_999)
    assert fences(of) == [("web", 1)]
    of.advance(1_000_000)
    assert fences(of) == [("web", 4)]
    swept = position_row("LAMP", "AMS1", 10, 0) + fence_row("LAMP", "AMS1", "web", 4)
    of.apply([entry(2, swept + hold_row(7, "LAMP", "AMS1", 0, 0))])
    assert fences(of) == [("web", 4)]
    of.apply([entry(3, position_row("LAMP", "AMS1", 10, 0) + fence_row("LAMP", "AMS1", "web", 0))])
    assert fences(of) == []


def test_an_emptied_ring_fence_gets_units_back_from_the_hold_that_emptied_it() -> None:
    of = replica()
    taken = position_row("LAMP", "AMS1", 10, 3) + fence_row("LAMP", "AMS1", "web", 0)
    of.apply([entry(1, taken + hold_row(7, "LAMP", "AMS1", 3, 1000, 3, "web"))])
    assert fences(of) == []
    of.advance(1_000_000)
    assert fences(of) == [("web", 3)]
    of.advance(900_000)  # the store's clock was set back
    assert fences(of) == []
    of.apply([entry(2, hold_row(7, "LAMP", "AMS1", 3, 2000, 2, "till"))])  # handed over and extended
    of.advance(2_000_000)
    assert fences(of) == [("till", 2)]


def test_receipts_are_kept_by_day_and_go_when_nothing_of_them_is_open() -> None:
    of = replica()
    first, second = Receipt("LAMP", "BER", "PO1", 20_001, 5, 2, 1), Receipt("LAMP", "AMS1", "PO2", 20_000, 7, 0, 1)
    backorder = Receipt("LAMP", "BER", "", 0, 0, 4, 1)
    of.apply([entry(1, "".join(map(incoming_row, (first, second, backorder))))])
    assert of.incoming.receipts("LAMP") == of.incoming.all() == [second, first]
    assert (of.incoming.backordered("LAMP", "BER"), of.incoming.backordered("LAMP", "AMS1")) == (4, 0)
    assert "LAMP" in of.incoming
    slipped = Receipt("LAMP", "AMS1", "PO2", 20_002, 6, 1, 2)
    of.apply([entry(2, incoming_row(slipped))])
    assert of.incoming.receipts("LAMP") == [first, slipped]
    gone = [Receipt("LAMP", place, name, 0, 0, 0, 3) for place, name in (("BER", "PO1"), ("AMS1", "PO2"), ("BER", ""))]
    of.apply([entry(3, "".join(map(incoming_row, gone)))])
    assert of.incoming.receipts("LAMP") == []
    assert not of.incoming
    assert "LAMP" not in of.incoming


@pytest.mark.parametrize(
    "row",
    [
        "I\tLAMP\tAMS1\tPO\tx\t1\t0\tSET\terp\te\t\n",
        "I\tLAMP\tAMS1\tPO\t2932897\t1\t0\tSET\terp\te\t\n",
        f"I\tLAMP\tAMS1\tPO\t1\t{2**53}\t0\tSET\terp\te\t\n",
        "I\tLAMP\tAMS1\tPO\t1\t1\t-1\tSET\terp\te\t\n",
        "I\t\tAMS1\tPO\t1\t1\t0\tSET\terp\te\t\n",
        "I\tLAMP\t\tPO\t1\t1\t0\tSET\terp\te\t\n",
    ],
)
def test_a_receipt_that_is_not_what_the_formats_say_is_malformed(row: str) -> None:
    of = replica()
    of.apply([entry(1, row)])
    assert of.fault is not None
    assert row[:-1].encode().decode() in str(of.fault).replace("\\t", "\t")


def test_an_own_receipt_that_is_newer_than_the_snapshot_stays() -> None:
    of = replica()
    of.incoming.load([Receipt("LAMP", "BER", "PO1", 20_001, 5, 2, 9), Receipt("LAMP", "BER", "PO1", 20_001, 4, 2, 8)])
    of.apply([entry(1, incoming_row(Receipt("LAMP", "BER", "PO1", 1, 1, 1, 1)))])
    assert [receipt.quantity for receipt in of.incoming.all()] == [5]


@pytest.mark.asyncio
async def test_waiting_ends_when_the_revision_is_applied() -> None:
    of = replica()
    await of.wait_for([], 0.0)
    waiting = asyncio.create_task(of.wait_for([(LAMP, 2), (LAMP, 1)], 10.0))
    await asyncio.sleep(0)
    of.apply([entry(1, "")])
    await asyncio.sleep(0)
    assert not waiting.done()
    of.apply([entry(2, "")])
    await waiting
    await of.wait_for([(LAMP, 2)], 0.0)


@pytest.mark.asyncio
async def test_waiting_too_long_is_refused_and_leaves_nothing_behind() -> None:
    of = replica()
    with pytest.raises(ReplicaBehind):
        await of.wait_for([(LAMP, 1)], 0.001)
    assert not of._waiting


def test_tokens_name_what_is_applied() -> None:
    of = replica()
    assert decode_token(of.token(), STORE_ID, PARTITIONS) == [(n, 0) for n in range(PARTITIONS)]
    of.apply([entry(1, "")])
    expected = [(n, int(n == LAMP)) for n in range(PARTITIONS)]
    assert decode_token(of.token(), STORE_ID, PARTITIONS) == expected
    assert decode_token(of.token([LAMP]), STORE_ID, PARTITIONS) == [(LAMP, 1)]
    assert decode_token(of.token_of(LAMP), STORE_ID, PARTITIONS) == [(LAMP, 1)]
    of.apply([entry(2, "")])
    assert decode_token(of.token_of(LAMP), STORE_ID, PARTITIONS) == [(LAMP, 2)]
    other = State(Columns(of.locations), [9] * PARTITIONS)
    of.become(other)
    assert decode_token(of.token(), STORE_ID, PARTITIONS) == [(n, 9) for n in range(PARTITIONS)]


def test_staleness_is_unknown_until_it_was_once_caught_up() -> None:
    from time import monotonic

    of = replica()
    assert of.staleness_ms() == STALENESS_UNKNOWN_MS
    of.caught_up(monotonic() - 5)
    assert 5000 <= of.staleness_ms() < 60_000
    of.caught_up(monotonic() - 100)
    assert of.staleness_ms() < 60_000


def rules(sku: dict[str, tuple[int, int]], position: dict[tuple[str, str], tuple[int, int]]) -> SimpleNamespace:
    return SimpleNamespace(locations={"AMS1": None}, stopping=(), sku_safety=sku, position_safety=position, kits={})


def safety(of: Replica) -> dict[tuple[str, str], tuple[int, int]]:
    names = of.columns.locations.names
    return {
        (name.decode(), names[row[0]]): (int(row[SAFETY_UNITS]), int(row[SAFETY_PARTS]))
        for number, name in enumerate(of.columns.index.names(of.columns.sku_count))
        for row in of.columns.rows(number)
    }


def test_rules_reach_positions_that_are_there_and_those_that_come() -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 1, 0))])
    of.set_network(rules({"LAMP": (5, 0), "NEW": (1, 1)}, {("LAMP", "BER"): (2, 100), ("LAMP", "AMS1"): (7, 0)}))
    assert safety(of) == {("LAMP", "AMS1"): (7, 0)}
    of.apply(
        [entry(2, position_row("LAMP", "BER", 1, 0) + position_row("NEW", "X", 1, 0) + position_row("Z", "X", 1, 0))]
    )
    expected = {("LAMP", "AMS1"): (7, 0), ("LAMP", "BER"): (5, 100), ("NEW", "X"): (1, 1), ("Z", "X"): (0, 0)}
    assert safety(of) == expected


def test_a_new_network_replaces_the_rules_of_the_old_one() -> None:
    of = replica()
    of.set_network(rules({"LAMP": (5, 0)}, {}))
    of.apply([entry(1, position_row("LAMP", "AMS1", 1, 0))])
    of.set_network(rules({}, {("LAMP", "BER"): (2, 0)}))
    assert safety(of) == {("LAMP", "AMS1"): (0, 0)}
    of.apply([entry(2, position_row("LAMP", "BER", 1, 0))])
    assert safety(of) == {("LAMP", "AMS1"): (0, 0), ("LAMP", "BER"): (2, 0)}


def test_rules_reach_thousands_of_positions_that_come_at_once() -> None:
    of = replica()
    of.set_network(rules({f"S{n}": (n, 0) for n in range(5000)}, {}))
    of.apply([entry(1, "".join(position_row(f"S{n}", "AMS1", 1, 0) for n in range(5000)))])
    assert safety(of) == {(f"S{n}", "AMS1"): (n, 0) for n in range(5000)}


def test_a_loaded_state_gets_the_rules() -> None:
    of = replica()
    of.set_network(rules({"LAMP": (5, 0)}, {}))
    loaded = Columns(of.locations)
    loaded.load([("LAMP", {b"AMS1": b"1,0,3,0"})], PARTITIONS)
    of.become(State(loaded, [3] * PARTITIONS))
    assert safety(of) == {("LAMP", "AMS1"): (5, 0)}


def state_row(state: str, units: str, sku: str = "LAMP", counted_at_ms: str = "0") -> str:
    return f"U\t{sku}\tAMS1\t{state}\t{units}\t1\t{counted_at_ms}\t\n"


def test_units_in_states_are_what_the_newest_row_says() -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 1, 0) + state_row("damaged", "4") + state_row("lost", "1"))])
    of.apply([entry(2, position_row("LAMP", "AMS1", 1, 0) + state_row("damaged", "9"))])
    assert of.unsellable.at("LAMP", "AMS1") == (("damaged", 9), ("lost", 1))
    assert of.unsellable.units("LAMP", "BER1", "damaged") == 0
    of.state.apply_rows([entry(1, state_row("damaged", "4"))])  # an older one, told again
    assert of.unsellable.units("LAMP", "AMS1", "damaged") == 9


@pytest.mark.parametrize(
    "row",
    [
        state_row("damaged", "x"),
        state_row("damaged", "-1"),
        state_row("damaged", "9007199254740992"),
        state_row("", "1"),
        state_row("damaged", "1", sku=""),
        state_row("damaged", "1", counted_at_ms="soon"),
        "U\tLAMP\tAMS1\tdamaged\t1\t1\t\n",
    ],
)
def test_a_malformed_row_of_a_state_stops_the_replica(row: str) -> None:
    of = replica()
    of.apply([entry(1, position_row("LAMP", "AMS1", 1, 0)), entry(2, row)])
    assert of.fault is not None
