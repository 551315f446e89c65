"""WatchAvailability over real connections: changes of every kind, slow and leaving callers, the end of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from invengine import bootstrap
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import incoming_service_pb2, reservation_service_pb2, stock_service_pb2
from invengine.v1.common_pb2 import Date
from tests.rpc.engines import NETWORK, Stubs, client, create, engine, settings_for, taken_apart

pytestmark = pytest.mark.asyncio

Known = dict[tuple[str, str], int]
WATCH = {"watch_tick_ms": 5, "watch_heartbeat_seconds": 0.1}


class Watch:
    """One watch and the last value that it was told, by SKU and location."""

    def __init__(self, stubs: Stubs, **question: Any) -> None:
        request = pb.WatchAvailabilityRequest(**{"channel": "web", **question})
        self.call = stubs.availability.WatchAvailability(request)
        self.known: Known = {}
        self.levels: dict[str, int] = {}
        self.token = ""
        self.messages = 0

    async def read(self) -> pb.WatchAvailabilityResponse:
        message = await self.call.read()
        assert isinstance(message, pb.WatchAvailabilityResponse)
        self.messages += 1
        if message.begins_anew:
            self.known.clear()
        for change in message.changes:
            self.known[change.sku, change.location] = change.available
            self.levels[change.sku] = change.level
        self.token = message.resume_token or self.token
        return message

    async def until(self, is_so: Callable[[Known], bool]) -> None:
        """Reads until the values are these."""
        async with asyncio.timeout(30):
            while not is_so(self.known):
                await self.read()

    async def refused(self) -> Any:
        """What the stream ends with, after the messages that were on their way."""
        try:
            while True:
                await self.read()
        except grpc.aio.AioRpcError as error:
            return taken_apart(error)


async def test_every_kind_of_change_is_told(redis_url: str) -> None:
    """Movements, ring-fences, holds that are taken, released and end by the clock, receipts, the network."""
    async with engine(redis_url, **WATCH) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 10)
        watch = Watch(stubs, skus=["LAMP", "NEW"])
        first = await watch.read()
        assert first.caught_up
        assert [(c.sku, c.available, c.status) for c in first.changes] == [("LAMP", 10, 1), ("NEW", 0, 2)]

        async def told(units: int, sku: str = "LAMP") -> None:
            await watch.until(lambda known: known[sku, ""] == units)

        await stubs.receive("LAMP", 2, location="LON")
        await told(12)
        fence = stock_service_pb2.Movement(source="t", event_id="f", kind=7, sku="LAMP", location="DC", quantity=4)
        fence.kind, fence.channel = stock_service_pb2.Movement.KIND_RING_FENCE, "closed"
        await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[fence]))
        await told(8)
        held = await stubs.reservations.CreateReservation(create("r1", quantity=3))
        await told(5)
        await stubs.reservations.ReleaseReservation(
            reservation_service_pb2.ReleaseReservationRequest(
                request_id="r2", channel="web", reservation_id=held.reservation.reservation_id
            )
        )
        await told(8)
        request = create("r3", quantity=5)
        request.time_to_live.seconds = 1
        await stubs.reservations.CreateReservation(request)
        await told(3)
        await told(8)
        receipt = {"receipt_id": "po", "sku": "NEW", "location": "DC"}
        await stubs.incoming.SetIncoming(
            incoming_service_pb2.SetIncomingRequest(
                **receipt, request_id="i1", quantity=6, expected_date=Date(year=2099, month=1, day=1), source="erp"
            )
        )
        message = await watch.read()
        while not message.changes:
            message = await watch.read()
        assert [(c.sku, c.available, c.status) for c in message.changes] == [("NEW", 0, 1)]
        await stubs.incoming.ReceiveIncoming(
            incoming_service_pb2.ReceiveIncomingRequest(**receipt, request_id="i2", quantity=6, source="erp")
        )
        await told(6, "NEW")
        await stubs.apply_network(NETWORK + "safety_stock:\n  - {sku: LAMP, location: DC, units: 5}\n", "n2")
        await told(7)
        await stubs.apply_network(NETWORK.replace("LON: {", "LON: {enabled: false, "), "n3")
        await told(6)
        watch.call.cancel()


async def test_all_that_is_stocked_by_group_location_and_level(redis_url: str) -> None:
    async with engine(redis_url, **WATCH) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 10)
        await stubs.receive("LAMP", 1, location="LON")
        stores = Watch(stubs, group="stores", by_location=True)
        levels = Watch(stubs, levels_only=True)
        await stores.read()
        await levels.read()
        assert stores.known == {("LAMP", "LON"): 1}
        assert levels.levels == {"LAMP": pb.LEVEL_IN_STOCK}
        await stubs.receive("NEW", 2, location="LON")
        await stubs.receive("LAMP", 5, event_id="more")
        await stores.until(lambda known: known.get(("NEW", "LON")) == 2)
        await levels.until(lambda known: ("NEW", "") in known)
        assert stores.known == {("LAMP", "LON"): 1, ("NEW", "LON"): 2}
        assert levels.levels == {"LAMP": pb.LEVEL_IN_STOCK, "NEW": pb.LEVEL_LOW}
        assert set(levels.known.values()) == {0}
        stores.call.cancel()
        levels.call.cancel()


async def test_kits_thresholds_and_counts_that_grow_old(redis_url: str) -> None:
    """What was told last is what a question is answered, also when nothing but time changed it."""
    rules = (
        "kits: {SET: {LAMP: 2, SHADE: 1}}\n"
        "confidence: [{location: DC, counted_before: 2s, units: 4}]\n"
        "low_stock_thresholds: [{sku: LAMP, units: 7}, {sku: SET, location: DC, units: 3}]\n"
    )
    async with engine(redis_url, **WATCH) as (_, stubs):
        await stubs.apply_network(NETWORK + rules)
        totals, whole = Watch(stubs, skus=["SET", "LAMP"]), Watch(stubs)
        places = Watch(stubs, skus=["SET"], by_location=True)
        for watch in (totals, whole, places):
            await watch.read()
        assert totals.known == {("SET", ""): 0, ("LAMP", ""): 0}
        counts = [
            stock_service_pb2.Movement(
                source="t",
                event_id=sku,
                kind=stock_service_pb2.Movement.KIND_COUNT,
                sku=sku,
                location="DC",
                quantity=10,
            )
            for sku in ("LAMP", "SHADE")
        ]
        await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=counts))
        old = {("SET", ""): 3, ("LAMP", ""): 6}
        await totals.until(lambda known: known == old)
        await whole.until(lambda known: known == {**old, ("SHADE", ""): 6})
        await places.until(lambda known: known.get(("SET", "DC")) == 3)
        for sku in ("SET", "LAMP"):
            answer = await stubs.availability.GetAvailability(pb.GetAvailabilityRequest(sku=sku, channel="web"))
            assert (answer.available, answer.level) == (old[sku, ""], totals.levels[sku])
        assert totals.levels["LAMP"] == pb.LEVEL_LOW
        assert places.levels["SET"] == pb.LEVEL_LOW
        for watch in (totals, whole, places):
            watch.call.cancel()


async def test_two_servers_tell_the_same_and_take_each_others_tokens(redis_url: str) -> None:
    async with engine(redis_url, **WATCH) as (_, one):
        await one.apply_network()
    async with engine(redis_url, **WATCH) as (_, one), engine(redis_url, **WATCH) as (_, two):
        await one.receive("LAMP", 10)
        await one.receive("DESK", 1)
        here, there = Watch(one, skus=["LAMP", "DESK"]), Watch(two, skus=["LAMP", "DESK"])
        await there.until(lambda known: known.get(("LAMP", "")) == 10)
        await here.until(lambda known: known.get(("LAMP", "")) == 10)
        await two.receive("LAMP", 5, event_id="more")
        await here.until(lambda known: known["LAMP", ""] == 15)
        await there.until(lambda known: known["LAMP", ""] == 15)
        here.call.cancel()
        await two.receive("LAMP", 1, event_id="away")
        again = Watch(two, skus=["LAMP", "DESK"], resume_token=here.token)
        first = await again.read()
        assert first.caught_up
        assert not first.begins_anew
        assert [(c.sku, c.available) for c in first.changes] == [("LAMP", 16)]
        there.call.cancel()
        again.call.cancel()


SMALL_WINDOW = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4096),
]


async def test_a_caller_that_stops_reading_slows_nobody_and_is_told_the_newest_state(redis_url: str) -> None:
    """Its connection takes what fits; from then on nothing more is made for it."""
    skus = [f"SKU-{number:060}" for number in range(500)]
    async with (
        engine(redis_url, **{**WATCH, "watch_heartbeat_seconds": 60}) as (running, stubs),
        grpc.aio.insecure_channel(running.address, options=SMALL_WINDOW) as channel,
    ):
        await stubs.apply_network()
        slow, quick = Watch(Stubs(channel), skus=skus), Watch(stubs, skus=skus)
        assert (await slow.read()).caught_up
        assert (await quick.read()).caught_up
        counts = running.metrics.watch
        turn, before, stuck = 0, counts.told, 0
        while stuck < 10:  # turns in which all that was told is what the quick one read
            turn, told = turn + 1, counts.told
            await receive_one_each(stubs, skus, turn)
            await quick.until(lambda known, turn=turn: min(known.values()) == turn)  # type: ignore[misc]
            stuck = stuck + 1 if counts.told == told + len(skus) else 0
            assert turn < 200
        assert counts.behind == 1
        assert counts.told - before < 2 * turn * len(skus)
        await slow.until(lambda known: min(known.values()) == turn)
        assert slow.messages <= quick.messages - 9
        assert slow.known == quick.known
        slow.call.cancel()
        quick.call.cancel()


async def receive_one_each(stubs: Stubs, skus: list[str], turn: int) -> None:
    movements = [
        stock_service_pb2.Movement(
            source="t",
            event_id=f"{turn}/{number}",
            kind=stock_service_pb2.Movement.KIND_RECEIPT,
            sku=sku,
            location="DC",
            quantity=1,
        )
        for number, sku in enumerate(skus)
    ]
    await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=movements))


async def test_a_caller_that_leaves_leaves_nothing_behind(redis_url: str) -> None:
    async with engine(redis_url, watchers_max=3, **WATCH) as (running, stubs):
        await stubs.apply_network()
        counts = running.metrics.watch
        watches = [Watch(stubs, skus=[f"S{number}"]) for number in range(3)]
        for watch in watches:
            await watch.read()
        assert counts.subscribers == 3
        refusal = await Watch(stubs).refused()
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refusal.retry_seconds
        watches[0].call.cancel()
        async with asyncio.timeout(30):
            while counts.subscribers == 3:
                await asyncio.sleep(0.005)
        await Watch(stubs).read()
        for watch in watches:
            watch.call.cancel()


async def test_signs_of_life_and_the_deadline_of_the_call(redis_url: str) -> None:
    async with engine(redis_url, **WATCH) as (running, stubs):
        await stubs.apply_network()
        watch = Watch(stubs, skus=["LAMP"])
        await watch.read()
        beat = await watch.read()
        assert (len(beat.changes), beat.caught_up, bool(beat.resume_token)) == (0, False, True)
        assert beat.staleness.seconds < 60
        watch.call.cancel()
        limited = stubs.availability.WatchAvailability(pb.WatchAvailabilityRequest(channel="web"), timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in limited:
                pass
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(30):
            while running.metrics.watch.subscribers:
                await asyncio.sleep(0.005)


async def test_a_server_that_stops_ends_its_watches(redis_url: str) -> None:
    """Also that of one who has not read for a while."""
    running = bootstrap.running(settings_for(redis_url, **WATCH))
    engine_ = await running.__aenter__()
    async with client(engine_.address) as stubs:
        await stubs.apply_network()
        await stubs.receive("LAMP", 1)
        watch, still = Watch(stubs, skus=["LAMP"]), Watch(stubs)
        await watch.read()
        await still.read()
        ended = asyncio.ensure_future(watch.refused())
        stopped = asyncio.ensure_future(running.__aexit__(None, None, None))
        refusal = await ended
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert refusal.retry_seconds
        assert (await still.refused()).reason == "SHUTTING_DOWN"
        await stopped


async def test_refusals(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        assert (await Watch(stubs).refused()).reason == "NETWORK_MISSING"
        await stubs.apply_network()
        for question, reason, fields in (
            ({"channel": ""}, "INVALID_ARGUMENT", ["channel"]),
            ({"skus": ["a", " b"]}, "INVALID_ARGUMENT", ["skus[1]"]),
            ({"resume_token": "gibberish"}, "INVALID_ARGUMENT", ["resume_token"]),
            ({"channel": "nobody"}, "UNKNOWN_CHANNEL", []),
            ({"locations": ["NOWHERE"]}, "UNKNOWN_LOCATION", []),
            ({"group": "abroad"}, "GROUP_NOT_USABLE", []),
        ):
            refusal = await Watch(stubs, **question).refused()
            assert (refusal.reason, refusal.fields) == (reason, fields)
        raw = stubs.channel.unary_stream("/invengine.v1.AvailabilityService/WatchAvailability")
        with pytest.raises(grpc.aio.AioRpcError) as malformed:
            await raw(b"\xff\xff").read()
        assert taken_apart(malformed.value).reason == "MALFORMED_MESSAGE"
        assert running.metrics.watch.subscribers == 0
