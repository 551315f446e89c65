"""A feed from the caller's side: movements in, acknowledgements out, whatever happens to the server in between.

What was sent and is not acknowledged is kept; when the stream ends before its time another is opened, and all of that
is sent again: the engine answers REPEATED for what it had applied. So memory is bounded, and nothing is lost or done
twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio

from invengine.client.refusals import CallFailed, ServerUnreachable, error_from_call
from invengine.errors import Exhausted, InventoryError, OutcomeUnknown, Unavailable
from invengine.v1 import stock_service_pb2

Movement = stock_service_pb2.Movement
Outcome = stock_service_pb2.PostMovementsResponse.Outcome
FeedItem = Movement | tuple[int, Movement]
"""A movement, or its position in the feed and the movement. Positions never fall; without them they count from 1."""

FeedSource = Iterable[FeedItem] | AsyncIterable[FeedItem]

BATCH: Final = 500
"""Movements of one request, at most."""

UNACKNOWLEDGED_MAX: Final = 10_000
"""Movements that are taken from the source and not acknowledged: as many as the server takes of one stream."""

SMALL_REQUESTS_MAX: Final = 4
"""Requests under way up to which a request is sent that is not full; beyond, movements gather until it is."""

PATIENCE_SECONDS: Final = 60.0
SILENCE_SECONDS_MAX: Final = 90.0
"""How long an answer may take; the server itself gives up earlier."""

PAUSE_SECONDS: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0
_PASSING: Final = (Unavailable, Exhausted, OutcomeUnknown)
_BROKEN: Final = ("CANCELLED", "INTERNAL")


@dataclass(frozen=True, slots=True)
class FeedAck:
    """Movements that are decided, all of one request, and what became of each."""

    position: int
    """The position of the last of them."""
    items: Sequence[tuple[int, Movement]]
    outcomes: Sequence[Outcome]
    """One per item, in order. One whose answer was lost with a server is REPEATED, or judged anew if it was refused."""
    decided: int
    """Movements of this run that are decided, these included."""
    consistency_token: str


class Feeding:
    """One run over a source. `open_stream` opens a StreamMovements call."""

    def __init__(
        self,
        open_stream: Callable[[], Any],
        server: str,
        source: FeedSource,
        *,
        name: str,
        batch: int,
        unacknowledged_max: int,
        patience_seconds: float,
    ) -> None:
        self._open_stream = open_stream
        self._server = server
        self._source = source
        self._name = name
        self._batch = batch
        self._unacknowledged_max = max(unacknowledged_max, batch)
        self._patience_seconds = patience_seconds
        self._gathered: deque[tuple[int, Movement]] = deque()
        self._unacknowledged: deque[list[tuple[int, Movement]]] = deque()
        self._under_way = 0  # movements in requests that are not acknowledged
        self._changed = asyncio.Event()
        self._is_exhausted = False
        self._source_fault: Exception | None = None
        self._gathering: asyncio.Task[None] | None = None
        self._decided = 0
        self._progress_at = 0.0

    async def run(self) -> AsyncGenerator[FeedAck, None]:
        """Until everything is acknowledged. Raises what the source raises, once what came before is acknowledged."""
        clock = asyncio.get_running_loop().time
        self._progress_at, pause = clock(), PAUSE_SECONDS
        try:
            while True:
                began_at = self._progress_at
                try:
                    async for acknowledged in self._stream():
                        yield acknowledged
                    break
                except grpc.aio.AioRpcError as failure:
                    error = error_from_call(failure, self._server, writes=True)
                except _Interrupted as interrupted:
                    error = ServerUnreachable(self._server, str(interrupted))
                if not _is_passing(error) or clock() > self._progress_at + self._patience_seconds:
                    raise error
                pause = PAUSE_SECONDS if self._progress_at > began_at else min(2 * pause, PAUSE_SECONDS_MAX)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads callers, guards nothing
        finally:
            if self._gathering is not None:
                await _ended(self._gathering)
        if self._source_fault is not None:
            raise self._source_fault

    async def _stream(self) -> AsyncGenerator[FeedAck, None]:
        """One stream: what is not acknowledged again, then what follows."""
        call = self._open_stream()
        sending: asyncio.Task[None] | None = None
        try:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it failed already: reading tells why
                await call.write(stock_service_pb2.StreamMovementsRequest(feed=self._name))
            first = await self._read(call)
            if first is None:
                raise _Interrupted("the stream ended before it began")
            if self._gathering is None:
                self._gathering = asyncio.create_task(self._gather(first.feed.position if self._name else 0))
            sending = asyncio.create_task(self._send(call))
            while (answer := await self._read(call)) is not None:
                yield self._acknowledged(answer)
            if not self._is_exhausted or self._gathered or self._unacknowledged:
                raise _Interrupted("the stream ended early")
        finally:
            if sending is not None:
                await _ended(sending)
            call.cancel()

    async def _read(self, call: Any) -> stock_service_pb2.StreamMovementsResponse | None:
        """The next answer; None at the end."""
        reading = asyncio.ensure_future(call.read())
        try:
            while not (await asyncio.wait({reading}, timeout=SILENCE_SECONDS_MAX))[0]:
                if self._unacknowledged or self._gathering is None:
                    raise _Interrupted("nothing was answered for too long")
        finally:
            await _ended(reading)
        answer = reading.result()
        return None if answer is grpc.aio.EOF else answer

    async def _send(self, call: Any) -> None:
        try:
            for request in list(self._unacknowledged):
                await call.write(_message(request))
            while True:
                await self._until(self._has_something_to_send)
                if not self._gathered:
                    break
                size = min(self._batch, len(self._gathered))
                request = [self._gathered.popleft() for _ in range(size)]
                self._unacknowledged.append(request)
                self._under_way += size
                await call.write(_message(request))
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream is over: reading tells why, and another one is opened

    def _has_something_to_send(self) -> bool:
        if self._is_exhausted or len(self._gathered) >= self._batch:
            return True
        return bool(self._gathered) and len(self._unacknowledged) < SMALL_REQUESTS_MAX

    def _acknowledged(self, answer: stock_service_pb2.StreamMovementsResponse) -> FeedAck:
        items = self._unacknowledged.popleft()
        assert (answer.position, len(answer.outcomes)) == (items[-1][0], len(items)), "answers are in order"
        self._under_way -= len(items)
        self._decided += len(items)
        self._progress_at = asyncio.get_running_loop().time()
        self._changed.set()
        return FeedAck(answer.position, items, answer.outcomes, self._decided, answer.consistency_token)

    async def _gather(self, after: int) -> None:
        """Takes movements from the source, those after a position, as far as there is room."""
        try:
            position = 0
            async for item in _each(self._source):
                position, movement = item if isinstance(item, tuple) else (position + 1, item)
                if position <= after:
                    continue
                if len(self._gathered) + self._under_way >= self._unacknowledged_max:
                    await self._until(lambda: len(self._gathered) + self._under_way < self._unacknowledged_max)
                self._gathered.append((position, movement))
                self._changed.set()
        except Exception as fault:  # noqa: BLE001  # raised by `run`, once what came before is acknowledged
            self._source_fault = fault
        self._is_exhausted = True
        self._changed.set()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


class _Interrupted(Exception):
    """A stream is over, though not everything is acknowledged."""


def _message(items: Sequence[tuple[int, Movement]]) -> stock_service_pb2.StreamMovementsRequest:
    return stock_service_pb2.StreamMovementsRequest(
        position=items[-1][0], movements=[movement for _, movement in items]
    )


def _is_passing(error: InventoryError | CallFailed) -> bool:
    """Whether another stream may do better.

    What gRPC itself says of a stream that broke is CANCELLED while a server stops, INTERNAL where a write met the
    end; a fault of the engine has a refusal behind it.
    """
    if isinstance(error, CallFailed):
        return error.code in _BROKEN
    return isinstance(error, _PASSING)


async def _each(source: FeedSource) -> AsyncIterator[FeedItem]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
        return
    for count, item in enumerate(source):
        if count % BATCH == BATCH - 1:
            await asyncio.sleep(0)  # a source that never waits must not keep the others from it
        yield item


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancels a task that is not done, and waits until it is."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # looked at: whoever needs it has it


class Handing:
    """A feed whose movements are handed over and whose acknowledgements are fetched step by step: for `SyncClient`."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._given: deque[FeedItem] = deque()
        self._is_last = False
        self._acks: list[FeedAck] = []
        self._changed = asyncio.Event()
        self._collecting: asyncio.Task[None] | None = None

    async def source(self) -> AsyncIterator[FeedItem]:
        """What `Feeding` takes."""
        while True:
            while self._given:
                yield self._given.popleft()
                if len(self._given) < self._batch:
                    self._changed.set()
            if self._is_last:
                return
            await self._until(lambda: bool(self._given) or self._is_last)

    def start(self, acks: AsyncIterator[FeedAck]) -> None:
        """Begins to collect acknowledgements."""

        async def collect() -> None:
            try:
                async for ack in acks:
                    self._acks.append(ack)
                    self._changed.set()
            finally:
                self._changed.set()

        self._collecting = asyncio.create_task(collect())

    async def step(self, items: Iterable[FeedItem], *, is_last: bool) -> tuple[list[FeedAck], bool]:
        """Hands over; acknowledgements that are there, and whether it is over. Waits while there is no room."""
        assert self._collecting is not None
        collecting = self._collecting
        self._given.extend(items)
        self._is_last = is_last
        self._changed.set()
        await self._until(
            lambda: bool(self._acks) or collecting.done() or (not is_last and len(self._given) < self._batch)
        )
        acks, self._acks = self._acks, []
        if collecting.done() and not acks:
            collecting.result()
            return [], True
        return acks, False

    async def stop(self) -> None:
        """Gives up what is not done."""
        if self._collecting is not None:
            await _ended(self._collecting)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
