"""Other promises for lines whose units stay: what is written, mended and refused, in one step and in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from invengine import errors
from invengine.domain.incoming import BrokenReason
from invengine.domain.orders import Future, LineUnits
from invengine.domain.promises import LinePromise, LineRepromise, PromisePart
from invengine.errors import RequestMismatch
from invengine.store.redis_store import Atomicity
from tests.store.making import change, incoming, line, movement
from tests.store.making import request as reservation
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

PROMISE = LinePromise("standard", 20_780, 0, 9_500, (PromisePart("AMS1", 20_778, 20_780),), 20_781)


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(open_world: Callable[..., Any], request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """10 SOFA and no LAMP at AMS1, 5 LAMP expected in 3 days: `R` has 2 SOFA on hand and 4 LAMP pegged."""
    world = await open_world(atomicity=request.param)
    day = world.clock.now_ms // 86_400_000
    await world.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms, sku="SOFA")])
    await world.store.change_incoming([incoming("SET", 5, day + 3)])
    lines = line(2, sku="SOFA"), line(4, line_id="2", future=Future(), sku="LAMP")
    await world.store.reserve([reservation(*lines, reservation_id="R", time_to_live_seconds=600)])
    yield world


async def slip(world: World, days: int) -> None:
    await world.store.change_incoming([incoming("SLIP", day=world.clock.now_ms // 86_400_000 + days)])


async def repromised(world: World, *lines: LineRepromise, **more: Any) -> Any:
    return (await world.store.repromise([change("R", repromises=lines, **more)])).outcomes[0]


async def broken(world: World) -> list[tuple[str, int, BrokenReason]]:
    found, _ = await world.store.broken_promises(limit=10)
    return [(one.line_id, one.quantity, one.reason) for one in found]


async def test_a_promise_is_written_and_units_stay(shop: World) -> None:
    """And every other verb carries it on."""
    before = await shop.store.reservation("R")
    answer = await repromised(shop, LineRepromise("1", PROMISE))
    assert before is not None
    sofa, lamp = answer.reservation.lines
    assert (sofa.promise, lamp.promise) == (PROMISE, None)
    assert [line.allocations for line in answer.reservation.lines] == [line.allocations for line in before.lines]
    assert answer.reservation.revision > before.revision
    assert (await shop.store.position("SOFA", "AMS1")).reserved == 2
    await shop.store.confirm([change("R")])
    await shop.store.fulfil([change("R", LineUnits("1", quantity=1))])
    kept = await shop.store.reservation("R")
    assert kept.lines[0].promise == PROMISE
    other = PROMISE._replace(delivery_day=20_790, parts=(), service="<3")
    await repromised(shop, LineRepromise("1", other), LineRepromise("2", PROMISE))
    kept = await shop.store.reservation("R")
    assert [line.promise for line in kept.lines] == [other, PROMISE]
    assert kept.lines[1].future == Future()


async def test_a_later_day_mends_a_promise_out_of_a_receipt_that_slipped(shop: World) -> None:
    day = shop.clock.now_ms // 86_400_000
    await slip(shop, 6)
    assert await broken(shop) == [("2", 4, BrokenReason.SLIPPED)]
    await repromised(shop, LineRepromise("2", None, day + 5))  # still too early
    assert await broken(shop) == [("2", 4, BrokenReason.SLIPPED)]
    answer = await repromised(shop, LineRepromise("2", None, day + 6))
    assert answer.reservation.lines[1].allocations[0].due_day == day + 6
    assert await broken(shop) == []
    await repromised(shop, LineRepromise("2", None, day + 4))  # never earlier than it was
    assert (await shop.store.reservation("R")).lines[1].allocations[0].due_day == day + 6
    await slip(shop, 7)
    assert await broken(shop) == [("2", 4, BrokenReason.SLIPPED)]


async def test_units_of_a_cancelled_receipt_wait_on_as_backorders(shop: World) -> None:
    await shop.store.change_incoming([incoming("CANCEL")])
    assert await broken(shop) == [("2", 4, BrokenReason.CANCELLED)]
    await repromised(shop, LineRepromise("2", None, 20_999))
    assert await broken(shop) == []
    await shop.store.post_movements([movement("RECEIPT", 4, shop.clock.now_ms)])
    assert [a.is_on_hand for a in (await shop.store.reservation("R")).lines[1].allocations if a.open] == [True]


async def test_a_repeat_answers_as_before_and_nothing_changes_nothing(shop: World) -> None:
    first = change("R", repromises=(LineRepromise("1", PROMISE),))
    one, two = [(await shop.store.repromise([first])).outcomes[0] for _ in range(2)]
    assert (one.replayed, two.replayed, two.reservation) == (False, True, one.reservation)
    again = await repromised(shop, LineRepromise("1", PROMISE), LineRepromise("2", None, 1))
    assert again.reservation.revision == one.reservation.revision


async def test_what_is_refused_changes_nothing(shop: World) -> None:
    before = await shop.store.reservation("R")
    outcome = await repromised(shop, LineRepromise("1", PROMISE), LineRepromise("9", PROMISE))
    assert told(outcome) == ("LineNotFound", {"reservation_id": "R", "line_id": "9", "location": ""})
    outcome = await repromised(shop, LineRepromise("1", PROMISE), expected_revision=before.revision + 1)
    assert isinstance(outcome, errors.RevisionMismatch)
    assert await shop.store.reservation("R") == before
    missing = (await shop.store.repromise([change("S", repromises=(LineRepromise("1", PROMISE),))])).outcomes[0]
    assert isinstance(missing, errors.ReservationNotFound)
    await shop.clock.advance(600_000)
    assert isinstance(await repromised(shop, LineRepromise("1", PROMISE)), errors.ReservationExpired)


async def test_an_answer_is_kept_once(shop: World) -> None:
    assert await shop.store.remembered("Q", "A") is None
    assert await shop.store.remember("Q", "A", "first\twith tabs") is None
    assert await shop.store.remember("Q", "A", "second") == "first\twith tabs"
    assert await shop.store.remembered("Q", "A") == "first\twith tabs"
    for ask in (shop.store.remember("Q", "B", "other"), shop.store.remembered("Q", "B")):
        with pytest.raises(RequestMismatch):
            await ask
