"""The store against its model: the same verbs, every answer and every position compared."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from invengine.domain.orders import ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Movement, MovementKind, Position
from invengine.store import keys
from invengine.store.records import open_allocations, read_position
from tests import strategies
from tests.redis_servers import RunningRedis
from tests.store.model import LIVE, Model
from tests.store.worlds import opened, told

PARTITIONS = 4
WINDOW_SECONDS = 3_600
STEPS = (
    *("reserve",) * 4,
    *("post_movements",) * 2,
    *("confirm", "fulfil") * 2,
    *("amend", "rebind") * 2,
    *("release", "extend", "hand_over", "time", "expire_due"),
)


class StoreMachine(RuleBasedStateMachine):
    """Drives model and store side by side."""

    server: RunningRedis  # set by the test
    truth = "R"
    """The rows of the log that say what a reservation is."""

    items_max = 4
    """Of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.server.empty()
        self.patch = pytest.MonkeyPatch()
        self.loop = asyncio.new_event_loop()
        self.opening = self.open()
        self.world = self.run(self.opening.__aenter__())
        self.store = self.world.store
        self.sent: dict[str, list[object]] = defaultdict(list)  # by verb
        self.count = 0
        self.model = Model(PARTITIONS, WINDOW_SECONDS * 1000, now_ms=self.world.clock.now_ms)

    def open(self):
        return opened(self.server.url, self.patch, partitions=PARTITIONS)

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def both(self, verb: str, items: list) -> None:
        written = self.run(getattr(self.store, verb)(items))
        assert list(map(told, getattr(self.model, verb)(items))) == list(map(told, written.outcomes))
        assert {entry.partition: entry.revision for entry in written.entries} == {
            partition: self.model.revisions[partition] for partition in self.model.changed
        }
        assert written.now_ms == self.model.now_ms
        for partition, revision in written.revisions.items():
            assert self.model.revisions.get(partition, 0) == revision

    @initialize(quantities=st.lists(st.integers(5, 40), min_size=9, max_size=9))
    def stock_arrives(self, quantities: list[int]) -> None:
        places = [(sku, location) for sku in strategies.SKUS for location in strategies.LOCATIONS]
        self.both(
            "post_movements",
            [
                Movement(
                    "opening", f"{sku} {location}", self.model.now_ms, MovementKind.RECEIPT, sku, location, quantity
                )
                for (sku, location), quantity in zip(places, quantities, strict=True)
            ],
        )

    @rule(step=st.sampled_from(STEPS), data=st.data())
    def step(self, step: str, data: st.DataObject) -> None:
        """One rule for all verbs, so that every history mixes them."""
        if step == "time":
            milliseconds = data.draw(st.one_of(st.integers(0, 3_000), st.integers(0, 30_000)))
            self.model.now_ms += milliseconds
            self.run(self.world.clock.advance(milliseconds))
        elif step == "expire_due":
            for partition in data.draw(st.sets(st.integers(0, PARTITIONS - 1))):
                written, more = self.run(self.store.expire_due(partition))
                assert self.model.expire_due(partition) == set(written.outcomes)
                assert not more
        else:
            self.both(step, [self.drawn(step, data) for _ in range(data.draw(st.integers(1, self.items_max)))])

    def drawn(self, verb: str, data: st.DataObject) -> object:
        """An item for a verb: mostly new, at times one that was sent before, as it was."""
        sent = self.sent[verb]
        if sent and data.draw(st.integers(0, 9)) == 0:
            return data.draw(st.sampled_from(sent))
        self.count += 1
        new, some = f"i{self.count}", st.sampled_from([f"i{n}" for n in range(1, self.count + 1)])
        request_ids = strategies.rarely(some, st.just(new), 15)
        if verb == "post_movements":
            item = data.draw(strategies.movements(request_ids, self.model.now_ms))
        elif verb == "reserve":
            item = data.draw(strategies.reserve_requests(request_ids, strategies.rarely(some, st.just(new), 15)))
        else:
            known = st.sampled_from(self.worth_changing(verb)[-12:] or [new])
            item = data.draw(strategies.reservation_changes(request_ids, strategies.rarely(some, known, 15), verb))
        sent.append(item)
        return item

    def worth_changing(self, verb: str) -> list[str]:
        """Reservations in the order of their making; for fulfilment mostly those that can be."""
        confirmed = [n for n, r in self.model.reservations.items() if r.state is ReservationState.CONFIRMED]
        return confirmed if verb == "fulfil" and confirmed else list(self.model.reservations)

    @invariant()
    def positions_and_revisions_are_equal(self) -> None:
        positions, revisions = self.run(self.stored())
        assert self.model.positions == positions
        assert [self.model.revisions.get(partition, 0) for partition in range(PARTITIONS)] == revisions

    async def stored(self) -> tuple[dict[tuple[str, str], Position], list[int]]:
        """Positions and revisions as Redis holds them, in one round trip."""
        skus = (*strategies.SKUS, strategies.NEW_SKU)
        pipeline = self.world.client.pipeline(transaction=False)
        for sku in skus:
            pipeline.hgetall(keys.stock(partition_of(sku, PARTITIONS), sku))
        pipeline.mget([keys.revision(partition) for partition in range(PARTITIONS)])
        *hashes, revisions = await pipeline.execute()
        positions = {
            (sku, location.decode()): read_position(text)
            for sku, stored in zip(skus, hashes, strict=True)
            for location, text in stored.items()
        }
        return positions, [int(revision or 0) for revision in revisions]

    def teardown(self) -> None:
        try:
            self.run(self.check_everything())
        finally:
            self.run(self.opening.__aexit__(None, None, None))
            self.loop.close()

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
            assert reservation == await self.store.reservation(name)
        listed, end = await self.store.list_reservations(limit=1000)
        assert (set(self.model.reservations), "") == ({reservation.reservation_id for reservation in listed}, end)
        states = await self.store.states()
        assert dict(Counter(r.state.value for r in self.model.reservations.values())) == {
            s: n for s, n in states.items() if n
        }
        await self.check_log(stored)

    async def check_log(self, stored: dict[tuple[str, str], Position]) -> None:
        """The rows, applied in order to nothing, give every position, hold and record."""
        positions: dict[tuple[str, str], Position] = {}
        holds: dict[tuple[int, str], str] = {}
        records: dict[tuple[str, int, str], str] = {}
        rows_of_sku: dict[str, int] = defaultdict(int)
        for entry in await self.store.read_log([0] * PARTITIONS, 0, count=100_000):
            for row in entry.rows.decode().split("\n")[:-1]:
                kind, *columns, end = row.split("\t")
                assert end == ""
                if kind == "P":
                    sku, location, on_hand, reserved, counted_at_ms, units, set_aside, *_ = columns
                    before = positions.get((sku, location), Position(0, 0, 0))
                    assert (int(on_hand), int(reserved)) == (
                        before.on_hand + int(units),
                        before.reserved + int(set_aside),
                    )
                    positions[sku, location] = Position(int(on_hand), int(reserved), entry.revision, int(counted_at_ms))
                    rows_of_sku[sku] += 1
                elif kind == "H":
                    leg, sku, location, units, expires_at = columns
                    holds[entry.partition, leg] = f"H\t{leg}\t{sku}\t{location}\t{units}\t{expires_at}\t\n"
                else:
                    reservation_id, was, *record = columns
                    place = kind, entry.partition, reservation_id
                    assert was == records.get(place, "").partition("\t")[0]
                    records[place] = "\t".join(record)
                    if kind == "R" and record[8].startswith("!"):  # a piece that was never committed is gone
                        del records[place]
        assert stored == positions
        held = [row for row in holds.values() if not row.endswith("\t0\t0\t\n")]
        snapshot = [entry.rows.decode() async for chunk in self.store.snapshot_holds() for entry in chunk]
        assert sorted(held) == sorted("".join(snapshot).splitlines(keepends=True))
        states = {name: text.partition("\t")[0] for (kind, _, name), text in records.items() if kind == self.truth}
        assert states == {name: reservation.state.value for name, reservation in self.model.reservations.items()}
        for sku, count in rows_of_sku.items():
            assert count == len((await self.store.ledger(sku, limit=10_000))[0])


def test_store_answers_as_the_model_says(redis_server: RunningRedis) -> None:
    """Forty histories of fifty steps, on Valkey and on Redis."""
    assert set(LIVE) < set(ReservationState)
    machine = type("Machine", (StoreMachine,), {"server": redis_server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
