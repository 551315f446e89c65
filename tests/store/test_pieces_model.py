"""Reservations in pieces against the model of the store: what is in several partitions is as if it were in one.

Revisions are not compared: one step of the model is several of the store. Batches have one item, since between items of
other partitions there is no order, and a request or event is sent again only as it was: it is remembered with the
reservation or SKU that it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test

from invengine.domain.orders import ReservationAnswer
from invengine.domain.stock import Movement, Position
from invengine.errors import InsufficientStock, InventoryError, RevisionMismatch
from invengine.store.records import open_allocations
from invengine.store.redis_store import Atomicity
from tests import strategies
from tests.redis_servers import KINDS, RunningRedis
from tests.store.model import LIVE
from tests.store.test_store_model import PARTITIONS, StoreMachine
from tests.store.worlds import opened, told

FAR = 1_000_000


def is_told_late(outcome: Any) -> bool:
    """Whether the model knows the answer before it looks at stock. Pieces may look first, and expire what is due."""
    if isinstance(outcome, ReservationAnswer):
        return outcome.replayed
    return isinstance(outcome, InventoryError) and not isinstance(outcome, InsufficientStock)


def without_revisions(outcome: Any) -> Any:
    """An outcome as both sides can say it."""
    if isinstance(outcome, RevisionMismatch):
        return type(outcome)
    if isinstance(outcome, ReservationAnswer):
        return replace(outcome, reservation=replace(outcome.reservation, revision=0))
    if getattr(outcome, "refusal", None) is not None:
        return outcome.result, outcome.on_hand, outcome.reserved, without_revisions(outcome.refusal)
    return replace(outcome, revision=0) if hasattr(outcome, "revision") else told(outcome)


class PiecesMachine(StoreMachine):
    """Drives model and store side by side."""

    truth = "G"
    items_max = 1

    def open(self):
        return opened(self.server.url, self.patch, partitions=PARTITIONS, atomicity=Atomicity.PARTITION)

    def both(self, verb: str, items: list) -> None:
        modelled = [without_revisions(each) for each in getattr(self.model, verb)(self.as_seen(items, self.of_model))]
        written = self.run(getattr(self.store, verb)(self.as_seen(items, self.of_store)))
        assert modelled == [without_revisions(each) for each in written.outcomes]
        if any(is_told_late(outcome) for outcome in written.outcomes):
            self.sweep_everywhere()
        newest = {entry.partition: entry.revision for entry in written.entries}
        assert newest == {partition: written.revisions[partition] for partition in newest}

    def sweep_everywhere(self) -> None:
        for partition in range(PARTITIONS):
            self.model.expire_due(partition)
            self.run(self.store.expire_due(partition))

    def as_seen(self, items: list, revision_of) -> list:
        """Items with expected revisions that are right (drawn even) or wrong (odd) for one side."""
        seen = []
        for item in items:
            expected = getattr(item, "expected_revision", None)
            right = None if expected is None else revision_of(item) + (FAR if expected % 2 else 0)
            seen.append(item if right is None else replace(item, expected_revision=right))
        return seen

    def of_model(self, item: Any) -> int:
        if isinstance(item, Movement):
            return self.model.positions.get((item.sku, item.location), Position(0, 0, 0)).revision
        reservation = self.model.reservations.get(item.reservation_id)
        return reservation.revision if reservation else 1

    def of_store(self, item: Any) -> int:
        if isinstance(item, Movement):
            position = self.run(self.store.position(item.sku, item.location))
            return position.revision if position else 0
        reservation = self.run(self.store.reservation(item.reservation_id))
        return reservation.revision if reservation else 1

    def drawn(self, verb: str, data: st.DataObject) -> object:
        sent = self.sent[verb]
        if sent and data.draw(st.integers(0, 9)) == 0:
            item = data.draw(st.sampled_from(sent))
            is_other = not isinstance(item, Movement) and data.draw(st.integers(0, 3)) == 0
            return replace(item, fingerprint="other") if is_other else item
        self.count += 1
        new, some = f"i{self.count}", st.sampled_from([f"i{n}" for n in range(1, self.count + 1)])
        if verb == "post_movements":
            item = data.draw(strategies.movements(st.just(new), self.model.now_ms))
        elif verb == "reserve":
            ids = strategies.rarely(some, st.just(new), 15)
            item = data.draw(strategies.reserve_requests(st.just(new), ids))
        else:
            known = st.sampled_from(self.worth_changing(verb)[-12:] or [new])
            ids = strategies.rarely(some, known, 15)
            item = data.draw(strategies.reservation_changes(st.just(new), ids, verb))
        sent.append(item)
        return item

    @invariant()
    def positions_and_revisions_are_equal(self) -> None:
        stored, _ = self.run(self.stored())
        expected = {place: replace(position, revision=0) for place, position in self.model.positions.items()}
        assert expected == {place: replace(position, revision=0) for place, position in stored.items()}

    async def check_everything(self) -> None:
        records = [
            record for home in range(PARTITIONS) async for chunk in self.store.live_records(home) for record in chunk
        ]
        open_units: Counter[tuple[str, str]] = Counter()
        for reservation_id, text in records:
            for held in open_allocations(reservation_id, text)[2]:
                open_units[held.sku, held.location] += held.units
        stored, _ = await self.stored()
        assert {place: position.reserved for place, position in stored.items() if position.reserved} == dict(open_units)

        live = {name for name, reservation in self.model.reservations.items() if reservation.state in LIVE}
        assert live == {name for name, _ in records}
        for name, reservation in self.model.reservations.items():
            found = await self.store.reservation(name)
            assert found is not None
            assert replace(reservation, revision=0) == replace(found, revision=0)
        listed, end = await self.store.list_reservations(limit=1000)
        assert (set(self.model.reservations), "") == ({reservation.reservation_id for reservation in listed}, end)
        states = await self.store.states()
        assert dict(Counter(r.state.value for r in self.model.reservations.values())) == {
            s: n for s, n in states.items() if n
        }
        await self.check_log(stored)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_answer_as_the_model_says(start_redis: Callable[..., RunningRedis], kind: str) -> None:
    """Histories of fifty steps, on Valkey and on Redis, which need not write to disk for it."""
    machine = type("Machine", (PiecesMachine,), {"server": start_redis(kind, appendonly="no")})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
