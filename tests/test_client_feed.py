"""The client's feed: acknowledgements in order, sources of every kind, servers that go away, bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from invengine import errors
from invengine.client import Client, FeedAck, Movement, ServerUnreachable, connect
from invengine.client import feeding as feeding_module
from invengine.v1 import stock_service_pb2_grpc
from invengine.v1.stock_service_pb2 import Feed, PostMovementsResponse, StreamMovementsRequest, StreamMovementsResponse
from tests.cli.servers import NETWORK, Server
from tests.rpc.engines import engine

Outcome = PostMovementsResponse.Outcome


def movement(number: int, sku: str = "f-a", **more: Any) -> Movement:
    fields = {"source": "feed", "event_id": f"{sku}/{number}", "kind": Movement.KIND_RECEIPT, "location": "WH1"}
    return Movement(sku=sku, quantity=1, **fields | more)


def results(acks: Iterable[FeedAck]) -> list[int]:
    return [outcome.result for ack in acks for outcome in ack.outcomes]


async def drained(
    client: Client, source: Iterable[Movement], acks: list[FeedAck] | None = None, **options: Any
) -> None:
    """Feeds it all; the acknowledgements go into the list, also where it fails."""
    async for ack in client.feed(source, **options):
        if acks is not None:
            acks.append(ack)


async def on_hand(client: Client, sku: str) -> int:
    return (await client.get_position(sku, "WH1")).position.on_hand


@pytest.fixture
def address(redis_url: str, tmp_path: Path) -> str:
    """Where the engines of a test listen, one after the other."""
    assert redis_url
    return f"unix:{tmp_path}/engine.sock"


# --- sources and acknowledgements -------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("is_async", [False, True])
async def test_every_movement_is_acknowledged_once_in_order(redis_url: str, address: str, is_async: bool) -> None:
    async def trickling() -> AsyncIterator[Movement]:
        for number in range(2_345):
            if number % 100 == 0:
                await asyncio.sleep(0)
            yield movement(number)

    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        source = trickling() if is_async else (movement(number) for number in range(2_345))
        acks = [ack async for ack in client.feed(source)]
        assert [position for ack in acks for position, _ in ack.items] == list(range(1, 2_346))
        assert [m.event_id for ack in acks for _, m in ack.items] == [f"f-a/{number}" for number in range(2_345)]
        assert results(acks) == [Outcome.RESULT_APPLIED] * 2_345
        assert [ack.position for ack in acks] == [ack.decided for ack in acks]
        assert await on_hand(client, "f-a") == 2_345
        assert [ack async for ack in client.feed(())] == []


@pytest.mark.asyncio
async def test_one_movement_is_sent_without_waiting_for_others(redis_url: str, address: str) -> None:
    """A source that gives the next movement only when the one before is acknowledged."""
    acknowledged: asyncio.Queue[FeedAck] = asyncio.Queue()

    async def careful() -> AsyncIterator[Movement]:
        for number in range(5):
            yield movement(number)
            assert (await acknowledged.get()).position == number + 1

    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        async with asyncio.timeout(60):
            async for ack in client.feed(careful()):
                acknowledged.put_nowait(ack)
        assert await on_hand(client, "f-a") == 5


@pytest.mark.asyncio
async def test_a_named_feed_goes_on_where_it_was(redis_url: str, address: str) -> None:
    rows = [(10 * number, movement(number)) for number in range(1, 101)]
    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        assert (await client.feed_position("erp")).position == 0
        assert len([ack async for ack in client.feed(rows[:30], name="erp", batch=10)]) == 3
        assert (await client.feed_position("erp")).position == 300
        later = [ack async for ack in client.feed(rows, name="erp")]
        assert [position for ack in later for position, _ in ack.items] == list(range(310, 1_001, 10))
        assert set(results(later)) == {Outcome.RESULT_APPLIED}
        last = await client.feed_position("erp")
        assert (last.position, last.source, last.event_id) == (1_000, "feed", "f-a/100")
        assert [ack async for ack in client.feed(rows, name="erp")] == []
        assert await on_hand(client, "f-a") == 100


@pytest.mark.asyncio
async def test_what_is_refused_stands_in_its_place(redis_url: str, address: str) -> None:
    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        source = [movement(1), movement(2, location="NOWHERE"), Movement(), movement(3)]
        (ack,) = [ack async for ack in client.feed(source)]
        told = [outcome.refusal.reason for outcome in ack.outcomes]
        assert [bool(reason) for reason in told] == [False, True, True, False]


# --- bounds and faults of the source ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_more_is_taken_from_the_source_than_may_wait(redis_url: str, address: str) -> None:
    taken = acknowledged = most = 0

    def counted() -> Iterator[Movement]:
        nonlocal taken, most
        for number in range(5_000):
            taken += 1
            most = max(most, taken - acknowledged)
            yield movement(number)

    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        async for ack in client.feed(counted(), batch=50, unacknowledged_max=200):
            acknowledged += len(ack.items)
        assert taken == acknowledged == 5_000
        assert 150 < most <= 201 + 50  # one in the hand; an acknowledgement is counted here after it made room


@pytest.mark.asyncio
async def test_a_fault_of_the_source_is_raised_after_what_came_before(redis_url: str, address: str) -> None:
    def broken() -> Iterator[Movement]:
        yield from (movement(number) for number in range(7))
        raise ValueError("row 8 is no row")

    async with engine(redis_url, listen=address) as (_, stubs), Client(address) as client:
        await stubs.apply_network(NETWORK)
        acks: list[FeedAck] = []
        with pytest.raises(ValueError, match="row 8"):
            await drained(client, broken(), acks)
        assert len(results(acks)) == 7


# --- servers that go away ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_server_that_is_replaced_again_and_again_is_followed(redis_url: str, address: str) -> None:
    """Each one stops in an orderly way while the feed is under way; every movement counts once."""
    count = 6_000
    progress = asyncio.Event()
    acks: list[FeedAck] = []

    async def feed() -> None:
        async with Client(address) as client:
            source = (movement(number, f"f-{number % 3}") for number in range(count))
            async for ack in client.feed(source, name="long", batch=100, unacknowledged_max=300):
                acks.append(ack)
                progress.set()

    async with engine(redis_url, listen=address) as (_, stubs):
        await stubs.apply_network(NETWORK)
    feeder = asyncio.create_task(feed())
    servers = 0
    while not feeder.done():
        servers += 1
        progress.clear()
        async with engine(redis_url, listen=address):
            progressing = asyncio.create_task(progress.wait())
            await asyncio.wait({progressing, feeder}, return_when=asyncio.FIRST_COMPLETED)
            progressing.cancel()
    await feeder
    assert servers > 3
    assert [position for ack in acks for position, _ in ack.items] == list(range(1, count + 1))
    assert set(results(acks)) <= {Outcome.RESULT_APPLIED, Outcome.RESULT_REPEATED}
    async with engine(redis_url, listen=address), Client(address) as client:
        assert [await on_hand(client, f"f-{n}") for n in range(3)] == [count // 3] * 3
        assert (await client.feed_position("long")).position == count


@pytest.mark.asyncio
async def test_nobody_there_is_told_when_the_patience_is_over(tmp_path: Path) -> None:
    async with Client(f"unix:{tmp_path}/nobody.sock") as client:
        with pytest.raises(ServerUnreachable, match="no server answers at unix:"):
            await drained(client, [movement(1)], patience_seconds=0.2)


@pytest.mark.asyncio
async def test_what_stays_wrong_is_raised_at_once(redis_url: str, address: str) -> None:
    async with engine(redis_url, listen=address), Client(address) as client:
        with pytest.raises(errors.NetworkMissing):
            await drained(client, [movement(1)])
        with pytest.raises(errors.InvalidArgument):
            await drained(client, [movement(1)], name="x" * 65)


class Scripted(stock_service_pb2_grpc.StockServiceServicer):
    """Acknowledges so many requests of each stream, then ends it in the way given; the last one ends well."""

    def __init__(self, *script: tuple[int, grpc.StatusCode]) -> None:
        self.streams: list[list[StreamMovementsRequest]] = []
        self._script = iter(script)

    async def StreamMovements(self, requests: Any, context: Any) -> AsyncIterator[StreamMovementsResponse]:  # type: ignore[override]
        seen: list[StreamMovementsRequest] = []
        self.streams.append(seen)
        left, code = next(self._script, (10**9, grpc.StatusCode.OK))
        async for request in requests:
            seen.append(request)
            if not request.movements:
                yield StreamMovementsResponse(feed=Feed(feed=request.feed))
                continue
            if not left:
                await context.abort(code, "as told")
            left -= 1
            outcomes = [Outcome(result=Outcome.RESULT_APPLIED) for _ in request.movements]
            yield StreamMovementsResponse(position=request.position, outcomes=outcomes)


async def scripted(folder: Path, servicer: Scripted, count: int, **options: Any) -> list[FeedAck]:
    server = grpc.aio.server()
    stock_service_pb2_grpc.add_StockServiceServicer_to_server(servicer, server)
    address = f"unix:{folder}/scripted.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with Client(address) as client:
            source = (movement(number) for number in range(count))
            return [ack async for ack in client.feed(source, name="s", **options)]
    finally:
        await server.stop(None)


@pytest.mark.asyncio
async def test_what_was_not_acknowledged_is_sent_again_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding_module, "PAUSE_SECONDS", 0.001)
    gone, stopping = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED
    servicer = Scripted((3, gone), (0, gone), (0, stopping), (5, gone), (2, grpc.StatusCode.UNAVAILABLE))
    acks = await scripted(tmp_path, servicer, 200, batch=10)
    assert [position for ack in acks for position, _ in ack.items] == list(range(1, 201))
    assert [len(ack.items) for ack in acks] == [10] * 20
    firsts = [stream[1].position for stream in servicer.streams]
    told = [10, 40, 40, 40, 90, 110]  # what gRPC had not delivered when the status came is sent again too
    assert firsts == sorted(firsts)
    assert all(10 <= first <= most for first, most in zip(firsts, told, strict=True))
    for stream in servicer.streams:
        assert (stream[0].feed, len(stream[0].movements)) == ("s", 0)
        assert [request.position for request in stream[1:]] == [
            stream[1].position + 10 * n for n in range(len(stream) - 1)
        ]


@pytest.mark.asyncio
async def test_a_stream_that_ends_well_before_its_time_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding_module, "PAUSE_SECONDS", 0.001)

    class EndsEarly(Scripted):
        async def StreamMovements(self, requests: Any, context: Any) -> AsyncIterator[StreamMovementsResponse]:  # type: ignore[override]
            count = 0
            async for answer in super().StreamMovements(requests, context):
                yield answer
                count += 1
                if count == 3:
                    return

    acks = await scripted(tmp_path, EndsEarly(), 100, batch=10)
    assert [ack.position for ack in acks] == list(range(10, 101, 10))


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding_module, "SILENCE_SECONDS_MAX", 0.05)

    class Mute(Scripted):
        async def StreamMovements(self, requests: Any, context: Any) -> AsyncIterator[StreamMovementsResponse]:  # type: ignore[override]
            self.streams.append([])
            await asyncio.Future()
            yield StreamMovementsResponse()

    mute = Mute()
    with pytest.raises(ServerUnreachable, match="too long"):
        await scripted(tmp_path, mute, 10, patience_seconds=0.2)
    assert len(mute.streams) > 1


# --- without asyncio --------------------------------------------------------------------------------------------------


def test_without_asyncio(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.wait()
        with connect(server.address) as client:
            client.apply_network(NETWORK)
            acks = list(client.feed((movement(n) for n in range(1_234)), name="sync", batch=100))
            assert [position for ack in acks for position, _ in ack.items] == list(range(1, 1_235))
            assert client.get_position("f-a", "WH1").position.on_hand == 1_234
            assert client.feed_position("sync").position == 1_234
            assert list(client.feed([movement(n) for n in range(1_234)], name="sync")) == []
            for ack in client.feed((movement(n, "f-b") for n in range(100)), batch=10):
                assert ack.position == 10
                break  # what is left of it is given up
            with pytest.raises(errors.InvalidArgument):
                list(client.feed([movement(1)], name=" x"))
            assert client.get_position("f-a", "WH1").position.on_hand == 1_234
    finally:
        assert server.stop() == 0
