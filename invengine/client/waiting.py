"""The client for code without asyncio: the same calls, each waits for its answer."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack, cast

from invengine.client.calls import Client
from invengine.client.connection import DEFAULT_SERVER
from invengine.client.feeding import BATCH, FeedAck, FeedItem, Handing
from invengine.client.securing import Tls

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionOptions(TypedDict, total=False):
    """How to connect; as in `Client`."""

    channel: str
    timeout_seconds: float
    retry_seconds: float
    token: str
    tls: Tls | bool | None
    token_in_clear: bool


class FeedOptions(TypedDict, total=False):
    """What a feed may say besides its movements; as in `Client.feed`."""

    name: str
    unacknowledged_max: int
    patience_seconds: float


def _waiting(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncClient, P], T]:
    """The method of the asyncio client as one that returns when the answer is there."""

    def call(self: SyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self.client, *args, **kwargs))

    return cast("Callable[Concatenate[SyncClient, P], T]", functools.wraps(method)(call))


def _iterating(
    method: Callable[Concatenate[Client, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[SyncClient, P], Iterator[T]]:
    """The stream of the asyncio client as an iterator that waits for each message; closing it ends the stream."""

    def call(self: SyncClient, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        stream = method(self.client, *args, **kwargs)
        reads: list[asyncio.Task[Any]] = []
        try:
            while True:
                try:
                    message = self._wait(_next_of(stream, reads))
                except _Ended:
                    return
                yield message
        finally:
            if not self.is_closed:
                self._wait(_closed(stream, reads))

    return cast("Callable[Concatenate[SyncClient, P], Iterator[T]]", functools.wraps(method)(call))


class _Ended(Exception):
    """A stream has no more messages. StopAsyncIteration cannot leave a coroutine."""


async def _next_of(stream: AsyncGenerator[T, None], reads: list[asyncio.Task[Any]]) -> T:
    """The next message; `reads` has the task that waits for it."""
    reads[:] = filter(None, [asyncio.current_task()])
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _Ended from None


async def _closed(stream: AsyncGenerator[Any, None], reads: list[asyncio.Task[Any]]) -> None:
    """Ends a stream, and before that a read whose caller was interrupted."""
    for read in reads:
        read.cancel()
        await asyncio.wait(reads)
    await stream.aclose()


class SyncClient:
    """`Client` for code without asyncio: the same methods, each waits for its answer. Made by `connect()`.

    The calls run on a loop in a thread of their own, so one client may be used from many threads.
    """

    def __init__(self, server: str, **options: Unpack[ConnectionOptions]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="invengine-client", daemon=True)
        self._thread.start()

        async def made() -> Client:  # on the loop that the connection then belongs to
            return Client(server, **options)

        try:
            self.client = self._wait(made())
        except BaseException:
            self._end_loop()
            raise

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Close the connection and end the thread."""
        if not self._loop.is_closed():
            self._wait(self.client.close())
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def feed(
        self, movements: Iterable[FeedItem], *, batch: int = BATCH, **options: Unpack[FeedOptions]
    ) -> Iterator[FeedAck]:
        """`Client.feed` for code without asyncio: takes `batch` movements at a time, yields acknowledgements between.

        A source that trickles is better fed with a small `batch`: its movements wait until so many are there.
        """
        items = iter(movements)
        handing = self._wait(self._begin_feed(batch, options))
        try:
            is_over = False
            while not is_over:
                part = list(islice(items, batch))
                acks, is_over = self._wait(handing.step(part, is_last=len(part) < batch))
                yield from acks
        finally:
            self._wait(handing.stop())

    async def _begin_feed(self, batch: int, options: FeedOptions) -> Handing:
        handing = Handing(batch)
        handing.start(self.client.feed(handing.source(), batch=batch, **options))
        return handing

    is_serving = _waiting(Client.is_serving)
    get_availability = _waiting(Client.get_availability)
    explain_availability = _waiting(Client.explain_availability)
    get_available_to_promise = _waiting(Client.get_available_to_promise)
    batch_get_availability = _waiting(Client.batch_get_availability)
    stream_availability = _iterating(Client.stream_availability)
    position_pages = _iterating(Client.position_pages)
    movement_pages = _iterating(Client.movement_pages)
    watch = _iterating(Client.watch)
    reserve = _waiting(Client.reserve)
    reserve_many = _waiting(Client.reserve_many)
    get_reservation = _waiting(Client.get_reservation)
    list_reservations = _waiting(Client.list_reservations)
    confirm = _waiting(Client.confirm)
    extend = _waiting(Client.extend)
    release = _waiting(Client.release)
    fulfil = _waiting(Client.fulfil)
    amend = _waiting(Client.amend)
    rebind = _waiting(Client.rebind)
    hand_over = _waiting(Client.hand_over)
    post_movements = _waiting(Client.post_movements)
    apply_snapshot = _waiting(Client.apply_snapshot)
    feed_position = _waiting(Client.feed_position)
    list_feeds = _waiting(Client.list_feeds)
    get_position = _waiting(Client.get_position)
    list_movements = _waiting(Client.list_movements)
    list_positions = _waiting(Client.list_positions)
    export_movements = _waiting(Client.export_movements)
    set_incoming = _waiting(Client.set_incoming)
    slip_incoming = _waiting(Client.slip_incoming)
    cancel_incoming = _waiting(Client.cancel_incoming)
    receive_incoming = _waiting(Client.receive_incoming)
    list_incoming = _waiting(Client.list_incoming)
    get_promise = _waiting(Client.get_promise)
    batch_get_promise = _waiting(Client.batch_get_promise)
    date_orders = _waiting(Client.date_orders)
    list_broken_promises = _waiting(Client.list_broken_promises)
    repromise = _waiting(Client.repromise)
    create_transfer = _waiting(Client.create_transfer)
    ship_transfer = _waiting(Client.ship_transfer)
    receive_transfer = _waiting(Client.receive_transfer)
    cancel_transfer = _waiting(Client.cancel_transfer)
    get_transfer = _waiting(Client.get_transfer)
    list_transfers = _waiting(Client.list_transfers)
    receive_return = _waiting(Client.receive_return)
    dispose_return = _waiting(Client.dispose_return)
    get_return = _waiting(Client.get_return)
    list_returns = _waiting(Client.list_returns)
    apply_network = _waiting(Client.apply_network)
    get_network = _waiting(Client.get_network)
    get_calendar = _waiting(Client.get_calendar)
    apply_transit_times = _waiting(Client.apply_transit_times)
    get_transit_times = _waiting(Client.get_transit_times)
    list_transit_lanes = _waiting(Client.list_transit_lanes)
    put_profile = _waiting(Client.put_profile)
    get_profile = _waiting(Client.get_profile)
    list_profiles = _waiting(Client.list_profiles)
    activate_profile = _waiting(Client.activate_profile)
    list_profile_activations = _waiting(Client.list_profile_activations)
    plan_basket = _waiting(Client.plan_basket)
    list_shortfalls = _waiting(Client.list_shortfalls)
    resource_shortfalls = _waiting(Client.resource_shortfalls)
    suggest_transfers = _waiting(Client.suggest_transfers)
    what_if = _waiting(Client.what_if)
    plan_wave = _iterating(Client.plan_wave)
    get_plan = _waiting(Client.get_plan)
    commit_plan = _waiting(Client.commit_plan)
    check_integrity = _waiting(Client.check_integrity)
    issue_token = _waiting(Client.issue_token)
    revoke_token = _waiting(Client.revoke_token)
    list_tokens = _waiting(Client.list_tokens)


def connect(server: str = DEFAULT_SERVER, **options: Unpack[ConnectionOptions]) -> SyncClient:
    """A client for code without asyncio; close it, or use it in a `with` block."""
    return SyncClient(server, **options)
