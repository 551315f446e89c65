"""The calls of one batch to single partitions: what its items ask of one at a time goes there together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgpack

from invengine.store import keys
from invengine.store.answers import Answer, read_reply
from invengine.store.calls import Calls
from invengine.store.payload_lines import CandidateLists
from invengine.store.records import LogEntry, Written

OutcomeT = TypeVar("OutcomeT")

Item = Callable[[CandidateLists], list[Any]]
"""Packs an item of a call, its candidates into the lists of that call."""

ITEMS_PER_CALL = 100
CALLS_AT_ONCE = 16
_SWEEP_FIRST = b"SWEEP_FIRST"
_COVER_FIRST = b"COVER_FIRST"
_WITH_LISTS = frozenset({"invengine_reserve_pieces", "invengine_change_pieces", "invengine_check_piece"})
_ONE_BY_ONE = frozenset({"invengine_check_piece"})


class Batch(Generic[OutcomeT]):
    """One batch of items that each make several calls, one after the other. Adds up what was logged.

    `ask` gathers: while a call of a function to a partition is under way, what is asked meanwhile waits and goes
    together then. Close it (`async with`), and what is still under way is given up.
    """

    def __init__(
        self, calls: Calls, message_head: list[int], sweep: Callable[[Batch[Any], int], Awaitable[int]] | None = None
    ) -> None:
        self._calls = calls
        self._message_head = message_head
        self._sweep = sweep
        self._waiting: dict[tuple[str, int], list[tuple[Item, asyncio.Future[Answer]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeps: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(CALLS_AT_ONCE)
        self.revisions: dict[int, int] = {}
        self.entries: list[LogEntry] = []
        self.now_ms = 0
        self.expired = 0
        """Holds that this batch found over, for stock that it needed."""

    async def __aenter__(self) -> Batch[OutcomeT]:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *self._sweeps.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, function: str, partition: int, item: list[Any] | Item) -> Answer:
        """The answer of a function to one item. StoreUnavailable, StoreFull, OutcomeUnknown."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        place = (function, partition)
        build = item if callable(item) else (lambda _: item)
        if place in self._waiting:
            self._waiting[place].append((build, future))
        else:
            self._waiting[place] = [(build, future)]
            task = loop.create_task(self._send(function, partition))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def ask_list(self, function: str, partition: int, item: list[Any] | Item) -> list[Any]:
        """The same of a function that never answers with a bare record."""
        answer = await self.ask(function, partition, item)
        assert isinstance(answer, list), answer
        return answer

    async def call(self, function: str, partition: int, *rest: Any) -> list[Any]:
        """The answers of a function that takes no items."""
        answers = await self._called(function, partition, *rest)
        uncovered = _uncovered(answers)
        while uncovered:
            sku, location = uncovered.pop(0)
            uncovered += _uncovered(await self._called("invengine_cover_of_one", partition, sku, location))
        return answers

    async def _called(self, function: str, partition: int, *rest: Any) -> list[Any]:
        # the functions know one kind of text, so bytes go as that too
        message = msgpack.packb([*self._message_head, [partition], partition, *rest], use_bin_type=False)
        async with self._room:
            reply: bytes = await self._calls.write(function, [keys.log(partition)], message)
        return self._note(reply)

    def written(self, outcomes: list[OutcomeT]) -> Written[OutcomeT]:
        """The answer to the whole batch."""
        entries = sorted(self.entries, key=lambda entry: (entry.partition, entry.revision))
        return Written(outcomes, self.revisions, entries, self.now_ms)

    def _note(self, reply: bytes) -> list[Any]:
        now_ms, partitions, answers = read_reply(reply)
        self.now_ms = max(self.now_ms, now_ms)
        for partition, revision, rows in partitions:
            self.revisions[partition] = max(revision, self.revisions.get(partition, 0))
            if rows:
                self.entries.append(LogEntry(partition, revision, now_ms, rows))
        return answers

    async def _send(self, function: str, partition: int) -> None:
        place = (function, partition)
        size = 1 if function in _ONE_BY_ONE else ITEMS_PER_CALL
        try:
            while waiting := self._waiting[place]:
                lists = CandidateLists()
                items = [build(lists) for build, _ in waiting[:size]]
                rest = [lists.columns, items] if function in _WITH_LISTS else [items]
                answers = await self.call(function, partition, *rest)
                for answer in answers:
                    if isinstance(answer, list) and answer[0] == _SWEEP_FIRST:
                        await self._swept(answer[1])
                        break
                    _, future = waiting.pop(0)
                    if not future.done():
                        future.set_result(answer)
        except Exception as error:  # noqa: BLE001  # raised where it was asked
            for _, future in self._waiting[place]:
                if not future.done():
                    future.set_exception(error)
        finally:
            for _, future in self._waiting.pop(place):
                future.cancel()  # nothing where it is done

    async def _swept(self, partition: int) -> None:
        """Sweeps a partition, once for all that ask meanwhile."""
        task = self._sweeps.get(partition)
        if task is None:
            task = self._sweeps[partition] = asyncio.ensure_future(self._sweep_now(partition))
            task.add_done_callback(lambda _: self._sweeps.pop(partition))
        await asyncio.shield(task)

    async def _sweep_now(self, partition: int) -> None:
        assert self._sweep is not None
        self.expired += await self._sweep(self, partition)


def _uncovered(answers: list[Any]) -> list[tuple[bytes, bytes]]:
    """Takes SKU and location of positions out of the answers to a call whose free units backorders wait for."""
    last = answers[-1] if answers else None
    if not isinstance(last, list) or not last or last[0] != _COVER_FIRST:
        return []
    _, *places = answers.pop()
    return list(zip(places[1::3], places[2::3], strict=True))
