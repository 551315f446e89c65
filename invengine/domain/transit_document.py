"""The document of learnt transit times: JSON with counts only, so that what is learnt from it is the same everywhere.

    {"version": 1, "strength": 10, "basis": "each",
     "shipped_since": "2026-01-05", "shipped_until": "2026-10-30", "as_of": "2026-11-02",
     "lanes": {"DC-EAST": {"de-south": {"standard": {"arrived": {"1": 812, "2": 140}, "under_way": {"1": 3}}}}}}

`arrived` has deliveries by the carrier working days that they took, `under_way` parcels by those after which they were
known not to have arrived. A document without lanes is one in which nothing is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from invengine.domain.days import calendar_day, day_number
from invengine.domain.identifiers import identifier_problem
from invengine.domain.network_yaml import path_text
from invengine.domain.transit import STRENGTH, LaneName, TransitPeriod, TransitTimes
from invengine.domain.transit_basis import TransitBasis
from invengine.domain.transit_distribution import DAYS_MAX, Seen
from invengine.errors import TransitInvalid

DOCUMENT_BYTES_MAX: Final = 3_000_000
STRENGTH_MAX: Final = 10_000
COUNT_MAX: Final = 10**12
"""The most deliveries or parcels of one number of days: sums of them stay exact as floats."""

_VERSION: Final = 1
_FIELDS: Final = ("version", "strength", "basis", "shipped_since", "shipped_until", "as_of", "lanes")
_PERIOD: Final = _FIELDS[3:6]


def write_document(
    lanes: Mapping[LaneName, Seen],
    period: TransitPeriod | None,
    *,
    strength: int = STRENGTH,
    basis: TransitBasis = TransitBasis.EACH,
) -> str:
    """The document of what was seen, in lanes and period; the same text for the same content."""
    nested: dict[str, dict[str, dict[str, Any]]] = {}
    for (location, zone, service), seen in sorted(lanes.items()):
        counts = {"arrived": _written(seen.arrived)}
        if seen.under_way:
            counts["under_way"] = _written(seen.under_way)
        nested.setdefault(location, {}).setdefault(zone, {})[service] = counts
    content: dict[str, Any] = {"version": _VERSION, "strength": strength, "basis": basis.value}
    if period is not None:
        content |= zip(_PERIOD, (calendar_day(day).isoformat() for day in period), strict=True)
    return json.dumps(content | {"lanes": nested}, ensure_ascii=False, separators=(",", ":"))


def read_document(document: str, revision: int = 0) -> TransitTimes:
    """The transit times of a document. TransitInvalid names the first fault."""
    if len(document.encode()) > DOCUMENT_BYTES_MAX:
        raise TransitInvalid("document", f"is larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        content = json.loads(document, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TransitInvalid("document", f"is not JSON: {error}") from None
    fields = _mapping((), content)
    for name in fields:
        if name not in _FIELDS:
            raise TransitInvalid(path_text((name,)), f"not a known field; known are {', '.join(_FIELDS)}")
    if _whole(("version",), fields.get("version"), 1, 10**9) != _VERSION:
        raise TransitInvalid("version", f"{fields['version']} is not understood; {_VERSION} is")
    strength = _whole(("strength",), fields.get("strength", STRENGTH), 0, STRENGTH_MAX)
    basis = fields.get("basis", TransitBasis.EACH.value)
    if basis not in [one.value for one in TransitBasis]:
        raise TransitInvalid("basis", f"{_shown(basis)} is none of {', '.join(TransitBasis)}")
    lanes = dict(_lanes(_mapping(("lanes",), fields.get("lanes"))))
    return TransitTimes(
        lanes,
        period=_period(fields),
        strength=strength,
        basis=TransitBasis(basis),
        document=document,
        revision=revision,
    )


def _lanes(locations: Mapping[str, Any]) -> Iterator[tuple[LaneName, Seen]]:
    for location, zones in locations.items():
        for zone, services in _mapping(("lanes", location), zones).items():
            for service, counts in _mapping(("lanes", location, zone), services).items():
                path = ("lanes", location, zone, service)
                for name in path[1:]:
                    if problem := identifier_problem(name):
                        raise TransitInvalid(path_text(path), problem)
                parts = _mapping(path, counts)
                for name in parts:
                    if name not in ("arrived", "under_way"):
                        raise TransitInvalid(path_text((*path, name)), "not a known field")
                yield (
                    (location, zone, service),
                    Seen(*(_read((*path, name), parts.get(name, {})) for name in ("arrived", "under_way"))),
                )


def _read(path: tuple[str, ...], counts: object) -> dict[int, int]:
    found = {}
    for text, count in _mapping(path, counts).items():
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and str(int(text)) == text):
            raise TransitInvalid(path_text(path), f"{text[:20]!r} is not a number of days")
        if int(text) > DAYS_MAX:
            raise TransitInvalid(path_text(path), f"{text} days are more than {DAYS_MAX}")
        found[int(text)] = _whole((*path, text), count, 1, COUNT_MAX)
    return dict(sorted(found.items()))


def _written(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(days): count for days, count in sorted(counts.items())}


def _period(fields: Mapping[str, Any]) -> TransitPeriod | None:
    if not any(name in fields for name in _PERIOD):
        return None
    days = []
    for name in _PERIOD:
        text = fields.get(name)
        try:
            days.append(day_number(date.fromisoformat(text)))  # type: ignore[arg-type]  # TypeError is caught
        except (TypeError, ValueError):
            raise TransitInvalid(name, f"{_shown(text)} is not a day such as 2026-01-31") from None
    period = TransitPeriod(*days)
    if not period.shipped_since <= period.shipped_until <= period.as_of:
        raise TransitInvalid("as_of", "the days are not in order: shipped_since, shipped_until, as_of")
    return period


def _mapping(path: tuple[str, ...], value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TransitInvalid(path_text(path), f"an object is wanted, {_shown(value)} found")
    return value


def _whole(path: tuple[str, ...], value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise TransitInvalid(path_text(path), f"a whole number from {least} to {most} is wanted, {_shown(value)} found")
    return value


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for name in found:
        name.encode()  # half a character, which JSON can write, is a ValueError here
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
