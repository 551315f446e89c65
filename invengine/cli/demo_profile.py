"""The step of the demo in which a planner changes what baskets are sourced by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.cli.days import shown
from invengine.cli.promise import money
from invengine.client import Line
from invengine.v1.common_pb2 import FULFILMENT_SHIP, Destination

if TYPE_CHECKING:
    from invengine.cli.demo_story import Teller
    from invengine.cli.sample_data import Retailer
    from invengine.client import Client
    from invengine.v1.plan_pb2 import PlanBasketResponse

CHANNEL: Final = "app"
PROFILE: Final = """\
name: soon
description: a day of waiting is dear
costs: {parcel: 1, day_waiting: 4}
"""
_SKUS: Final = 3


async def profile(client: Client, tell: Teller, retailer: Retailer, sku: str, store: str) -> None:
    """One basket without a profile and with one; then no profile is active again."""
    place = next(place for place in retailer.places if place.id == store)
    skus = [sku, *(other for other in retailer.skus if other != sku)][:_SKUS]
    to = Destination(country=place.city.country, postal_code=place.city.postal_code)
    lines = [Line(sku=one, quantity=1, fulfilment=FULFILMENT_SHIP, destination=to) for one in skus]
    source = f"source {' '.join(f'{one} 1' for one in skus)} --to {to.country}:{to.postal_code} --channel {CHANNEL}"
    tell.step(f"Where would a basket for {place.city.name} come from? A planner has the {CHANNEL} deliver sooner.")
    tell.command(source)
    before = await client.plan_basket(lines, channel=CHANNEL)
    tell.command("profile put soon.yaml")
    put = await client.put_profile(PROFILE, actor="planner")
    tell.text(f"   {put.name}@{put.version}: " + ", ".join(f"{one.term} {one.after}" for one in put.changes) + ".")
    tell.command(f"profile activate {CHANNEL} soon")
    await client.activate_profile(CHANNEL, "soon", actor="planner")
    tell.command(source)
    after = await client.plan_basket(lines, channel=CHANNEL)
    tell.table(("profile", "sku", "location", "service", "delivery_day"), [*_rows(before), *_rows(after)])
    tell.text(f"   By {after.profile} the plan costs {_costs(after)}.")
    tell.command(f"profile deactivate {CHANNEL}")
    await client.activate_profile(CHANNEL, "", actor="planner")
    history = (await client.list_profile_activations(CHANNEL)).activations
    told = [f"{one.profile or 'none'} by {one.actor}" for one in reversed(history)]
    tell.text(f"   The record of channel {CHANNEL}: {', then '.join(told)}.")
    days = {_profile(answer): sorted({row[-1] for row in _rows(answer)}) for answer in (before, after)}
    tell.fact("sourced", days)
    tell.fact("activations", told)


def _rows(answer: PlanBasketResponse) -> list[tuple[str, ...]]:
    return [
        (_profile(answer), line.sku, unit.location, unit.service, shown(unit.delivery_day))
        for line in answer.plan.lines
        for unit in line.units
    ]


def _profile(answer: PlanBasketResponse) -> str:
    return answer.profile or "none"


def _costs(answer: PlanBasketResponse) -> str:
    """The total, and the terms that cost anything: `13.00 EUR, of it 9.00 EUR waiting, 4.00 EUR lane`."""
    costs = answer.plan.costs
    terms = [
        f"{money(amount)} {field.name}"
        for field, amount in costs.ListFields()
        if field.name != "total" and (amount.units or amount.nanos)
    ]
    return f"{money(costs.total)}, of it {', '.join(terms)}"
