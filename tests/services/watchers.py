"""A replica that the test writes to, who watch it, and what they must have been told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry

from invengine.domain.incoming import SECONDS_OF_DAY, Receipt
from invengine.domain.kept import BreakReason, BrokenLine, LineKey, NewDates
from invengine.domain.network import Network
from invengine.domain.orders import Fulfilment
from invengine.domain.partitions import partition_of
from invengine.domain.promises import LinePromise, PromisePart
from invengine.errors import InventoryError, UnknownSku
from invengine.metrics import Metrics
from invengine.replica.clock import StoreClock
from invengine.replica.columns import Columns
from invengine.replica.replica import Replica
from invengine.replica.state import State
from invengine.services.availability import Availability
from invengine.services.watch_promises import PROMISES_A_MESSAGE
from invengine.services.watching import Watching
from invengine.store.records import LogTrimmed
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import incoming_service_pb2
from tests.replica.fakes import PARTITIONS, START_MS, STORE_ID, Entry, fence_row, hold_row, incoming_row, position_row

NETWORK = """
locations:
  AMS1: {kind: warehouse}
  BER: {kind: store, fulfilments: [pickup]}
  CDG: {kind: warehouse, enabled: false}
  DUB: {kind: warehouse}
  XXX: {kind: warehouse}
groups:
  eu: [AMS1, BER, CDG]
  north: [DUB]
  far: [XXX]
channels:
  web: {groups: [eu, north], low_stock_threshold: 5}
  app: {groups: [eu], low_stock_threshold: 2}
  market: {groups: [eu, north], borrow: false}
"""
RULES = """
confidence:
  - {counted_before: 10s, units: 2}
  - {location: DUB, fewer_than: 6, percent: 50}
  - {location: DUB, counted_before: 20s, fewer_than: 9, percent: 100}
  - {location: BER, counted_before: 5s, fewer_than: 4, units: 1}
low_stock_thresholds:
  - {sku: LAMP, units: 3}
  - {sku: LAMP, location: AMS1, units: 1}
  - {location: DUB, units: 2}
  - {sku: SET, channel: web, units: 1}
  - {sku: SET, location: BER, units: 3}
"""
KITS = "kits: {SET: {LAMP: 1, CHAIR: 2}, PAIR: {DESK: 2}, ODD: {SOFA: 1, NEVER: 1}}\n"
OTHER_KITS = (
    "kits: {SET: {LAMP: 2, SOFA: 1}, DESK: {LAMP: 1, CHAIR: 1}, ONE: {SOFA: 1}}\n"  # DESK may have stock itself
)
WITH_KITS = NETWORK + "kits: {SET: {LAMP: 1, CHAIR: 2}, SOFA: {DESK: 2}}\n"  # SOFA may have stock itself
WITH_RULES = f"{NETWORK}{KITS}{RULES}"
BY_THE_HOUR = (
    NETWORK
    + """
kits: {SET: {LAMP: 2}}
confidence:
  - {counted_before: 1h, percent: 50}
  - {location: BER, fewer_than: 3, units: 1}
low_stock_thresholds:
  - {sku: LAMP, units: 3}
  - {sku: DESK, location: AMS1, units: 1}
