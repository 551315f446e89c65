"""A network document from text: every fault with its line and path, so that a planner mends the file in one go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from invengine.domain.delivery_reader import DELIVERY_SECTIONS, read_delivery
from invengine.domain.kits import Component, Kit
from invengine.domain.network_document import (
    BackorderRuleDocument,
    ChannelDocument,
    IncomingDocument,
    LocationDocument,
    NetworkDocument,
    SafetyRuleDocument,
    state_problem,
)
from invengine.domain.network_fields import Model, described, nothing_is_empty
from invengine.domain.network_positions import read_positions
from invengine.domain.network_reading import Reading, unknown_field, unknown_name
from invengine.domain.network_rules import (
    CONFIDENCE_RULES_MAX,
    ConfidenceRuleDocument,
    LowStockRuleDocument,
    kit_problems,
)
from invengine.domain.network_yaml import FAULTS_MAX, read_yaml, shortened
from invengine.errors import NetworkInvalid

LOCATIONS_MAX: Final = 10_000
GROUPS_MAX: Final = 2_000
CHANNELS_MAX: Final = 200
RULES_MAX: Final = 60_000  # of each kind
KITS_MAX: Final = 60_000
STATES_MAX: Final = 50
Rule = TypeVar("Rule", SafetyRuleDocument, BackorderRuleDocument, ConfidenceRuleDocument, LowStockRuleDocument)
_SECTIONS: Final = (
    "locations",
    "groups",
    "channels",
    "safety_stock",
    "backorders",
    "kits",
    "confidence",
    "low_stock_thresholds",
    "states",
    "incoming",
    *DELIVERY_SECTIONS,
    "postal_positions",
)
_NOT_OF_KITS: Final = {"safety_stock": "its components keep stock back", "backorders": "it is never backordered"}


def read_document(document: str) -> NetworkDocument:
    """A YAML document as models. NetworkInvalid carries every fault, the first 100 by line."""
    root, faults = read_yaml(document)
    reader = _Reader(root, faults)
    network = reader.read()
    if reader.faults:
        raise NetworkInvalid(tuple(sorted(reader.faults, key=lambda fault: fault.line)[:FAULTS_MAX]))
    return network


class _Reader(Reading):
    """Reads section by section."""

    def read(self) -> NetworkDocument:
        if not isinstance(self.raw, dict):
            self.fault((), f"{', '.join(_SECTIONS[:-1])} and {_SECTIONS[-1]} are wanted, {described(self.raw)} found")
            return NetworkDocument({}, {}, {}, ())
        for key in self.raw:
            if key not in _SECTIONS:
                self.fault((key,), unknown_field(key, _SECTIONS))
        if "locations" not in self.raw:
            self.fault((), "locations are missing")
        locations = self.models("locations", LocationDocument, LOCATIONS_MAX)
        groups = {name: self._members(name, raw) for name, raw in self.entries("groups", GROUPS_MAX)}
        channels = self.models("channels", ChannelDocument, CHANNELS_MAX)
        self._channel_groups()
        safety_stock = tuple(self._rules("safety_stock", SafetyRuleDocument))
        backorders = tuple(self._rules("backorders", BackorderRuleDocument))
        kits = dict(self._kits())
        confidence = tuple(self._rules("confidence", ConfidenceRuleDocument))
        self._few_rules_each()
        thresholds = tuple(self._rules("low_stock_thresholds", LowStockRuleDocument))
        raw = nothing_is_empty(self.raw.get("incoming"))
        incoming = self.model(("incoming",), IncomingDocument, raw) or IncomingDocument()
        return NetworkDocument(
            locations,
            groups,
            channels,
            safety_stock,
            backorders,
            kits,
            confidence,
            thresholds,
            self._states(),
            incoming,
            read_delivery(self, locations, groups),
            read_positions(self),
        )

    def _kits(self) -> Iterator[tuple[str, Kit]]:
        """The kits that have no fault."""
        kits = self.raw.get("kits")
        for name, raw in self.entries("kits", KITS_MAX):
            problems = list(kit_problems(raw, kits if isinstance(kits, dict) else {}))
            for inside, problem in problems:
                self.fault(("kits", name, *inside), problem)
            if problems:
                continue
            yield name, tuple(Component(sku, int(units)) for sku, units in raw.items())

    def _few_rules_each(self) -> None:
        """Checks that no location has more rules for confidence than the store can look at whenever it takes."""
        counts: dict[object, int] = {}
        rules = self.raw.get("confidence")
        for place, rule in enumerate(rules if isinstance(rules, list) else ()):
            name = rule.get("location") if isinstance(rule, dict) else None
            if name is not None and not isinstance(name, str):
                continue
            counts[name] = counts.get(name, 0) + 1
            if counts[name] == CONFIDENCE_RULES_MAX + 1:
                where = "all locations together" if name is None else name
                self.fault(("confidence", place), f"{where} may have {CONFIDENCE_RULES_MAX} rules at most")

    def _channel_groups(self) -> None:
        """Checks the groups of every channel, also of one with other faults."""
        channels = self.raw.get("channels")
        for name, raw in channels.items() if isinstance(channels, dict) else ():
            groups = raw.get("groups") if isinstance(raw, dict) else None
            if isinstance(groups, list):
                self.references(("channels", name, "groups"), groups, "groups", "group")

    def _states(self) -> tuple[str, ...]:
        """Names of states, each of them once."""
        names = self.raw.get("states")
        names = [] if names is None else names
        if not isinstance(names, list):
            self.fault(("states",), f"a list of names is wanted, {described(names)} found")
            return ()
        if len(names) > STATES_MAX:
            self.fault(("states",), f"{len(names)} names; at most {STATES_MAX} are taken")
            return ()
        seen: dict[str, None] = {}
        for place, name in enumerate(names):
            if not isinstance(name, str):
                self.fault(("states", place), f"a name is wanted, {described(name)} found")
            elif problem := state_problem(name):
                self.fault(("states", place), problem)
            elif name in seen:
                self.fault(("states", place), f"state {name!r} is listed twice")
            else:
                seen[name] = None
        return tuple(seen)

    def _members(self, group: str, raw: object) -> tuple[str, ...]:
        raw = [] if raw is None else raw
        if not isinstance(raw, list):
            self.fault(("groups", group), f"a list of locations is wanted, {described(raw)} found")
            return ()
        return self.references(("groups", group), raw, "locations", "location")

    def _rules(self, section: str, model: type[Rule]) -> Iterator[Rule]:
        rules = self.raw.get(section)
        rules = [] if rules is None else rules
        if not isinstance(rules, list):
            self.fault((section,), f"a list of rules is wanted, {described(rules)} found")
            return
        if len(rules) > RULES_MAX:
            self.fault((section,), f"{len(rules)} rules; at most {RULES_MAX} are taken")
            return
        places: dict[tuple[str, ...], int] = {}
        for place, raw in enumerate(rules):
            if self.enough():
                return
            self._named(section, place, raw, model)
            rule = self.model((section, place), model, raw)
            if rule is None:
                continue
            first = places.setdefault(rule.scope, place)
            if first != place:
                line = self.line_of((section, first))
                self.fault((section, place), f"has the same scope as the rule in line {line}")
            yield rule

    def _named(self, section: str, place: int, rule: object, model: type[Model]) -> None:
        """Checks that what a rule names is in the document; SKUs are not: stock may come later than its rule."""
        for named, word in (("locations", "location"), ("channels", "channel")):
            name = rule.get(word) if isinstance(rule, dict) else None
            if word in model.model_fields and isinstance(name, str) and not self.known(named, name):
                self.fault((section, place, word), unknown_name(word, name, self.raw.get(named)))
        sku = rule.get("sku") if isinstance(rule, dict) else None
        if section in _NOT_OF_KITS and isinstance(sku, str) and self.known("kits", sku):
            self.fault((section, place, "sku"), f"{shortened(sku, 64)!r} is a kit: {_NOT_OF_KITS[section]}")
