"""The server around the methods: health, reflection, limits, deadlines, cancellation, overload, faults, drain."""

from __future__ import annotations

import asyncio
import logging
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from invengine import bootstrap
from invengine.bootstrap import Broken, Running, starting
from invengine.errors import InsufficientStock, NetworkFault, NetworkInvalid, ShortLine, all_refusals
from invengine.rpc import servicers
from invengine.rpc.errors import STATUS_CODES, refusal_to_status
from invengine.store.calls import Calls
from invengine.store.redis_store import RedisStore
from invengine.v1 import availability_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, client, create, engine, refused, settings_for, taken_apart

pytestmark = pytest.mark.asyncio

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest_asyncio.fixture
async def served(redis_url: str) -> AsyncIterator[tuple[Running, Stubs]]:
    """An engine with 100 LAMP at DC."""
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 100)
        yield running, stubs


@contextmanager
def held_back(function: str) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Makes calls of a Redis Function wait: (it was called, it may go on); at the end of the block it may."""
    called, go_on = asyncio.Event(), asyncio.Event()
    real = Calls.write

    async def slow(self: Calls, name: str, *arguments: Any) -> Any:
        if name == function:
            called.set()
            await go_on.wait()
        return await real(self, name, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Calls, "write", slow)
        try:
            yield called, go_on
        finally:
            go_on.set()


async def test_health_answers_for_the_server_and_each_service(served: tuple[Running, Stubs]) -> None:
    health = health_pb2_grpc.HealthStub(served[1].channel)
    for service in ("", *servicers.SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == SERVING


async def test_until_the_data_are_loaded_it_is_not_serving_and_refuses(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()
    real = starting.Follower.load
    addresses: list[str] = []
    start = starting.Server.start

    async def noted(self: Any) -> None:
        await start(self)
        addresses.extend(self.addresses)

    async def slow(self: Any) -> None:
        called.set()
        await go_on.wait()
        await real(self)

    monkeypatch.setattr(starting.Follower, "load", slow)
    monkeypatch.setattr(starting.Server, "start", noted)

    async def run() -> None:
        async with bootstrap.running(settings_for(redis_url)):
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await called.wait()
    async with client(addresses[0]) as stubs:
        health = health_pb2_grpc.HealthStub(stubs.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        why = await refused(stubs.reservations.CreateReservation(create("r")))
        assert (why.code, why.reason, why.retry_seconds) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", 0.5)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        go_on.set()
        assert (await watch.read()).status == SERVING
        task.cancel()
        assert (await watch.read()).status == NOT_SERVING
        await asyncio.wait({task})


async def test_reflection_lists_the_services_where_it_is_wanted(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        names = await reflected(stubs)
        assert {*servicers.SERVICES, "grpc.health.v1.Health"} <= names
    async with engine(redis_url, reflection=False) as (_, stubs):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await reflected(stubs)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def reflected(stubs: Stubs) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    async for response in stub.ServerReflectionInfo(iter([request])):
        return {service.name for service in response.list_services_response.service}
    raise AssertionError("no answer")


async def test_a_method_that_does_not_exist_is_unimplemented(served: tuple[Running, Stubs]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served[1].channel.unary_unary("/invengine.v1.StockService/Nothing")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_beyond_the_limit_is_refused(redis_url: str) -> None:
    async with engine(redis_url, message_bytes_max=64 * 1024) as (_, stubs):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.stock.GetPosition(stock_service_pb2.GetPositionRequest(sku="x" * 70_000))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_it_listens_on_several_addresses(redis_url: str, tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/s"
    async with engine(redis_url, listen=(path, "127.0.0.1:0", "[::1]:0")) as (running, stubs):
        await stubs.apply_network()
        assert running.addresses[0] == path
        assert not any(address.endswith(":0") for address in running.addresses)
        for address in running.addresses:
            async with client(address) as other:
                assert (await refused(other.position("X"))).reason == "UNKNOWN_SKU"
    assert not (tmp_path / "s").exists()


async def test_an_address_that_is_taken_is_told_in_a_sentence(redis_url: str, tmp_path: Path) -> None:
    listen = (f"unix:{tmp_path}/s", "127.0.0.1:0")
    async with engine(redis_url, listen=listen) as (running, _):
        for address in running.addresses:
            with pytest.raises(Broken, match=f"cannot listen on {address}: another program is listening there"):
                async with engine(redis_url, listen=address):
                    pass
    (tmp_path / "file").touch()
    with pytest.raises(Broken, match="is not a socket"):
        async with engine(redis_url, listen=f"unix:{tmp_path}/file"):
            pass
    assert (tmp_path / "file").exists()


async def test_a_dead_socket_is_taken_over(redis_url: str, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/s")
    async with engine(redis_url, listen=f"unix:{tmp_path}/s") as (_, stubs):
        await stubs.apply_network()


async def test_what_was_sent_for_a_caller_that_is_gone_is_done_and_replayed(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    with held_back("invengine_reserve") as (called, _):
        gone = asyncio.ensure_future(stubs.reservations.CreateReservation(create("gone", quantity=3)))
        await called.wait()
        gone.cancel()
        late = stubs.reservations.CreateReservation(create("late", quantity=2), timeout=0.2)
        assert (await outcome_of(late)) is grpc.StatusCode.DEADLINE_EXCEEDED
    for request_id, quantity in (("gone", 3), ("late", 2)):
        again = await stubs.reservations.CreateReservation(create(request_id, quantity=quantity))
        assert again.replayed
    assert (await stubs.position("LAMP"))[:2] == (100, 5)


async def outcome_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_more_than_the_queue_takes_is_refused_at_once(redis_url: str) -> None:
    async with engine(redis_url, queued_calls_max=5) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 100)
        overloaded = 0
        with held_back("invengine_reserve") as (called, go_on):
            first = asyncio.ensure_future(stubs.reservations.CreateReservation(create("a")))
            await called.wait()
            calls = [asyncio.ensure_future(stubs.reservations.CreateReservation(create(f"r{n}"))) for n in range(40)]
            for call in asyncio.as_completed(calls):
                try:
                    await call
                except grpc.aio.AioRpcError as error:
                    why = taken_apart(error)
                    assert (why.code, why.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
                    assert why.retry_seconds == 1.0
                    overloaded += 1
                    go_on.set()
            await first
        assert overloaded > 0
        assert (await stubs.position("LAMP"))[1] == 41 - overloaded


async def test_a_fault_of_ours_is_logged_whole_and_told_in_neutral_words(
    served: tuple[Running, Stubs], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, stubs = served

    async def broken(*_: Any) -> None:
        raise ValueError("secret words")

    monkeypatch.setattr(Calls, "write", broken)
    monkeypatch.setattr(RedisStore, "reservation", broken)
    with caplog.at_level(logging.ERROR):
        for call in (
            stubs.reservations.CreateReservation(create("r")),
            stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="r", channel="web")),
        ):
            why = await refused(call)
            assert (why.code, why.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert "secret" not in str(why)
            incident = why.metadata["incident"]
            assert incident in why.message
            (record,) = [record for record in caplog.records if incident in record.getMessage()]
            assert record.exc_info
            assert "secret words" in str(record.exc_info[1])
    monkeypatch.undo()
    await stubs.reservations.CreateReservation(create("r"))


async def test_a_drain_ends_streams_and_answers_what_was_taken(redis_url: str) -> None:
    async with client_of_stopping_engine(redis_url) as (running, stubs, stop):
        stream = stubs.availability.StreamAvailability()
        query = availability_service_pb2.StreamAvailabilityRequest(query_id=1, sku="LAMP", channel="web")
        await stream.write(query)
        assert (await stream.read()).available == 100
        with held_back("invengine_reserve") as (called, go_on):
            calls = [asyncio.ensure_future(stubs.reservations.CreateReservation(create(f"r{n}"))) for n in range(50)]
            await called.wait()
            await accepted(running, 50)
            stop.set()
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stream.read()
            assert taken_apart(error.value).reason == "SHUTTING_DOWN"
            go_on.set()
            answers = await asyncio.gather(*calls)
        assert {answer.reservation.state for answer in answers} == {1}


async def accepted(running: Running, count: int) -> None:
    """Returns when so many CreateReservation calls have reached the server."""
    labels = {
        "grpc_type": "unary",
        "grpc_service": "invengine.v1.ReservationService",
        "grpc_method": "CreateReservation",
    }
    while running.metrics.registry.get_sample_value("grpc_server_started_total", labels) != count:
        await asyncio.sleep(0)


class client_of_stopping_engine:  # noqa: N801  # reads as the context manager that it is
    """An engine with 100 LAMP that stops when the event is set, and a client that outlives it."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._stop = asyncio.Event()
        self._running: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def _run(self) -> None:
        async with bootstrap.running(settings_for(self._redis_url)) as running:
            self._running.set_result(running)
            await self._stop.wait()

    async def __aenter__(self) -> tuple[Running, Stubs, asyncio.Event]:
        self._task = asyncio.create_task(self._run())
        running = await self._running
        self._client = client(running.address)
        stubs = await self._client.__aenter__()
        await stubs.apply_network()
        await stubs.receive("LAMP", 100)
        return running, stubs, self._stop

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task
        await self._client.__aexit__(None, None, None)


