"""StreamMovements: order, acknowledgements, what is kept of a feed, bad input, bounds, outages, the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.bootstrap import Running
from invengine.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from invengine.services import feeds
from invengine.services.feeds import FeedStream
from invengine.store.calls import Calls
from invengine.v1 import common_pb2
from invengine.v1.network_service_pb2 import GetNetworkRequest
from invengine.v1.stock_service_pb2 import (
    GetPositionRequest,
    ListFeedsRequest,
    Movement,
    PostMovementsRequest,
    PostMovementsResponse,
    StreamMovementsRequest,
    StreamMovementsResponse,
)
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import Stubs, client, engine, taken_apart
from tests.rpc.test_server import client_of_stopping_engine, held_back

pytestmark = pytest.mark.asyncio

APPLIED, REPEATED, STALE, REFUSED = (
    PostMovementsResponse.Outcome.Result.Value(f"RESULT_{word}") for word in ("APPLIED", "REPEATED", "STALE", "REFUSED")
)
POST = "invengine_post_movements"


@pytest_asyncio.fixture
async def served(redis_url: str) -> AsyncIterator[tuple[Running, Stubs]]:
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network()
        yield running, stubs


def movement(event: object, quantity: int = 1, sku: str = "LAMP", **more: Any) -> Movement:
    fields = {"source": "wms", "event_id": f"e{event}", "kind": Movement.KIND_RECEIPT, "location": "DC"}
    return Movement(sku=sku, quantity=quantity, **fields | more)


def asked(position: int, *movements: Movement, feed: str = "") -> StreamMovementsRequest:
    return StreamMovementsRequest(feed=feed, position=position, movements=movements)


async def streamed(stubs: Stubs, requests: Iterable[StreamMovementsRequest]) -> list[StreamMovementsResponse]:
    """All answers of one stream."""
    return [answer async for answer in stubs.stock.StreamMovements(iter(list(requests)))]


async def ended(call: Any) -> tuple[list[StreamMovementsResponse], Any]:
    """The answers of a stream that ends with a refusal, and the refusal."""
    answers = []
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError as error:
        return answers, taken_apart(error)
    raise AssertionError(f"not refused: {answers}")


async def rest(call: Any) -> list[StreamMovementsResponse]:
    """The answers of a stream that were not read yet."""
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


def results(answer: StreamMovementsResponse) -> list[int]:
    return [outcome.result for outcome in answer.outcomes]


def sample(running: Running, name: str, **labels: str) -> float | None:
    return running.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many movements a stream had not acknowledged, whenever it took some."""
    seen: list[int] = []
    real = FeedStream._take

    async def noted(self: FeedStream, request: StreamMovementsRequest, *, is_first: bool) -> None:
        await real(self, request, is_first=is_first)
        seen.append(self.unacknowledged)

    monkeypatch.setattr(FeedStream, "_take", noted)
    return seen


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


# --- order and acknowledgements ---------------------------------------------------------------------------------------


