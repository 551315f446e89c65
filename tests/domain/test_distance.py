"""Distances, and where postal codes lie."""

from __future__ import annotations

from math import acos, cos, degrees, pi, radians, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.distance import EARTH_RADIUS_KM, Position, PostalPositions, kilometres
from invengine.domain.network import Network
from invengine.domain.orders import Destination
from invengine.domain.postal import postal_prefix
from invengine.errors import NetworkInvalid, UnknownLocation

points = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (Position(0, 0), Position(0, 0), 0),
        (Position(0, 0), Position(0, 90), EARTH_RADIUS_KM * pi / 2),
        (Position(90, 0), Position(-90, 137), EARTH_RADIUS_KM * pi),
        (Position(51.4700, -0.4543), Position(40.6413, -73.7781), 5540),  # London Heathrow to New York JFK
        (Position(0, 179.5), Position(0, -179.5), 111.195),  # over the date line
    ],
)
def test_known_distances(one: Position, other: Position, km: float) -> None:
    assert kilometres(one, other) == pytest.approx(km, rel=1e-3)


@given(points, points)
def test_it_is_as_far_back_and_never_farther_than_half_round(one: Position, other: Position) -> None:
    found = kilometres(one, other)
    assert found == pytest.approx(kilometres(other, one))
    assert 0 <= found <= EARTH_RADIUS_KM * pi * (1 + 1e-12)
    # the spherical law of cosines says the same where it is accurate
    north, other_north = radians(one.latitude), radians(other.latitude)
    east = radians(other.longitude - one.longitude)
    angle = acos(max(-1.0, min(1.0, sin(north) * sin(other_north) + cos(north) * cos(other_north) * cos(east))))
    if 1 < degrees(angle) < 179:
        assert found == pytest.approx(EARTH_RADIUS_KM * angle, rel=1e-6)


CODES = st.text("AB1 -", max_size=4)


@given(st.dictionaries(st.tuples(st.sampled_from(["GB", "IE"]), CODES.map(postal_prefix)), points, max_size=8), CODES)
def test_the_longest_prefix_says_where_a_code_lies(positions: dict[tuple[str, str], Position], code: str) -> None:
    prefixes = [
        (len(prefix), position)
        for (country, prefix), position in positions.items()
        if country == "GB" and postal_prefix(code).startswith(prefix)
    ]
    expected = max(prefixes, key=lambda found: found[0])[1] if prefixes else None
    assert PostalPositions(positions).position_of("GB", code) == expected


NETWORK = """
locations:
  DC: {latitude: 52.5, longitude: -1.5}
  SHOP: {latitude: 51.5, longitude: -0.1, fulfilments: [pickup]}
  DARK: {}
postal_positions:
  - {country: GB, latitude: 54, longitude: -2}
  - {country: GB, postal_prefix: "sw 1", latitude: 51.5, longitude: -0.14}
"""


def test_how_far_it_is_from_a_location_to_where_goods_go() -> None:
    network = Network.parse(NETWORK)
    for _ in range(2):  # the second time it is remembered
        assert network.distance_km("DC", Destination("GB", "SW1A 1AA")) == 145
        assert network.distance_km("DC", Destination("GB", "AB10")) == 170
        assert network.distance_km("DC", Destination("GB", "AB10", "SHOP")) == 147
        assert network.distance_km("DC", Destination("IE", "D01")) is None
        assert network.distance_km("DC", Destination("GB", "SW1A", "DARK")) is None
        assert network.distance_km("DARK", Destination("GB", "SW1A")) is None
    with pytest.raises(UnknownLocation):
        network.distance_km("X", Destination("GB"))
    assert network.elements()["postal_positions"]["GB"]["SW1"] == {"latitude": 51.5, "longitude": -0.14}


@pytest.mark.parametrize(
    ("entry", "path", "problem"),
    [
        ("{country: GB}", "", "a list of positions is wanted, a mapping found"),
        ("[5]", "[0]", "a mapping is wanted, '5' found"),
        ("[{country: GB, latitude: 1}]", "[0].longitude", "is missing"),
        ("[{country: gb, latitude: 1, longitude: 1}]", "[0].country", "'gb' is not a country such as GB"),
        ("[{country: GB, latitude: 91, longitude: 1}]", "[0].latitude", "less than or equal to 90"),
        ("[{country: GB, latitud: 9}]", "[0].latitud", "not a known field; latitude is meant?"),
        (
            "[{country: GB, postal_prefix: '*', latitude: 1, longitude: 1}]",
            "[0].postal_prefix",
            "'*' is not the beginning of a postal code",
        ),
        (
            "[{country: GB, postal_prefix: a, latitude: 1, longitude: 1}, {country: GB, postal_prefix: A, latitude: 2,"
            " longitude: 2}]",
            "[1]",
            "the same codes have a position already, in line 2",
        ),
    ],
)
def test_what_is_wrong_with_a_position_is_named_with_its_line(entry: str, path: str, problem: str) -> None:
    with pytest.raises(NetworkInvalid) as refusal:
        Network.parse(f"locations: {{A: {{}}}}\npostal_positions: {entry}")
    faults = {fault.path: fault for fault in refusal.value.faults}
    fault = faults[f"postal_positions{path}"]
    assert problem in fault.problem
    assert fault.line == 2
