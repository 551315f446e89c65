"""The list of broken promises as one who follows it is told: what just broke, what changed, what was mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from invengine.services.broken import BrokenChange, Following
from invengine.store.redis_store import Atomicity, RedisStore
from tests.rpc.kept_shop import KeptShop, kept_shop

pytestmark = pytest.mark.asyncio

SECONDS_MAX = 30.0


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[KeptShop]:
    """Once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with kept_shop(redis_url) as shop:
        yield shop


class Reader:
    """One who follows, and what it knows of the list."""

    def __init__(self, shop: KeptShop, following: Following) -> None:
        self._shop, self._following = shop, following
        self.known: dict[Any, tuple[str, int, str, int, int]] = {}

    async def take(self) -> BrokenChange:
        """The next change, taken over."""
        change = await asyncio.wait_for(self._following.next(), SECONDS_MAX)
        for line in change.mended:
            del self.known[line.leg]  # KeyError: it was never told
        for line in change.broken:
            days = [day - self._shop.today if day else 0 for day in (line.promised_day, line.new_day)]
            self.known[line.leg] = (line.reservation_id, line.quantity, str(line.reason), *days)
        return change

    async def until(self, *expected: tuple[str, int, str, int, int]) -> None:
        """Takes changes until the list is this."""
        async with asyncio.timeout(SECONDS_MAX):
            while sorted(self.known.values()) != sorted(expected):
                await self.take()


async def test_who_follows_is_told_what_breaks_and_what_is_mended(shop: KeptShop) -> None:
    """By a receipt, twice later and in time again; by a count; by the network; each without anybody asking."""
    lamps = shop.schedule()
    await lamps.set("po-1", 5, 4)
    await shop.promised("A", 3, 4)
    await shop.stubs.receive("SOFA", 4)
    await shop.promised("B", 2, 0, sku="SOFA")
    await shop.promised("C", 2, 0, sku="SOFA")
    with shop.running.broken_promises.follow() as following:
        reader = Reader(shop, following)
        assert (await reader.take()).broken == ()
        await lamps.slip("po-1", 6)
        await reader.until(("A", 3, "SLIPPED", 6, 8))
        await lamps.slip("po-1", 7)  # broken already: only the new day is news
        await reader.until(("A", 3, "SLIPPED", 6, 9))
        await shop.count(3, sku="SOFA")
        await reader.until(("A", 3, "SLIPPED", 6, 9), ("C", 1, "SHORTFALL", 2, 0))
        await shop.schedule("SOFA").set("po-2", 5, 3)  # makes it good, in three days
        await reader.until(("A", 3, "SLIPPED", 6, 9), ("C", 1, "SHORTFALL", 2, 5))
        await lamps.slip("po-1", 4)
        await reader.until(("C", 1, "SHORTFALL", 2, 5))
        await shop.count(4, sku="SOFA")
        await reader.until()
        await shop.apply(transit=4)
        slower = [("A", 3, 6, 8), ("B", 2, 2, 4), ("C", 2, 2, 4)]
        await reader.until(*((name, units, "CALENDAR_CHANGED", was, now) for name, units, was, now in slower))
        await shop.apply()
        await reader.until()
        assert following.is_waiting
    assert shop.running.replica.on_entries is None


async def test_a_slow_reader_is_told_the_newest_state_once(shop: KeptShop) -> None:
    """What broke and was mended before it looked is never told; two who follow are told each for itself."""
    await shop.schedule().set("po-1", 5, 4)
    await shop.promised("A", 3, 4)
    await shop.promised("B", 2, 4)
    await shop.schedule().slip("po-1", 5)
    source = shop.running.broken_promises
    with source.follow() as quick_one, source.follow() as slow_one:
        quick, slow = Reader(shop, quick_one), Reader(shop, slow_one)
        await quick.until(("A", 3, "SLIPPED", 6, 7), ("B", 2, "SLIPPED", 6, 7))
        await shop.schedule().slip("po-1", 4)
        await quick.until()
        await shop.schedule().slip("po-1", 9)
        await quick.until(("A", 3, "SLIPPED", 6, 11), ("B", 2, "SLIPPED", 6, 11))
        first = await slow.take()
        assert (sorted(slow.known.values()), first.mended) == (sorted(quick.known.values()), ())
        assert len(first.revisions) == shop.running.store.partitions
    with source.follow() as later:  # it begins anew, with the whole list
        reader = Reader(shop, later)
        await reader.take()
        assert sorted(reader.known.values()) == sorted(quick.known.values())


async def test_what_is_broken_is_counted_by_its_reasons(shop: KeptShop) -> None:
    """As soon as somebody follows; else at the pace of the metric."""
    gauges = shop.running.metrics.broken_promises
    await shop.schedule().set("po-1", 5, 4)
    await shop.promised("A", 3, 4)
    await shop.schedule().slip("po-1", 5)
    with shop.running.broken_promises.follow() as following:
        await Reader(shop, following).take()
        values = {reason: gauge._value.get() for reason, gauge in gauges.items()}
    assert values == dict.fromkeys(gauges, 0) | {"SLIPPED": 1}