async def test_requests_are_answered_in_order_after_a_first_answer(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    requests = [
        asked(10, movement(1, 5), movement(2, 2, kind=Movement.KIND_SALE)),
        asked(20, movement(3, 4, kind=Movement.KIND_SALE)),
        asked(20, movement(1, 5), movement(4, 1, kind=Movement.KIND_RETURN)),
    ]
    first, *answers = await streamed(stubs, requests)
    assert (first.HasField("feed"), first.feed.position, first.decided, list(first.outcomes)) == (True, 0, 0, [])
    assert not any(answer.HasField("feed") for answer in answers)
    assert [(answer.position, answer.decided) for answer in answers] == [(10, 2), (20, 3), (20, 5)]
    assert [results(answer) for answer in answers] == [[APPLIED, APPLIED], [REFUSED], [REPEATED, APPLIED]]
    assert [outcome.on_hand for answer in answers for outcome in answer.outcomes] == [5, 3, 3, 3, 4]
    (line,) = answers[1].outcomes[0].refusal.short_lines
    assert (line.wanted, line.available) == (4, 3)


async def test_the_token_of_an_answer_is_understood_by_another_server(
    redis_url: str, served: tuple[Running, Stubs]
) -> None:
    _, stubs = served
    async with engine(redis_url) as (_, other):
        *_, last = await streamed(stubs, [asked(1, *(movement(n, 1, f"S{n}") for n in range(100)))])
        for n in range(100):
            freshness = common_pb2.Consistency(at_least_as_fresh=last.consistency_token)
            request = GetPositionRequest(sku=f"S{n}", location="DC", consistency=freshness)
            assert (await other.stock.GetPosition(request)).position.on_hand == 1


async def test_thousands_in_one_stream_are_applied_in_their_order(served: tuple[Running, Stubs]) -> None:
    """A unit comes and is sold again: out of order, a sale would find none."""
    _, stubs = served
    pairs = [
        movement(f"{n}{kind}", 1, f"S{n % 7}", kind=kind)
        for n in range(3_000)
        for kind in (Movement.KIND_RECEIPT, Movement.KIND_SALE)
    ]
    sizes = [1, 2, 4_997, 3, 997]
    starts = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    requests = [asked(start, *pairs[start:end]) for start, end in itertools.pairwise(starts)]
    _, *answers = await streamed(stubs, requests)
    assert [len(answer.outcomes) for answer in answers] == sizes
    assert {result for answer in answers for result in results(answer)} == {APPLIED}
    assert answers[-1].decided == 6_000


async def test_units_in_states_are_streamed_like_others(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    requests = [
        asked(1, movement(1, 5, state="quarantine")),
        asked(2, movement(2, 2, kind=Movement.KIND_STATE_CHANGE, state="quarantine", to_state="on_hand")),
        asked(3, movement(3, 1, state="nowhere")),
    ]
    _, *answers = await streamed(stubs, requests)
    assert [results(answer) for answer in answers] == [[APPLIED], [APPLIED], [REFUSED]]
    assert [outcome.on_hand for answer in answers for outcome in answer.outcomes] == [0, 2, 0]
    assert [(q.state, q.quantity) for q in answers[1].outcomes[0].states] == [("quarantine", 3)]
    assert answers[2].outcomes[0].refusal.reason == common_pb2.ERROR_REASON_UNKNOWN_STATE


async def test_many_streams_share_calls_to_the_store(served: tuple[Running, Stubs]) -> None:
    running, stubs = served
    calls = [stubs.stock.StreamMovements() for _ in range(20)]
    for call in calls:
        await call.write(asked(0))
        assert (await call.read()).HasField("feed")
    with held_back(POST) as (called, go_on):
        for number, call in enumerate(calls):
            await call.write(asked(1, movement(f"{number}", 1, f"S{number}")))
        await called.wait()
        await until(lambda: sample(running, "invengine_feed_unacknowledged_movements") == 20)
        go_on.set()
        answers = [await call.read() for call in calls]
    assert [results(answer) for answer in answers] == [[APPLIED]] * 20
    batches = sample(running, "invengine_batch_size_count", verb="stream_movements")
    assert batches is not None
    assert batches <= 3
    for call in calls:
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


# --- named feeds ------------------------------------------------------------------------------------------------------


async def test_a_named_feed_knows_where_it_was(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        first, *_ = await streamed(stubs, [asked(7, movement(1), movement(2), feed="erp"), asked(9, movement(3))])
        assert (first.feed.feed, first.feed.position, first.feed.event_id) == ("erp", 0, "")
        assert not first.feed.HasField("acknowledge_time")
    async with engine(redis_url) as (_, stubs):  # another server, later
        (again,) = await streamed(stubs, [asked(0, feed="erp")])
        assert (again.position, again.feed.position) == (9, 9)
        assert (again.feed.source, again.feed.event_id) == ("wms", "e3")
        assert again.feed.acknowledge_time.seconds > 0
        (other,) = await streamed(stubs, [asked(0, feed="other")])
        assert other.feed.position == 0


async def test_a_kept_position_never_falls_and_may_be_as_large_as_any(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    for position, event, kept in (
        (9, 1, 9),
        (10, 2, 10),
        (3, 3, 10),
        (2**63 - 2, 4, 2**63 - 2),
        (2**63 - 1, 5, 2**63 - 1),
    ):
        _, answer = await streamed(stubs, [asked(position, movement(event), feed="erp")])
        assert (results(answer), answer.position) == ([APPLIED], position)
        (now,) = await streamed(stubs, [asked(0, feed="erp")])
        assert now.feed.position == kept
    assert now.feed.event_id == "e5"


async def test_a_feed_goes_on_past_requests_of_which_nothing_is_good(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    requests = [asked(1, movement(1), feed="erp"), asked(2, movement(2, location="NOWHERE")), asked(3, Movement())]
    _, *answers = await streamed(stubs, requests)
    assert [results(answer) for answer in answers] == [[APPLIED], [REFUSED], [REFUSED]]
    (now,) = await streamed(stubs, [asked(0, feed="erp")])
    assert (now.feed.position, now.feed.event_id) == (3, "e2")


async def test_feeds_are_listed_by_name_in_pages(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    assert list((await stubs.stock.ListFeeds(ListFeedsRequest())).feeds) == []
    names = [f"feed {n:02}" for n in range(25)]
    for position, name in enumerate(names, 1):
        await streamed(stubs, [asked(position, movement(name), feed=name)])
    await streamed(stubs, [asked(0, feed="only asked")])
    found, token = [], ""
    for size in (10, 10, 5):
        page = await stubs.stock.ListFeeds(ListFeedsRequest(page_size=10, page_token=token))
        assert len(page.feeds) == size
        found += page.feeds
        token = page.next_page_token
    assert token == ""
    assert [(feed.feed, feed.position, feed.event_id) for feed in found] == [
        (name, position, f"e{name}") for position, name in enumerate(names, 1)
    ]


async def test_what_is_not_acknowledged_is_not_kept(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    call = stubs.stock.StreamMovements()
    await call.write(asked(5, movement(1), feed="erp"))
    await call.read()
    with held_back(POST) as (called, _):
        if not called.is_set():
            await call.read()
            await call.write(asked(6, movement(2)))
        await called.wait()
        (now,) = await streamed(stubs, [asked(0, feed="erp")])
        assert now.feed.position == 5
        call.cancel()


async def test_feeds_on_a_cluster(valkey_cluster: RedisCluster) -> None:
    """Partitions are on several machines: order holds within a SKU, and the position comes after all of them."""
    pairs = [
        movement(f"{n}{kind}", 1, f"S{n % 40}", kind=kind)
        for n in range(400)
        for kind in (Movement.KIND_RECEIPT, Movement.KIND_SALE)
    ]
    async with engine(valkey_cluster.url) as (_, stubs):
        await stubs.apply_network()
        requests = [asked(n, *pairs[n - 100 : n], feed="erp") for n in range(100, 801, 100)]
        _, *answers = await streamed(stubs, requests)
        assert {result for answer in answers for result in results(answer)} == {APPLIED}
    async with engine(valkey_cluster.url) as (_, stubs):
        first, again = await streamed(stubs, [asked(800, *pairs, feed="erp")])
        assert (first.feed.position, set(results(again))) == (800, {REPEATED})
        assert {(await stubs.position(f"S{n}"))[0] for n in range(40)} == {0}


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"source": ""}, "source"),
        ({"event_id": ""}, "event_id"),
        ({"sku": "a\tb"}, "sku"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 2**53}, "quantity"),
        ({"kind": 0}, "kind"),
        ({"kind": 999}, "kind"),
        ({"kind": Movement.KIND_ADJUSTMENT}, "reason"),
        ({"location": ""}, "location"),
        ({"expected_revision": -1}, "expected_revision"),
    ],
)
async def test_a_malformed_movement_is_refused_in_its_place(
    served: tuple[Running, Stubs], wrong: dict[str, Any], field: str
) -> None:
    _, stubs = served
    bad = Movement()
    bad.CopyFrom(movement(2))
    for name, value in wrong.items():
        setattr(bad, name, value)
    _, answer, later = await streamed(stubs, [asked(1, movement(1), bad, movement(3)), asked(2, movement(4))])
    assert results(answer) == [APPLIED, REFUSED, APPLIED]
    refusal = answer.outcomes[1].refusal
    assert refusal.reason == common_pb2.ERROR_REASON_INVALID_ARGUMENT
    assert refusal.metadata["field"] == field
    assert (results(later), (await stubs.position("LAMP"))[0]) == ([APPLIED], 3)


async def test_what_the_network_does_not_know_is_refused_in_its_place(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    sale = movement(2, kind=Movement.KIND_SALE, channel="nobody")
    _, answer = await streamed(stubs, [asked(1, movement(1, location="NOWHERE"), sale, movement(3))])
    reasons = [common_pb2.ErrorReason.Name(outcome.refusal.reason) for outcome in answer.outcomes]
    assert reasons == ["ERROR_REASON_UNKNOWN_LOCATION", "ERROR_REASON_UNKNOWN_CHANNEL", "ERROR_REASON_UNSPECIFIED"]


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (asked(0, movement(1), feed="erp"), None, "position"),
        (asked(-1, movement(1)), None, "position"),
        (asked(1, movement(1), feed="x" * 65), None, "feed"),
        (asked(1, movement(1), feed="a\n"), None, "feed"),
        (asked(1, *(movement(n) for n in range(5_001))), None, "movements"),
        (asked(5, movement(1)), asked(4, movement(2)), "position"),
        (asked(5, movement(1)), asked(6), "movements"),
        (asked(5, movement(1)), asked(6, movement(2), feed="erp"), "feed"),
        (asked(5, movement(1), feed="erp"), asked(6, movement(2), feed="wms"), "feed"),
    ],
)
async def test_a_request_against_the_rules_ends_the_stream_after_what_was_taken(
    served: tuple[Running, Stubs],
    first: StreamMovementsRequest,
    second: StreamMovementsRequest | None,
    field: str,
) -> None:
    _, stubs = served
    requests = [first] if second is None else [first, second]
    answers, why = await ended(stubs.stock.StreamMovements(iter(requests)))
    assert (why.code, why.reason, why.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    acknowledged = [results(answer) for answer in answers[1:]]
    assert acknowledged == ([] if second is None else [[APPLIED]])


async def test_bytes_that_are_no_message_end_the_stream_after_what_was_taken(served: tuple[Running, Stubs]) -> None:
    _, stubs = served
    raw = stubs.channel.stream_stream("/invengine.v1.StockService/StreamMovements")
    answers, why = await ended(raw(iter([asked(1, movement(1)).SerializeToString(), b"\xff"])))
    assert (why.code, why.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert results(StreamMovementsResponse.FromString(answers[1])) == [APPLIED]


async def test_without_a_network_nothing_is_taken(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        answers, why = await ended(stubs.stock.StreamMovements(iter([asked(1, movement(1))])))
        assert (len(answers), why.reason) == (1, "NETWORK_MISSING")


async def test_a_stream_without_a_request_ends_well(served: tuple[Running, Stubs]) -> None:
    assert await streamed(served[1], []) == []


# --- bounds and fairness ----------------------------------------------------------------------------------------------


async def test_while_the_store_is_slow_the_server_stops_reading(
    served: tuple[Running, Stubs], taken: list[int]
) -> None:
    running, stubs = served
    call = stubs.stock.StreamMovements()
    requests = [asked(n, *(movement(f"{n}/{k}") for k in range(1_000))) for n in range(30)]

    async def write() -> None:
        for request in requests:
            await call.write(request)
        await call.done_writing()

    with held_back(POST) as (called, go_on):
        writing = asyncio.create_task(write())
        await called.wait()
        await until(lambda: taken and taken[-1] > feeds.UNACKNOWLEDGED_MAX - feeds.MOVEMENTS_MAX)
        received = len(taken)
        for _ in range(50):  # a server without a bound would go on reading meanwhile
            await stubs.network.GetNetwork(GetNetworkRequest())
        assert len(taken) == received
        go_on.set()
        answers = [answer async for answer in call]
    await writing
    assert max(taken) <= feeds.UNACKNOWLEDGED_MAX
    assert [answer.position for answer in answers[1:]] == list(range(30))
    assert answers[-1].decided == 30_000
    assert sample(running, "invengine_feed_unacknowledged_movements") == 0


async def test_a_caller_that_does_not_read_its_answers_is_not_read_from(
    served: tuple[Running, Stubs], taken: list[int]
) -> None:
    """Answers fill the windows of the connection; then the server can write no more, and takes no more."""
    running, _ = served
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]  # the windows stay small
    async with grpc.aio.insecure_channel(running.address, options=options) as channel:
        call = Stubs(channel).stock.StreamMovements()
        bad = [Movement(event_id=f"{n}", source="\t" * 60) for n in range(200)]  # refusals make long answers

        async def write() -> None:
            for n in range(400):
                await call.write(asked(n, *bad))
            await call.done_writing()

        writing = asyncio.create_task(write())
        await until(lambda: taken and taken[-1] > feeds.UNACKNOWLEDGED_MAX - feeds.MOVEMENTS_MAX)
        assert not writing.done()
        decided = [answer.decided async for answer in call]
        await writing
    assert decided == list(range(0, 80_001, 200))
    assert max(taken) <= feeds.UNACKNOWLEDGED_MAX


async def test_other_callers_do_not_wait_behind_a_feed(served: tuple[Running, Stubs], taken: list[int]) -> None:
    running, stubs = served
    call = stubs.stock.StreamMovements(
        iter([asked(n, *(movement(f"{n}/{k}") for k in range(2_000))) for n in range(10)])
    )
    with held_back(POST) as (called, go_on):
        await call.read()
        await called.wait()
        await until(lambda: taken and taken[-1] > feeds.UNACKNOWLEDGED_MAX - feeds.MOVEMENTS_MAX)
        async with client(running.address) as other:
            till = asyncio.ensure_future(
                other.stock.PostMovements(PostMovementsRequest(movements=[movement("till", 1, "SOFA")]))
            )
            await until(lambda: sample(running, "invengine_batch_size_count", verb="post_movements") == 1)
            go_on.set()
            await till
            assert sample(running, "invengine_feed_unacknowledged_movements") != 0, "the feed was done first"
    assert (await rest(call))[-1].decided == 20_000


async def test_a_caller_that_goes_away_leaves_nothing_behind(served: tuple[Running, Stubs]) -> None:
    running, stubs = served
    with held_back(POST) as (called, go_on):
        call = stubs.stock.StreamMovements()
        await call.write(asked(1, movement(1)))
        await called.wait()
        call.cancel()
        await until(lambda: sample(running, "invengine_feed_streams") == 0)
        go_on.set()
    _, answer = await streamed(stubs, [asked(1, movement(1))])
    assert results(answer) == [REPEATED]
    labels = {"grpc_type": "bidi_stream", "grpc_service": "invengine.v1.StockService", "grpc_method": "StreamMovements"}
    assert sample(running, "grpc_server_handled_total", grpc_code="Canceled", **labels) == 1


# --- outages and the end ----------------------------------------------------------------------------------------------


class Away:
    """Makes calls of a Redis Function fail as often as told, before or after they are done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Exception, times: int, *, is_done: bool = False) -> None:
        self.left = times
        real = Calls.write

        async def failing(calls: Calls, name: str, *arguments: Any) -> Any:
            if name != POST or not self.left:
                return await real(calls, name, *arguments)
            self.left -= 1
            if is_done:
                await real(calls, name, *arguments)
            raise fault

        monkeypatch.setattr(Calls, "write", failing)
        monkeypatch.setattr(feeds, "PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), StoreFull("full"), OutcomeUnknown("who knows")])
async def test_a_store_that_is_away_is_waited_for(
    served: tuple[Running, Stubs], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    _, stubs = served
    is_done = isinstance(fault, OutcomeUnknown)
    away = Away(monkeypatch, fault, 4, is_done=is_done)
    requests = [asked(n, *(movement(f"{n}/{k}", 1, f"S{k % 5}") for k in range(300))) for n in range(4)]
    answers = await streamed(stubs, requests)
    assert away.left == 0
    assert answers[-1].decided == 1_200
    found = {result for answer in answers for result in results(answer)}
    assert found == ({APPLIED, REPEATED} if is_done else {APPLIED})
    assert [(await stubs.position(f"S{n}"))[0] for n in range(5)] == [240] * 5


async def test_a_store_that_stays_away_ends_the_stream_and_nothing_is_acknowledged(
    served: tuple[Running, Stubs], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stubs = served
    await streamed(stubs, [asked(1, movement(1), feed="erp")])
    monkeypatch.setattr(feeds, "OUTAGE_SECONDS", 0.01)
    Away(monkeypatch, StoreUnavailable("away"), 10_000)
    answers, why = await ended(stubs.stock.StreamMovements(iter([asked(2, movement(2), feed="erp")])))
    assert [answer.decided for answer in answers] == [0]
    assert (why.code, why.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    (now,) = await streamed(stubs, [asked(0, feed="erp")])
    assert now.feed.position == 1


async def test_a_server_that_stops_acknowledges_what_it_took(redis_url: str, taken: list[int]) -> None:
    async with client_of_stopping_engine(redis_url) as (_, stubs, stop):
        call = stubs.stock.StreamMovements()
        with held_back(POST) as (called, go_on):
            for n in range(1, 6):
                await call.write(
                    asked(n, *(movement(f"{n}/{k}", 1, "SOFA") for k in range(100)), feed="" if n > 1 else "erp")
                )
            await called.wait()
            await until(lambda: len(taken) == 5)
            stop.set()
            go_on.set()
        answers, why = await ended(call)
        assert [answer.position for answer in answers] == [0, 1, 2, 3, 4, 5]
        assert answers[-1].decided == 500
        assert (why.code, why.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    async with engine(redis_url) as (_, stubs):
        (now,) = await streamed(stubs, [asked(0, feed="erp")])
        assert now.feed.position == 5
        assert (await stubs.position("SOFA"))[0] == 500


async def test_an_idle_stream_does_not_keep_a_server_from_stopping(redis_url: str) -> None:
    async with client_of_stopping_engine(redis_url) as (_, stubs, stop):
        call = stubs.stock.StreamMovements()
        await call.write(asked(0))
        assert (await call.read()).HasField("feed")
        stop.set()
        _, why = await ended(call)
        assert why.reason == "SHUTTING_DOWN"


async def test_what_streams_do_is_counted(served: tuple[Running, Stubs]) -> None:
    running, stubs = served
    assert sample(running, "invengine_feed_streams") == 0
    call = stubs.stock.StreamMovements()
    sale = movement(2, 9, kind=Movement.KIND_SALE)
    old = movement(3)
    old.occurred_at.FromSeconds(old.occurred_at.seconds + 1_000_000)
    await call.write(asked(1, movement(1), movement(1), sale, old))
    await call.read()
    await call.read()
    await until(lambda: sample(running, "invengine_feed_unacknowledged_movements") == 0)
    assert sample(running, "invengine_feed_streams") == 1
    counted = {
        word: sample(running, "invengine_feed_movements_total", result=word)
        for word in ("APPLIED", "REPEATED", "STALE", "REFUSED")
    }
    assert counted == {"APPLIED": 2, "REPEATED": 1, "STALE": 0, "REFUSED": 1}
    lag = sample(running, "invengine_feed_lag_seconds")
    assert lag is not None
    assert lag > 1_000_000_000
    assert sample(running, "invengine_refused_total", reason="INSUFFICIENT_STOCK") == 1
    call.cancel()
