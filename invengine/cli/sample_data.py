"""A made-up retailer: its network file, the stock it opens with, what its customers ask for.

The same numbers for the same parameters, on every machine and release of Python: nothing but `Random.random` is used,
whose sequence Python keeps for ever.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from invengine.cli import sample_delivery
from invengine.cli.sample_places import FINISHES, PRODUCTS, REGIONS, STORES, SUPPLIERS, TIME_ZONES, WAREHOUSES, City
from invengine.domain.orders import Fulfilment

SKUS: Final = 2_000
LOCATIONS: Final = 40
SEED: Final = 7
LOCATIONS_MIN: Final = 3
LOCATIONS_MAX: Final = 4_000
SKUS_MAX: Final = 1_000_000

NETWORK_FILE: Final = "network.yaml"
STOCK_FILE: Final = "stock.csv"
STOCK_COLUMNS: Final = ("sku", "location", "quantity", "kind", "reference", "event_id")

_TILT = 1.05  # of the popularity: the product at rank r is asked for in proportion to r ** -_TILT
_UNITS_PER_LOCATION = 900  # opening stock is about this times the number of locations, per 100 SKUs
_SUPPLIER_SHARE = 0.35  # of SKUs that a supplier ships for the retailer


class Place(NamedTuple):
    """A location of the retailer. `size`: how much it sells, the largest store being 1.0."""

    id: str
    city: City
    kind: str
    size: float


class StockRow(NamedTuple):
    """Units that a position opens with."""

    sku: str
    location: str
    quantity: int


class BasketLine(NamedTuple):
    """What a customer asks for; `location` is empty where any will do."""

    sku: str
    quantity: int
    fulfilment: Fulfilment
    location: str


class Basket(NamedTuple):
    """What one customer takes at once."""

    channel: str
    lines: tuple[BasketLine, ...]


@dataclass(frozen=True)
class Retailer:
    """The whole of it. `skus` go from the most popular on; `weights` are their cumulative shares of the demand."""

    network: str
    places: tuple[Place, ...]
    skus: tuple[str, ...]
    weights: tuple[float, ...]
    stock: tuple[StockRow, ...]
    seed: int

    def baskets(self) -> Iterator[Basket]:
        """Customers, one after the other, without end: few products make most of the demand."""
        random = Random(f"{self.seed} baskets")  # noqa: S311  # a sample, not a secret
        stores = [place.id for place in self.places if place.kind == "store"]
        while True:
            channel = ("web", "web", "app", "till", "marketplace")[int(random.random() * 5)]
            store = stores[int(random.random() ** 2 * len(stores))]
            fulfilment, location = Fulfilment.SHIP, ""
            if channel == "till" or (channel == "app" and random.random() < 0.5):
                fulfilment, location = Fulfilment.PICKUP, store
            wanted = {self._sku(random) for _ in range(1 + int(random.random() ** 3 * 5))}
            lines = [BasketLine(sku, 1 + int(random.random() ** 6 * 4), fulfilment, location) for sku in sorted(wanted)]
            yield Basket(channel, tuple(lines))

    def stock_csv(self) -> str:
        """The opening stock as a file for `invengine stock import`; importing it twice changes nothing."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(STOCK_COLUMNS)
        for number, row in enumerate(self.stock, 1):
            rows.writerow((*row, "RECEIPT", "OPENING", f"opening-{self.seed}-{number}"))
        return text.getvalue()

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes network.yaml and stock.csv into the folder, which is made if need be; answers their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        network, stock = folder / NETWORK_FILE, folder / STOCK_FILE
        network.write_text(self.network, encoding="utf-8", newline="\n")
        stock.write_text(self.stock_csv(), encoding="utf-8", newline="\n")
        return network, stock

    def _sku(self, random: Random) -> str:
        return self.skus[min(bisect(self.weights, random.random()), len(self.skus) - 1)]


def make_retailer(*, skus: int = SKUS, locations: int = LOCATIONS, seed: int = SEED) -> Retailer:
    """A retailer of that size. ValueError outside of 1 to 1,000,000 SKUs and 3 to 4,000 locations."""
    if not 1 <= skus <= SKUS_MAX:
        raise ValueError(f"1 to {SKUS_MAX} SKUs, not {skus}")
    if not LOCATIONS_MIN <= locations <= LOCATIONS_MAX:
        raise ValueError(f"{LOCATIONS_MIN} to {LOCATIONS_MAX} locations, not {locations}")
    random = Random(f"{seed} stock")  # noqa: S311  # a sample, not a secret
    names = _shuffled([_sku_name(number) for number in range(skus)], random)
    shares = [round(rank**-_TILT, 9) for rank in range(1, skus + 1)]  # else the last digit is the machine's own
    total = sum(shares)
    shares = [share / total for share in shares]
    places = _places(locations)
    stock = tuple(_stock(places, names, shares, random))
    weights = tuple(itertools.accumulate(shares))
    return Retailer(_network(places, names), places, tuple(names), weights, stock, seed)


