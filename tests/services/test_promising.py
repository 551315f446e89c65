"""Promises against their definition: every chain walked anew with datetime, every combination of locations tried."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from invengine.domain.days import calendar_day, day_number
from invengine.domain.incoming import Receipt
from invengine.domain.network import Network
from invengine.domain.promising import Option, Promise, StepKind
from invengine.domain.transit import NOTHING_LEARNT
from invengine.replica.replica import Replica
from invengine.services.promising import Promising
from invengine.v1 import common_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.replica.fakes import START_MS, Entry, incoming_row, position_row
from tests.services.promising_worlds import MINUTE, World, local, world

WORLDS = 120
STEPS = {
    StepKind.ACCEPTED: "accepted",
    StepKind.HANDLED: "handled",
    StepKind.PREPARED: "prepared",
    StepKind.READY: "ready",
}
DAYS = {StepKind.SLOT: "slot", StepKind.SHIPPED: "shipped", StepKind.ARRIVED: "arrived"}


def promising(found: World) -> Promising:
    """The service over a replica that has the world's stock."""
    network = Network.parse(found.document())
    replica = Replica(1, b"12345678")
    replica.set_network(network)
    rows = [position_row(sku, name, units, 0) for (sku, name), units in found.on_hand.items()]
    for number, (sku, name, day, units) in enumerate(found.receipts):
        rows.append(incoming_row(Receipt(sku, name, f"po-{number}", day_number(day), units, 0, 0)))
    replica.apply([Entry(0, 1, START_MS, "".join(rows).encode())])
    assert replica.fault is None
    now_ms = int(found.now.timestamp() * 1000)
    clock: Any = SimpleNamespace(now_ms=lambda: now_ms)
    networks: Any = SimpleNamespace(required=lambda: network)
    transit: Any = SimpleNamespace(times=NOTHING_LEARNT)
    store: Any = None
    return Promising(store, replica, clock, networks, transit=transit)


def request(found: World, **more: Any) -> pb.GetPromiseRequest:
    lines = [
        pb.PromiseLineRequest(sku=line.sku, quantity=line.quantity, allow_split=line.may_split) for line in found.basket
    ]
    destination = common_pb2.Destination(country="DE", postal_code="1", location=found.store)
    return pb.GetPromiseRequest(channel="web", lines=lines, destination=destination, explain=True, **more)


def answered(found: World) -> Promise:
    return asyncio.run(promising(found).get(request(found)))


def moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def check_chains(found: World, option: Option) -> None:
    """Each part's steps, and the last minute to order, follow from its first step."""
    way = (str(option.way.fulfilment), option.way.service)
    busy: dict[str, int] = {}
    parts = []
    for line, promised in zip(found.basket, option.lines, strict=True):
        assert sum(part.quantity for part in promised.parts) == line.quantity
        for part in promised.parts:
            units = 3 if line.sku == "SET" else 1
            busy[part.location] = busy.get(part.location, 0) + part.quantity * units
            start = moment(part.steps[0].minute)
            steps = found.chain(part.location, way, start, busy[part.location])
            assert steps is not None
            assert calendar_day(part.delivery_day) == steps["day"]
            for step in part.steps:
                if step.kind in STEPS:
                    assert moment(step.minute) == steps[STEPS[step.kind]], step
                    zone = found.places[step.location].zone
                    if step.kind is not StepKind.HANDLED:
                        assert calendar_day(step.day) == local(moment(step.minute), zone)
                elif step.kind in DAYS:
                    assert calendar_day(step.day) == steps[DAYS[step.kind]], step
            assert (part.ready_minute != 0) == ("ready" in steps)
            parts.append((part.location, start, busy[part.location]))
    day, before = calendar_day(option.delivery_day), moment(option.order_before)
    assert before > found.now.replace(second=0)

    def ordered(at: datetime) -> date:
        chains = [found.chain(name, way, max(at, start), units) for name, start, units in parts]
        return max(steps["day"] if steps else date.max for steps in chains)

    assert ordered(before - MINUTE) <= day
    assert ordered(before) > day


@pytest.mark.parametrize("seed", range(WORLDS))
def test_a_promise_is_its_chain_and_no_combination_is_earlier(seed: int) -> None:
    """Chains recomputed; the day is the earliest of all combinations; without a split also the cheapest of that day."""
    found = world(Random(seed))
    promise = answered(found)
    assert len(promise.options) == 4
    for option in promise.options:
        way = (str(option.way.fulfilment), option.way.service)
        outcomes = [
            (outcome, combination)
            for combination in found.combinations()
            if way[0] != "PICKUP" or all(set(parts) == {found.store} for parts in combination)
            if (outcome := found.outcome(way, combination)) is not None
        ]
        if not outcomes:
            assert option.delivery_day == 0, option
            assert any(line.problem for line in option.lines)
            continue
        best = min(outcome for outcome, _ in outcomes)
        assert option.delivery_day, option
        assert calendar_day(option.delivery_day) == best[0], (option, best)
        check_chains(found, option)
        chosen = [{part.location: part.quantity for part in line.parts} for line in option.lines]
        assert found.outcome(way, chosen) == (best[0], option.cost, option.parcels)
        if all(len(parts) == 1 for parts in chosen):
            whole = [one for one, parts in outcomes if all(len(part) == 1 for part in parts)]
            assert (best[0], option.cost, option.parcels) == min(whole)
            assert option.bound is None
        else:
            assert option.bound is not None
            assert calendar_day(option.bound[0]) <= best[0]
            assert option.bound[1] <= min(cost for day, cost, _ in (one for one, _ in outcomes) if day == best[0])
            assert not any(one[0] == best[0] for one, parts in outcomes if all(len(part) == 1 for part in parts)), (
                "split, and it need not be"
            )


def test_the_worlds_have_what_is_hard() -> None:
    """Among them are baskets that are split, that wait, that nobody can have, and lines that take from each other."""
    found = [(one := world(Random(seed)), answered(one)) for seed in range(WORLDS)]
    options = [(one, option) for one, promise in found for option in promise.options]
    promised = [(one, option) for one, option in options if option.delivery_day]
    assert len(options) > len(promised) > len(options) // 4
    assert any(len(line.parts) > 1 for _, option in promised for line in option.lines)
    assert any(part.available_day for _, option in promised for line in option.lines for part in line.parts)
    assert any(option.parcels > 1 for _, option in promised)
    assert any(len({line.sku for line in one.basket}) < len(one.basket) for one, _ in promised)
    assert any(
        step.kind is StepKind.SLOT
        for _, o in promised
        for line in o.lines
        for part in line.parts
        for step in part.steps
    )
    late = timedelta(days=20)
    assert any(calendar_day(option.delivery_day) - one.now.date() < late for one, option in promised)
