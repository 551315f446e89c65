"""Group commit: the requests of one loop turn share one call to the store.

A call to Redis costs a round trip and a write to disk however many requests it carries, so requests queue per verb, the
first of a loop turn schedules the flush, and while calls are in flight the queue gathers the next batch by itself: no
timer, no added latency when idle, full batches under load.

    submit ──► queue ──(call_soon)──► store call ──► replica ──► callers
                  ▲                       │ at most `calls_in_flight`
                  └── gathers meanwhile ◄─┘

Order: the items of one submission are applied in their order (a later chunk of it waits for the earlier one); between
submissions there is no promise. One item's refusal is an outcome of that item alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from invengine.errors import InventoryError, Overloaded, ShuttingDown
from invengine.store.acting import BY, shared

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.store.redis_store import Written

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")

CALLS_IN_FLIGHT_MAX = 2
"""One executing in Redis, one being packed or unpacked here."""


@dataclass(slots=True)
class Answered(Generic[OutcomeT]):
    """What became of a submission: one outcome per item, and the newest revision of every partition it rests on."""

    outcomes: list[OutcomeT | InventoryError]
    revisions: dict[int, int]


class _Submission(Generic[ItemT, OutcomeT]):
    """Items of one caller: how many are sent, and what is answered so far."""

    __slots__ = ("by", "future", "items", "outcomes", "revisions", "sent")

    def __init__(self, items: Sequence[ItemT], future: asyncio.Future[Answered[OutcomeT]]) -> None:
        self.items = items
        self.by = BY.get()
        self.future = future
        self.sent = 0
        self.outcomes: list[OutcomeT | InventoryError] = []
        self.revisions: dict[int, int] = {}


class GroupCommit(Generic[ItemT, OutcomeT]):
    """The queue of one verb.

    `call` is the store's batched write; `on_written` takes in every answer before the callers get theirs, so that the
    replica holds a write before its caller can read (read-your-writes). `items_per_call_max` is what the store does in
    one step of a few milliseconds: more items at once would only keep everybody else waiting. Where items are batches
    themselves, `size_of` says how many each counts for.
    """

    def __init__(
        self,
        verb: str,
        call: Callable[[Sequence[ItemT]], Awaitable[Written[OutcomeT]]],
        on_written: Callable[[Written[OutcomeT]], Awaitable[None]],
        metrics: Metrics,
        *,
        queue_max: int = 20_000,
        items_per_call_max: int = 100,
        size_of: Callable[[ItemT], int] | None = None,
    ) -> None:
        self._verb = verb
        self._on_stored = metrics.on_stored
        self._call = call
        self._on_written = on_written
        self._queue_max = queue_max
        self._items_per_call_max = items_per_call_max
        self._size_of = size_of
        self._queue: deque[_Submission[ItemT, OutcomeT]] = deque()
        self._queued = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._flush_scheduled = False
        self._closed = False
        self._nobody = Context()  # a call to the store belongs to all whose items it carries, so to none of them
        self._depth = metrics.queue_depth[verb]
        self._sizes = metrics.batch_size[verb]
        self._seconds = metrics.store_seconds[verb]
        self._errors = metrics.store_errors

    async def submit(self, items: Sequence[ItemT]) -> Answered[OutcomeT]:
        """Has `items` written together with what others submit now; answers when the store and the replica have them.

        An item's outcome is an InventoryError when the item was refused or when the call that carried it failed.
        Overloaded when the queue is full, ShuttingDown after `close`. A caller that is cancelled while its items wait
        takes them back; once sent, they are finished without it.
        """
        if self._closed:
            raise ShuttingDown
        size = self._size(items)
        if self._queued and self._queued + size > self._queue_max:
            raise Overloaded(self._queued)
        loop = asyncio.get_running_loop()
        submission: _Submission[ItemT, OutcomeT] = _Submission(items, loop.create_future())
        self._queue.append(submission)
        self._queued += size
        self._schedule_flush(loop)
        if self._on_stored is None:
            return await submission.future
        begun = loop.time()
        try:
            return await submission.future
        finally:
            self._on_stored(self._verb, loop.time() - begun)

    async def close(self) -> None:
        """Takes nothing more and waits until everything that was taken is answered."""
        self._closed = True
        while self._queue or self._calls or self._flush_scheduled:
            if self._calls:
                await asyncio.wait(self._calls)
            else:
                await asyncio.sleep(0)

    def _schedule_flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._flush_scheduled and len(self._calls) < CALLS_IN_FLIGHT_MAX:
            self._flush_scheduled = True
            loop.call_soon(self._flush, context=self._nobody)

    def _flush(self) -> None:
        self._flush_scheduled = False
        while self._queue and len(self._calls) < CALLS_IN_FLIGHT_MAX:
            chunks = self._take()
            if not chunks:
                break
            task = asyncio.get_running_loop().create_task(self._commit(chunks))
            self._calls.add(task)
            task.add_done_callback(self._ended)
        self._depth.set(self._queued)

    def _take(self) -> list[tuple[_Submission[ItemT, OutcomeT], Sequence[ItemT]]]:
        """The next items to send, at most `items_per_call_max`; what is left of a submission is queued by `_commit`."""
        chunks: list[tuple[_Submission[ItemT, OutcomeT], Sequence[ItemT]]] = []
        room = self._items_per_call_max
        while self._queue and room > 0:
            submission = self._queue[0]
            if submission.future.cancelled() and not submission.sent:
                self._queued -= self._size(submission.items)
                self._queue.popleft()
                continue
            left = submission.items[submission.sent :] if submission.sent else submission.items
            chunk = self._fitting(left, room)
            if not chunk and chunks:
                break
            chunk = chunk or left[:1]  # larger than a call: the store makes several of it
            self._queue.popleft()
            submission.sent += len(chunk)
            size = self._size(chunk)
            self._queued -= size
            room -= size
            chunks.append((submission, chunk))
        return chunks

    def _size(self, items: Sequence[ItemT]) -> int:
        return len(items) if self._size_of is None else sum(map(self._size_of, items))

    def _fitting(self, items: Sequence[ItemT], room: int) -> Sequence[ItemT]:
        """As many of the first items as there is room for."""
        if self._size_of is None:
            return items if len(items) <= room else items[:room]
        count = 0
        for item in items:
            room -= self._size_of(item)
            if room < 0:
                break
            count += 1
        return items[:count]

    async def _commit(self, chunks: list[tuple[_Submission[ItemT, OutcomeT], Sequence[ItemT]]]) -> None:
        items = chunks[0][1] if len(chunks) == 1 else [item for _, chunk in chunks for item in chunk]
        BY.set(shared([(submission.by, chunk) for submission, chunk in chunks]))  # in the context of this task alone
        loop = asyncio.get_running_loop()
        self._sizes.observe(self._size(items))
        started = loop.time()
        try:
            written = await self._call(items)
            await self._on_written(written)
        except InventoryError as refusal:
            self._errors.get(refusal.reason, self._errors["INTERNAL"]).inc()
            for submission, _ in chunks:
                self._fail(submission, refusal)
            return
        except asyncio.CancelledError:
            for submission, _ in chunks:
                submission.future.cancel()
            raise
        except Exception as fault:
            logger.exception("a write of %d items failed in a way that is not a refusal", len(items))
            self._errors["INTERNAL"].inc()
            for submission, _ in chunks:
                self._queued -= self._size(submission.items[submission.sent :])
                if not submission.future.done():
                    submission.future.set_exception(fault)
            return
        finally:
            self._seconds.observe(loop.time() - started)
        place = 0
        for submission, chunk in chunks:
            end = place + len(chunk)
            self._answer(submission, written.outcomes[place:end], written.revisions)
            place = end

    def _answer(
        self, submission: _Submission[ItemT, OutcomeT], outcomes: Sequence[OutcomeT], revisions: dict[int, int]
    ) -> None:
        submission.outcomes.extend(outcomes)
        if submission.revisions:
            known = submission.revisions
            submission.revisions = known | {p: max(r, known.get(p, 0)) for p, r in revisions.items()}
        else:
            submission.revisions = revisions
        if submission.sent < len(submission.items):
            self._queue.appendleft(submission)
        elif not submission.future.done():
            submission.future.set_result(Answered(submission.outcomes, submission.revisions))

    def _fail(self, submission: _Submission[ItemT, OutcomeT], refusal: InventoryError) -> None:
        """The call failed as a whole: its items and the rest of their submission were not done, or nobody knows."""
        self._queued -= self._size(submission.items[submission.sent :])
        submission.sent = len(submission.items)
        submission.outcomes.extend([refusal] * (len(submission.items) - len(submission.outcomes)))
        if not submission.future.done():
            submission.future.set_result(Answered(submission.outcomes, submission.revisions))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if self._queue:
            self._schedule_flush(asyncio.get_running_loop())
        else:
            self._depth.set(self._queued)
