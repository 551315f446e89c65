"""How the sample retailer delivers: its calendars, services, zones and lanes. The carriers are invented."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from invengine.cli.sample_places import REGIONS

if TYPE_CHECKING:
    from invengine.cli.sample_data import Place

ISLES: Final = ("GB", "IE")
SUNDAYS: Final = ("GB", "IE", "NL")
"""Countries where shops open on Sundays."""
REMOTE: Final = {
    "GB": ("gb-remote", ("AB", "BT", "HS", "IV", "KW", "PA", "PH", "ZE")),
    "FR": ("fr-corsica", ("20",)),
}
"""Zones that take a day more than the rest of their country, and their postal prefixes."""

_SERVICES = (("standard", "Parcelway", "weekdays", 2, 4.95), ("express", "Swiftline", "six-days", 1, 9.95))


def groups(places: Iterable[Place]) -> dict[str, list[str]]:
    """Warehouses and suppliers by country, such as `dc-gb`: what ships from there is on its way equally long."""
    found: dict[str, list[str]] = {}
    for place in places:
        if place.kind != "store":
            word = "dc" if place.kind == "warehouse" else "drop"
            found.setdefault(f"{word}-{place.city.country.lower()}", []).append(place.id)
    return found


def location_fields(place: Place) -> str:
    """The fields of a location that say how it works."""
    country = place.city.country.lower()
    if place.kind == "warehouse":
        ship = '{handling: 2h, cut_off: "16:00", cut_offs: {express: "18:00"}}'
        vans = '{handling: 2h, cut_off: "14:00", capacity: {units: 2000}}'
        return f"calendar: dc-{country}, ship: {ship}, ship_to_store: {vans}"
    if place.kind == "supplier":
        return f'calendar: office-{country}, ship: {{handling: 8h, cut_off: "12:00"}}'
    return f'calendar: shop-{country}, ship: {{handling: 4h, cut_off: "13:00"}}, pickup: {{handling: 1h}}'


def sections(places: Sequence[Place]) -> Iterator[str]:
    """The lines of everything else about delivery."""
    yield from ("", "currency: EUR", "", "calendars:")
    yield from _calendars(places)
    yield from ("", "services:")
    for service, carrier, calendar, _, _ in _SERVICES:
        yield f"  {service}: {{carrier: {carrier}, calendar: {calendar}}}"
    yield from ("", "zones:")
    for country in REGIONS:
        yield f"  {country.lower()}: [{{country: {country}}}]"
        if country in REMOTE:
            zone, prefixes = REMOTE[country]
            quoted = ", ".join(f'"{prefix}"' for prefix in prefixes)
            yield f"  {zone}: [{{country: {country}, postal_prefixes: [{quoted}]}}]"
    yield from ("", "lanes:")
    yield from _lanes(places)
    yield from ("", "transfer_lanes:")
    yield from _transfer_lanes(places)


def _calendars(places: Sequence[Place]) -> Iterator[str]:
    yield "  weekdays: {hours: {mon-fri: open}}"
    yield "  six-days: {hours: {mon-sat: open}}"
    hours = {
        "warehouse": ("dc", '{mon-fri: "06:00-22:00", sat: "08:00-16:00"}'),
        "supplier": ("office", '{mon-fri: ["08:00-12:00", "13:00-17:00"]}'),
    }
    for kind, country in sorted({(place.kind, place.city.country) for place in places}):
        sunday = ', sun: "11:00-17:00"' if country in SUNDAYS else ""
        name, week = hours.get(kind, ("shop", f'{{mon-sat: "09:00-20:00"{sunday}}}'))
        yield f"  {name}-{country.lower()}: {{hours: {week}, holidays: {{country: {country}}}}}"
    from_warehouses = {place.city.country for place in places if place.kind != "store"}
    for country in sorted(from_warehouses | set(_collections(places).values())):
        yield f"  collection-{country.lower()}: {{hours: {{mon-fri: open}}, holidays: {{country: {country}}}}}"


def _collections(places: Sequence[Place]) -> dict[str, str]:
    """By region, the country in which carriers collect from its stores: that of the first of them."""
    found: dict[str, str] = {}
    for place in places:
        if place.kind == "store":
            found.setdefault(REGIONS[place.city.country], place.city.country)
    return found


def _lanes(places: Sequence[Place]) -> Iterator[str]:
    """Warehouses and suppliers ship everywhere, stores in their own country."""
    for group in groups(places):
        country = group.split("-")[1].upper()
        for to in REGIONS:
            yield from _lanes_to(group, country, to)
    for region, country in _collections(places).items():
        for to in [other for other, named in REGIONS.items() if named == region]:
            yield from _lanes_to(region, country, to)


def _lanes_to(start: str, country: str, to: str) -> Iterator[str]:
    """The lanes of all services to the zones of a country; `country` is where they begin."""
    abroad = 0 if country == to else 1 if (country in ISLES) == (to in ISLES) else 3
    zones = [(to.lower(), 0)]
    if to in REMOTE:
        zones.append((REMOTE[to][0], 1))
    for service, _, _, days, cost in _SERVICES:
        for zone, more in zones:
            fields = f"transit: {days + abroad + more}, pickups: collection-{country.lower()}"
            price = f'cost: "{cost + 2 * abroad + 3 * more:.2f}", cost_per_unit: "0.30"'
            yield f"  - {{from: {start}, zone: {zone}, service: {service}, {fields}, {price}}}"


def _transfer_lanes(places: Sequence[Place]) -> Iterator[str]:
    """Vans from the first warehouse on either side of the sea; where there is none, from the other side."""
    warehouses = [place for place in places if place.kind == "warehouse"]
    for region in _collections(places):
        isles = region in {REGIONS[country] for country in ISLES}
        near = [place for place in warehouses if (place.city.country in ISLES) == isles]
        start, days = (near[0], 1) if near else (warehouses[0], 3)
        country = start.city.country.lower()
        yield (
            f"  - {{from: {start.id}, to: {region}, transit: {days}, calendar: six-days, "
            f'pickups: collection-{country}, cost: "{0.4 + days * 0.4:.2f}"}}'
        )
