"""Planning a wave: what waits is searched, lines are sourced, units shared out, the plan is kept. Nothing is taken.

Each part does a few milliseconds of work at a time, or runs in a thread (the kernel lets go of the interpreter), so
that others are served meanwhile. The plan is made for whoever listens: when the caller goes away the generator ends
where it is, and nothing is left behind but chunks of a plan that was never there, which expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from invengine.domain.waves import (
    LINES_MAX,
    Missing,
    PlannedLine,
    PlannedOrder,
    PlannedUnits,
    PlanSummary,
    Progress,
    Stage,
    Totals,
)
from invengine.errors import MalformedMessage, RequestMismatch
from invengine.kernels.layout_wave import WAVE_LINE_WORTH
from invengine.services.days import today
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.wave_costs import WaveCosts
from invengine.services.wave_dates import WaveDates
from invengine.services.wave_requests import check_network, check_wave
from invengine.services.wave_sourcing import WaveSourcing, why_missing
from invengine.services.wave_steps import Steps
from invengine.services.wave_waiting import WaitingLines
from invengine.store.wave_records import ORDERS_A_CHUNK, SHOWN_SECONDS
from invengine.v1 import wave_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.domain.waves import WaveOrder
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.networks import Networks
    from invengine.services.wave_problem import Allocated, Allocator, WaveProblem
    from invengine.services.wave_requests import WaveAsked
    from invengine.services.wave_sourcing import LineOptions
    from invengine.store.redis_store import RedisStore

LINES_A_TURN: Final = 25
"""Sourced before others have their turn: some 2 ms."""

LINES_TOLD: Final = 1_000
"""Sourced before it is told how far that is."""

SKUS_A_TURN: Final = 5
"""Read before others have their turn: some 2 ms."""

PROGRESS_SECONDS: Final = 0.25
"""How often the sharing out tells how far it is."""

Said = Progress | PlanSummary


class WavePlanning:
    """Plans waves of one engine. `profile_of` answers the profile that a text names, UnknownProfile."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        *,
        dates: CurrentDating,
        profile_of: Callable[[str], Profile],
        allocate: Allocator,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._dates = dates
        self._profile_of = profile_of
        self._allocate = allocate

    async def plan(self, request: bytes) -> AsyncGenerator[tuple[Said, bool], None]:
        """Progress, and as the last the plan; with it whether it was there before. MalformedMessage."""
        asked = await check_wave(*_read(request))
        network = self._networks.required()
        plan_id = plan_id_of(asked.request_id)
        earlier = await self._store.waves.plan(plan_id)
        if earlier is not None:
            yield _same(earlier[0], asked), True
            return
        check_network(asked, network)
        profile = self._profile_of(asked.profile) if asked.profile else None
        orders = list(asked.orders)
        async for progress in self._add_waiting(asked, orders, network):
            yield progress, False
        await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX)
        sourcing, channels = await self._sourcing(asked, orders, network, profile)
        lines = sum([len(order.lines) for order in orders])
        done = 0
        for order in orders:
            sourcing.add(order)
            before, done = done, done + len(order.lines)
            if before // LINES_A_TURN != done // LINES_A_TURN:
                sourcing.settle()
                await asyncio.sleep(0)
            if before // LINES_TOLD != done // LINES_TOLD:
                yield Progress(Stage.SOURCING, done, lines), False
        missing_cost = profile.shortage_cost if profile is not None else None
        problem = sourcing.problem(asked.mode, asked.shares, missing_cost)
        allocated: Allocated | None = None
        async for told in self._allocated(problem):
            if isinstance(told, Progress):
                yield told, False
            else:
                allocated = told
        assert allocated is not None
        ranks = {name: rank for rank, name in enumerate(channels)} if sourcing.stock.has_layers else {}
        planned, totals, steps = await self._put_together(orders, sourcing, problem, allocated, ranks)
        now_ms = self._clock.now_ms()
        summary = PlanSummary(
            plan_id,
            asked.fingerprint,
            now_ms,
            now_ms + asked.keep_seconds * 1000,
            asked.mode,
            str(profile) if profile is not None else "",
            totals.orders,
            totals.orders_whole,
            totals.orders_without,
            totals.lines,
            totals.quantity,
            totals.planned,
            totals.worth,
            totals.cost,
            allocated.objective,
            allocated.bound,
            totals.fills,
            steps.divided(),
        )
        for number, first in enumerate(range(0, len(planned), ORDERS_A_CHUNK)):
            yield Progress(Stage.KEEPING, first, len(planned)), False
            chunk = planned[first : first + ORDERS_A_CHUNK]
            await self._store.waves.keep_orders(plan_id, number, chunk, asked.keep_seconds + SHOWN_SECONDS)
        kept = await self._store.waves.keep(summary, asked.keep_seconds)
        yield _same(kept, asked), kept.created_at_ms != summary.created_at_ms

    async def _add_waiting(
        self, asked: WaveAsked, orders: list[WaveOrder], network: Network
    ) -> AsyncGenerator[Progress, None]:
        if asked.waiting is None:
            return
        room = LINES_MAX - sum([len(order.lines) for order in orders])
        search = WaitingLines(self._store, asked.waiting, network, self._clock.now_ms())
        partition = 0
        async for found in search.search(room):
            orders += found
            partition += 1
            yield Progress(Stage.READING, partition, self._store.partitions)

    async def _sourcing(
        self, asked: WaveAsked, orders: Sequence[WaveOrder], network: Network, profile: Profile | None
    ) -> tuple[WaveSourcing, list[str]]:
        """The stock of the wave, read; and its channels in the order of committing: those that can take less first."""
        now_ms = self._clock.now_ms()
        skus = list(dict.fromkeys([line.sku for order in orders for line in order.lines]))
        channels = sorted({order.channel for order in orders})
        members = frozenset(network.groups[asked.group]) if asked.group else None
        if profile is not None and (excluded := profile.excluded_locations(network)):
            members = (members if members is not None else frozenset(network.locations)) - excluded
        ways = WaveDates(network, self._dates.of(network))
        costs = WaveCosts(network, profile, today(now_ms))
        if len(channels) > 1:
            first = WaveSourcing(network, self._replica, now_ms, channels, dates=ways, costs=costs, members=members)
            totals = dict.fromkeys(channels, 0)
            for count, sku in enumerate(skus):
                for channel in channels:
                    totals[channel] += first.totals(channel, sku)
                if count % SKUS_A_TURN == 0:
                    await asyncio.sleep(0)
            channels.sort(key=lambda name: (totals[name], name))
        sourcing = WaveSourcing(network, self._replica, now_ms, channels, dates=ways, costs=costs, members=members)
        for count, sku in enumerate(skus):
            sourcing.read(sku)
            if count % SKUS_A_TURN == 0:
                await asyncio.sleep(0)
        return sourcing, channels

    async def _put_together(
        self,
        orders: Sequence[WaveOrder],
        sourcing: WaveSourcing,
        problem: WaveProblem,
        allocated: Allocated,
        ranks: Mapping[str, int],
    ) -> tuple[list[PlannedOrder], Totals, Steps]:
        """What each order gets, what that comes to, how it is to be committed."""
        planned: list[PlannedOrder] = []
        totals, steps = Totals(), Steps(self._store.partitions, ranks)
        number = done = 0
        for place, order in enumerate(orders):
            end = number + len(order.lines)
            options = sourcing.lines[number:end]
            last = options[-1].first + len(options[-1].found)
            one = _planned(order, options, allocated.units[options[0].first : last].tolist())
            planned.append(one)
            totals.add(one, problem.lines[number:end, WAVE_LINE_WORTH].tolist())
            steps.add(place, one)
            number = end
            if number - done >= LINES_A_TURN:
                done = number
                await asyncio.sleep(0)
        return planned, totals, steps

    async def _allocated(self, problem: WaveProblem) -> AsyncGenerator[Progress | Allocated, None]:
        """Progress, then the answer. The work ends soon after nobody listens any more."""
        told = [0, 0]
        is_wanted = True

        def goes_on(done: int, total: int) -> bool:
            told[:] = done, total
            return is_wanted

        work = asyncio.ensure_future(asyncio.to_thread(self._allocate, problem, goes_on))
        try:
            while not (await asyncio.wait((work,), timeout=PROGRESS_SECONDS))[0]:
                yield Progress(Stage.ALLOCATING, *told)
        finally:
            is_wanted = False
        allocated = work.result()
        assert allocated is not None
        yield allocated


