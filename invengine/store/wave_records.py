"""Plans of waves in Redis: kept in chunks until they are over, and how far their commits are.

Plain commands on two hashes of one partition, that of the plan_id. What a plan says never changes once its summary is
there; what a commit did is only added to. So every command may be repeated, and several servers may commit one plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from invengine.domain.partitions import partition_of
from invengine.domain.waves import CommitProgress, CommitStart, CommittedOrder, PlannedOrder, PlanSummary
from invengine.store import keys, wave_text
from invengine.store.calls import Calls
from invengine.store.startup import as_dict

ORDERS_A_CHUNK: Final = 50
SHOWN_SECONDS: Final = 86_400
"""How long a plan can be shown after it can be committed no more."""

_SUMMARY: Final = "summary"
_START: Final = "start"


class WaveRecords:
    """Plans of one store. StoreUnavailable, StoreFull, OutcomeUnknown: what was asked for may be asked again.

    `retention_seconds`: as long as requests are remembered, a commit that was begun can be gone on with.
    """

    def __init__(self, calls: Calls, partitions: int, retention_seconds: int) -> None:
        self._calls = calls
        self._partitions = partitions
        self.retention_seconds = retention_seconds

    async def keep_orders(self, plan_id: str, number: int, orders: Sequence[PlannedOrder], seconds: int) -> None:
        """A chunk of the orders of a plan, before its summary; it goes after so many seconds."""
        key = self._plan(plan_id)
        content = wave_text.pack_orders(orders)
        await self._calls.write_once(key, ("HSET", key, f"orders:{number}", content), ("EXPIRE", key, seconds))

    async def keep(self, summary: PlanSummary, seconds: int) -> PlanSummary:
        """The plan is there from now on; the one that was there already, made of the same orders or not."""
        key = self._plan(summary.plan_id)
        _, content, _ = await self._calls.write_once(
            key,
            ("HSETNX", key, _SUMMARY, wave_text.pack_summary(summary)),
            ("HGET", key, _SUMMARY),
            ("EXPIRE", key, seconds + SHOWN_SECONDS),
        )
        return wave_text.read_summary(summary.plan_id, content)

    async def plan(self, plan_id: str) -> tuple[PlanSummary, CommitProgress] | None:
        """A plan without its orders, and how far its commit is. None where there is none, or none any more."""
        content, commit = await self._calls.read(
            ("HGET", self._plan(plan_id), _SUMMARY), ("HGETALL", self._commit(plan_id))
        )
        if content is None:
            return None
        return wave_text.read_summary(plan_id, content), _read_progress(as_dict(commit))

    async def orders(self, plan_id: str, numbers: Iterable[int]) -> list[list[PlannedOrder]] | None:
        """Chunks of its orders, ORDERS_A_CHUNK in each but the last. None where one of them is gone."""
        fields = [f"orders:{number}" for number in numbers]
        if not fields:
            return []
        (contents,) = await self._calls.read(("HMGET", self._plan(plan_id), *fields))
        if None in contents:
            return None
        return [wave_text.read_orders(content) for content in contents]

    async def begin(self, plan_id: str, start: CommitStart) -> CommitStart:
        """Notes that the commit begins; as what it began, which is another one where somebody was first."""
        plan, key = self._plan(plan_id), self._commit(plan_id)
        _, content, *_ = await self._calls.write_once(
            key,
            ("HSETNX", key, _START, wave_text.pack_start(start)),
            ("HGET", key, _START),
            ("EXPIRE", key, self.retention_seconds + SHOWN_SECONDS),
            ("EXPIRE", plan, self.retention_seconds + SHOWN_SECONDS),
        )
        return wave_text.read_start(content)

    async def end_step(
        self, plan_id: str, step: int, outcomes: Mapping[int, CommittedOrder]
    ) -> dict[int, CommittedOrder]:
        """A step is done, with these outcomes by the places of its orders; those that are kept, perhaps another's."""
        key = self._commit(plan_id)
        _, content = await self._calls.write_once(
            key,
            ("HSETNX", key, f"done:{step}", wave_text.pack_outcomes(outcomes)),
            ("HGET", key, f"done:{step}"),
        )
        kept = wave_text.read_outcomes(content)
        both = {place: one.with_what(outcomes[place]) for place, one in kept.items()}
        won = {place: one for place, one in both.items() if one != kept[place]}
        if won:
            changes: list[Any] = ["HSET", key]
            for place, one in won.items():
                changes += [f"won:{place}", wave_text.pack_outcomes({place: one})]
            await self._calls.write_once(key, tuple(changes))
        return both

    def _plan(self, plan_id: str) -> str:
        return keys.wave_plan(partition_of(plan_id, self._partitions), plan_id)

    def _commit(self, plan_id: str) -> str:
        return keys.wave_commit(partition_of(plan_id, self._partitions), plan_id)


def _read_progress(stored: Mapping[bytes, bytes]) -> CommitProgress:
    found = CommitProgress()
    for name, content in stored.items():
        kind, _, number = name.decode().partition(":")
        match kind:
            case "start":
                found.start = wave_text.read_start(content)
            case "done":
                found.done[int(number)] = wave_text.read_outcomes(content)
            case "won":
                found.won.update(wave_text.read_outcomes(content))
    return found