"""
)
LATER = (
    NETWORK + "safety_stock:\n  - {sku: LAMP, units: 2}\n  - {location: DUB, units: 1}\n",
    NETWORK.replace("CDG: {kind: warehouse, enabled: false}", "CDG: {kind: warehouse}"),
    NETWORK.replace("AMS1: {kind: warehouse}", "AMS1: {kind: warehouse, enabled: false}"),
    NETWORK.replace("north: [DUB]", "north: [DUB, BER, XXX]").replace("threshold: 5", "threshold: 9"),
    NETWORK.replace("eu: [AMS1, BER, CDG]", "eu: [BER, CDG]"),
    NETWORK + KITS,
    WITH_RULES,
    NETWORK + OTHER_KITS + RULES,
    NETWORK.replace("north: [DUB]", "north: [DUB, BER]") + RULES,
    WITH_KITS,
    BY_THE_HOUR,
)

Value = tuple[int, int, int]
"""Units, level, status."""


class World:
    """The service over a replica; its log can be trimmed and lose its newest entries."""

    def __init__(self, **given: Any) -> None:
        self.now_ms = START_MS
        self.replica = Replica(PARTITIONS, STORE_ID)
        self.networks = _Networks()
        self.networks.current = None
        self.logs: list[list[Entry]] = [[] for _ in range(PARTITIONS)]
        self.trimmed = [0] * PARTITIONS
        self._written = 0
        self.made: list[Watcher] = []
        self.metrics = Metrics(CollectorRegistry())
        clock = _Clock(self)
        self.availability = Availability(self.replica, self, clock, self.networks)  # type: ignore[arg-type]
        self.promises = Promises()
        options = {"watchers_max": 100, "tick_seconds": 0.001, "heartbeat_seconds": 0.02, "promises": self.promises}
        options |= given
        self.watching = Watching(self.replica, self, clock, self.networks, self.metrics, **options)  # type: ignore[arg-type]
        self.replica.caught_up(monotonic())

    def use(self, document: str) -> None:
        revision = self.networks.current.revision + 1 if self.networks.current else 1
        self.networks.current = Network.parse(document, revision)
        self.replica.set_network(self.networks.current)

    def write(self, sku: str, rows: str) -> None:
        partition = partition_of(sku, PARTITIONS)
        self._written += 1
        revision = self.replica.applied[partition] + 1
        entry = Entry(partition, revision, self.now_ms + self._written, rows.encode())
        self.logs[partition].append(entry)
        self.replica.apply([entry])

    def stock(self, sku: str, location: str, on_hand: int, reserved: int = 0) -> None:
        self.write(sku, position_row(sku, location, on_hand, reserved))

    def count(self, sku: str, location: str, on_hand: int, seconds_ago: int) -> None:
        self.write(sku, position_row(sku, location, on_hand, 0, self.now_ms - 1000 * seconds_ago))

    def fence(self, sku: str, location: str, channel: str, units: int, on_hand: int = 10) -> None:
        self.write(sku, position_row(sku, location, on_hand, 0) + fence_row(sku, location, channel, units))

    def hold(self, leg: int, sku: str, location: str, units: int, seconds: int) -> None:
        """`units` held out of 20; `seconds` from now, 0: no hold any more."""
        ends = self.now_ms // 1000 + seconds if seconds else 0
        rows = position_row(sku, location, 20, units if seconds else 0)
        self.write(sku, rows + hold_row(leg, sku, location, units if seconds else 0, ends))

    def expect(self, sku: str, location: str, units: int) -> None:
        day = self.now_ms // 1000 // SECONDS_OF_DAY + 3
        self.write(sku, incoming_row(Receipt(sku, location, "po-1", day if units else 0, units, 0, 0)))

    def reload(self, lost: int = 0) -> None:
        """Loads the replica anew; the newest `lost` entries of every partition were never written."""
        state = State(Columns(self.replica.locations, self.replica.channels), [0] * PARTITIONS)
        for partition, log in enumerate(self.logs):
            del log[max(0, len(log) - lost) :]
            state.applied[partition] = log[-1].revision if log else 0
            if log:
                state.apply_rows(log)
                state.newest[partition] = log[-1]
        self.replica.become(state)

    def trim(self) -> None:
        self.trimmed = list(self.replica.applied)

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = 1000) -> list[Entry]:
        assert block_ms == 0
        for partition, revision in enumerate(after):
            if revision < self.trimmed[partition] - 1:
                raise LogTrimmed(partition)
        return [e for p, log in enumerate(self.logs) for e in [e for e in log if e.revision > after[p]][:count]]

    async def revisions(self) -> list[int]:
        return list(self.replica.applied)

    async def settle(self) -> None:
        """Until everyone who reads was told everything."""
        await self.watching.tick()
        while self.watching.behind:
            await asyncio.sleep(0)
            for watcher in self.made:
                watcher.raise_fault()

    async def value(self, sku: str, watcher: Watcher) -> tuple[Value, dict[str, Value]]:
        """What the watcher must know of a SKU: the total, and by location where it can be used."""
        fields = {name: value for name, value in watcher.question.items() if name in _NARROWING}
        answer, status = pb.GetAvailabilityResponse(level=pb.LEVEL_OUT), pb.AVAILABILITY_STATUS_UNKNOWN_SKU
        with suppress(UnknownSku):
            answer = await self.availability.get(pb.GetAvailabilityRequest(sku=sku, **fields))
            status = pb.AVAILABILITY_STATUS_KNOWN
        units = 0 if watcher.question.get("levels_only") else 1
        places = {p.location: (units * p.available, int(p.level), int(status)) for p in answer.positions}
        return (units * answer.available, answer.level, int(status)), places


class Promises:
    """Where broken promises are found: those that the test says, told to whoever follows as one change at a time."""

    def __init__(self) -> None:
        self.broken: dict[LineKey, BrokenLine] = {}
        self.known = asyncio.Event()  # whether it is found out yet which are broken
        self.known.set()
        self.followed = 0  # how often somebody began to follow
        self.following: list[Following] = []

    def put(self, number: int, **fields: Any) -> None:
        """Promise `number` is broken, like this."""
        given = {"channel": "web", "sku": "LAMP", "location": "AMS1", "quantity": 1, **fields}
        line = replace(ANY_LINE, leg=(0, number), reservation_id=f"R{number}", **given)
        self.broken[line.key] = line
        for one in self.following:
            one.pending[line.key] = None
            one.news.set()

    def mend(self, number: int) -> None:
        """Promise `number` is not broken any more, if it was."""
        if self.broken.pop((0, number, False), None) is not None:
            for one in self.following:
                one.pending[0, number, False] = None
                one.news.set()

    @contextmanager
    def follow(self) -> Iterator[Following]:
        self.followed += 1
        self.following.append(one := Following(self))
        try:
            yield one
        finally:
            self.following.remove(one)

    async def taken(self) -> None:
        """Until whoever follows has taken all, and asked for more."""
        while not (self.following and all(one.is_waiting and not one.pending for one in self.following)):
            await asyncio.sleep(0)


class Following:
    """One who follows them, and the promises of which it was not told yet."""

    def __init__(self, promises: Promises) -> None:
        self.pending: dict[LineKey, None] = {}
        self.news = asyncio.Event()
        self.is_waiting = False
        self._promises = promises
        self._told: dict[LineKey, BrokenLine] | None = None

    async def next(self) -> Change:
        if self._told is None:
            await self._promises.known.wait()
            self.pending.clear()
            self._told = dict(self._promises.broken)
            return Change(tuple(self._told.values()))
        self.is_waiting = True
        while not self.pending:
            self.news.clear()
            await self.news.wait()
        self.is_waiting = False
        now, before = self._promises.broken, self._told
        change = Change(
            tuple(now[key] for key in self.pending if key in now and now[key] != before.get(key)),
            tuple(before[key] for key in self.pending if key in before and key not in now),
        )
        self.pending.clear()
        self._told = dict(now)
        return change


@dataclass(frozen=True)
class Change:
    """What became of promises."""

    broken: tuple[BrokenLine, ...]
    mended: tuple[BrokenLine, ...] = ()


ANY_LINE = BrokenLine(
    leg=(0, 0),
    reservation_id="R",
    line_id="1",
    sku="LAMP",
    location="AMS1",
    quantity=1,
    receipt_id="PO1",
    reason=BreakReason.SLIPPED,
    due_day=20_000,
    expected_day=20_003,
    broken_at_ms=START_MS,
    channel="web",
    fulfilment=Fulfilment.SHIP,
    promise=LinePromise("standard", 20_002, 0, 0, (PromisePart("AMS1", 20_001, 20_002),)),
    new=NewDates(20_005, 20_004, 20_004),
)


class _Networks:
    current: Network | None


class _Clock(StoreClock):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now_ms(self) -> int:
        return self._world.now_ms


_NARROWING = {"channel", "group", "locations", "fulfilment"}


@dataclass(eq=False)
class Watcher:
    """Reads a watch, unless it is told to pause, and keeps the last value that it was told."""

    world: World
    question: dict[str, Any]
    known: dict[tuple[str, str], Value] = field(default_factory=dict)
    token: str = ""
    promises: dict[str, incoming_service_pb2.BrokenPromise] = field(default_factory=dict)
    messages: list[pb.WatchAvailabilityResponse] = field(default_factory=list)
    refusal: InventoryError | None = None
    is_pausing: bool = False
    _stream: AsyncGenerator[bytes, None] | None = None
    _reading: asyncio.Task[None] | None = None

    def open(self, *, resume: bool = False) -> None:
        request = pb.WatchAvailabilityRequest(**self.question, resume_token=self.token if resume else "")
        if not resume:
            self.known.clear()
            self.promises.clear()
        self.messages = []
        self._stream = self.world.watching.watch(request.SerializeToString())
        self.go_on()

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    @property
    def is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def go_on(self) -> None:
        self.is_pausing = False
        if self._stream is not None and not self.is_reading:
            self._reading = asyncio.create_task(self._read(self._stream))

    def pause(self) -> None:
        """Stops reading after the next message."""
        self.is_pausing = self.is_reading

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        if self._stream is not None:
            await self._stream.aclose()
        self._stream = self._reading = None
        self.is_pausing = False

    def raise_fault(self) -> None:
        """What went wrong while it read, if something did."""
        if self._reading is not None and self._reading.done() and not self._reading.cancelled():
            self._reading.result()

    async def first(self) -> pb.WatchAvailabilityResponse:
        """The message that says that it is caught up."""
        while not any(message.caught_up for message in self.messages):
            assert self.refusal is None, self.refusal
            self.raise_fault()
            await asyncio.sleep(0)
        return next(message for message in self.messages if message.caught_up)

    async def _read(self, stream: AsyncGenerator[bytes, None]) -> None:
        while not self.is_pausing:
            try:
                message = pb.WatchAvailabilityResponse.FromString(await anext(stream))
            except InventoryError as refusal:
                self.refusal = refusal
                return
            self.take(message)

    def take(self, message: pb.WatchAvailabilityResponse) -> None:
        self.messages.append(message)
        told = [(change.sku, change.location) for change in message.changes]
        assert len(told) == len(set(told)), "each once"
        if message.begins_anew:
            self.known.clear()
        for change in message.changes:
            if change.location:
                self.known.pop((change.sku, ""), None)
            self.known[change.sku, change.location] = (change.available, change.level, change.status)
        self.token = message.resume_token or self.token
        keys = [change.key for change in message.promises]
        assert len(keys) == len(set(keys)) <= PROMISES_A_MESSAGE, "each once"
        if message.promises_begin_anew:
            self.promises.clear()
        for its in message.promises:
            if its.mended:
                self.promises.pop(its.key, None)
            else:
                self.promises[its.key] = its.promise

    async def check(self, skus: Sequence[str]) -> None:
        """What it was told last is what is so: every value it knows, and 0 is available of what it was never told."""
        asked = set(self.question.get("skus", skus))
        assert {sku for sku, _ in self.known} <= asked
        for sku in asked:
            total, places = await self.world.value(sku, self)
            told = {location: value for (name, location), value in self.known.items() if name == sku}
            if not self.question.get("by_location"):
                assert told.get("", (0, pb.LEVEL_OUT, None))[:2] == total[:2], (self.question, sku)
                assert "" in told or not self.question.get("skus")
                assert not told or told[""][2] == total[2] or not self.question.get("skus")
                continue
            offering = {location: value for location, value in places.items() if value[1] != pb.LEVEL_OUT}
            assert {location: value for location, value in told.items() if value[1] != pb.LEVEL_OUT} == offering
            assert told or not self.question.get("skus")
