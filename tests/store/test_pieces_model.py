"""Reservations in pieces against the model of the store: what is in several partitions is as if it were in one.

Revisions are not compared: one step of the model is several of the store. Batches have one item, since between items of
other partitions there is no order, and a request or event is sent again only as it was: it is remembered with the
reservation or SKU that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from invengine.domain.orders import ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import InsufficientStock, InventoryError
from invengine.services.replay import Replay
from invengine.store import keys
from invengine.store.redis_store import Atomicity
from tests.redis_servers import KINDS, RunningRedis
from tests.store.test_store_model import PARTITIONS, RETURNING, UNREVISED, StoreMachine
from tests.store.worlds import World, opened

EXAMPLES, STEPS_EACH = 20, 50
RESERVING = ("reserve", "confirm", "extend", "release", "fulfil", "amend", "rebind", "hand_over")


def is_told_late(outcome: Any) -> bool:
    """Whether the model knows the answer before it looks at stock. Pieces may look first, and expire what is due."""
    if isinstance(outcome, ReservationAnswer):
        return outcome.replayed
    return isinstance(outcome, InventoryError) and not isinstance(outcome, InsufficientStock)


class PiecesMachine(StoreMachine):
    """Drives model and store side by side."""

    is_one_group = False

    def __init__(self) -> None:
        super().__init__()
        self.model.expires_in_queues = False

    def open_world(self) -> AbstractAsyncContextManager[World]:
        self.server.empty()
        return opened(self.server.url, self.patch, partitions=PARTITIONS, atomicity=Atomicity.PARTITION)

    def both(self, verb: str, items: list[Any]) -> None:
        for item in items:
            if self.is_of_several(item):
                self.sweep_everywhere()
                self.cover_everywhere()
            expected = getattr(self.model, verb)([item])
            written = self.run(getattr(self.store, verb)([item]))
            assert list(map(self.told, expected)) == list(map(self.told, written.outcomes))
            newest = {entry.partition: entry.revision for entry in written.entries}
            assert newest == {partition: written.revisions[partition] for partition in newest}
            if any(is_told_late(outcome) for outcome in written.outcomes):
                self.sweep_everywhere()

    def is_of_several(self, item: Any) -> bool:
        """Whether an item looks at several partitions.

        What is over is swept first then: where one of them turns out to be short, and is swept, the model decides all
        lines anew, but a basket in pieces keeps what it has by then, perhaps from a later candidate. And backorders are
        covered: a basket that is refused frees the pieces that it had taken, which is an occasion to cover.
        """
        known = self.model.reservations.get(getattr(item, "reservation_id", ""))
        lines = [*(known.lines if known else ()), *getattr(item, "added", ())]
        lines += item.all_lines if isinstance(item, ReserveRequest) else ()
        return len({partition_of(line.sku, PARTITIONS) for line in lines}) > 1

    def sweep_everywhere(self) -> None:
        for partition in range(PARTITIONS):
            self.model.expire_due(partition)
            self.run(self.store.expire_due(partition))

    def cover_everywhere(self) -> None:
        """Backorders get what the pools have, which may have been safety stock to whoever left it there."""
        waiting = [source[:2] for source in self.model.incoming() if not source[2]]
        self.model.begin_call()
        self.model.begin_item()
        self.model.end_item(*waiting)
        for sku, location in waiting:
            partition = partition_of(sku, PARTITIONS)
            _, message = self.store._packer.cover(partition, sku, location)
            self.run(self.store._calls.write("invengine_cover_of_one", [keys.log(partition)], message))

    def drawn(self, verb: str, data: st.DataObject) -> Any:
        sent = self.sent[verb]
        if sent and data.draw(st.integers(0, 9)) == 0:
            item = data.draw(st.sampled_from(sent))
            is_other = verb in RESERVING and data.draw(st.integers(0, 3)) == 0
            return replace(item, fingerprint="other") if is_other else item
        self.count += 1
        item = self.worked_out(verb, replace(self.new_item(verb, data), **self.ids(verb, data)))
        if hasattr(item, "expected_revision"):
            item = replace(item, **UNREVISED)
        sent.append(item)
        return item

    def ids(self, verb: str, data: st.DataObject) -> dict[str, str]:
        if verb in RETURNING:
            return super().ids(verb, data)
        name = "event_id" if verb == "post_movements" else "request_id"
        return super().ids(verb, data) | {name: f"i{self.count}"}

    async def check_everything(self) -> None:
        """And the log says the same, of heads and pieces, holds and promises."""
        await super().check_everything()
        faults: list[str] = []

        def report(invariant: str, place: tuple[str, str], what: str, expected: int = 0, actual: int = 0, /) -> None:
            faults.append(what)

        await Replay(self.store, report).run()
        for partition in range(PARTITIONS):
            faults += await self.store.torn_reservations(partition)
        assert faults == []


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_answer_as_the_model_says(start_redis: Callable[..., RunningRedis], kind: str) -> None:
    """Histories of fifty steps, on Valkey and on Redis, which need not write to disk for it."""
    machine = type("Machine", (PiecesMachine,), {"server": start_redis(kind, appendonly="no")})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    assert machine.steps >= EXAMPLES * STEPS_EACH // 2
