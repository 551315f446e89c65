"""Shops to source baskets from, baskets and profiles, drawn at random; plain data, see sourcing_counter."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from invengine.domain.network import Network
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import BasketLine

NOW_MS = 1_795_500_000_000  # a Tuesday, 2026-11-24 04:40 UTC
NOW_DAY = NOW_MS // 86_400_000
HERE = Destination("DE", "10115")
THERE = Destination("DE", "80331")
STORE = "L0"
SERVICES = ("slow", "swift")
KITS = {"SET": {"A": 1, "B": 2}}
SKUS = ("A", "B", "C")


@dataclass
class Place:
    priority: int
    parcel: int
    unit: int
    position: tuple[float, float] | None
    has_calendar: bool = True
    fulfilments: tuple[str, ...] = ("ship", "pickup")
    enabled: bool = True
    cut_off: str = "23:00"
    capacity: int = 0
    """Units that it ships in a day; 0: any."""


@dataclass
class Shop:
    """`lanes` by (place, zone, service): (days, cost, cost per unit); `transfers` by place, to STORE."""

    places: dict[str, Place]
    on_hand: dict[tuple[str, str], int]
    lanes: dict[tuple[str, str, str], tuple[int, int, int]] = field(default_factory=dict)
    transfers: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    receipts: list[tuple[str, str, int, int]] = field(default_factory=list)
    """(SKU, place, day, units)"""
    seen: tuple[str, ...] = ()
    """By the channel; empty: all."""
    prices: dict[tuple[str, str], int] = field(default_factory=dict)

    def document(self) -> str:
        """JSON, which is YAML."""
        locations = {}
        for name, place in self.places.items():
            found: dict[str, Any] = {
                "kind": "store",
                "priority": place.priority,
                "enabled": place.enabled,
                "fulfilments": list(place.fulfilments),
                "costs": {"parcel": money(place.parcel), "unit": money(place.unit)},
                "ship": {"cut_off": place.cut_off},
            }
            if place.capacity:
                found["ship"]["capacity"] = {"units": place.capacity}
            if place.has_calendar:
                found |= {"calendar": "daily", "opening": "daily"}
            if place.position:
                found |= {"latitude": place.position[0], "longitude": place.position[1]}
            locations[name] = found
        return json.dumps(
            {
                "currency": "EUR",
                "calendars": {"daily": {"hours": {"mon-sun": "00:00-24:00"}}},
                "services": {name: {"carrier": "any"} for name in SERVICES},
                "zones": {
                    "north": [{"country": "DE", "postal_prefixes": ["1"]}],
                    "south": [{"country": "DE", "postal_prefixes": ["8"]}],
                },
                "postal_positions": [
                    {"country": "DE", "postal_prefix": "1", "latitude": 52.5, "longitude": 13.4},
                    {"country": "DE", "postal_prefix": "8", "latitude": 48.1, "longitude": 11.6},
                ],
                "locations": locations,
                "groups": {"seen": list(self.seen or self.places), "everyone": list(self.places)},
                "channels": {"web": {"groups": ["seen"]}},
                "kits": KITS,
                "lanes": [
                    {"from": name, "zone": zone, "service": service, **lane_entry(lane)}
                    for (name, zone, service), lane in self.lanes.items()
                ],
                "transfer_lanes": [
                    {"from": name, "to": STORE, **lane_entry(lane)} for name, lane in self.transfers.items()
                ],
            }
        )

    def network(self) -> Network:
        return Network.parse(self.document())


def shop(**places: dict[str, int]) -> Shop:
    """Places in the order of their priority, with stock by SKU; lanes to HERE with both services from all of them."""
    return Shop(
        {name: Place(number, 0, 0, None) for number, name in enumerate(places, 1)},
        {(sku, name): units for name, stock in places.items() for sku, units in stock.items()},
        {
            (name, zone, service): (days, cost, 0)
            for name in places
            for zone in ("north", "south")
            for service, days, cost in (("slow", 3, 10_000), ("swift", 1, 40_000))
        },
    )


def sku(name: str, quantity: int = 1, **more: object) -> BasketLine:
    return BasketLine(name.lower(), name, quantity, **more)  # type: ignore[arg-type]


def random_shop(random: Random) -> Shop:
    """Two to four places; often equal costs, so that which plan comes first matters."""
    names = [f"L{number}" for number in range(random.randint(2, 4))]
    some = (0, 1000, 5000, 12_345)
    places = {
        name: Place(
            random.choice((1, 5, 5, 9)),
            random.choice(some),
            random.choice(some),
            random.choice((None, (50.0 + number, 10.0))),
            random.random() < 0.9,
            random.choice((("ship", "pickup"), ("ship", "pickup"), ("ship",), ("pickup",))),
            random.random() < 0.95,
            random.choice(("23:00", "01:00")),
        )
        for number, name in enumerate(names)
    }
    places[STORE].fulfilments, places[STORE].enabled = ("ship", "pickup"), True
    on_hand = {(sku, name): random.choice((0, 1, 2, 3)) for sku in SKUS for name in names if random.random() < 0.8}
    lanes = {
        (name, zone, service): (random.choice((1, 2, 4)), random.choice(some), random.choice((0, 0, 700)))
        for name in names
        for zone in ("north", "south")
        for service in SERVICES
        if random.random() < 0.85 and "ship" in places[name].fulfilments
    }
    transfers = {
        name: (random.choice((1, 3)), random.choice(some), 0)
        for name in names[1:]
        if random.random() < 0.8 and "ship" in places[name].fulfilments
    }
    seen = tuple(name for name in names if random.random() < 0.9) or (STORE,)
    prices = {(sku, name): random.choice((0, 3000, 9999)) for sku in SKUS for name in names}
    return Shop(places, on_hand, lanes, transfers, [], seen, prices)


def random_profile(random: Random) -> Profile:
    some = (0, 0, 500, 20_000)
    return Profile(
        "tried",
        1,
        "",
        parcel_cost=random.choice(some),
        unit_cost=random.choice((0, 3)),
        kilometre_cost=random.choice((0, 11)),
        waiting_day_cost=random.choice(some),
        late_day_cost=random.choice(some),
        early_day_cost=random.choice((0, 0, 1500)),
        priority_cost=random.choice((0, 900)),
        shortage_cost=random.choice((None, 1000, 90_000)),
        lane_percent=random.choice((0, 50, 100, 133)),
        handling_percent=random.choice((0, 33, 100)),
        opportunity_percent=random.choice((0, 0, 100, 45)),
        parcels_max=random.choice((0, 0, 0, 2)),
        may_split=random.random() < 0.8,
        may_be_late=random.random() < 0.4,
        excluded=random.choice(((), (), ("L1",), ("elsewhere",))),
    )


def random_basket(random: Random) -> list[BasketLine]:
    mixed = random.random() < 0.5
    to = [
        (Fulfilment.SHIP, HERE),
        (Fulfilment.SHIP, THERE),
        (Fulfilment.PICKUP, Destination(location=STORE)),
        (Fulfilment.SHIP_TO_STORE, Destination(location=STORE)),
        (Fulfilment.ANY, Destination()),
    ]
    one = random.choice(to)
    lines = []
    for number in range(random.randint(1, 3)):
        way, destination = random.choice(to) if mixed else one
        lines.append(
            BasketLine(
                str(number + 1),
                random.choice((*SKUS, "SET")),
                random.choice((1, 1, 2, 3)),
                allow_split=random.random() < 0.5,
                fulfilment=way,
                destination=destination,
                service=random.choice(("", "", "swift")) if way is Fulfilment.SHIP else "",
                needed_by=random.choice((0, 0, NOW_DAY + 2, NOW_DAY + 3)) if way is not Fulfilment.ANY else 0,
            )
        )
    return lines


def lane_entry(lane: tuple[int, int, int]) -> dict[str, Any]:
    days, cost, unit = lane
    return {"transit": days, "cost": money(cost), "cost_per_unit": money(unit)}


def money(parts: int) -> str:
    return f"{parts // 10_000}.{parts % 10_000:04d}"


def percent(cost: int, share: int) -> int:
    return (cost * share + 50) // 100
