"""How the text of single fields of the network file is read.

The models see every scalar as text (see network_yaml), so each field says itself how its text is read.
"""

from __future__ import annotations

import re
import zoneinfo
from decimal import Decimal
from typing import Annotated, Final, TypeGuard

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from invengine.domain.identifiers import has_control_characters, identifier_problem
from invengine.domain.network_yaml import shortened

SECONDS_MAX: Final = 3650 * 86_400

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,11})([smhd]?)")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?")
_COUNTRY = re.compile(r"[A-Z]{2}")
_PERCENT = re.compile(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,2})?")


def _identifier(value: object) -> str:
    text = text_of(value, "an id")
    if problem := identifier_problem(text):
        raise ValueError(problem)
    return text


def is_country(value: object) -> TypeGuard[str]:
    """Whether it is written like an ISO 3166-1 alpha-2 country."""
    return isinstance(value, str) and _COUNTRY.fullmatch(value) is not None


def short_text(bytes_max: int) -> AfterValidator:
    """Text for people, of so many bytes at most."""

    def check(text: str) -> str:
        if len(text.encode()) > bytes_max:
            raise ValueError(f"at most {bytes_max} bytes")
        if has_control_characters(text):
            raise ValueError("no control characters")
        return text

    return AfterValidator(check)


def described(value: object) -> str:
    """What a value of the file is, for people."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else repr(shortened(str(value), 40))


def text_of(value: object, wanted: str) -> str:
    """The value when it is text; ValueError says what is wanted instead."""
    if not isinstance(value, str):
        raise ValueError(f"{wanted} is wanted, {described(value)} found")
    return value


def whole(value: object) -> int:
    """A whole number; ValueError says what is wanted."""
    text = text_of(value, "a whole number")
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{described(text)} is not a whole number")
    return int(text)


def decimal(value: object) -> float:
    """A decimal number; ValueError says what is wanted."""
    text = text_of(value, "a number")
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{described(text)} is not a decimal number")
    return float(text)


def percentage(value: object) -> Decimal:
    """A percentage; ValueError says what is wanted."""
    text = text_of(value, "a percentage")
    if not _PERCENT.fullmatch(text):
        raise ValueError(f"{described(text)} is not a percentage from 0 to 100 with at most 2 decimals, such as 12.5")
    return Decimal(text)


def _switch(value: object) -> bool:
    word = text_of(value, "true or false").lower()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"{described(word)} is neither true nor false")


def _duration(value: object) -> int:
    text = text_of(value, "a duration")
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{described(text)} is not a duration such as 90s, 15m, 2h or 5d")
    return int(match[1]) * _SECONDS.get(match[2], 1)


def known_time_zone(name: str) -> str:
    """The name when it is one of a time zone; else ValueError."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a folder of zones, or too long
        raise ValueError(f"{described(name)} is not a time zone such as Europe/London") from None
    return name


def nothing_is_empty(value: object) -> object:
    """An element with nothing written after its colon is one with every default."""
    return {} if value is None else value


def listed(value: object) -> object:
    """The value; ValueError when nothing is written."""
    if value is None:
        raise ValueError("a list is wanted, nothing found")
    return value


# Before-validators stand outside `| None`: a field that is left out is None, one with nothing after its colon a fault.
Identifier = Annotated[str, BeforeValidator(_identifier)]
OptionalIdentifier = Annotated[str | None, BeforeValidator(_identifier)]
Switch = Annotated[bool, BeforeValidator(_switch)]
OptionalSeconds = Annotated[int | None, Field(le=SECONDS_MAX), BeforeValidator(_duration)]


class Model(BaseModel):
    """An element of the file: fields that it does not know are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)
