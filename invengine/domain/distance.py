"""How far it is: great circles on a sphere with the mean radius of the Earth."""

from __future__ import annotations

from collections.abc import Mapping
from math import asin, cos, radians, sin, sqrt
from typing import Final, NamedTuple

from invengine.domain.postal import postal_prefix

EARTH_RADIUS_KM: Final = 6371.0088
"""The mean radius of the Earth (International Union of Geodesy and Geophysics). A great circle on this sphere is off by
half a percent at most."""


class Position(NamedTuple):
    """A point on the Earth, in degrees: north and east are positive."""

    latitude: float
    longitude: float


def kilometres(one: Position, other: Position) -> float:
    """The great circle between two points, by the haversine formula, which is good for short ways too."""
    north, other_north = radians(one.latitude), radians(other.latitude)
    half_north = sin((other_north - north) / 2)
    half_east = sin(radians(other.longitude - one.longitude) / 2)
    haversine = half_north * half_north + cos(north) * cos(other_north) * half_east * half_east
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(haversine)))


class PostalPositions:
    """Where postal codes lie: the position of the longest prefix, that of the country being the shortest."""

    __slots__ = ("_countries", "positions")

    def __init__(self, positions: Mapping[tuple[str, str], Position]) -> None:
        """`positions`: by (country, prefix as `postal_prefix` makes it); the empty prefix is the whole country."""
        self.positions: Final = positions
        countries: dict[str, set[int]] = {}
        for country, prefix in positions:
            countries.setdefault(country, set()).add(len(prefix))
        self._countries = {country: sorted(lengths, reverse=True) for country, lengths in countries.items()}

    def position_of(self, country: str, postal_code: str) -> Position | None:
        """Where the code lies, or None where that is not known."""
        lengths = self._countries.get(country)
        if lengths is None:
            return None
        code = postal_prefix(postal_code)
        for length in lengths:
            if length <= len(code) and (found := self.positions.get((country, code[:length]))) is not None:
                return found
        return None


NO_POSITIONS: Final = PostalPositions({})
