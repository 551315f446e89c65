"""Rules of the network file that say how far stock is trusted, and from when on it counts as low."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from invengine.domain.identifiers import identifier_problem
from invengine.domain.kits import COMPONENT_UNITS_MAX, COMPONENTS_MAX
from invengine.domain.network_fields import (
    SECONDS_MAX,
    Model,
    OptionalIdentifier,
    OptionalSeconds,
    described,
    percentage,
    whole,
)
from invengine.domain.network_parts import rule_elements
from invengine.domain.stock import UNITS_MAX, ConfidenceRule

CONFIDENCE_RULES_MAX: Final = 8
"""That hold at one location: the store works each of them out whenever it takes units there."""

Threshold = tuple[str, str, str]
"""(sku, location, channel) that a threshold is for; empty where its rule names none."""


class ConfidenceRuleDocument(Model):
    """Units that are not offered, since what is recorded may not be there, at a location or at all that have no rule.

    It holds where the last count is so long ago (or there was none), where fewer units are on hand, or, with both
    said, where both are so.
    """

    location: OptionalIdentifier = None
    counted_before: OptionalSeconds = None
    fewer_than: Annotated[int | None, Field(ge=1, le=UNITS_MAX), BeforeValidator(whole)] = None
    units: Annotated[int | None, Field(ge=0, le=UNITS_MAX), BeforeValidator(whole)] = None
    percent: Annotated[Decimal | None, Field(le=100), BeforeValidator(percentage)] = None

    @model_validator(mode="after")
    def _check(self) -> ConfidenceRuleDocument:
        if self.counted_before is None and self.fewer_than is None:
            raise ValueError("a rule says counted_before, fewer_than, or both")
        if self.units is None and self.percent is None:
            raise ValueError("a rule says units, percent, or both")
        return self

    @property
    def rule(self) -> ConfidenceRule:
        """The rule as it is kept."""
        parts = int((self.percent or Decimal(0)) * 100)
        return ConfidenceRule((self.counted_before or 0) * 1000, self.fewer_than or 0, self.units or 0, parts)

    @property
    def scope(self) -> tuple[str, str, str]:
        """(location, counted_before, fewer_than); empty where the rule names none."""
        return self.location or "", str(self.counted_before or ""), str(self.fewer_than or "")


class LowStockRuleDocument(Model):
    """Up to how many units a level is LOW, for a SKU, a location, a channel, or any of them together."""

    sku: OptionalIdentifier = None
    location: OptionalIdentifier = None
    channel: OptionalIdentifier = None
    units: Annotated[int, Field(ge=0, le=UNITS_MAX), BeforeValidator(whole)]

    @model_validator(mode="after")
    def _check(self) -> LowStockRuleDocument:
        if self.sku is None and self.location is None:
            if self.channel is not None:
                raise ValueError("for a channel alone say low_stock_threshold at the channel")
            raise ValueError("a rule names a sku, a location, or both; and perhaps a channel")
        return self

    @property
    def scope(self) -> Threshold:
        """What the rule is for."""
        return self.sku or "", self.location or "", self.channel or ""


def kit_problems(components: object, kits: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the components of a kit as the file has them: where inside it, and the sentence."""
    if not isinstance(components, dict) or not components:
        yield (), f"a mapping of components to units is wanted, {described(components or None)} found"
        return
    if len(components) > COMPONENTS_MAX:
        yield (), f"{len(components)} components; at most {COMPONENTS_MAX} are taken"
        return
    for sku, units in components.items():
        if problem := identifier_problem(sku):
            yield (sku,), problem
        elif sku in kits:
            yield (sku,), f"{sku!r} is a kit itself: name its components"
        try:
            if not 1 <= whole(units) <= COMPONENT_UNITS_MAX:
                yield (sku,), f"{units} is not 1 to {COMPONENT_UNITS_MAX:,} units of one kit"
        except ValueError as error:
            yield (sku,), str(error)


def compile_confidence(rules: Iterable[ConfidenceRuleDocument]) -> dict[str, tuple[ConfidenceRule, ...]]:
    """Rules by location; those for all that have none of their own under the empty name."""
    found: dict[str, tuple[ConfidenceRule, ...]] = {}
    for rule in rules:
        name = rule.location or ""
        found[name] = (*found.get(name, ()), rule.rule)
    return found


def compile_thresholds(rules: Iterable[LowStockRuleDocument]) -> dict[Threshold, int]:
    """Units by what they are for."""
    return {rule.scope: rule.units for rule in rules}


def confidence_elements(rules: Mapping[str, tuple[ConfidenceRule, ...]]) -> dict[str, Any]:
    """Rules for confidence as plain values: by location (`all` for those that have none), then by what they ask."""
    found: dict[str, Any] = {"all": {}, "location": {}}
    for location, of_location in rules.items():
        elements = {_condition(rule): rule_elements((rule.units, rule.parts)) for rule in of_location}
        if location:
            found["location"][location] = elements
        else:
            found["all"] = elements
    return found


def threshold_elements(thresholds: Mapping[Threshold, int]) -> dict[str, Any]:
    """Thresholds as plain values, by what they name."""
    found: dict[str, Any] = {}
    for scope, units in thresholds.items():
        kind = "_".join(word for word, name in zip(("sku", "location", "channel"), scope, strict=True) if name)
        *path, last = [name for name in scope if name]
        elements = found.setdefault(kind, {})
        for name in path:
            elements = elements.setdefault(name, {})
        elements[last] = {"units": units}
    return found


def _condition(rule: ConfidenceRule) -> str:
    said = [f"counted_before {rule.counted_before_ms // 1000}s"] if rule.counted_before_ms else []
    return " ".join([*said, f"fewer_than {rule.fewer_than}"] if rule.fewer_than else said)


assert SECONDS_MAX * 1000 <= UNITS_MAX  # an age in milliseconds is exact wherever it is compared