def page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_metrics_and_healthz_are_served_and_count(redis_url: str) -> None:
    async with engine(redis_url, metrics_listen="127.0.0.1:0") as (running, stubs):
        url = f"http://{running.metrics_address}"
        _, before = await asyncio.to_thread(page, f"{url}/metrics")
        assert 'invengine_refused_total{reason="INSUFFICIENT_STOCK"} 0.0' in before
        assert 'invengine_integrity_violations{invariant="REPLICA_IS_STORE"} 0.0' in before
        await stubs.apply_network()
        await stubs.receive("LAMP", 1)
        for _ in range(2):
            await stubs.reservations.CreateReservation(create("a"))
        await refused(stubs.reservations.CreateReservation(create("b")))
        for path in ("healthz", "readyz"):
            assert await asyncio.to_thread(page, f"{url}/{path}") == (200, "SERVING\n")
        assert await asyncio.to_thread(page, f"{url}/livez") == (200, "ALIVE\n")
        assert (await asyncio.to_thread(page, f"{url}/other"))[0] == 404
        status, text = await asyncio.to_thread(page, f"{url}/metrics?x=1")
        assert status == 200
        method = 'grpc_method="CreateReservation",grpc_service="invengine.v1.ReservationService",grpc_type="unary"'
        for line in (
            f"grpc_server_started_total{{{method}}} 3.0",
            f'grpc_server_handled_total{{grpc_code="OK",{method}}} 2.0',
            f'grpc_server_handled_total{{grpc_code="FailedPrecondition",{method}}} 1.0',
            f"grpc_server_handling_seconds_count{{{method}}} 3.0",
            'invengine_refused_total{reason="INSUFFICIENT_STOCK"} 1.0',
            "invengine_request_replays_total 1.0",
            'invengine_batch_size_count{verb="reserve"} 3.0',
        ):
            assert line in text, line


