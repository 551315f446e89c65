"""A network document that delivers: locations in four time zones with hours, holidays, cut-offs and capacity."""

from __future__ import annotations

ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Europe/Warsaw")
HOURS = (
    '{mon-fri: "08:00-18:00"}',
    '{mon-fri: "06:00-22:00", sat: "08:00-14:00"}',
    '{mon-fri: ["08:00-12:00", "13:00-17:00"]}',
)
PARTS = ("BY", "BE", "HH", "NW", "SN", "HE", "BW", "SH", "TH", "ST", "RP", "MV", "BB", "HB", "NI", "SL")
NAMES = ("standard", "express", "economy", "overnight", "freight", "green", "bulky", "night")


def document(locations: int, services: int) -> str:
    """`locations` of them, each with a lane by each of the services to each of three zones; some with capacity."""
    names = [f"L{number:03}" for number in range(locations)]
    calendars = [
        f"  work-{place}-{part}: {{hours: {hours}, holidays: {{country: DE, subdivision: {part}}}}}"
        for place, hours in enumerate(HOURS)
        for part in PARTS
    ]
    calendars += [f'  own-{number}: {{hours: {{mon-sat: "{6 + number % 6:02}:30-19:00"}}}}' for number in range(12)]
    calendars.append('  carrier: {hours: {mon-sat: "00:00-24:00"}, holidays: {country: DE, subdivision: BE}}')
    calendars.append('  weekdays: {hours: {mon-fri: "00:00-24:00"}}')
    lanes = [
        f"  - {{from: all, zone: {zone}, service: {NAMES[service]}, transit: {1 + (service + place) % 4}, "
        f"pickups: weekdays, cost: '4.95'}}"
        for place, zone in enumerate(("south", "north", "rest"))
        for service in range(services)
    ]
    return "\n".join(
        [
            "currency: EUR",
            "calendars:",
            *calendars,
            "services:",
            *(f"  {name}: {{carrier: C, calendar: carrier}}" for name in NAMES[:services]),
            "zones:",
            '  south: [{country: DE, postal_prefixes: ["7", "8", "9"]}]',
            '  north: [{country: DE, postal_prefixes: ["1", "2"]}]',
            "  rest: [{country: DE}]",
            "locations:",
            *(_location(number, name) for number, name in enumerate(names)),
            f"groups:\n  all: [{', '.join(names)}]",
            "channels:\n  web: {groups: [all]}",
            "lanes:",
            *lanes,
        ]
    )


def _location(number: int, name: str) -> str:
    own = number % 5 == 0
    calendar = f"own-{number // 5 % 12}" if own else f"work-{number % 3}-{PARTS[number // 3 % len(PARTS)]}"
    capacity = ", capacity: {units: 500}" if number % 4 == 0 else ""
    return (
        f"  {name}: {{kind: warehouse, time_zone: {ZONES[number % 4]}, calendar: {calendar}, ship: {{handling: "
        f"{number % 7}h, cut_off: '{13 + number % 4}:00', cut_offs: {{express: '17:00'}}{capacity}}}}}"
    )
