"""The section of a network document that says where postal codes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

from invengine.domain.distance import Position, PostalPositions
from invengine.domain.network_fields import Model, decimal, described, text_of
from invengine.domain.postal import POSTAL_PREFIX_MAX, postal_prefix

if TYPE_CHECKING:
    from invengine.domain.network_reading import Reading

POSITIONS_MAX: Final = 50_000


def _prefix(value: object) -> str:
    written = text_of(value, "the beginning of a postal code")
    prefix = postal_prefix(written)
    if not prefix.isalnum() or len(prefix) > POSTAL_PREFIX_MAX:
        raise ValueError(f"{described(written)} is not the beginning of a postal code")
    return prefix


class PostalPositionDocument(Model):
    """Where the codes of a country lie that begin with a prefix; without one, the country."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    postal_prefix: Annotated[str, BeforeValidator(_prefix)] = ""
    latitude: Annotated[float, Field(ge=-90, le=90), BeforeValidator(decimal)]
    longitude: Annotated[float, Field(ge=-180, le=180), BeforeValidator(decimal)]


def read_positions(reading: Reading) -> dict[tuple[str, str], Position]:
    """By (country, prefix). Faults are reported to `reading`."""
    section = "postal_positions"
    raw = reading.raw.get(section)
    raw = [] if raw is None else raw
    if not isinstance(raw, list):
        reading.fault((section,), f"a list of positions is wanted, {described(raw)} found")
        return {}
    if len(raw) > POSITIONS_MAX:
        reading.fault((section,), f"{len(raw)} positions; at most {POSITIONS_MAX} are taken")
        return {}
    found: dict[tuple[str, str], Position] = {}
    first: dict[tuple[str, str], int] = {}
    for place, entry in enumerate(raw):
        if reading.enough():
            break
        position = reading.model((section, place), PostalPositionDocument, entry)
        if position is None:
            continue
        key = position.country, position.postal_prefix
        if first.setdefault(key, place) != place:
            line = reading.line_of((section, first[key]))
            reading.fault((section, place), f"the same codes have a position already, in line {line}")
            continue
        found[key] = Position(position.latitude, position.longitude)
    return found


def position_elements(positions: PostalPositions) -> dict[str, Any]:
    """The section as plain values, by country and prefix; none where there are no positions."""
    found: dict[str, Any] = {}
    for (country, prefix), position in positions.positions.items():
        found.setdefault(country, {})[prefix] = {"latitude": position.latitude, "longitude": position.longitude}
    return {"postal_positions": found} if found else {}
