"""The planner's network file as models: what may stand in it.

The models see every scalar as text (see network_yaml), so each field says itself how its text is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from invengine.domain.delivery_document import HandlingCostsDocument, PreparationDocument
from invengine.domain.identifiers import identifier_problem
from invengine.domain.network_fields import (
    Identifier,
    Model,
    OptionalIdentifier,
    OptionalSeconds,
    Switch,
    decimal,
    known_time_zone,
    listed,
    nothing_is_empty,
    percentage,
    short_text,
    whole,
)
from invengine.domain.stock import GONE, ON_HAND, UNITS_MAX

if TYPE_CHECKING:
    from invengine.domain.delivery_reader import DeliveryDocument
    from invengine.domain.distance import Position
    from invengine.domain.kits import Kit
    from invengine.domain.network_rules import ConfidenceRuleDocument, LowStockRuleDocument

DEFAULT_SECONDS: Final = 15 * 60
DEFAULT_SECONDS_MAX: Final = 2 * 3600


class LocationKind(StrEnum):
    """What a location is."""

    WAREHOUSE = "warehouse"
    STORE = "store"
    SUPPLIER = "supplier"


class FulfilmentWord(StrEnum):
    """What a location can do; one that ships can also serve ship-to-store."""

    SHIP = "ship"
    PICKUP = "pickup"


FULFILMENTS_BY_KIND: Final = {
    LocationKind.WAREHOUSE: (FulfilmentWord.SHIP,),
    LocationKind.STORE: (FulfilmentWord.PICKUP,),
    LocationKind.SUPPLIER: (FulfilmentWord.SHIP,),
}
"""What a location of each kind can do when its entry does not say."""


class Overdue(StrEnum):
    """What becomes of an incoming receipt whose day is over."""

    SLIP = "slip"
    STOP = "stop"


class IncomingDocument(Model):
    """How incoming receipts count. `overdue`: they slip to the next day (the default), or stop counting."""

    overdue: Overdue | None = None


_INCOMING: Final = IncomingDocument()
OptionalPreparation = Annotated[PreparationDocument | None, BeforeValidator(nothing_is_empty)]


class LocationDocument(Model):
    """A place that can hold stock. `priority`: the lower is taken from first."""

    name: Annotated[str, short_text(128)] = ""
    kind: LocationKind = LocationKind.WAREHOUSE
    enabled: Switch = True
    time_zone: Annotated[str, AfterValidator(known_time_zone)] = "UTC"
    fulfilments: Annotated[tuple[FulfilmentWord, ...] | None, BeforeValidator(listed)] = None
    priority: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(whole)] = 100
    latitude: Annotated[float | None, Field(ge=-90, le=90), BeforeValidator(decimal)] = None
    longitude: Annotated[float | None, Field(ge=-180, le=180), BeforeValidator(decimal)] = None
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    postal_code: Annotated[str, short_text(16)] = ""
    incoming: Annotated[IncomingDocument, BeforeValidator(nothing_is_empty)] = _INCOMING
    calendar: OptionalIdentifier = None
    opening: OptionalIdentifier = None
    costs: Annotated[HandlingCostsDocument, BeforeValidator(nothing_is_empty)] = HandlingCostsDocument()
    ship: OptionalPreparation = None
    pickup: OptionalPreparation = None
    ship_to_store: OptionalPreparation = None

    @model_validator(mode="after")
    def _check(self) -> LocationDocument:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together")
        return self


class TimeToLiveDocument(Model):
    """How long a channel may hold, in seconds."""

    default: OptionalSeconds = None
    maximum: OptionalSeconds = None

    @model_validator(mode="after")
    def _check(self) -> TimeToLiveDocument:
        if self.default and self.maximum and self.default > self.maximum:
            raise ValueError(f"the default of {self.default} s is longer than the maximum of {self.maximum} s")
        return self

    def resolved(self) -> tuple[int, int]:
        """(default, maximum) in seconds: 15 minutes and 2 hours, unless the one that is given leaves no room."""
        maximum = self.maximum or max(DEFAULT_SECONDS_MAX, self.default or 0)
        return self.default or min(DEFAULT_SECONDS, maximum), maximum


class ChannelDocument(Model):
    """One who asks and sells; sees the locations of its groups. `borrow`: it may take what is fenced for nobody."""

    groups: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    enabled: Switch = True
    borrow: Switch = True
    time_to_live: Annotated[TimeToLiveDocument, BeforeValidator(nothing_is_empty)] = TimeToLiveDocument()
    low_stock_threshold: Annotated[int, Field(ge=0, le=UNITS_MAX), BeforeValidator(whole)] = 0


class SafetyRuleDocument(Model):
    """Units that stay where its scope matches: sku and location, sku, location, or channel."""

    sku: OptionalIdentifier = None
    location: OptionalIdentifier = None
    channel: OptionalIdentifier = None
    units: Annotated[int | None, Field(ge=0, le=UNITS_MAX), BeforeValidator(whole)] = None
    percent: Annotated[Decimal | None, Field(le=100), BeforeValidator(percentage)] = None

    @model_validator(mode="after")
    def _check(self) -> SafetyRuleDocument:
        if self.channel is not None and (self.sku is not None or self.location is not None):
            raise ValueError("a rule of a channel names neither sku nor location")
        if self.channel is None and self.sku is None and self.location is None:
            raise ValueError("a rule names a sku, a location, both, or a channel")
        if self.units is None and self.percent is None:
            raise ValueError("a rule says units, percent, or both")
        return self

    @property
    def parts(self) -> int:
        """The percentage in ten-thousandths."""
        return int((self.percent or Decimal(0)) * 100)

    @property
    def scope(self) -> tuple[str, str, str]:
        """(sku, location, channel); empty where the rule names none."""
        return self.sku or "", self.location or "", self.channel or ""


class BackorderRuleDocument(Model):
    """Units of a SKU that may be promised at each location without a receipt: to everybody, or to one channel."""

    sku: Identifier
    channel: OptionalIdentifier = None
    units: Annotated[int, Field(ge=1, le=UNITS_MAX), BeforeValidator(whole)]

    @property
    def scope(self) -> tuple[str, str]:
        """(sku, channel); the channel is empty where the rule names none."""
        return self.sku, self.channel or ""


def state_problem(name: str) -> str:
    """What is wrong with the name of a state of units that cannot be sold; empty when nothing is."""
    if name in (ON_HAND, GONE):
        return f"{name!r} is no state of units that are there and cannot be sold"
    return identifier_problem(name)


@dataclass(frozen=True, slots=True)
class NetworkDocument:
    """A document without faults."""

    locations: Mapping[str, LocationDocument]
    groups: Mapping[str, tuple[str, ...]]
    channels: Mapping[str, ChannelDocument]
    safety_stock: tuple[SafetyRuleDocument, ...]
    backorders: tuple[BackorderRuleDocument, ...] = ()
    kits: Mapping[str, Kit] = field(default_factory=dict)
    confidence: tuple[ConfidenceRuleDocument, ...] = ()
    low_stock_thresholds: tuple[LowStockRuleDocument, ...] = ()
    states: tuple[str, ...] = ()
    incoming: IncomingDocument = _INCOMING
    delivery: DeliveryDocument | None = None
    postal_positions: Mapping[tuple[str, str], Position] = field(default_factory=dict)
    """By (country, postal prefix)."""