def _sku_name(number: int) -> str:
    """`LAMP-OAK-1`: every product in every finish, then in the next size."""
    rest, product = divmod(number, len(PRODUCTS))
    size, finish = divmod(rest, len(FINISHES))
    return f"{PRODUCTS[product]}-{FINISHES[finish]}-{size + 1}"


def _shuffled(names: list[str], random: Random) -> list[str]:
    return [name for _, name in sorted((random.random(), name) for name in names)]


def _places(count: int) -> tuple[Place, ...]:
    """One location in 20 is a warehouse, one a supplier that ships to customers itself, the others are stores."""
    few = max(1, count // 20)
    stores = count - 2 * few
    return (
        *(_place("DC", WAREHOUSES, number, "warehouse", 6.0) for number in range(few)),
        *(_place("DROP", SUPPLIERS, number, "supplier", 3.0) for number in range(few)),
        *(_place("STORE", STORES, number, "store", 1.0 - 0.7 * number / stores) for number in range(stores)),
    )


def _place(word: str, cities: tuple[City, ...], number: int, kind: str, size: float) -> Place:
    again, index = divmod(number, len(cities))
    city = cities[index]
    aside = 0.01 * again  # the second location of a city does not lie on top of the first
    city = city._replace(latitude=round(city.latitude + aside, 3), longitude=round(city.longitude + aside, 3))
    return Place(f"{word}-{city.id}" + (f"-{again + 1}" if again else ""), city, kind, size)


def _stock(places: tuple[Place, ...], names: list[str], shares: list[float], random: Random) -> Iterator[StockRow]:
    """Popular SKUs are stocked everywhere and deep, rare ones at warehouses and here and there in a store."""
    units = _UNITS_PER_LOCATION * len(places) * len(names) / 100
    sizes = sum(place.size for place in places)
    depths = [
        math.sqrt(share) for share in shares
    ]  # what sells four times as much is stocked twice as deep: it runs short
    depth_of_all = sum(depths)
    for rank, (sku, depth) in enumerate(zip(names, depths, strict=True)):
        shipped_by_supplier = random.random() < _SUPPLIER_SHARE
        for place in places:
            chance = random.random()
            if place.kind == "supplier" and not shipped_by_supplier:
                continue
            if place.kind == "store" and chance > place.size * (1.1 - rank / len(names)):
                continue
            expected = units * depth / depth_of_all * place.size / sizes
            yield StockRow(sku, place.id, 1 + int(expected * (0.5 + random.random()) + random.random() * 4))


def _network(places: tuple[Place, ...], skus: list[str]) -> str:
    groups: dict[str, list[str]] = {}
    for place in places:
        group = REGIONS[place.city.country] if place.kind == "store" else f"{place.kind}s"
        groups.setdefault(group, []).append(place.id)
    regions = [group for group in groups if group in REGIONS.values()]
    lines = ["# A made-up retailer. The format: docs/network.md", "locations:"]
    lines += [f"  {place.id}: {_location(place)}" for place in places]
    by_country = sample_delivery.groups(places)
    lines += ["", "groups:"]
    lines += [f"  {name}: [{', '.join(members)}]" for name, members in (groups | by_country).items()]
    lines += [
        "",
        "channels:",
        _channel("web", groups, "15m", "2h", 20),
        _channel("app", groups, "30m", "2h", 20),
        _channel("till", regions, "5m", "1d", 3),
        _channel("marketplace", [group for group in groups if group not in regions], "1h", "5d", 50),
        "",
        "safety_stock:",
        "  - {channel: marketplace, percent: 12.5}",
        *(f"  - {{location: {place.id}, units: 1}}" for place in places if place.kind == "store"),
        *(f"  - {{sku: {sku}, percent: 5}}" for sku in skus[: -(-len(skus) // 100)]),
        *(f"  - {{sku: {sku}, location: {places[0].id}, units: 10}}" for sku in skus[: -(-len(skus) // 200)]),
        *sample_delivery.sections(places),
    ]
    return "\n".join(lines) + "\n"


def _channel(name: str, groups: Iterable[str], default: str, maximum: str, low: int) -> str:
    times = f"{{default: {default}, maximum: {maximum}}}"
    return f"  {name}: {{groups: [{', '.join(groups)}], time_to_live: {times}, low_stock_threshold: {low}}}"


def _location(place: Place) -> str:
    city = place.city
    kinds = {"warehouse": "DC", "supplier": "supplier", "store": "store"}
    ways = "[ship, pickup]" if place.kind == "store" else "[ship]"
    priority = {"warehouse": 10, "supplier": 30, "store": 20}[place.kind]
    return (
        f"{{name: {city.name} {kinds[place.kind]}, kind: {place.kind}, fulfilments: {ways}, priority: {priority}, "
        f'country: {city.country}, postal_code: "{city.postal_code}", time_zone: {TIME_ZONES[city.country]}, '
        f"latitude: {city.latitude:.3f}, longitude: {city.longitude:.3f}, {sample_delivery.location_fields(place)}}}"
    )