def _read(request: bytes) -> tuple[pb.PlanWaveRequest, str]:
    """The message, and the fingerprint of its bytes."""
    try:
        return pb.PlanWaveRequest.FromString(request), blake2b(request, digest_size=16).hexdigest()
    except DecodeError:
        raise MalformedMessage("/invengine.v1.AllocationService/PlanWave") from None


def plan_id_of(request_id: str) -> str:
    """The id of the plan that a request makes."""
    return blake2b(f"wave\t{request_id}".encode(), digest_size=12).hexdigest()


def _same(kept: PlanSummary, asked: WaveAsked) -> PlanSummary:
    if kept.fingerprint != asked.fingerprint:
        raise RequestMismatch(asked.request_id)
    return kept


def _planned(order: WaveOrder, options: Sequence[LineOptions], units: Sequence[int]) -> PlannedOrder:
    """What an order gets; `units` by option, of all its lines."""
    paid: set[tuple[object, ...]] = set()
    lines = []
    number = 0
    for line, of_line in zip(order.lines, options, strict=True):
        taken: dict[str, list[int]] = {}
        for location, way, cost in of_line.found:
            here = units[number]
            number += 1
            if not here:
                continue
            parcel = location, line.fulfilment, line.destination, way.service
            is_new = location not in taken
            part = taken.setdefault(location, [0, 0])
            part[0] += here
            part[1] += cost.unit * here + (cost.line if is_new else 0) + (0 if parcel in paid else cost.parcel)
            paid.add(parcel)
        lines.append(PlannedLine(line, tuple([PlannedUnits(location, *part) for location, part in taken.items()])))
    if all(line.planned == line.line.quantity for line in lines):
        return PlannedOrder(order, tuple(lines))
    return PlannedOrder(order, tuple(_explained(order, lines, options)))


def _explained(order: WaveOrder, lines: Sequence[PlannedLine], options: Sequence[LineOptions]) -> Iterator[PlannedLine]:
    """The lines, each with why it does not get all."""
    own = [why_missing(line.line, found) for line, found in zip(lines, options, strict=True)]
    impossible = [why not in (Missing.TAKEN, Missing.NOTHING) for why in own]
    for line, why, cannot in zip(lines, own, impossible, strict=True):
        if line.planned == line.line.quantity:
            yield line
            continue
        others = order.all_or_nothing and not cannot and any(impossible)
        yield PlannedLine(line.line, line.units, Missing.ORDER_SHORT if others else why)
