"""Delivery in the planner's network file: services, lanes and what locations do, as models."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, model_validator

from invengine.domain.calendar_document import minute_of
from invengine.domain.delivery import COST_PARTS, Capacity, Preparation
from invengine.domain.network_fields import (
    Model,
    OptionalIdentifier,
    described,
    nothing_is_empty,
    short_text,
    text_of,
    whole,
)
from invengine.domain.stock import UNITS_MAX

HANDLING_MINUTES_MAX: Final = 60 * 1000
TRANSIT_DAYS_MAX: Final = 365
COST_MAX: Final = 1_000_000 * COST_PARTS

_HANDLING = re.compile(r"(0|[1-9][0-9]{0,5})([mh])")
_COST = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,4})?")


def _handling(value: object) -> int:
    text = text_of(value, "a time such as 4h")
    match = _HANDLING.fullmatch(text)
    if text != "0" and not match:
        raise ValueError(
            f"{described(text)} is not a time of work such as 90m or 4h (a day of work is as long as its hours)"
        )
    minutes = int(match[1]) * (60 if match[2] == "h" else 1) if match else 0
    if minutes > HANDLING_MINUTES_MAX:
        raise ValueError(f"at most {HANDLING_MINUTES_MAX // 60} hours")
    return minutes


def _minute(value: object) -> int:
    return minute_of(text_of(value, "a time of day"))


def _name(value: object) -> str:
    return text_of(value, "an id")


def money(value: object) -> int:
    """An amount of money in ten-thousandths; ValueError says what is wanted."""
    text = text_of(value, "an amount of money")
    if not _COST.fullmatch(text):
        raise ValueError(f"{described(text)} is not an amount such as 4.95, with at most 4 decimals")
    parts = int(Decimal(text) * COST_PARTS)
    if parts > COST_MAX:
        raise ValueError(f"at most {COST_MAX // COST_PARTS:,}")
    return parts


Minute = Annotated[int, BeforeValidator(_minute)]
OptionalMinute = Annotated[int | None, BeforeValidator(_minute)]
Cost = Annotated[int, BeforeValidator(money)]
TransitDays = Annotated[int, Field(ge=0, le=TRANSIT_DAYS_MAX), BeforeValidator(whole)]
OptionalName = Annotated[str | None, BeforeValidator(_name)]
DayCount = Annotated[int | None, Field(ge=1, le=UNITS_MAX), BeforeValidator(whole)]


class HandlingCostsDocument(Model):
    """What a location costs for each parcel that leaves it, and for each unit."""

    parcel: Cost = 0
    unit: Cost = 0


class CapacityDocument(Model):
    """What a location can prepare in a day: units, or orders."""

    units: DayCount = None
    orders: DayCount = None

    @model_validator(mode="after")
    def _check(self) -> CapacityDocument:
        if (self.units is None) == (self.orders is None):
            raise ValueError(
                "a capacity says units or orders, not both" if self.units else "a capacity says units or orders"
            )
        return self


class PreparationDocument(Model):
    """What a location does before goods leave it or can be collected. `handling` is working time."""

    handling: Annotated[int, BeforeValidator(_handling)] = 0
    cut_off: OptionalMinute = None
    cut_offs: Annotated[dict[str, Minute], BeforeValidator(nothing_is_empty)] = Field(default_factory=dict)
    capacity: Annotated[CapacityDocument | None, BeforeValidator(nothing_is_empty)] = None

    def preparation(self) -> Preparation:
        """As it is kept."""
        capacity = Capacity(self.capacity.units or 0, self.capacity.orders or 0) if self.capacity else None
        return Preparation(self.handling, self.cut_off, self.cut_offs, capacity)


class ServiceDocument(Model):
    """What a carrier offers. `calendar`: the days that count as transit; without it every day does."""

    carrier: Annotated[str, short_text(64)] = ""
    calendar: OptionalIdentifier = None


class _LaneFields(Model):
    """Names are plain text here: the reader looks each of them up, so they need no further check."""

    from_: Annotated[str, Field(alias="from")]
    transit: TransitDays
    pickups: OptionalName = None
    cost: Cost = 0
    cost_per_unit: Cost = 0


class LaneDocument(_LaneFields):
    """One service from a location, or from each of a group, to a zone."""

    zone: str
    service: str

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        """The fields that name a location or group, and the names."""
        return (("from", self.from_),)

    @property
    def references(self) -> tuple[tuple[str, str, str | None], ...]:
        """(field, section, name) of what else it names."""
        services = ("service", "services", self.service)
        return ("zone", "zones", self.zone), services, ("pickups", "calendars", self.pickups)


class TransferLaneDocument(_LaneFields):
    """The way from one location, or from each of a group, to another, or to each of a group."""

    to: str
    calendar: OptionalName = None

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        """The fields that name a location or group, and the names."""
        return ("from", self.from_), ("to", self.to)

    @property
    def references(self) -> tuple[tuple[str, str, str | None], ...]:
        """(field, section, name) of what else it names."""
        return ("calendar", "calendars", self.calendar), ("pickups", "calendars", self.pickups)


def currency_problem(written: object) -> str:
    """What is wrong with a currency; empty when nothing is."""
    if isinstance(written, str) and re.fullmatch("[A-Z]{3}", written):
        return ""
    return f"{described(written)} is not a currency such as EUR"
