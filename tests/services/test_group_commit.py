"""Group commit on a call that the test holds in its hands: who shares, who waits, who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from invengine.errors import InventoryError, Overloaded, ShuttingDown, StoreUnavailable, UnknownSku
from invengine.metrics import Metrics
from invengine.services.group_commit import GroupCommit
from invengine.store.records import Written

pytestmark = pytest.mark.asyncio

Outcome = str | InventoryError


class Store:
    """A batched write that notes its calls and answers each when told to; a `?` item is refused."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.answers: list[asyncio.Future[None]] = []
        self.taken_in: list[list[Outcome]] = []

    async def write(self, items: Sequence[str]) -> Written[Outcome]:
        self.calls.append(list(items))
        answer = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        await answer
        outcomes: list[Outcome] = [UnknownSku(item) if item == "?" else f"{item}!" for item in items]
        return Written(outcomes, {len(self.calls): 7})

    async def take_in(self, written: Written[Outcome]) -> None:
        await asyncio.sleep(0)
        self.taken_in.append(written.outcomes)

    def queue(self, **options: int) -> GroupCommit[str, Outcome]:
        return GroupCommit("reserve", self.write, self.take_in, Metrics(CollectorRegistry()), **options)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def submitted(queue: GroupCommit[str, Outcome], *submissions: Sequence[str]) -> list[asyncio.Task[list[Outcome]]]:
    async def submit(items: Sequence[str]) -> list[Outcome]:
        return (await queue.submit(items)).outcomes

    return [asyncio.create_task(submit(items)) for items in submissions]


async def test_the_requests_of_one_turn_share_a_call_and_later_ones_the_next() -> None:
    store = Store()
    queue = store.queue()
    first = submitted(queue, "a", "b", "c")
    await turns()
    assert store.calls == [["a", "b", "c"]]
    second = submitted(queue, "d")
    await turns()
    third = submitted(queue, "e", "f")
    await turns()
    assert store.calls == [["a", "b", "c"], ["d"]], "two calls are under way: the rest gathers"
    store.answers[0].set_result(None)
    assert await asyncio.gather(*first) == [["a!"], ["b!"], ["c!"]]
    await turns()
    assert store.calls[2:] == [["e", "f"]]
    for answer in store.answers[1:]:
        answer.set_result(None)
    assert await asyncio.gather(*second, *third) == [["d!"], ["e!"], ["f!"]]


async def test_a_refused_item_harms_no_other_and_the_replica_comes_first() -> None:
    store = Store()
    tasks = submitted(store.queue(), "a", "?", ["b", "?", "c"])
    await turns()
    store.answers[0].set_result(None)
    (a,), (refused,), (b, also, c) = await asyncio.gather(*tasks)
    assert (a, b, c) == ("a!", "b!", "c!")
    assert isinstance(refused, UnknownSku)
    assert isinstance(also, UnknownSku)
    assert len(store.taken_in) == 1


async def test_a_large_submission_goes_in_parts_in_its_order_and_others_between() -> None:
    store = Store()
    queue = store.queue(items_per_call_max=3)
    large, small = submitted(queue, "abcdefg", "x")
    for call in range(10):
        await turns()
        if len(store.answers) > call:
            store.answers[call].set_result(None)
    assert await large == [f"{letter}!" for letter in "abcdefg"]
    assert await small == ["x!"]
    assert store.calls == [["a", "b", "c"], ["x"], ["d", "e", "f"], ["g"]]


async def test_a_call_that_fails_fails_the_rest_of_a_submission_and_nobody_else() -> None:
    store = Store()
    queue = store.queue(items_per_call_max=2)
    large, small = submitted(queue, "abcdef", "x")
    await turns()
    store.answers[0].set_result(None)
    await turns()
    assert store.calls == [["a", "b"], ["x"], ["c", "d"]]
    store.answers[2].set_exception(StoreUnavailable("gone"))
    store.answers[1].set_result(None)
    outcomes = await large
    assert outcomes[:2] == ["a!", "b!"]
    assert [type(outcome) for outcome in outcomes[2:]] == [StoreUnavailable] * 4
    assert await small == ["x!"]
    assert len(store.calls) == 3
    (after,) = submitted(queue, "y")
    await turns()
    store.answers[3].set_result(None)
    assert await after == ["y!"]


async def test_a_caller_that_goes_takes_back_what_waits_and_not_what_was_sent() -> None:
    store = Store()
    queue = store.queue()
    sent = submitted(queue, "a", "b")
    await turns()
    submitted(queue, "c")
    await turns()
    waiting, other = submitted(queue, "d", "e")
    await turns()
    sent[0].cancel()
    waiting.cancel()
    store.answers[0].set_result(None)
    await turns()
    store.answers[1].set_result(None)
    assert await sent[1] == ["b!"]
    await turns()
    assert store.calls == [["a", "b"], ["c"], ["e"]]
    store.answers[2].set_result(None)
    assert await other == ["e!"]
    assert [len(outcomes) for outcomes in store.taken_in] == [2, 1, 1], "what was sent is taken in for all"


async def test_a_fault_reaches_every_caller_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    tasks = submitted(store.queue(), "a", "b")
    await turns()
    store.answers[0].set_exception(ValueError("bug"))
    faults = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(fault) for fault in faults] == ["bug", "bug"]
    assert "not a refusal" in caplog.text


async def test_a_full_queue_refuses_with_its_length() -> None:
    store = Store()
    queue = store.queue(queue_max=3)
    running = submitted(queue, "a")
    await turns()
    running += submitted(queue, "b")
    await turns()
    waiting = submitted(queue, "cd")
    await turns()
    with pytest.raises(Overloaded, match="2 calls are queued"):
        await queue.submit("ef")
    fits = submitted(queue, "e")
    for _ in range(6):
        await turns()
        for answer in store.answers:
            if not answer.done():
                answer.set_result(None)
    assert await asyncio.gather(*running, *waiting, *fits) == [["a!"], ["b!"], ["c!", "d!"], ["e!"]]
    assert await_alone(store, queue)


def await_alone(store: Store, queue: GroupCommit[str, Outcome]) -> bool:
    """Nothing is left behind in the queue."""
    return not queue._queue and queue._queued == 0 and all(answer.done() for answer in store.answers)


async def test_close_answers_what_was_taken_and_takes_no_more() -> None:
    store = Store()
    queue = store.queue()
    tasks = submitted(queue, "a")
    await turns()
    tasks += submitted(queue, "b")
    await turns()
    tasks += submitted(queue, "c", "d")
    await turns()
    closing = asyncio.create_task(queue.close())
    await turns()
    with pytest.raises(ShuttingDown):
        await queue.submit("e")
    for call in range(3):
        assert not closing.done()
        store.answers[call].set_result(None)
        await turns()
    await closing
    assert await asyncio.gather(*tasks) == [["a!"], ["b!"], ["c!"], ["d!"]]
