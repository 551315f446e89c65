"""Orders of a wave that are needed by a day, or take daily capacity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import common_pb2, wave_pb2
from tests.rpc.engines import engine
from tests.rpc.expected import in_days
from tests.rpc.kept_shop import BERLIN, SHIP, KeptShop
from tests.rpc.waves import commit, line, order, plan, shown, unharmed, units

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[KeptShop]:
    """A shop with two warehouses, DC and FAR; once where a call spans the store, once where it sees one partition."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (running, stubs):
        found = KeptShop(running, stubs)
        await found.begin()
        yield found


def shipped(sku: str, quantity: int, **more: Any) -> wave_pb2.WaveOrderLine:
    return line(sku, quantity, fulfilment=SHIP, destination=common_pb2.Destination(**BERLIN), **more)


async def test_locations_that_cannot_keep_the_day_are_left_out(shop: KeptShop) -> None:
    await shop.apply(far=9)
    await shop.stubs.receive("LAMP", 2)
    await shop.stubs.receive("LAMP", 9, "FAR")
    planned = await plan(
        shop.stubs,
        order("soon", shipped("LAMP", 2, needed_by=in_days(4))),
        order("late", shipped("LAMP", 1, needed_by=in_days(4))),
        order("whenever", shipped("LAMP", 3)),
    )
    soon, late, whenever = await shown(shop.stubs, planned.plan_id)
    assert [units(one) for one in (soon, late, whenever)] == [{"1": {"DC": 2}}, {"1": {}}, {"1": {"FAR": 3}}]
    assert late.lines[0].missing == wave_pb2.WavePlanLine.MISSING_TAKEN
    await commit(shop.stubs, planned.plan_id)
    (made,) = [one for one in await shown(shop.stubs, planned.plan_id) if one.order_id == "soon"]
    delivered, _ = await shop.promise_of(made.reservation_id)
    assert delivered is not None
    assert delivered <= 4
    await unharmed(shop.stubs)


async def test_a_line_that_nobody_can_bring_in_time_says_so(shop: KeptShop) -> None:
    await shop.apply(far=9)
    await shop.stubs.receive("LAMP", 9, "FAR")
    planned = await plan(shop.stubs, order("late", shipped("LAMP", 1, needed_by=in_days(4))))
    (late,) = await shown(shop.stubs, planned.plan_id)
    assert late.lines[0].missing == wave_pb2.WavePlanLine.MISSING_TOO_LATE


async def test_committed_orders_take_the_capacity_of_their_days(shop: KeptShop) -> None:
    await shop.apply(capacity="units: 3")
    await shop.stubs.receive("LAMP", 9)
    planned = await plan(
        shop.stubs, order("one", shipped("LAMP", 2)), order("two", shipped("LAMP", 3, needed_by=in_days(9)))
    )
    answer = await commit(shop.stubs, planned.plan_id)
    assert not answer.refused_orders
    taken: dict[int | None, int] = {}
    for one in await shown(shop.stubs, planned.plan_id):
        for day, slots in (await shop.promise_of(one.reservation_id))[1]:
            taken[day] = taken.get(day, 0) + slots
    assert sum(taken.values()) == 5
    assert max(taken.values()) <= 3
    await unharmed(shop.stubs)


async def test_an_order_that_comes_too_late_when_it_is_committed_is_refused(shop: KeptShop) -> None:
    await shop.stubs.receive("LAMP", 9)
    planned = await plan(shop.stubs, order("soon", shipped("LAMP", 2, needed_by=in_days(4)), shipped("LAMP", 1)))
    await shop.apply(transit=9)
    answer = await commit(shop.stubs, planned.plan_id)
    (soon,) = answer.refused_orders
    assert soon.outcome == wave_pb2.WavePlanOrder.OUTCOME_IN_PART
    assert soon.lines[0].refusal.reason == common_pb2.ERROR_REASON_PROMISE_TOO_LATE
    assert not soon.lines[1].HasField("refusal")
    assert (await shop.stubs.position("LAMP"))[1] == 1
    await unharmed(shop.stubs)
