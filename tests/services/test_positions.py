"""GetPosition: one position with its ring-fences, and what is expected there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from invengine.domain.incoming import Receipt
from invengine.errors import InventoryError, PositionNotFound, UnknownLocation, UnknownSku
from invengine.services.positions import PositionNow, Positions
from invengine.v1 import stock_service_pb2 as pb
from tests.replica.fakes import hold_row, position_row
from tests.services.test_availability import SECOND, TODAY, World

pytestmark = pytest.mark.asyncio


@pytest.fixture
def world() -> World:
    of = World()
    of.stock("LAMP", "DUB", 10, 3)
    return of


async def position(world: World, sku: str = "LAMP", location: str = "DUB") -> PositionNow:
    networks = SimpleNamespace(required=lambda: world.networks.current)
    positions = Positions(cast(Any, world.store), world.replica, world.clock, cast(Any, networks))
    return await positions.get(pb.GetPositionRequest(sku=sku, location=location), None)


async def test_ring_fences_are_told_by_channel_with_what_is_back_in_them(world: World) -> None:
    world.write(
        "LAMP",
        position_row("LAMP", "DUB", 10, 3)
        + hold_row(1, "LAMP", "DUB", 2, SECOND, 2, "web")
        + hold_row(2, "LAMP", "DUB", 1, SECOND + 1, 1, "till"),
    )
    world.fence("LAMP", "DUB", "web", 1)
    world.fence("LAMP", "DUB", "app", 4)
    found = await position(world)
    assert (found.on_hand, found.reserved, found.safety_stock) == (10, 1, 2)
    assert found.ring_fences == (("app", 4), ("web", 3))
    assert (found.backordered, found.incoming) == (0, ())


async def test_what_is_expected_there_is_told_by_day(world: World) -> None:
    world.expect("LAMP", "DUB", "PO2", TODAY + 2, 5, 1)
    world.expect("LAMP", "DUB", "PO1", TODAY + 3, 6)
    world.expect("LAMP", "BER", "PO3", TODAY + 1, 7)
    world.expect("LAMP", "DUB", "", 0, 0, 8)
    found = await position(world)
    assert [(receipt.receipt_id, receipt.quantity, receipt.pegged) for receipt in found.incoming] == [
        ("PO2", 5, 1),
        ("PO1", 6, 0),
    ]
    assert (found.backordered, found.ring_fences) == (8, ())


async def test_a_position_that_is_only_expected_is_empty(world: World) -> None:
    world.expect("LAMP", "BER", "PO1", TODAY, 5)
    world.expect("SOON", "DUB", "", 0, 0, 2)
    found = await position(world, location="BER")
    assert (found.on_hand, found.reserved, found.revision, len(found.incoming)) == (0, 0, 0, 1)
    assert isinstance(found.incoming[0], Receipt)
    assert (await position(world, "SOON")).backordered == 2


@pytest.mark.parametrize(
    ("sku", "location", "error"),
    [
        ("NOBODY", "DUB", UnknownSku),
        ("LAMP", "AMS1", PositionNotFound),
        ("SOON", "AMS1", PositionNotFound),
        ("LAMP", "nowhere", UnknownLocation),
    ],
)
async def test_what_is_neither_there_nor_expected_is_not_found(
    world: World, sku: str, location: str, error: type[InventoryError]
) -> None:
    world.expect("SOON", "DUB", "PO1", TODAY, 2)
    with pytest.raises(error):
        await position(world, sku, location)
