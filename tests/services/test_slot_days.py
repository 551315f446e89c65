"""On which day units are prepared: as the promise kernels have it, and which days have room."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from invengine.domain.calendars import utc_minute
from invengine.domain.capacity import capacity_sku
from invengine.domain.days import day_number
from invengine.domain.network import Network
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.transit import NOTHING_LEARNT
from invengine.replica.replica import Replica
from invengine.services.dates import NOW, DatedLine
from invengine.services.dating import Dating
from invengine.services.slot_days import days_with_room, done_day

NETWORK = """\
calendars:
  office:
    hours: {mon-fri: ["08:00-12:00", "13:00-18:00"], sat: "09:00-12:00"}
    exceptions: {2026-12-24: closed}
services: {standard: {carrier: DHL}}
zones: {de: [{country: DE}]}
locations:
  DC:
    kind: warehouse
    time_zone: Europe/Berlin
    calendar: office
    ship: {handling: 5h, cut_off: "15:00", capacity: {units: 6}}
lanes: [{from: DC, zone: de, service: standard, transit: 1}]
groups: {all: [DC]}
channels: {web: {groups: [all]}}
"""
ZONE = "Europe/Berlin"


class At:
    """A clock that stands."""

    def __init__(self, now_ms: int) -> None:
        self.time = now_ms

    def now_ms(self) -> int:
        return self.time


@pytest.mark.parametrize("hour", [3, 7, 9, 11, 12, 14, 15, 17, 19])
@pytest.mark.parametrize("day", ["2026-11-23", "2026-11-27", "2026-11-28", "2026-11-29", "2026-12-23", "2026-12-24"])
@pytest.mark.parametrize("units", [1, 4, 20])
def test_the_day_is_that_of_the_kernels(day: str, hour: int, units: int) -> None:
    """Whatever is taken of the days that come."""
    network = Network.parse(NETWORK)
    start = utc_minute(day_number(datetime.fromisoformat(day).date()), hour * 60 + 17, ZONE)
    replica = Replica(1, b"store")
    clock = At(start * 60_000)
    sku, place = capacity_sku("DC", "SHIP"), network.locations["DC"]
    first = done_day(place, Fulfilment.SHIP, "standard", start)
    for n, taken in enumerate((6, 3, 0, 5)):
        replica.slots.claim(sku, first + n, taken, "others")
    dating = Dating(network, NOTHING_LEARNT, replica, clock)  # type: ignore[arg-type]
    dates = dating.options([DatedLine(units, {"DC": NOW})], Destination("DE", "10115"))
    chain = dates.chain(0, 0, 0)
    found = days_with_room(place.calendar, first, units, 6, replica.slots.taken(sku))
    assert found[-1][0] == chain.slot_day
    assert sum(count for _, count in found) == units


def test_a_location_without_a_calendar_works_always() -> None:
    network = Network.parse("locations: {DC: {kind: warehouse}}\ngroups: {}\nchannels: {}\n")
    sunday = datetime(2026, 11, 29, 23, 59, tzinfo=UTC)
    start = int(sunday.timestamp()) // 60
    assert done_day(network.locations["DC"], Fulfilment.SHIP, "", start) == day_number(sunday.date())
