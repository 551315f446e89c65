"""Where orders come from, by a network: the columns against what lanes, distances and single questions say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.distance import Position, kilometres
from invengine.domain.network import Network
from invengine.domain.orders import Destination
from invengine.kernels.layout import NO_WAY
from invengine.services.scarcity_network import NetworkRegions, Places

POSITIONS = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180))
DOCUMENT = """\
currency: EUR
calendars: {always: {hours: {mon-sun: "00:00-24:00"}}}
services: {standard: {carrier: DHL, calendar: always}}
zones: {south: [{country: DE, postal_prefixes: ["8"]}], west: [{country: DE, postal_prefixes: ["4"]}]}
locations:
  HAM: {postal_code: "20095", country: DE, latitude: 53.55, longitude: 10.0, costs: {unit: "0.30"}, calendar: always}
  MUC: {postal_code: "80331", country: DE, latitude: 48.14, longitude: 11.58, costs: {unit: "0.20"}, calendar: always}
  BER: {latitude: 52.52, longitude: 13.4, costs: {parcel: "1.00", unit: "0.10"}, calendar: always}
  DARK: {costs: {parcel: "3.00", unit: "0.50"}, calendar: always}
lanes:
  - {from: HAM, zone: south, service: standard, transit: 2, cost: "6.00"}
  - {from: BER, zone: south, service: standard, transit: 2, cost: "4.00"}
  - {from: HAM, zone: west, service: standard, transit: 1, cost: "3.00"}
groups: {all: [HAM, MUC, BER, DARK]}
channels: {web: {groups: [all]}}
postal_positions: [{country: PL, latitude: 52.4, longitude: 16.9}]
"""
KILOMETRE_COST = 40


@given(POSITIONS, st.lists(st.none() | POSITIONS, max_size=5))
def test_distances_are_those_of_single_questions(point: Position, positions: list[Position | None]) -> None:
    found = Places(positions).kilometres_from(point)
    assert found.tolist() == pytest.approx(
        [math.nan if place is None else kilometres(point, place) for place in positions], abs=1e-6, nan_ok=True
    )
    assert np.isnan(Places(positions).kilometres_from(None)).all()


@given(
    POSITIONS, st.lists(st.none() | st.sampled_from([Position(0, 0), Position(0, 1e-4), Position(50, 8)]), max_size=5)
)
def test_the_nearest_is_the_first_of_those_as_near_in_whole_kilometres(
    point: Position, positions: list[Position | None]
) -> None:
    away = {n: round(kilometres(point, place)) for n, place in enumerate(positions) if place is not None}
    assert Places(positions).nearest(point) == min(away, key=lambda n: (away[n], n), default=-1)
    assert Places(positions).nearest(None) == -1


def test_regions_cost_what_lanes_and_distances_say_and_only_those_that_are_wanted_are_told() -> None:
    network = Network.parse(DOCUMENT)
    regions = NetworkRegions(network, KILOMETRE_COST)
    columns = np.array([3, 0, 2, 1])  # as forecasts number the locations
    everything = regions.regions(columns, np.ones(4, np.bool_))

    def away(start: str, end: str) -> int:
        places = network.locations[start].position, network.locations[end].position
        assert places[0] is not None
        assert places[1] is not None
        return round(kilometres(*places) * KILOMETRE_COST)

    south, west = [60_000, NO_WAY, 50_000, NO_WAY], [30_000, NO_WAY, NO_WAY, NO_WAY]
    assert everything.parcel_cost.tolist() == [
        south,
        west,
        [0, away("MUC", "HAM"), 10_000 + away("BER", "HAM"), NO_WAY],  # no zone
        [60_000, 0, 50_000, NO_WAY],  # in the south
        [away("HAM", "BER"), away("MUC", "BER"), 0, NO_WAY],
        [NO_WAY, NO_WAY, NO_WAY, 0],  # nobody knows where
    ]
    own = [3_000, 2_000, 1_000, 5_000]
    assert everything.unit_cost[3].tolist() == [3_000, 2_000, 1_000, 0]
    assert everything.unit_cost[:, :3].max(axis=0).tolist() == own[:3]
    homes = [2, 0, 0, 1, 2, 3]  # south: Berlin sends for less
    assert everything.home.tolist() == [columns[home] for home in homes]
    wanted = np.zeros(4, np.bool_)
    wanted[[columns[2], columns[3]]] = True
    some = regions.regions(columns, wanted)
    chosen = [0, 4, 5]
    for few, many in zip(some, everything, strict=True):
        assert few.tolist() == many[chosen].tolist()
    nothing = regions.regions(columns, np.zeros(4, np.bool_))
    assert nothing.parcel_cost.shape == nothing.line_cost(2.0).shape == (0, 4)


def test_a_line_is_of_the_zone_or_the_nearest_location_or_who_served_it() -> None:
    regions = NetworkRegions(Network.parse(DOCUMENT), KILOMETRE_COST)

    def region(to: Destination | None, served: str = "HAM") -> int:
        told = b"" if to is None else "\t".join((to.country, to.postal_code, to.location)).encode()
        return regions.region_of(told, served.encode())

    assert region(Destination("DE", "80802")) == 0
    assert region(Destination("DE", "80802", "BER")) == 2 + 2
    assert region(Destination("PL", "60-101")) == 2 + 2
    assert region(Destination("FR", "75001")) == region(None) == 2 + 0
    assert region(None, "GONE") == -1


def test_ten_thousand_locations_are_made_ready_without_their_square() -> None:
    """A table of each location for each would be 800 MB."""
    names = [f"L{n}" for n in range(10_000)]
    document = "\n".join(
        [
            "currency: EUR",
            "locations:",
            *(f"  L{n}: {{latitude: {40 + n % 100 / 10}, longitude: {n // 100 / 10}}}" for n in range(10_000)),
            f"groups: {{all: [{', '.join(names)}]}}",
            "channels: {web: {groups: [all]}}",
        ]
    )
    regions = NetworkRegions(Network.parse(document), KILOMETRE_COST)
    wanted = np.zeros(10_000, np.bool_)
    wanted[77] = True
    found = regions.regions(np.arange(10_000), wanted)
    assert (found.home.tolist(), found.parcel_cost.shape) == ([77], (1, 10_000))
    assert found.parcel_cost[0, 77] == 0 < found.parcel_cost[0, 78]
