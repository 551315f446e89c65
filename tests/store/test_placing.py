"""Lines for which it is decided already what comes from where, and rules for confidence: exactly that, or nothing."""

from __future__ import annotations

import msgpack
import pytest

from invengine import errors
from invengine.domain.kits import KitLine
from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineRequest,
    LineUnits,
    PlacedRequest,
    ReservationChange,
)
from invengine.domain.stock import ConfidenceRule
from invengine.store.operation_text import read_operation, write_operation
from invengine.store.records import future_text, read_reservation
from tests.store.making import change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

SET = KitLine("1 2", "SET é", 4)


async def stocked(world: World, **quantities: int) -> None:
    now_ms = world.clock.now_ms
    await world.store.post_movements(
        [movement("RECEIPT", quantity, now_ms, location=location) for location, quantity in quantities.items()]
    )


def placed(line_id: str = "1", asked: int = 0, **units: int) -> PlacedRequest:
    places = tuple(map(Candidate, units))
    quantity = sum(units.values())
    return PlacedRequest(
        line_id, "LAMP", quantity, places, asked=asked or quantity, units_at=tuple(units.values()), kit=SET
    )


def there(reservation) -> list[dict[str, int]]:
    return [{a.location: a.quantity for a in each.allocations} for each in reservation.lines]


async def test_a_line_takes_exactly_what_was_chosen_where(world: World) -> None:
    await stocked(world, AMS1=9, BER1=9)
    (made,) = (await world.store.reserve([request(placed(AMS1=4, BER1=8, asked=20), reservation_id="r")])).outcomes
    assert there(made.reservation) == [{"AMS1": 4, "BER1": 8}]
    (of,) = made.reservation.lines
    assert (of.quantity, of.short_quantity, of.kit) == (20, 8, SET)
    assert await world.store.reservation("r") == made.reservation


async def test_one_unit_too_few_somewhere_and_nothing_is_taken(world: World) -> None:
    await stocked(world, AMS1=9, BER1=7)
    (short,) = (await world.store.reserve([request(placed(AMS1=4, BER1=8), best_effort=True)])).outcomes
    assert isinstance(short, errors.InsufficientStock)
    assert [(s.wanted, s.available) for s in short.short_lines] == [(12, 11)]
    assert [position.reserved for position in (await world.store.positions("LAMP")).values()] == [0, 0]


async def test_a_line_that_got_nothing_stands_in_the_record(world: World) -> None:
    await stocked(world, AMS1=9)
    nothing = PlacedRequest("2", "LAMP", 0, (Candidate("AMS1"),), asked=5)
    (made,) = (await world.store.reserve([request(placed(AMS1=4), nothing)])).outcomes
    assert [(of.quantity, of.short_quantity) for of in made.reservation.lines] == [(4, 0), (5, 5)]


async def test_an_amendment_moves_exactly_what_was_chosen(world: World) -> None:
    await stocked(world, AMS1=9, BER1=9, PAR1=9)
    await world.store.reserve([request(placed(AMS1=4, BER1=8), reservation_id="r")])
    places = tuple(map(Candidate, ("AMS1", "PAR1")))
    wanted = LinePlacement("1", 16, places, units_at=(-4, 8))
    (after,) = (await world.store.amend([change("r", placements=(wanted,), expected_revision=1)])).outcomes
    assert there(after.reservation) == [{"BER1": 8, "PAR1": 8}]
    too_much = LinePlacement("1", 8, places, units_at=(-1, -7))
    (refused,) = (await world.store.amend([change("r", placements=(too_much,))])).outcomes
    assert isinstance(refused, errors.QuantityExceedsOpen)
    assert there(await world.store.reservation("r")) == [{"BER1": 8, "PAR1": 8}]


async def test_units_that_are_not_trusted_are_not_taken(world: World) -> None:
    """Never counted, then counted, then counted too long ago; by the store's clock."""
    await stocked(world, AMS1=10)
    old = Candidate("AMS1", 1, 0, (ConfidenceRule(60_000, 0, 3, 0), ConfidenceRule(0, 10, 0, 5_000)))

    async def free() -> int:
        (short,) = (await world.store.reserve([request(line(99, old))])).outcomes
        return short.short_lines[0].available

    assert await free() == 6
    count = movement("COUNT", 10, world.clock.now_ms)
    await world.store.post_movements([count])
    assert await free() == 9
    await world.clock.advance(59_999)
    assert await free() == 9
    await world.clock.advance(1)
    assert await free() == 6
    await world.store.post_movements([movement("SALE", 1, world.clock.now_ms)])
    assert await free() == 3  # 9 on hand: 1 stays, half of them are not trusted, rounded up


async def test_what_is_reserved_stays_so_whatever_is_trusted_since(world: World) -> None:
    await stocked(world, AMS1=4)
    await world.store.reserve([request(4, reservation_id="r")])
    doubtful = Candidate("AMS1", 0, 0, (ConfidenceRule(0, 9, 4, 0),))
    same = LinePlacement("1", 4, (doubtful,))
    (after,) = (await world.store.amend([change("r", placements=(same,))])).outcomes
    assert there(after.reservation) == [{"AMS1": 4}]
    await world.store.confirm([change("r")])
    (gone,) = (await world.store.fulfil([change("r", LineUnits("1"))])).outcomes
    assert gone.reservation.state == "FULFILLED"


async def test_an_operation_is_read_as_it_was_written() -> None:
    rules = (ConfidenceRule(1, 2, 3, 4),)
    places = (Candidate("AMS1", 1, 2, rules), Candidate("BER1"))
    told = ReservationChange(
        "q",
        "f",
        "r",
        "web",
        3,
        placements=(LinePlacement("1", 4, places, units_at=(-1, 2)),),
        added=(LineRequest("2", "LAMP", 1, places), placed("3/LAMP", AMS1=4)),
    )
    assert read_operation(write_operation("amend", told)) == ("amend", told)


async def test_an_operation_of_before_is_read_too() -> None:
    """A change that was under way when the library was replaced by this one."""
    told = ReservationChange("q", "f", "r", "web", placements=(LinePlacement("1", 4, (Candidate("AMS1", 1, 2),)),))
    verb, fields = msgpack.unpackb(write_operation("amend", told))
    for placement in fields["placements"]:
        del placement["units_at"]
        for candidate in placement["candidates"]:
            del candidate["confidence"]
    assert read_operation(msgpack.packb([verb, fields])) == ("amend", told)


@pytest.mark.parametrize("kit", [SET, KitLine("1", "<3", 1)])
async def test_the_kit_of_a_line_is_read_as_it_was_written(kit: KitLine) -> None:
    """Also where units of it came back, whatever the kit is called."""
    head = "HELD\tweb\t1\t2\t3\t\t\t\t\t1"
    for behind, returned in (("", 0), ("<4", 4)):
        text = f"{head}\t1 2/LAMP\t0\tLAMP\t4\tANY\t\t\t\t{future_text(None, kit)}{behind}\t0"
        (of,) = read_reservation("r", text).lines
        assert (of.kit, of.returned, of.future) == (kit, returned, None)
