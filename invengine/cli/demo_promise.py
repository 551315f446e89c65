"""The step of the demo that says when a shopper could have something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.cli.days import shown
from invengine.cli.promise import COLUMNS, row_of, way_of
from invengine.client import PromiseLine
from invengine.v1.common_pb2 import FULFILMENT_PICKUP, FULFILMENT_SHIP, FULFILMENT_SHIP_TO_STORE, Destination

if TYPE_CHECKING:
    from invengine.cli.demo_story import Teller
    from invengine.cli.sample_data import Retailer
    from invengine.client import Client
    from invengine.v1.promise_service_pb2 import PromiseOption


async def promise(client: Client, tell: Teller, retailer: Retailer, sku: str, store: str) -> None:
    """All ways to get one unit, for a shopper who lives where the store is."""
    place = next(place for place in retailer.places if place.id == store)
    stocked = {row.location for row in retailer.stock if row.sku == sku}
    near = [other.id for other in retailer.places if other.kind == "store" and other.id not in stocked]
    other = next((name for name in near if _country(retailer, name) == place.city.country), near[0])
    to = Destination(country=place.city.country, postal_code=place.city.postal_code, location=store)
    lines = [PromiseLine(sku=sku, quantity=1)]
    tell.step(f"A shopper in {place.city.name} asks when {sku} could be there: shipped, collected, sent to a store.")
    tell.command(f"promise {sku} --to {to.country}:{to.postal_code} --pickup {store} --channel web")
    here = await client.get_promise(lines, to, channel="web", fulfilments=[FULFILMENT_SHIP, FULFILMENT_PICKUP])
    tell.command(f"promise {sku} --pickup {other} --fulfilment ship-to-store --channel web")
    there = await client.get_promise(
        lines, Destination(location=other), channel="web", fulfilments=[FULFILMENT_SHIP_TO_STORE]
    )
    options = [*here.options, *there.options]
    tell.table(COLUMNS, [row_of(option) for option in options])
    days = {_name(option): shown(option.delivery_day) for option in options}
    first = min((day, name) for name, day in days.items() if day)
    tell.text(f"   The earliest is {first[1]}, on {first[0]}. Nothing is reserved by asking.")
    tell.fact("promise", days)


def _country(retailer: Retailer, name: str) -> str:
    return next(place.city.country for place in retailer.places if place.id == name)


def _name(option: PromiseOption) -> str:
    return " ".join(filter(None, (way_of(option), option.service)))
