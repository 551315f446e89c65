"""PlanWave, GetPlan, CommitPlan: a plan is made, shown and committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.partitions import encode_token
from invengine.domain.waves import CommitStart, PlanState, Target, state_of
from invengine.errors import PlanNotFound, PlanStale
from invengine.services import validation
from invengine.services.reservation_requests import time_to_live
from invengine.services.wave_amends import WaveAmends
from invengine.services.wave_commit import WaveCommit
from invengine.services.wave_dated import DatedOrders
from invengine.services.wave_orders import WaveOrders
from invengine.services.wave_planning import WavePlanning
from invengine.services.wave_requests import check_commit
from invengine.store.wave_records import ORDERS_A_CHUNK
from invengine.v1 import wave_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.profiles import Profile
    from invengine.domain.waves import CommitProgress, CommittedOrder, PlannedOrder, PlanSummary
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.networks import Networks
    from invengine.services.reservations import Reservations
    from invengine.services.wave_planning import Said
    from invengine.services.wave_problem import Allocator
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

REFUSED_ORDERS_MAX: Final = 1000
LINES_A_PAGE: Final = 1_000
"""Of all orders of a page together, as far as one order has not more."""


_SHOW_SHORT: Final = int(pb.GetPlanRequest.SHOW_SHORT)
_SHOW_REFUSED: Final = int(pb.GetPlanRequest.SHOW_REFUSED)
_SHOW_NONE: Final = int(pb.GetPlanRequest.SHOW_NONE)


class ShownOrder(NamedTuple):
    """What an order gets, and what became of it; None where that is not decided."""

    planned: PlannedOrder
    outcome: CommittedOrder | None


class ShownPlan(NamedTuple):
    """A plan, with some of its orders and where to go on ("" at the end)."""

    summary: PlanSummary
    progress: CommitProgress
    state: PlanState
    expires_at_ms: int
    orders: Sequence[ShownOrder] = ()
    next_page_token: str = ""


class Committed(NamedTuple):
    """What a commit answers: the plan with the orders that have refused lines, and whether it was done before."""

    plan: ShownPlan
    replayed: bool
    consistency_token: str


class Waves:
    """The use cases. `profile_of` answers the profile that a text names, UnknownProfile."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        reservations: Reservations,
        *,
        dates: CurrentDating,
        profile_of: Callable[[str], Profile],
        allocate: Allocator,
    ) -> None:
        self._store = store
        self._records = store.waves
        self._clock = clock
        self._networks = networks
        self._planning = WavePlanning(
            store, replica, clock, networks, dates=dates, profile_of=profile_of, allocate=allocate
        )
        dated = DatedOrders(store, replica, clock, reservations, dates=dates)
        orders = WaveOrders(store, replica, clock, networks, reservations, dated=dated)
        amends = WaveAmends(store, clock, networks, reservations)
        self._is_stopping = False
        self._commit = WaveCommit(self._records, orders, amends, lambda: self._is_stopping)
        self._commits: dict[str, asyncio.Task[None]] = {}

    def plan(self, request: bytes) -> AsyncGenerator[tuple[Said, bool], None]:
        """Plans a wave: progress, and as the last the plan; with it whether it was there before."""
        return self._planning.plan(request)

    async def shown(self, summary: PlanSummary) -> ShownPlan:
        """A plan as it is now, without its orders."""
        return self._shown(*await self._found(summary.plan_id))

    async def get(self, message: pb.GetPlanRequest) -> ShownPlan:
        """A plan with a page of its orders. PlanNotFound."""
        plan_id = validation.required_id("plan_id", message.plan_id)
        size = validation.page_size("page_size", message.page_size)
        bound = ("plan", plan_id, str(message.show))
        after = validation.cursor_of("page_token", message.page_token, bound)
        summary, progress = await self._found(plan_id)
        if message.show == _SHOW_NONE:
            return self._shown(summary, progress)
        shown, cursor = await self._page(summary, progress, message.show, int(after or 0), size)
        return self._shown(summary, progress, shown, validation.page_token(bound, cursor))

    async def commit(self, message: pb.CommitPlanRequest) -> Committed:
        """Commits a plan, goes on with that, or answers what was done. PlanNotFound, PlanStale, RequestMismatch."""
        asked = check_commit(message)
        network = self._networks.required()
        summary, progress = await self._found(asked.plan_id)
        state, now_ms = self._state(summary, progress), self._clock.now_ms()
        if state is PlanState.EXPIRED:
            raise PlanStale(asked.plan_id, max(1, (now_ms - summary.expires_at_ms) // 1000))
        if asked.target is Target.HELD:
            for channel in {fill.channel for fill in summary.fills}:
                time_to_live(asked.seconds, channel, network.channel(channel))
        await self._store.remember(asked.request_id, asked.fingerprint, asked.plan_id)
        if state is not PlanState.COMMITTED:
            start = CommitStart(asked.request_id, asked.target, asked.seconds, now_ms)
            progress.start = await self._records.begin(asked.plan_id, start)
            await asyncio.shield(self._committing(summary, progress))
            summary, progress = await self._found(asked.plan_id)
        refused, _ = await self._page(summary, progress, _SHOW_REFUSED, 0, REFUSED_ORDERS_MAX)
        revisions = await self._store.revisions()
        token = encode_token(self._store.store_id, enumerate(revisions))
        return Committed(self._shown(summary, progress, refused), state is PlanState.COMMITTED, token)

    async def close(self) -> None:
        """Begins no further step of a commit, and waits for those under way."""
        self._is_stopping = True
        if self._commits:
            await asyncio.wait(self._commits.values())

    def _committing(self, summary: PlanSummary, progress: CommitProgress) -> asyncio.Task[None]:
        """The work on a plan, that of another call of this server where there is one. It goes on without its caller."""
        task = self._commits.get(summary.plan_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._run(summary, progress))
            self._commits[summary.plan_id] = task
            task.add_done_callback(lambda ended: self._ended(summary.plan_id, ended))
        return task

    def _ended(self, plan_id: str, task: asyncio.Task[None]) -> None:
        del self._commits[plan_id]
        if not task.cancelled() and (failure := task.exception()) is not None:  # told to the callers that are there
            logger.warning("the commit of plan %s stopped and can be gone on with: %s", plan_id, failure)

    async def _run(self, summary: PlanSummary, progress: CommitProgress) -> None:
        orders: list[PlannedOrder] = []
        for number in range(-(-summary.orders // ORDERS_A_CHUNK)):
            for chunk in await self._chunks(summary.plan_id, (number,)):
                orders += chunk
        await self._commit.run(summary, progress, orders)

    async def _found(self, plan_id: str) -> tuple[PlanSummary, CommitProgress]:
        found = await self._records.plan(plan_id)
        if found is None:
            raise PlanNotFound(plan_id)
        return found

    async def _chunks(self, plan_id: str, numbers: Sequence[int]) -> list[list[PlannedOrder]]:
        found = await self._records.orders(plan_id, numbers)
        if found is None:
            raise PlanNotFound(plan_id)
        return found

    async def _page(
        self, summary: PlanSummary, progress: CommitProgress, show: int, first: int, size: int
    ) -> tuple[list[ShownOrder], str]:
        """Orders from a place on that are to be shown, and the place to go on at, "" at the end."""
        step_of = {place: step for step, places in enumerate(summary.steps) for place in places}
        shown: list[ShownOrder] = []
        lines = 0
        for number in range(first // ORDERS_A_CHUNK, -(-summary.orders // ORDERS_A_CHUNK)):
            (chunk,) = await self._chunks(summary.plan_id, (number,))
            for place, planned in enumerate(chunk, number * ORDERS_A_CHUNK):
                step = step_of.get(place)
                outcome = None if step is None else progress.outcome(step, place)
                if place < first or not _is_shown(show, planned, outcome):
                    continue
                if len(shown) == size or lines > LINES_A_PAGE:
                    return shown, str(place)
                shown.append(ShownOrder(planned, outcome))
                lines += len(planned.lines)
        return shown, ""

    def _shown(
        self,
        summary: PlanSummary,
        progress: CommitProgress,
        orders: Sequence[ShownOrder] = (),
        next_page_token: str = "",
    ) -> ShownPlan:
        expires_at_ms = summary.expires_at_ms
        if progress.start is not None:
            expires_at_ms = progress.start.begun_at_ms + self._records.retention_seconds * 1000
        return ShownPlan(summary, progress, self._state(summary, progress), expires_at_ms, orders, next_page_token)

    def _state(self, summary: PlanSummary, progress: CommitProgress) -> PlanState:
        return state_of(summary, progress, self._clock.now_ms())


def _is_shown(show: int, planned: PlannedOrder, outcome: CommittedOrder | None) -> bool:
    if show == _SHOW_SHORT:
        return not planned.is_whole
    if show == _SHOW_REFUSED:
        return outcome is not None and bool(outcome.refused)
    return True
