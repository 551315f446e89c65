"""The store against its model: the same verbs, every answer and everything stored compared."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from invengine.domain.capacity import is_slot_line
from invengine.domain.incoming import BrokenPromise, IncomingKind
from invengine.domain.orders import (
    Candidate,
    Reservation,
    ReservationChange,
    ReservationState,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import FeedMark, Movement, MovementKind, Unsellable
from invengine.store.records import Written
from tests import strategies
from tests.redis_servers import RunningRedis
from tests.store import drawn_slots
from tests.store.auditor import Auditor, Floors
from tests.store.model import LIVE, Model
from tests.store.model.reservations import is_transfer
from tests.store.model.stock import plain
from tests.store.plain import is_usual, reserve_usual
from tests.store.stored import Stored, read_stored
from tests.store.worlds import World, opened, told

PARTITIONS = 4
WINDOW_SECONDS = 3_600
STEPS_EACH = 50
DAY_MS = 86_400_000
SKUS = (*strategies.SKUS, strategies.NEW_SKU, *drawn_slots.SKUS)
STEPS = (
    *("reserve",) * 5,
    *("change_incoming",) * 4,
    *("post_movements",) * 3,
    *("confirm", "release", "fulfil", "amend", "rebind", "hand_over", "snapshot", "time") * 2,
    *("extend", "expire_due", "cancel_transfer", "close_transfer"),
    *("create_transfer", "ship_transfer") * 2,
    *("receive_returns", "dispose_returns") * 2,
)
OF_TRANSFERS = ("ship_transfer", "cancel_transfer", "close_transfer")
RETURNING = ("receive_returns", "dispose_returns")
UNREVISED = {"expected_revision": None}


def _decided_once(items: list[Any]) -> list[Any]:
    """The items; of those that change one reservation only the first says what it gets, decided for how that is."""
    seen = set()
    for place, item in enumerate(items):
        if isinstance(item, ReservationChange):
            if item.reservation_id in seen:
                goods = [placement for placement in item.placements if not is_slot_line(placement.line_id)]
                left = tuple(replace(placement, units_at=()) for placement in goods)
                items[place] = replace(item, placements=left)
            seen.add(item.reservation_id)
    return items


class StoreMachine(RuleBasedStateMachine):
    """Drives model and store side by side.

    A store in which a call may touch several atomic groups makes other revisions than the model: such a machine says
    `is_one_group = False`, and then sends one item at a time and compares everything but revisions.
    """

    server: RunningRedis  # set by the test
    is_one_group = True
    steps = 0  # of all machines of a class

    def open_world(self) -> AbstractAsyncContextManager[World]:
        """A new, empty store and its clock."""
        self.server.empty()
        return opened(self.server.url, self.patch, partitions=PARTITIONS)

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.loop = asyncio.new_event_loop()
        self.opening = self.open_world()
        self.world = self.run(self.opening.__aenter__())
        self.store = self.world.store
        self.sent: dict[str, list[Any]] = defaultdict(list)  # by verb
        self.count = self.usual_batches = 0
        self.auditor = Auditor()
        self.model = Model(PARTITIONS, WINDOW_SECONDS * 1000, now_ms=self.world.clock.now_ms)

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    # Steps

    def both(self, verb: str, items: list[Any]) -> None:
        if not self.is_one_group and len(items) > 1:
            for item in items:
                self.both(verb, [item])
            return
        if not items:
            return
        written = self.run(self.call_for(verb, items)(items))
        expected = getattr(self.model, verb)(items)
        assert list(map(self.told, expected)) == list(map(self.told, written.outcomes))
        if not self.is_one_group:
            return
        self.compare_written(written, _floors(items), arrivals=verb == "change_incoming")

    def call_for(self, verb: str, items: list[Any]) -> Callable[[list[Any]], Any]:
        """What writes them: for usual reservations their own function and the one for all, in turn."""
        if verb == "reserve" and self.is_one_group and all(map(is_usual, items)):
            self.usual_batches += 1
            if self.usual_batches % 2:
                return partial(reserve_usual, self.store)
        return getattr(self.store, verb)

    def told(self, outcome: Any) -> Any:
        """An outcome in a form that compares by value."""
        return told(_sorted(outcome if self.is_one_group else _without_revisions(outcome)))

    @initialize(
        quantities=st.lists(st.integers(0, 20), min_size=9, max_size=9),
        fences=st.lists(st.tuples(strategies.channels, strategies.skus, strategies.locations, strategies.units)),
    )
    def stock_arrives(self, quantities: list[int], fences: list[tuple[str, str, str, int]]) -> None:
        places = [(sku, location) for sku in strategies.SKUS for location in strategies.LOCATIONS]
        self.both(
            "post_movements",
            [
                Movement(
                    "opening", f"{sku} {location}", self.model.now_ms, MovementKind.RECEIPT, sku, location, quantity
                )
                for (sku, location), quantity in zip(places, quantities, strict=True)
                if quantity
            ],
        )
        self.both(
            "post_movements",
            [
                Movement("opening", f"{n}", self.model.now_ms, MovementKind.RING_FENCE, *place, units, channel=channel)
                for n, (channel, *place, units) in enumerate(fences)
            ],
        )

    @rule(step=st.sampled_from(STEPS), data=st.data())
    def step(self, step: str, data: st.DataObject) -> None:
        """One rule for all verbs, so that every history mixes them."""
        type(self).steps += 1
        if step == "time":
            leaps = strategies.rarely(st.just(DAY_MS), st.integers(0, 30_000), 8)
            milliseconds = data.draw(st.one_of(st.integers(0, 3_000), leaps))
            self.model.now_ms += milliseconds
            self.run(self.world.clock.advance(milliseconds))
        elif step == "expire_due":
            for partition in data.draw(st.sets(st.integers(0, PARTITIONS - 1))):
                written, more = self.run(self.store.expire_due(partition))
                assert self.model.expire_due(partition) == set(written.outcomes)
                assert not more
                if self.is_one_group:
                    self.auditor.follow(written.entries, {}, arrivals=False)
        elif step == "create_transfer":
            self.both("reserve", [self.drawn(step, data)])
        elif step == "snapshot":
            self.snapshot(data)
        else:
            self.both(step, _decided_once([self.drawn(step, data) for _ in range(data.draw(st.integers(1, 4)))]))

    def snapshot(self, data: st.DataObject) -> None:
        """Rows of a snapshot, those of each partition in a call of their own; a full one is noted as such then."""
        if self.sent["snapshot"] and data.draw(st.integers(0, 9)) == 0:
            snapshot, rows = data.draw(st.sampled_from(self.sent["snapshot"]))
        else:
            snapshot, rows = data.draw(strategies.snapshots)
            self.count += 1
            at = max(1, self.model.now_ms + snapshot.as_of_ms)
            snapshot = replace(snapshot, snapshot_id=f"i{self.count}", as_of_ms=at)
            self.sent["snapshot"].append((snapshot, rows))
        for partition in sorted({self.model.of(row.sku) for row in rows}):
            mine = [row for row in rows if self.model.of(row.sku) == partition]
            written = self.run(self.store.snapshots.apply(snapshot, mine))
            expected = self.model.apply_snapshot(snapshot, mine)
            assert list(map(self.told, expected)) == list(map(self.told, written.outcomes))
            if self.is_one_group:
                self.compare_written(written)
        if not snapshot.partial:
            self.model.note_full(snapshot)
            self.run(self.store.snapshots.note_full(snapshot))

    def compare_written(self, written: Written[Any], floors: Floors | None = None, *, arrivals: bool = False) -> None:
        """What a call says of its partitions is what the model made of them, and the rows obey their rules."""
        self.auditor.follow(written.entries, floors or {}, arrivals=arrivals)
        assert {entry.partition: entry.revision for entry in written.entries} == {
            partition: self.model.revisions[partition] for partition in self.model.changed
        }
        assert written.now_ms == self.model.now_ms
        for partition, revision in written.revisions.items():
            assert self.model.revisions.get(partition, 0) == revision

    def drawn(self, verb: str, data: st.DataObject) -> Any:
        """An item for a verb: mostly new, at times one that was sent before, as it was."""
        sent = self.sent[verb]
        if sent and data.draw(st.integers(0, 9)) == 0:
            return data.draw(st.sampled_from(sent))
        self.count += 1
        item = self.worked_out(verb, replace(self.new_item(verb, data), **self.ids(verb, data)))
        if verb == "reserve":
            item = drawn_slots.with_slots(item, data)
        else:
            seen = self.model.reservations.get(getattr(item, "reservation_id", ""))
            item = drawn_slots.in_change(verb, item, seen, data, is_named=not self.is_one_group)
        if not self.is_one_group and hasattr(item, "expected_revision"):
            item = replace(item, **UNREVISED)
        sent.append(item)
        return item

    def worked_out(self, verb: str, change: Any) -> Any:
        """What an amendment or rebinding says of how many units come from where is right for the line as it is."""
        if verb not in {"amend", "rebind"}:
            return change
        reservation = self.model.reservations.get(change.reservation_id)
        lines = {line.line_id: line for line in reservation.lines} if reservation else {}
        after = []
        for wanted in change.placements:
            line, units_at = lines.get(wanted.line_id), wanted.units_at[: len(wanted.candidates)]
            if line is None or not units_at:
                after.append(replace(wanted, units_at=()))
                continue
            if verb == "rebind":
                units = sum(leg.open for leg in line.allocations)
                parts = [units // len(units_at)] * len(units_at)
                parts[0] += units % len(units_at)
                after.append(replace(wanted, units_at=tuple(parts) if units else ()))
            else:
                after.append(replace(wanted, units_at=units_at, quantity=max(0, line.standing + sum(units_at))))
        return replace(change, placements=tuple(after))

    def new_item(self, verb: str, data: st.DataObject) -> Any:
        """An item without ids."""
        now_ms = self.model.now_ms
        today = now_ms // DAY_MS
        if verb == "post_movements":
            movement = data.draw(strategies.movements())
            return replace(movement, occurred_at_ms=now_ms + movement.occurred_at_ms)
        if verb == "change_incoming":
            known = [source for source in self.model.incoming() if source[2]]
            mostly = st.sampled_from(known) if known else strategies.any_receipt
            sku, location, receipt_id = data.draw(strategies.rarely(self.any_receipt(), mostly, 4))
            kind = data.draw(st.sampled_from(IncomingKind)) if known else IncomingKind.SET
            change = data.draw(strategies.incoming_changes(today, kind))
            at = now_ms + change.occurred_at_ms if kind is IncomingKind.RECEIVE else 0
            change = replace(change, sku=sku, location=location, receipt_id=receipt_id, occurred_at_ms=at)
            known_receipt = self.model.incoming().get((sku, location, receipt_id))
            if kind is IncomingKind.RECEIVE and (known_receipt and known_receipt.from_location) != (
                data.draw(st.integers(0, 5)) == 0
            ):
                change = replace(change, of_transfer=True, all_there_is=data.draw(st.booleans()), reason="lost")
            return change
        if verb == "create_transfer":
            return data.draw(strategies.transfers(today))
        if verb == "reserve":
            return data.draw(strategies.reserve_requests(today))
        if verb == "receive_returns":
            gone = [one for one in self.model.reservations.values() if fulfilled_units(one)]
            one = data.draw(st.sampled_from(gone)) if gone and data.draw(st.integers(0, 4)) else None
            back = data.draw(strategies.return_requests(one))
            return replace(back, occurred_at_ms=now_ms + back.occurred_at_ms)
        if verb == "dispose_returns":
            opened = [one for one in self.model.returns.values() if one.is_open]
            one = data.draw(st.sampled_from(opened)) if opened else None
            lines = tuple((line.line_id, line.state) for line in one.lines if line.open) if one else ()
            return replace(data.draw(strategies.disposal_requests(lines)), return_id=one.return_id if one else "none")
        change = data.draw(strategies.reservation_changes(today, verb))
        return replace(change, left_at_ms=now_ms + change.left_at_ms) if change.left_at_ms else change

    def ids(self, verb: str, data: st.DataObject) -> dict[str, str]:
        """Ids of an item: mostly new ones, and of a reservation that there is."""

        def one(otherwise: str) -> str:
            if data.draw(st.integers(1, 15)) < 15:
                return otherwise
            return f"i{data.draw(st.integers(1, self.count))}"

        new = f"i{self.count}"
        if verb in RETURNING:  # these remember their requests elsewhere than reservations do
            return {"request_id": f"r{self.count}"} | ({"return_id": one(new)} if verb == "receive_returns" else {})
        if verb == "post_movements":
            return {"event_id": one(new)}
        if verb == "change_incoming":
            return {"request_id": one(new)}
        makes = verb in ("reserve", "create_transfer")
        known = [] if makes else self.worth_changing(verb, data)[-12:]
        return {"request_id": one(new), "reservation_id": one(data.draw(st.sampled_from(known)) if known else new)}

    def any_receipt(self) -> Any:
        """A receipt that may be there or not, at times under the id of a transfer."""
        names = [name for name, its in self.model.reservations.items() if is_transfer(its)]
        if not names:
            return strategies.any_receipt
        of_transfers = st.tuples(strategies.skus, strategies.locations, st.sampled_from(names[-5:]))
        return st.one_of(strategies.any_receipt, strategies.any_receipt, of_transfers)

    def worth_changing(self, verb: str, data: st.DataObject) -> list[str]:
        """Reservations in the order of their making; those that can be changed by the verb where there are any."""
        at = self.model.now_ms
        is_odd = data.draw(st.integers(1, 12)) == 12
        states = {
            name: reservation.state_at(at)
            for name, reservation in self.model.reservations.items()
            if (is_transfer(reservation) == (verb in OF_TRANSFERS)) != is_odd
        }
        wanted = (ReservationState.CONFIRMED,) if verb == "fulfil" else LIVE
        return [name for name, state in states.items() if state in wanted] or list(states)

    # Comparisons

    @invariant()
    def everything_stored_is_equal(self) -> None:
        stored = self.run(read_stored(self.world.client, PARTITIONS, SKUS))
        assert self.comparable(self.model.positions) == self.comparable(stored.positions)
        assert self.comparable(self.model.incoming()) == self.comparable(stored.receipts)
        assert by_shelf(self.model.unsellable(), self.told) == by_shelf(stored.unsellable, self.told)
        broken = [replace(promise, expected_day=0) for promise in self.model.broken_promises()]
        assert sorted(broken, key=repr) == sorted(stored.broken.values(), key=repr)
        if self.is_one_group:
            assert [self.model.revisions.get(partition, 0) for partition in range(PARTITIONS)] == stored.revisions
        for name in strategies.FEEDS:
            assert self.run(self.store.feed(name)).mark == self.model.feeds.get(name, FeedMark(name, 0))
        self.sums_hold(stored)

    def comparable(self, by_name: dict[Any, Any]) -> dict[Any, Any]:
        """Without revisions where these differ."""
        return by_name if self.is_one_group else {name: _without_revisions(row) for name, row in by_name.items()}

    def sums_hold(self, stored: Stored) -> None:
        """Every unit that a live reservation has open is set aside once, where it says; nothing else is."""
        reserved, promised = stored.open_units()
        assert {place: p.reserved for place, p in stored.positions.items() if p.reserved} == dict(reserved)
        assert {source: r.pegged for source, r in stored.receipts.items() if r.pegged} == dict(promised)
        waiting: Counter[str] = Counter()
        for (sku, _, receipt_id), units in promised.items():
            if not receipt_id:
                waiting[sku] += units
        assert stored.waiting == dict(waiting)

    def transfers_are_conserved(self, stored: Stored, log: Auditor) -> None:
        """What left the sources for a destination is on the way or was taken off it by an arrival; nothing else was."""
        sent: Counter[tuple[str, str]] = Counter()
        for name, reservation in self.model.reservations.items():
            for line in reservation.lines if is_transfer(reservation) else ():
                sent[name, line.sku] += sum(leg.fulfilled for leg in line.allocations)
        assert dict(+sent) == dict(log.sent)
        on_the_way = Counter(
            {
                (receipt_id, sku): receipt.quantity
                for (sku, _, receipt_id), receipt in stored.receipts.items()
                if receipt.from_location
            }
        )
        assert log.sent == log.arrived + on_the_way

    def teardown(self) -> None:
        try:
            self.run(self.check_everything())
        finally:
            self.run(self.opening.__aexit__(None, None, None))
            self.loop.close()

    async def check_everything(self) -> None:
        """What the store answers when it is asked."""
        stored = await read_stored(self.world.client, PARTITIONS, SKUS)
        live = {name for name, reservation in self.model.reservations.items() if reservation.state in LIVE}
        assert live == set(stored.records)
        for name, reservation in self.model.reservations.items():
            assert self.told(plain(reservation)) == self.told(await self.store.reservation(name))
        listed, end = await self.store.list_reservations(limit=1000)
        assert (set(self.model.reservations), "") == ({reservation.reservation_id for reservation in listed}, end)
        for name, returned in self.model.returns.items():
            assert self.told(returned) == self.told(await self.store.find_return(name))
        states = await self.store.states()
        assert dict(Counter(r.state.value for r in self.model.reservations.values())) == {
            s: n for s, n in states.items() if n
        }
        promises, end = await self.store.broken_promises(limit=1000)
        assert (self.model.broken_promises(), "") == (sorted(promises, key=repr), end)
        await self.check_incoming()
        await self.check_behind()
        if self.is_one_group:
            await self.check_log(stored)

    async def check_incoming(self) -> None:
        """Receipts, backorders and units in states as the store answers them, by SKU and as a whole."""
        snapshot = [receipt async for chunk in self.store.snapshot_incoming() for receipt in chunk]
        whole = list(self.model.incoming().values())
        assert sorted(map(self.told, whole), key=repr) == sorted(map(self.told, snapshot), key=repr)
        for sku in SKUS:
            mine = [receipt for receipt in whole if receipt.sku == sku]
            listed = await self.store.receipts(sku)
            assert sorted((self.told(r) for r in mine if r.receipt_id), key=repr) == sorted(
                map(self.told, listed), key=repr
            )
            assert {r.location: r.pegged for r in mine if not r.receipt_id} == await self.store.backordered(sku)

        snapshot = [one async for chunk in self.store.snapshot_unsellable() for one in chunk]
        assert by_shelf(self.model.unsellable(), self.told) == by_shelf(snapshot, self.told)
        for sku in SKUS:
            mine = [one for one in self.model.unsellable() if one.sku == sku]
            assert by_shelf(mine, self.told) == by_shelf(await self.store.unsellable(sku), self.told)

    async def check_behind(self) -> None:
        """What is behind reserved units, found in the log and, without the log, in the records."""
        for sku in SKUS:
            expected = sorted(
                (name, line.line_id, its.location, its.open, its.fenced)
                for name, reservation in self.model.reservations.items()
                for line in (reservation.lines if reservation.state in LIVE else ())
                for its in (line.allocations if line.sku == sku else ())
                if its.open and its.is_on_hand
            )
            reserved = {place: its.reserved for place, its in (await self.store.positions(sku)).items()}
            found, complete = (await self.store.behind({sku: reserved}))[sku]
            told = sorted((one.reservation_id, one.line_id, one.location, one.units, one.fenced) for one in found)
            assert (expected, True) == (told, complete)

    async def check_log(self, stored: Stored) -> None:
        """The log read from its beginning says what the calls answered, and that is what is stored."""
        replayed = Auditor()
        replayed.follow(await self.store.read_log([0] * PARTITIONS, 0, count=100_000))
        assert vars(self.auditor) == vars(replayed)
        assert stored.positions == replayed.positions
        numbers = {
            source: (receipt.expected_day, receipt.quantity, receipt.pegged, receipt.revision, receipt.from_location)
            for source, receipt in stored.receipts.items()
        }
        assert numbers == replayed.receipts
        self.transfers_are_conserved(stored, replayed)
        assert stored.broken_rows == replayed.broken
        assert {(one.sku, one.location, one.state): one for one in stored.unsellable} == replayed.states
        opened = {name for name, one in self.model.returns.items() if one.is_open}
        assert opened == {name for name, text in replayed.returns.items() if text.startswith("OPEN\t")}
        assert set(self.model.returns) == set(replayed.returns)
        assert stored.records == {name: text for name, text in replayed.records.items() if name in stored.records}
        assert set(self.model.reservations) == set(replayed.records)
        for name, text in replayed.records.items():
            assert self.model.reservations[name].state == text.partition("\t")[0]
        snapshot = [entry.rows.decode() async for chunk in self.store.snapshot_holds() for entry in chunk]
        assert sorted(replayed.holds.values()) == sorted("".join(snapshot).splitlines(keepends=True))
        for sku, count in replayed.rows_of_sku.items():
            assert count == len((await self.store.ledger(sku, limit=10_000))[0])


def fulfilled_units(reservation: Reservation) -> int:
    """Units of a reservation that left."""
    return sum(strategies.fulfilled_of(line) for line in reservation.lines)


def by_shelf(found: Iterable[Unsellable], told: Callable[[Any], Any]) -> dict[tuple[str, str, str], Any]:
    """Units in states in a form that compares by value, by where they are."""
    return {(one.sku, one.location, one.state): told(one) for one in found}


def _floors(items: list[Any]) -> dict[tuple[str, str, str], list[Candidate]]:
    """What the items of a call let each reservation take where."""
    floors: dict[tuple[str, str, str], list[Candidate]] = defaultdict(list)
    for item in items:
        others = [line for lines in getattr(item, "alternatives", ()) for line in lines]
        for line in (*getattr(item, "lines", ()), *getattr(item, "added", ()), *others):
            for candidate in getattr(line, "candidates", ()):
                floors[item.reservation_id, line.sku, candidate.location].append(candidate)
        for placement in getattr(item, "placements", ()):
            for candidate in placement.candidates:
                for sku in SKUS:  # the change names the line alone
                    floors[item.reservation_id, sku, candidate.location].append(candidate)
    return dict(floors)


def _sorted(outcome: Any) -> Any:
    """The promises that a change broke come in no order that anyone may rest on."""
    if getattr(outcome, "broken", ()):
        return replace(outcome, broken=tuple(sorted(outcome.broken, key=repr)))
    return outcome


def _without_revisions(value: Any) -> Any:
    """The same with every revision 0."""
    if isinstance(value, tuple):
        return tuple(map(_without_revisions, value))
    if isinstance(value, ReservationAnswer):
        return ReservationAnswer(
            _without_revisions(value.reservation), value.replayed, value.next_days, choice=value.choice
        )
    if not is_dataclass(value) or isinstance(value, BrokenPromise | Exception):
        return value
    parts = {f.name: _without_revisions(getattr(value, f.name)) for f in fields(value)}
    return replace(value, **(parts | {name: 0 for name in ("revision",) if name in parts}))


@pytest.mark.parametrize(
    ("examples", "steps_least"),
    [
        pytest.param(30, 1_000, id="short"),
        pytest.param(130, 5_000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_store_answers_as_the_model_says(redis_server: RunningRedis, examples: int, steps_least: int) -> None:
    """A thousand steps of all verbs, or over five thousand, on Valkey and on Redis."""
    assert set(LIVE) < set(ReservationState)
    machine = type("Machine", (StoreMachine,), {"server": redis_server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    print(f"{machine.steps} steps")
    assert machine.steps >= steps_least
