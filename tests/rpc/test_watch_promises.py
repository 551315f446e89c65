"""Broken promises in WatchAvailability, over real sockets: receipts slip, locations close, streams end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from invengine.client import Client
from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import availability_service_pb2 as pb
from tests.rpc.kept_shop import KeptShop, Reason, kept_shop

pytestmark = pytest.mark.asyncio

Told = tuple[str, str, int, str, int | None, int | None]


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[KeptShop]:
    """Once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with kept_shop(redis_url) as shop:
        yield shop


class Reader:
    """One watch with promises, and those that it knows to be broken: whose, of what, units, why, promised, now."""

    def __init__(self, shop: KeptShop, **question: Any) -> None:
        self._shop = shop
        request = pb.WatchAvailabilityRequest(**{"channel": "web", "include_promises": True, **question})
        self.call = shop.stubs.availability.WatchAvailability(request)
        self.known: dict[str, Told] = {}
        self.messages: list[pb.WatchAvailabilityResponse] = []
        self.token = ""

    async def until(self, *expected: Told) -> None:
        """Reads until these are broken, and no others, and all that were broken at first have been told."""
        async with asyncio.timeout(30):
            while not self.is_caught_up or sorted(self.known.values()) != sorted(expected):
                await self.read()

    @property
    def is_caught_up(self) -> bool:
        return any(message.promises_caught_up for message in self.messages)

    async def read(self) -> None:
        message = await self.call.read()
        assert isinstance(message, pb.WatchAvailabilityResponse), message
        self.messages.append(message)
        self.token = message.resume_token or self.token
        if message.promises_begin_anew:
            self.known.clear()
        for change in message.promises:
            promise = change.promise
            days = (self._shop.days(promise.promised_delivery_date), self._shop.days(promise.new_delivery_date))
            why = Reason.Reason.Name(promise.reason).removeprefix("REASON_")
            if change.mended:
                self.known.pop(change.key, None)
            else:
                self.known[change.key] = (promise.reservation_id, promise.sku, promise.quantity, why, *days)


async def test_a_receipt_slips_and_is_in_time_again(shop: KeptShop) -> None:
    """Each is told what it asked for: of its channel, and of its SKUs; who asked for no promises is told none."""
    for sku in ("LAMP", "SOFA"):
        await shop.schedule(sku).set("po-1", 9, 4)
        await shop.promised(f"{sku}-web", 3, 4, sku=sku)
        await shop.promised(f"{sku}-app", 2, 4, sku=sku, channel="app")
    lamps, everything, app = Reader(shop, skus=["LAMP"]), Reader(shop), Reader(shop, channel="app", locations=["FAR"])
    plain = Reader(shop, include_promises=False)
    for reader in (lamps, everything, app):
        await reader.until()
    await shop.schedule().slip("po-1", 7)
    await lamps.until(("LAMP-web", "LAMP", 3, "SLIPPED", 6, 9))
    await shop.schedule("SOFA").slip("po-1", 6)
    await everything.until(("LAMP-web", "LAMP", 3, "SLIPPED", 6, 9), ("SOFA-web", "SOFA", 3, "SLIPPED", 6, 8))
    await app.until(("LAMP-app", "LAMP", 2, "SLIPPED", 6, 9), ("SOFA-app", "SOFA", 2, "SLIPPED", 6, 8))
    await shop.schedule().slip("po-1", 8)
    await lamps.until(("LAMP-web", "LAMP", 3, "SLIPPED", 6, 10))
    await shop.schedule().slip("po-1", 4)
    await lamps.until()
    await everything.until(("SOFA-web", "SOFA", 3, "SLIPPED", 6, 8))
    (mended,) = [change for message in lamps.messages for change in message.promises if change.mended]
    assert (mended.promise.reservation_id, mended.promise.receipt_id) == ("LAMP-web", "po-1")
    assert {change.key for message in lamps.messages for change in message.promises} == {mended.key}
    for reader in (lamps, everything, app):
        assert sum(message.promises_begin_anew for message in reader.messages) == 1
        reader.call.cancel()
    await shop.stubs.receive("CHAIR", 1)
    async with asyncio.timeout(30):
        while not any(change.sku == "CHAIR" for message in plain.messages for change in message.changes):
            await plain.read()
    assert not plain.known
    assert not plain.is_caught_up
    plain.call.cancel()


async def test_a_location_closes_and_opens_again(shop: KeptShop) -> None:
    await shop.stubs.receive("LAMP", 9)
    await shop.stubs.receive("LAMP", 9, location="FAR")
    await shop.promised("near", 3, 0)
    await shop.promised("far", 2, 0, location="FAR")
    reader = Reader(shop, skus=["LAMP"])
    await reader.until()
    await shop.apply(enabled=False)
    await reader.until(("near", "LAMP", 3, "LOCATION_CLOSED", 2, None))
    await shop.count(1, location="FAR")
    await reader.until(
        ("near", "LAMP", 3, "LOCATION_CLOSED", 2, None),
        ("far", "LAMP", 1, "SHORTFALL", 2, None),
    )
    await shop.apply()
    await reader.until(("far", "LAMP", 1, "SHORTFALL", 2, None))
    await shop.count(2, location="FAR")
    await reader.until()
    reader.call.cancel()


async def test_taken_up_again_all_that_are_broken_are_told_anew(shop: KeptShop) -> None:
    """What was mended meanwhile is not among them in the end; availability goes on where it was."""
    lamps, sofas = shop.schedule(), shop.schedule("SOFA")
    for schedule, sku in ((lamps, "LAMP"), (sofas, "SOFA")):
        await schedule.set("po-1", 9, 4)
        await shop.promised(sku, 3, 4, sku=sku)
    await sofas.slip("po-1", 7)
    reader = Reader(shop, skus=["LAMP", "SOFA"])
    await reader.until(("SOFA", "SOFA", 3, "SLIPPED", 6, 9))
    reader.call.cancel()
    await lamps.slip("po-1", 5)
    await sofas.slip("po-1", 4)
    again = Reader(shop, skus=["LAMP", "SOFA"], resume_token=reader.token)
    await again.until(("LAMP", "LAMP", 3, "SLIPPED", 6, 7))
    assert not any(message.begins_anew for message in again.messages)
    assert next(m.promises_begin_anew for m in again.messages if m.promises or m.promises_begin_anew)
    assert sum(message.promises_begin_anew for message in again.messages) == 1
    again.call.cancel()


async def test_the_client_watches_promises(shop: KeptShop) -> None:
    await shop.schedule().set("po-1", 9, 4)
    await shop.promised("A", 3, 4)
    known: dict[str, str] = {}
    async with Client(shop.running.address, channel="web") as client, asyncio.timeout(30):
        messages = client.watch(["LAMP"], include_promises=True)
        async for message in messages:
            if message.promises_begin_anew:
                known.clear()
            for change in message.promises:
                known[change.key] = "mended" if change.mended else change.promise.reservation_id
            if message.promises_caught_up:
                assert known == {}
                await shop.schedule().slip("po-1", 7)
            elif list(known.values()) == ["A"]:
                await shop.schedule().slip("po-1", 4)
            elif list(known.values()) == ["mended"]:
                break
        await messages.aclose()
