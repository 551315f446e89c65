"""Feeds: movements without end, applied in their order, acknowledged as they become durable.

    read ──► checked ──► batch ──► group commit ──► acknowledged
     ▲                     one under way per stream      │
     └── waits while too much is not acknowledged ◄──────┘

The three steps of a stream run side by side. Only one batch of a stream is under way, whatever waits meanwhile is the
next, so its order is kept through every repeat; batches of several streams share calls to the store. Feeds queue apart
from other callers, so a caller with one movement never waits behind thousands of a feed.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from invengine.domain.partitions import encode_token
from invengine.domain.stock import Feed, FeedMark, Movement, MovementOutcome, MovementResult
from invengine.errors import Exhausted, InvalidArgument, InventoryError, OutcomeUnknown, ShuttingDown, Unavailable
from invengine.services import own_writes, validation
from invengine.services.group_commit import GroupCommit
from invengine.services.stock import MOVEMENTS_MAX, check_movement, refused_outcome, unknown_in

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb

ResultT = TypeVar("ResultT")

POSITION_MAX: Final = 2**63 - 1
UNACKNOWLEDGED_MAX: Final = 10_000
"""Movements of one stream that are read and not acknowledged: two requests of the largest size."""

BATCH: Final = 1_000
"""Movements of one stream that are committed together; a larger request is committed as one."""

SLICE: Final = 250
"""Movements checked in one go: about a millisecond, then it is somebody else's turn."""

OUTAGE_SECONDS: Final = 30.0
"""How long a stream waits for a store that is away, beyond what the store itself waits, until it ends."""

PAUSE_SECONDS: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0
_PASSING: Final = (Unavailable, Exhausted, OutcomeUnknown)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer to one request of a stream; `feed` is set in the first answer only, which acknowledges nothing."""

    decided: int
    outcomes: Sequence[MovementOutcome]
    position: int
    consistency_token: str
    feed: Feed | None = None


@dataclass(slots=True)
class _Taken:
    """A request that was read: what of it goes to the store, and what is refused already, by place."""

    position: int
    count: int
    movements: list[Movement] = field(default_factory=list)
    refused: dict[int, InventoryError] = field(default_factory=dict)
    newest: tuple[str, str] | None = None
    """Source and event_id of the last movement that has both."""


Answer = Callable[[Acknowledgement], Awaitable[None]]


class Feeds:
    """The use cases of StockService that never end."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
    ) -> None:
        self.store = store
        self.replica = replica
        self.clock = clock
        self.networks = networks
        self.metrics = metrics
        self.streams: set[FeedStream] = set()
        # streams bound what waits here, so nothing is ever refused as too much
        self.queue: GroupCommit[Movement, MovementOutcome] = GroupCommit(
            "stream_movements",
            store.post_movements,
            partial(own_writes.take_in, replica),
            metrics,
            queue_max=POSITION_MAX,
            items_per_call_max=BATCH,
        )
        metrics.feed_streams.set_function(lambda: len(self.streams))
        metrics.feed_unacknowledged.set_function(lambda: sum(stream.unacknowledged for stream in self.streams))
        metrics.feed_lag.set_function(lambda: max((stream.lag_seconds for stream in self.streams), default=0.0))

    def open(self) -> FeedStream:
        """One StreamMovements call."""
        return FeedStream(self)

    async def page(self, message: pb.ListFeedsRequest) -> tuple[list[Feed], str]:
        """A page of the feeds that have a name, by name, and the token of the next page."""
        size = validation.page_size("page_size", message.page_size)
        bound = ("feeds",)
        after = validation.cursor_of("page_token", message.page_token, bound)
        rest = [feed for feed in await self.store.feeds() if feed.mark.feed > after]
        page = rest[:size]
        return page, validation.page_token(bound, page[-1].mark.feed if len(rest) > size else "")

    async def close(self) -> None:
        """Takes no more movements and waits for those that were taken."""
        await self.queue.close()