@pytest.mark.parametrize("times", [pytest.param(20, id="20"), pytest.param(100, id="100", marks=pytest.mark.soak)])
async def test_of_200_clients_on_the_last_unit_exactly_one_wins(served: tuple[Running, Stubs], times: int) -> None:
    """Two hundred calls at once, many times over."""
    running, stubs = served
    addresses = [running.address]
    async with client(addresses[0]) as a, client(addresses[0]) as b, client(addresses[0]) as c:
        clients = [stubs, a, b, c]
        for n in range(times):
            sku = f"LAST{n}"
            await stubs.receive(sku, 1)
            answers = await asyncio.gather(
                *(clients[k % 4].reservations.CreateReservation(create(f"{n}/{k}", sku=sku)) for k in range(200)),
                return_exceptions=True,
            )
            lost = [taken_apart(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
            won = [answer for answer in answers if isinstance(answer, pb.CreateReservationResponse)]
            assert (len(won), len(lost)) == (1, 199)
            assert {why.reason for why in lost} == {"INSUFFICIENT_STOCK"}
            assert {(why.metadata["wanted"], why.metadata["available"]) for why in lost} == {("1", "0")}
            assert (await stubs.position(sku))[:2] == (1, 1)


async def test_a_request_is_replayed_by_the_next_server(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 10)
        first = await stubs.reservations.CreateReservation(create("r", quantity=2))
    async with engine(redis_url) as (_, stubs):
        again = await stubs.reservations.CreateReservation(create("r", quantity=2))
        assert again.replayed
        assert again.reservation == first.reservation
        why = await refused(stubs.reservations.CreateReservation(create("r", quantity=3)))
        assert why.reason == "REQUEST_MISMATCH"
        assert (await stubs.position("LAMP"))[:2] == (10, 2)


async def test_every_refusal_has_one_status_code() -> None:
    assert set(STATUS_CODES) == set(all_refusals())


async def test_a_status_stays_small_enough_for_trailing_metadata() -> None:
    long = "ü" * 32
    short = tuple(ShortLine(f"{n:064}", long, long, 2**53 - 1, 2**53 - 2) for n in range(200))
    faults = tuple(NetworkFault(n, long * 50, long * 50) for n in range(1000))
    for refusal in (InsufficientStock(short), NetworkInvalid(faults)):
        status = refusal_to_status(refusal)
        assert len(status.details.encode()) + sum(len(value) for _, value in status.trailing_metadata) < 8000
