"""Kits by bytes and by message: every call tells the same, which is what their components say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.orders import Allocation, Destination, Fulfilment, Reservation, ReservationLine, ReservationState
from invengine.domain.partitions import encode_token, partition_of
from invengine.errors import UnknownSku
from invengine.services.kit_availability import level_of
from invengine.v1 import availability_service_pb2 as pb
from tests.replica.fakes import PARTITIONS, START_MS, STORE_ID, fence_row, position_row
from tests.services.test_availability import TODAY, World

KITS = {"SET": {"SOFA": 1, "CUSHION": 4}, "PAIR": {"CUSHION": 2}, "ODD": {"SOFA": 3, "NEVER": 1}}
NETWORK = """
locations:
  AMS1: {kind: warehouse}
  BER: {kind: store, fulfilments: [pickup]}
  CDG: {kind: warehouse, enabled: false}
  XXX: {kind: warehouse}
groups: {eu: [AMS1, BER, CDG], far: [XXX]}
channels:
  web: {groups: [eu], low_stock_threshold: 2}
  market: {groups: [eu], borrow: false}
safety_stock: [{sku: CUSHION, location: BER, units: 2}]
confidence: [{location: AMS1, fewer_than: 9, units: 1}]
low_stock_thresholds: [{sku: PAIR, units: 4}, {sku: SET, location: BER, units: 1}]
kits:
  SET: {SOFA: 1, CUSHION: 4}
  PAIR: {CUSHION: 2}
  ODD: {SOFA: 3, NEVER: 1}
"""
PLACES = ("AMS1", "BER", "CDG", "XXX")


def world() -> World:
    of = World()
    of.use(NETWORK)
    return of


rows = st.dictionaries(
    st.tuples(st.sampled_from(("SOFA", "CUSHION", "SET")), st.sampled_from(PLACES)),
    st.tuples(st.integers(0, 40), st.integers(0, 9), st.integers(0, 6)),
)
questions = st.sampled_from(
    (
        {},
        {"channel": "market"},
        {"locations": ["BER"]},
        {"locations": ["XXX", "AMS1"]},
        {"fulfilment": 1},
        {"group": "eu"},
    )
)


@given(rows, questions)
def test_a_kit_is_what_its_components_are_whoever_asks_how(
    written: dict[tuple[str, str], tuple[int, int, int]], question: dict[str, Any]
) -> None:
    of = world()
    for (sku, place), (on_hand, reserved, fenced) in written.items():
        row = position_row(sku, place, on_hand, reserved)
        of.write(sku, row + (fence_row(sku, place, "market", fenced) if fenced else ""))

    async def check() -> None:
        skus = [*KITS, "SOFA", "CUSHION"]
        batch = await of.batch(skus=skus, **question)
        at = 0
        for i, (name, kit) in enumerate(KITS.items()):
            parts = {sku: await positions(of, sku, question) for sku in kit}
            there = {place for of_part in parts.values() for place in of_part}
            expected = {
                place: min(
                    of_part[place].available // kit[sku] if place in of_part else 0 for sku, of_part in parts.items()
                )
                for place in there
            }
            answer = await of.get(sku=name, **question)
            assert expected == {position.location: position.available for position in answer.positions}
            assert answer.available == sum(expected.values()) == batch.available[i]
            assert batch.status[i] == pb.AVAILABILITY_STATUS_KNOWN
            assert answer.level == batch.level[i]
            for position in answer.positions:
                limiting = kit[position.limiting_component]
                part = parts[position.limiting_component].get(position.location)
                assert (part.available // limiting if part else 0) == position.available
                assert position.level == level_of(
                    position.available,
                    1 if (name, position.location) == ("SET", "BER") else 4 if name == "PAIR" else threshold(question),
                )
            usable = {
                position.location: position.available
                for position in answer.positions
                if position.location in batch.locations
            }
            got = range(at, at + batch.row_counts[i])
            assert {batch.locations[batch.location_index[n]]: batch.location_available[n] for n in got} == usable
            at += batch.row_counts[i]

    asyncio.run(check())


def threshold(question: dict[str, Any]) -> int:
    """Of the channel that asks."""
    return 0 if question.get("channel") == "market" else 2


async def positions(of: World, sku: str, question: dict[str, Any]) -> dict[str, pb.PositionAvailability]:
    """Of a component, by location; none of one that never was."""
    try:
        return {position.location: position for position in (await of.get(sku=sku, **question)).positions}
    except UnknownSku:
        return {}


@pytest.mark.asyncio
async def test_the_token_names_the_partitions_of_all_components() -> None:
    of = world()
    of.stock("SOFA", "AMS1", 9)
    of.stock("CUSHION", "AMS1", 40)
    answer = await of.get(sku="SET")
    pairs = sorted({(p, of.replica.applied[p]) for p in (partition_of(sku, PARTITIONS) for sku in KITS["SET"])})
    assert answer.consistency_token == encode_token(STORE_ID, pairs)


@pytest.mark.asyncio
async def test_own_units_of_every_component_are_free_to_their_owner() -> None:
    of = world()
    of.stock("SOFA", "BER", 3, 2)
    of.stock("CUSHION", "BER", 12, 8)
    lines = tuple(
        ReservationLine(f"1/{sku}", sku, units, Fulfilment.ANY, Destination(), (Allocation("BER", units),))
        for sku, units in (("SOFA", 2), ("CUSHION", 8))
    )
    of.store.reservations["mine"] = Reservation(
        "mine", ReservationState.HELD, "web", START_MS, START_MS // 1000 + 60, 1, lines
    )
    assert (await of.get(sku="SET")).available == 0  # 4 cushions, of which 2 stay
    own = await of.get(sku="SET", ignore_reservation_id="mine")
    assert (own.available, own.positions[0].limiting_component) == (2, "CUSHION")


@pytest.mark.asyncio
async def test_a_component_that_is_expected_only_makes_a_kit_later() -> None:
    of = world()
    of.stock("SOFA", "BER", 6)
    answer = await of.get(sku="ODD")
    assert (answer.available, answer.HasField("next_receipt")) == (0, False)
    of.expect("NEVER", "BER", "po", TODAY + 3, 5)
    answer = await of.get(sku="ODD")
    assert (answer.positions[0].limiting_component, list(answer.positions[0].reasons)) == ("NEVER", [])
    assert answer.next_receipt.quantity == 2
    assert [(part.sku, part.available) for part in answer.components] == [("SOFA", 6), ("NEVER", 0)]


@pytest.mark.asyncio
async def test_a_kit_is_known_before_anything_of_it_was() -> None:
    of = world()
    answer = await of.get(sku="SET")
    assert (answer.available, answer.level, len(answer.positions)) == (0, pb.LEVEL_OUT, 0)
    selection = of.availability._questions.of_stream("web", "")
    assert (of.availability.total("SET", selection), of.availability.total("NONE", selection)) == (0, None)