class FeedStream:
    """One stream: `serve` runs it, `stop` has it end after what it took."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._taken: deque[_Taken] = deque()
        self._answers: deque[Acknowledgement] = deque()
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._is_read = False
        self._is_decided = False
        self._is_stopping = False
        self._fault: Exception | None = None
        self._feed = Feed(FeedMark("", 0))
        self._position = 0
        self._decided = 0
        self.unacknowledged = 0
        """Movements that were read and not acknowledged yet."""
        self.lag_seconds = 0.0
        """How old the movement that was acknowledged last was then."""

    def stop(self) -> None:
        """Reads nothing more; what was taken is acknowledged, then `serve` raises ShuttingDown."""
        self._is_stopping = True
        if self._reader is not None:
            self._reader.cancel()

    async def serve(self, requests: AsyncIterator[pb.StreamMovementsRequest], answer: Answer) -> None:
        """Until the caller has sent all and everything is acknowledged.

        What ends the stream early is raised after what was taken is acknowledged: ShuttingDown, InvalidArgument,
        NetworkMissing, StoreUnavailable, StoreFull, OutcomeUnknown, and what `requests` raises.
        """
        self._feeds.streams.add(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._reader = tasks.create_task(self._read(requests))
                self._reader.add_done_callback(self._reading_ended)
                tasks.create_task(self._commit_all())
                tasks.create_task(self._answer_all(answer))
                if self._is_stopping:
                    self._reader.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._feeds.streams.discard(self)
        if self._fault is not None:
            raise self._fault

    # Reading

    async def _read(self, requests: AsyncIterator[pb.StreamMovementsRequest]) -> None:
        try:
            is_first = True
            async for request in requests:
                if is_first:
                    await self._open(request)
                await self._take(request, is_first=is_first)
                is_first = False
                await self._until(lambda: self.unacknowledged <= UNACKNOWLEDGED_MAX - MOVEMENTS_MAX)  # the next fits
        except Exception as fault:  # noqa: BLE001  # raised by `serve`, once what was taken is acknowledged
            self._fault = self._fault or fault

    def _reading_ended(self, reader: asyncio.Task[None]) -> None:
        """By itself, or cancelled, be it before it began."""
        if reader.cancelled() and self._is_stopping:
            self._fault = self._fault or ShuttingDown()
        self._is_read = True
        self._changed.set()

    async def _open(self, request: pb.StreamMovementsRequest) -> None:
        """Answers the first request: where its feed was."""
        name = validation.optional_text("feed", request.feed)
        if name:
            self._feed = await self._patiently(lambda: self._feeds.store.feed(name))
        self._acknowledge(Acknowledgement(0, (), self._feed.mark.position, self._token({}), self._feed))

    async def _take(self, request: pb.StreamMovementsRequest, *, is_first: bool) -> None:
        """Checks a request and has it committed."""
        if not is_first and request.feed not in ("", self._feed.mark.feed):
            raise InvalidArgument("feed", "is another one than in the first request")
        count = len(request.movements)
        validation.count_of("movements", count, MOVEMENTS_MAX, least=0 if is_first else 1)
        if not count:
            return
        least = max(self._position, 1 if self._feed.mark.feed else 0)
        if request.position < least:
            raise InvalidArgument(
                "position", f"is {request.position}; {least} or more is needed after what came before"
            )
        self._position = request.position
        network, clock = self._feeds.networks.required(), self._feeds.clock
        now_ms, latest_ms = clock.now_ms(), clock.latest_ms()
        taken = _Taken(request.position, count)
        for place, message in enumerate(request.movements):
            if place % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            try:
                if not message.event_id:
                    raise InvalidArgument("event_id", "is required in a stream")
                movement = check_movement(message, place, "", now_ms, latest_ms)
            except InvalidArgument as refusal:
                taken.refused[place] = refusal
                continue
            taken.newest = movement.source, movement.event_id
            if unknown := unknown_in(movement, network, self._feeds.replica):
                taken.refused[place] = unknown
            else:
                taken.movements.append(movement)
        self.unacknowledged += count
        self._taken.append(taken)
        self._changed.set()

    # Committing

    async def _commit_all(self) -> None:
        try:
            while await self._until(lambda: bool(self._taken) or self._is_read) and self._taken:
                batch = [self._taken.popleft()]
                size = len(batch[0].movements)
                while self._taken and size + len(self._taken[0].movements) <= BATCH:
                    batch.append(self._taken.popleft())
                    size += len(batch[-1].movements)
                await self._commit(batch)
        except InventoryError as failure:
            self._fault = failure
            assert self._reader is not None
            self._reader.cancel()
        self._is_decided = True
        self._changed.set()

    async def _commit(self, batch: Sequence[_Taken]) -> None:
        """Decides a batch, keeps how far its feed is, and has its requests acknowledged."""
        movements = [movement for taken in batch for movement in taken.movements]
        if self._feed.mark.feed:
            newest = next((taken.newest for taken in reversed(batch) if taken.newest), None)
            source, event_id = newest or (self._feed.mark.source, self._feed.mark.event_id)
            mark = FeedMark(self._feed.mark.feed, batch[-1].position, source, event_id)
            self._feed = replace(self._feed, mark=mark)
            if movements:
                movements[-1] = replace(movements[-1], mark=mark)
            else:
                await self._patiently(lambda: self._feeds.store.mark_feeds([mark]))
        revisions: dict[int, int] = {}
        outcomes = iter(await self._decide(movements, revisions))
        token = self._token(revisions)
        for taken in batch:
            refused = taken.refused
            told = [
                refused_outcome(refused[place]) if place in refused else next(outcomes) for place in range(taken.count)
            ]
            self._decided += taken.count
            self._count(told)
            self._acknowledge(Acknowledgement(self._decided, told, taken.position, token))
        self._feeds.metrics.feed_acknowledged.set_to_current_time()
        if movements:
            self.lag_seconds = max(0, self._feeds.clock.now_ms() - movements[-1].occurred_at_ms) / 1000

    async def _decide(self, movements: Sequence[Movement], revisions: dict[int, int]) -> list[MovementOutcome]:
        """One outcome per movement; adds the revisions that they rest on. Waits while the store is away."""
        decided: list[MovementOutcome] = []

        async def go_on() -> None:
            answered = await self._feeds.queue.submit(movements[len(decided) :])
            revisions.update(answered.revisions)
            for outcome in answered.outcomes:
                if isinstance(outcome, InventoryError):
                    raise outcome
                decided.append(outcome)

        if movements:
            await self._patiently(go_on)
        return decided

    # Acknowledging

    def _acknowledge(self, acknowledgement: Acknowledgement) -> None:
        self._answers.append(acknowledgement)
        self._changed.set()

    async def _answer_all(self, answer: Answer) -> None:
        while await self._until(lambda: bool(self._answers) or self._is_decided) and self._answers:
            acknowledgement = self._answers.popleft()
            await answer(acknowledgement)
            self.unacknowledged -= len(acknowledgement.outcomes)
            self._changed.set()

    # What they share

    async def _until(self, is_so: Callable[[], bool]) -> bool:
        """Waits until another step has made it so; True."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
        return True

    async def _patiently(self, attempt: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """The result of an attempt; one that fails because of the store is repeated until OUTAGE_SECONDS are over."""
        clock = asyncio.get_running_loop().time
        until, pause = clock() + OUTAGE_SECONDS, PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except _PASSING:
                if clock() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _token(self, revisions: dict[int, int]) -> str:
        return encode_token(self._feeds.store.store_id, sorted(revisions.items()))

    def _count(self, outcomes: Sequence[MovementOutcome]) -> None:
        metrics = self._feeds.metrics
        for result, count in Counter(outcome.result for outcome in outcomes).items():
            metrics.feed_movements[result.value].inc(count)
            if result is MovementResult.REPEATED:
                metrics.replays.inc(count)
        metrics.count_refusals(outcome.refusal.reason for outcome in outcomes if outcome.refusal is not None)
