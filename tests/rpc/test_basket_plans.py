"""PlanBasket over gRPC: plans with their costs by term, the next one, rules, refusals, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest

from invengine.domain.profiles import profile_elements
from invengine.domain.sourcing import BasketLine, PlannedUnits
from invengine.v1 import (
    common_pb2,
    plan_pb2,
    profile_pb2,
    promise_service_pb2,
    reservation_service_pb2,
    stock_service_pb2,
)
from tests.rpc import promised
from tests.rpc.engines import Stubs, refused
from tests.rpc.promised import MUNICH, NETWORK, PICKUP, SHIP, STORE, day_of, receipt
from tests.services.sourcing_counter import Counter
from tests.services.sourcing_shops import SKUS, random_basket, random_profile, random_shop
from tests.services.sourcing_shops import STORE as STORE_PLACE

pytestmark = pytest.mark.asyncio

BEST_EFFORT = reservation_service_pb2.CreateReservationRequest.POLICY_BEST_EFFORT
RULE = plan_pb2.RuledOut.Rule
TERMS = [field.name for field in plan_pb2.PlanCosts.DESCRIPTOR.fields]
PROFILE = """\
name: cheap
costs: {parcel: 1, unit: 0.1, day_waiting: 0.5, day_late: 2}
weights: {lane: 100, handling: 100}
"""


def line(sku: str, quantity: int = 1, **more: Any) -> reservation_service_pb2.ReservationLineRequest:
    """A line to Munich."""
    given = {"fulfilment": SHIP, "destination": MUNICH, **more}
    return reservation_service_pb2.ReservationLineRequest(sku=sku, quantity=quantity, **given)


def basket(*lines: reservation_service_pb2.ReservationLineRequest, **more: Any) -> plan_pb2.PlanBasketRequest:
    fully = common_pb2.Consistency(fully_consistent=True)
    return plan_pb2.PlanBasketRequest(lines=lines, **{"channel": "web", "consistency": fully, **more})


async def stocked(stubs: Stubs, **units: dict[str, int]) -> None:
    """The network, the profile, and stock by SKU and location."""
    await stubs.apply_network(NETWORK)
    await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="profile", document=PROFILE))
    for sku, places in units.items():
        for location, quantity in places.items():
            await stubs.receive(sku, quantity, location)


def amount(money: common_pb2.Money) -> float:
    return money.units + money.nanos / 1e9


def costs(plan: plan_pb2.BasketPlan) -> dict[str, float]:
    """The terms that are not 0."""
    found = {term: amount(getattr(plan.costs, term)) for term in TERMS}
    assert found["total"] == pytest.approx(sum(value for term, value in found.items() if term != "total"))
    return {term: value for term, value in found.items() if value}


def units(plan: plan_pb2.BasketPlan) -> list[tuple[str, str, int, str]]:
    return [(one.sku, its.location, its.quantity, its.service) for one in plan.lines for its in one.units]


def ruled(answer: plan_pb2.PlanBasketResponse) -> dict[tuple[str, str], list[str]]:
    return {(one.line_id, RULE.Name(one.rule)): list(one.locations) for one in answer.ruled_out}


async def test_the_best_plan_stands_beside_the_next_with_their_costs_by_term(stubs: Stubs) -> None:
    """Three units from DC cost 0.90 more in its lane than 4.50 for any number from MUC, which is 0.55 cheaper."""
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2}, CHAIR={"DC": 1, "MUC": 3})
    answer = await stubs.allocation.PlanBasket(basket(line("LAMP", 2), line("CHAIR"), profile="cheap", explain=True))
    assert units(answer.plan) == [("LAMP", "MUC", 2, "standard"), ("CHAIR", "MUC", 1, "standard")]
    ahead = (datetime.now(ZoneInfo("Europe/Berlin")).date() - date.today()).days  # days are counted from that of UTC on
    waiting = 2 * (2 + ahead) * 0.5
    best = {"total": 5.8 + waiting, "parcel": 1, "handling": 0.3, "lane": 4.5, "waiting": waiting}
    assert costs(answer.plan) == pytest.approx(best)
    assert units(answer.runner_up) == [("LAMP", "DC", 2, "standard"), ("CHAIR", "DC", 1, "standard")]
    following = {"total": 6.15 + waiting, "parcel": 1, "handling": 0.3, "lane": 4.85, "waiting": waiting}
    assert costs(answer.runner_up) == pytest.approx(following)
    assert {term: amount(getattr(answer.runner_up_excess, term)) for term in ("total", "lane", "parcel")} == (
        pytest.approx({"total": 0.35, "lane": 0.35, "parcel": 0})
    )
    assert (answer.plan.parcels, answer.proved, amount(answer.bound)) == (1, True, pytest.approx(5.8 + waiting))
    assert (answer.profile, answer.plan.costs.total.currency_code) == ("cheap@1", "EUR")
    assert answer.consistency_token
    assert answer.plan_time.seconds
    days = {(day_of(one.delivery_day) - date.today()).days for of in answer.plan.lines for one in of.units}
    assert days <= {1, 2, 3}
    assert ruled(answer) == {
        ("1", "RULE_LOCATION_DISABLED"): ["OLD"],
        ("1", "RULE_NO_STOCK"): ["BER", "BARE"],
        ("2", "RULE_LOCATION_DISABLED"): ["OLD"],
        ("2", "RULE_NO_STOCK"): ["BER", "BARE"],
    }
    bare = await stubs.allocation.PlanBasket(basket(line("LAMP", 2), line("CHAIR"), profile="cheap"))
    assert not bare.ruled_out
    assert bare.plan == answer.plan


async def test_without_a_profile_the_fewest_parcels_count_and_then_the_priority(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 2, "MUC": 2, "BER": 2}, CHAIR={"MUC": 1, "BER": 1})
    answer = await stubs.allocation.PlanBasket(basket(line("LAMP", 2), line("CHAIR")))
    assert [one[:3] for one in units(answer.plan)] == [("LAMP", "MUC", 2), ("CHAIR", "MUC", 1)]
    assert [one[:3] for one in units(answer.runner_up)] == [("LAMP", "BER", 2), ("CHAIR", "BER", 1)]
    assert costs(answer.plan) == costs(answer.runner_up) == {"total": 1, "parcel": 1}
    assert answer.profile == ""


async def test_the_profile_that_is_active_counts_unless_another_is_named(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 2, "MUC": 2})
    await stubs.allocation.PutProfile(
        profile_pb2.PutProfileRequest(request_id="p", document="name: shut\nrules: {exclude: [MUC]}\n")
    )
    await stubs.allocation.ActivateProfile(
        profile_pb2.ActivateProfileRequest(request_id="a", channel="web", profile="cheap")
    )
    active = await stubs.allocation.PlanBasket(basket(line("LAMP", 2)))
    assert (active.profile, units(active.plan)[0][1]) == ("cheap@1", "MUC")
    named = await stubs.allocation.PlanBasket(basket(line("LAMP", 2), profile="shut@1", explain=True))
    assert (named.profile, units(named.plan)[0][1]) == ("shut@1", "DC")
    assert ruled(named)["1", "RULE_EXCLUDED"] == ["MUC"]
    why = await refused(stubs.allocation.PlanBasket(basket(line("LAMP"), profile="none")))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROFILE")


async def test_a_line_goes_by_the_service_that_is_in_time_and_costs_least(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 5, "BER": 5})
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()  # where it is sent from and to
    tomorrow = common_pb2.Date(**_date(today + timedelta(days=1)))
    rushed = await stubs.allocation.PlanBasket(basket(line("LAMP", needed_by=tomorrow), profile="cheap", explain=True))
    assert units(rushed.plan) == [("LAMP", "DC", 1, "express")]
    assert ruled(rushed)["1", "RULE_TOO_LATE"] == ["BER"]
    named = await stubs.allocation.PlanBasket(basket(line("LAMP", service="express"), profile="cheap", explain=True))
    assert units(named.plan) == [("LAMP", "DC", 1, "express")]
    assert ruled(named)["1", "RULE_NO_LANE"] == ["BER"]
    late = await stubs.allocation.PlanBasket(
        basket(line("LAMP", service="standard", needed_by=tomorrow), profile="cheap", explain=True)
    )
    assert not late.HasField("plan")
    assert late.refusal.reason == common_pb2.ERROR_REASON_PROMISE_TOO_LATE
    assert late.proved


async def test_what_has_no_plan_is_an_answer_that_says_why(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 3, "MUC": 2}, CHAIR={"MUC": 1})
    short = await stubs.allocation.PlanBasket(basket(line("LAMP", 9), explain=True))
    assert short.refusal.reason == common_pb2.ERROR_REASON_INSUFFICIENT_STOCK
    (one,) = short.refusal.short_lines
    assert (one.line_id, one.sku, one.wanted, one.available) == ("1", "LAMP", 9, 3)
    assert ruled(short)["1", "RULE_NO_STOCK"] == ["DC", "MUC", "BER", "BARE"]
    split = await stubs.allocation.PlanBasket(basket(line("LAMP", 9, allow_split=True)))
    assert split.refusal.short_lines[0].available == 5
    twice = await stubs.allocation.PlanBasket(basket(line("LAMP", 3), line("LAMP", 3)))
    assert twice.refusal.short_lines[0].line_id == "2"
    many = await stubs.allocation.PlanBasket(basket(line("LAMP", 3), line("CHAIR"), max_parcels=1))
    assert many.refusal.reason == common_pb2.ERROR_REASON_TOO_MANY_PARCELS
    assert many.refusal.metadata["parcels"] == "2"
    none = await stubs.allocation.PlanBasket(basket(line("NOTHING")))
    assert none.refusal.reason == common_pb2.ERROR_REASON_UNKNOWN_SKU
    nowhere = await stubs.allocation.PlanBasket(
        basket(line("LAMP", service="standard", destination={"country": "FR", "postal_code": "1"}))
    )
    assert nowhere.refusal.reason == common_pb2.ERROR_REASON_PROMISE_UNKNOWN


async def test_with_best_effort_there_is_what_there_is(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 3, "MUC": 2}, CHAIR={"MUC": 1})
    answer = await stubs.allocation.PlanBasket(
        basket(line("LAMP", 9, allow_split=True), line("CHAIR", 2), policy=BEST_EFFORT, profile="cheap")
    )
    assert [one.missing for one in answer.plan.lines] == [4, 1]
    assert sum(one[2] for one in units(answer.plan)) == 6
    assert amount(answer.plan.costs.shortage) == 0
    assert not answer.HasField("refusal")


async def test_what_a_plan_says_is_what_a_reservation_takes(stubs: Stubs) -> None:
    """Kits come whole from one place, and no two lines count on one unit; asking takes nothing."""
    await stocked(stubs, SOFA={"DC": 2, "MUC": 2}, CUSHION={"DC": 7, "MUC": 8}, LAMP={"DC": 1})
    lines = [line("SET", 2), line("CUSHION", 7), line("LAMP")]
    for _ in range(2):
        answer = await stubs.allocation.PlanBasket(basket(*lines))
        assert [one[:3] for one in units(answer.plan)] == [("SET", "MUC", 2), ("CUSHION", "DC", 7), ("LAMP", "DC", 1)]
    at = [reservation_service_pb2.ReservationLineRequest.FromString(one.SerializeToString()) for one in lines]
    for one, planned in zip(at, answer.plan.lines, strict=True):
        one.location = planned.units[0].location
    made = await stubs.reservations.CreateReservation(
        reservation_service_pb2.CreateReservationRequest(request_id="r", channel="web", lines=at)
    )
    assert made.reservation.reservation_id
    after = await stubs.allocation.PlanBasket(basket(line("SET")))
    assert after.refusal.short_lines[0].sku == "SET"


async def test_lines_that_may_wait_are_on_hand_first_and_else_there_by_a_day(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"DC": 1, "MUC": 2})
    day = date.today() + timedelta(days=4)
    await receipt(stubs, "LAMP", "DC", 5, day)
    there = await stubs.allocation.PlanBasket(basket(line("LAMP", 2, allow_backorder=True), profile="cheap"))
    assert units(there.plan) == [("LAMP", "MUC", 2, "standard")]
    later = await stubs.allocation.PlanBasket(basket(line("LAMP", 3, allow_backorder=True), profile="cheap"))
    (planned,) = later.plan.lines
    assert [(one.location, one.quantity, one.HasField("available_day")) for one in planned.units] == [
        ("DC", 1, False),
        ("DC", 2, True),
    ]
    assert day_of(planned.units[1].available_day) == day
    assert day_of(planned.units[1].delivery_day) > day
    assert planned.units[0].delivery_day == planned.units[1].delivery_day
    never = await stubs.allocation.PlanBasket(basket(line("LAMP", 3), profile="cheap"))
    assert never.refusal.short_lines[0].next_date == common_pb2.Date(**_date(day))


async def test_ways_and_places_are_parcels_of_their_own(stubs: Stubs) -> None:
    """Two lines to Munich share a parcel; a line to Berlin takes another, one to the store MUC none: it lies there."""
    await stocked(stubs, LAMP={"DC": 9, "MUC": 9})
    berlin = common_pb2.Destination(country="DE", postal_code="10115")
    store = line("LAMP", fulfilment=STORE, destination=common_pb2.Destination(location="MUC"))
    answer = await stubs.allocation.PlanBasket(
        basket(line("LAMP"), line("LAMP", 2), line("LAMP", destination=berlin), profile="cheap")
    )
    assert [one[1] for one in units(answer.plan)] == ["MUC", "MUC", "DC"]
    assert answer.plan.parcels == 2
    assert costs(answer.plan)["parcel"] == 2
    refusal = await stubs.allocation.PlanBasket(
        basket(line("LAMP"), line("LAMP", destination=berlin), profile="cheap", max_parcels=1)
    )
    assert refusal.refusal.metadata["parcels"] == "2"
    answer = await stubs.allocation.PlanBasket(basket(line("LAMP"), store, profile="cheap"))
    assert len(answer.plan.lines[1].units) == 1


async def test_a_promise_by_a_profile_is_the_plan_of_each_option(stubs: Stubs) -> None:
    """The same locations and days as PlanBasket says for that service; without a profile the earliest day counts."""
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2, "BER": 4}, CHAIR={"DC": 1, "BER": 1})
    fast = "name: fast\ncosts: {day_waiting: 9}\n"
    await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="fast", document=fast))
    question = promised.basket(promised.line("LAMP", 2), promised.line("CHAIR"))
    question.profile = "cheap"
    answer = await stubs.promises.GetPromise(question)
    assert answer.profile == "cheap@1"
    for option in answer.options:
        planned = await stubs.allocation.PlanBasket(
            basket(line("LAMP", 2, service=option.service), line("CHAIR", service=option.service), profile="cheap")
        )
        found = [(one.location, one.quantity, one.delivery_day) for of in option.lines for one in of.allocations]
        assert found == [
            (one.location, one.quantity, one.delivery_day) for of in planned.plan.lines for one in of.units
        ]
        assert option.costs == planned.plan.costs
        assert not option.HasField("bound")
    assert [one.service for one in answer.options] == ["express", "standard"]
    assert [one.parcels for one in answer.options] == [1, 1]
    bare = await stubs.promises.GetPromise(promised.basket(promised.line("LAMP")))
    assert not bare.options[0].HasField("costs")
    assert bare.profile == ""
    await stubs.allocation.ActivateProfile(
        profile_pb2.ActivateProfileRequest(request_id="a", channel="web", profile="fast")
    )
    active = await stubs.promises.GetPromise(promised.basket(promised.line("LAMP")))
    assert active.profile == "fast@1"
    why = await refused(stubs.promises.GetPromise(promised.basket(promised.line("LAMP"), profile="none")))
    assert why.reason == "UNKNOWN_PROFILE"


async def test_what_a_profile_rules_out_is_no_promise(stubs: Stubs) -> None:
    await stocked(stubs, LAMP={"MUC": 2, "DC": 1}, CHAIR={"DC": 2})
    for request_id, document in (
        ("shut", "name: shut\nrules: {exclude: [DC, MUC, BER]}\n"),
        ("one", "name: one\nrules: {parcels_max: 1, split: never}\n"),
    ):
        await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id=request_id, document=document))
    question = promised.basket(promised.line("LAMP", 2), services=["standard"], profile="shut")
    (option,) = (await stubs.promises.GetPromise(question)).options
    assert option.lines[0].problem == promise_service_pb2.LINE_PROBLEM_NOT_ENOUGH_UNITS
    both = promised.basket(promised.line("LAMP", 2), promised.line("CHAIR", 2), services=["standard"], profile="one")
    (option,) = (await stubs.promises.GetPromise(both)).options
    assert {one.problem for one in option.lines} == {promise_service_pb2.LINE_PROBLEM_TOGETHER}
    split = promised.basket(promised.line("LAMP", 3, allow_split=True), services=["standard"], profile="one")
    (option,) = (await stubs.promises.GetPromise(split)).options
    assert (option.lines[0].problem, option.lines[0].available) == (
        promise_service_pb2.LINE_PROBLEM_NOT_ENOUGH_UNITS,
        2,
    )
    await receipt(stubs, "LAMP", "DC", 9, date.today() + timedelta(days=3))
    (option,) = (await stubs.promises.GetPromise(split)).options
    assert [one.location for one in option.lines[0].allocations] == ["DC"]
    assert day_of(option.lines[0].allocations[0].available_day) == date.today() + timedelta(days=3)


async def test_random_baskets_cost_what_the_best_of_all_plans_costs(stubs: Stubs) -> None:
    """In shops of random stock, lanes and profiles: the costs by term are those of the plan that is told, counted anew,
    and no plan costs less. Days cost nothing here, as it is another day for whoever counts anew.
    """
    proved = 0
    for seed in range(24):
        random = Random(seed)
        shop = random_shop(random)
        shop.prices = {}
        profile = replace(random_profile(random), waiting_day_cost=0, late_day_cost=0, early_day_cost=0)
        profile = replace(profile, excluded=tuple(one for one in profile.excluded if one in shop.places))
        lines = [one._replace(needed_by=0) for one in random_basket(random)]
        await stubs.apply_network(shop.document(), f"network {seed}")
        for name in shop.places:
            for item in SKUS:
                counted = stock_service_pb2.Movement(
                    source="tests",
                    event_id=f"{seed} {item} {name}",
                    kind=stock_service_pb2.Movement.KIND_COUNT,
                    sku=item,
                    location=name,
                    quantity=shop.on_hand.get((item, name), 0),
                )
                await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[counted]))
        document = json.dumps({"name": f"tried-{seed}", **profile_elements(profile)})
        await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id=f"p{seed}", document=document))
        answer = await stubs.allocation.PlanBasket(basket(*map(_to_wire, lines), profile=f"tried-{seed}"))
        counter = Counter(shop)
        every = list(counter.plans_by_hand(lines, profile, profile.parcels_max, whole=True))
        if not answer.HasField("plan"):
            assert not every or not answer.proved, seed
            continue
        placed = [
            PlannedUnits(number, one.location, one.quantity, 0, one.service, int(one.HasField("delivery_day")))
            for number, planned in enumerate(answer.plan.lines)
            for one in planned.units
        ]
        told = counter.costs(lines, profile, placed, priced=False)
        assert {term: round(amount(getattr(answer.plan.costs, term)) * 10_000) for term in TERMS} == {
            "total": told.total,
            **told._asdict(),
        }
        least = min(counter.costs(lines, profile, units, priced=False).total for units in every)
        assert told.total == least if answer.proved else told.total >= least
        proved += answer.proved
    assert proved > 5


def _to_wire(one: BasketLine) -> reservation_service_pb2.ReservationLineRequest:
    to = common_pb2.Destination(
        country=one.destination.country, postal_code=one.destination.postal_code, location=one.destination.location
    )
    way = {"SHIP": SHIP, "PICKUP": PICKUP, "SHIP_TO_STORE": STORE}.get(one.fulfilment.value, 0)
    more = {"location": STORE_PLACE} if way == PICKUP else {}
    return line(
        one.sku, one.quantity, allow_split=one.allow_split, fulfilment=way, destination=to, service=one.service, **more
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (basket(), "lines"),
        (basket(line("LAMP"), channel=""), "channel"),
        (basket(line("", 1)), "lines[0].sku"),
        (basket(line("LAMP", 0)), "lines[0].quantity"),
        (basket(line("LAMP", 2**53)), "lines[0].quantity"),
        (basket(line("LAMP"), max_parcels=201), "max_parcels"),
        (basket(line("LAMP"), max_parcels=-1), "max_parcels"),
        (basket(line("LAMP"), policy=9), "policy"),
        (basket(line("LAMP"), confidence=1.5), "confidence"),
        (basket(line("LAMP", location="DC", group="all")), "lines[0].group"),
        (basket(line("SET", allow_backorder=True)), "lines[0].allow_backorder"),
        (basket(line("SET", 2**52)), "lines[0].quantity"),
        (basket(line("LAMP"), profile="no such@name@1"), "profile"),
    ],
    ids=str,
)
async def test_bad_fields_are_named(stubs: Stubs, request_: plan_pb2.PlanBasketRequest, field: str) -> None:
    await stubs.apply_network(NETWORK)
    why = await refused(stubs.allocation.PlanBasket(request_))
    assert (why.code, why.reason, why.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (basket(line("LAMP"), channel="nobody"), "UNKNOWN_CHANNEL"),
        (basket(line("LAMP"), channel="closed"), "CHANNEL_DISABLED"),
        (basket(line("LAMP", location="NOWHERE")), "UNKNOWN_LOCATION"),
        (basket(line("LAMP", location="OLD")), "LOCATION_NOT_USABLE"),
        (basket(line("LAMP", group="nobody")), "UNKNOWN_GROUP"),
        (basket(line("LAMP", group="others")), "GROUP_NOT_USABLE"),
        (basket(line("LAMP", service="pigeon")), "UNKNOWN_SERVICE"),
        (
            basket(line("LAMP", fulfilment=STORE, destination=common_pb2.Destination(location="DC"))),
            "LOCATION_NOT_USABLE",
        ),
    ],
    ids=str,
)
async def test_refusals(stubs: Stubs, request_: plan_pb2.PlanBasketRequest, reason: str) -> None:
    await stubs.apply_network(NETWORK)
    assert (await refused(stubs.allocation.PlanBasket(request_))).reason == reason


def _date(day: date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}
