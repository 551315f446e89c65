"""A network document from text: every fault with its line and path, so that a planner mends the file in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from invengine.domain.identifiers import identifier_problem
from invengine.domain.kits import Component, Kit
from invengine.domain.network_document import (
    BackorderRuleDocument,
    ChannelDocument,
    IncomingDocument,
    LocationDocument,
    Model,
    NetworkDocument,
    SafetyRuleDocument,
    TimeToLiveDocument,
    described,
    nothing_is_empty,
    state_problem,
)
from invengine.domain.network_rules import (
    CONFIDENCE_RULES_MAX,
    ConfidenceRuleDocument,
    LowStockRuleDocument,
    kit_problems,
)
from invengine.domain.network_yaml import FAULTS_MAX, Node, fault_at, read_yaml, shortened
from invengine.errors import NetworkFault, NetworkInvalid

LOCATIONS_MAX: Final = 10_000
GROUPS_MAX: Final = 2_000
CHANNELS_MAX: Final = 200
RULES_MAX: Final = 60_000  # of each kind
KITS_MAX: Final = 60_000
STATES_MAX: Final = 50
Element = TypeVar("Element", bound=Model)
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


class _Reader:
    """Checks each element on its own, so that one fault hides no other, and stops when it has enough of them."""

    def __init__(self, root: Node, faults: list[NetworkFault]) -> None:
        self._root = root
        self._raw = root.plain()
        self.faults = list(faults)

    def read(self) -> NetworkDocument:
        if not isinstance(self._raw, dict):
            self._fault((), f"{', '.join(_SECTIONS[:-1])} and {_SECTIONS[-1]} are wanted, {described(self._raw)} found")
            return NetworkDocument({}, {}, {}, ())
        for key in self._raw:
            if key not in _SECTIONS:
                self._fault((key,), _unknown_field(key, _SECTIONS))
        if "locations" not in self._raw:
            self._fault((), "locations are missing")
        locations = self._models("locations", LocationDocument, LOCATIONS_MAX)
        groups = {name: self._members(name, raw) for name, raw in self._entries("groups", GROUPS_MAX)}
        channels = self._models("channels", ChannelDocument, CHANNELS_MAX)
        self._channel_groups()
        safety_stock = tuple(self._rules("safety_stock", SafetyRuleDocument))
        backorders = tuple(self._rules("backorders", BackorderRuleDocument))
        kits = dict(self._kits())
        confidence = tuple(self._rules("confidence", ConfidenceRuleDocument))
        self._few_rules_each()
        thresholds = tuple(self._rules("low_stock_thresholds", LowStockRuleDocument))
        raw = nothing_is_empty(self._raw.get("incoming"))
        incoming = self._model(("incoming",), IncomingDocument, raw) or IncomingDocument()
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
        )

    def _kits(self) -> Iterator[tuple[str, Kit]]:
        """The kits that have no fault."""
        kits = self._raw.get("kits")
        for name, raw in self._entries("kits", KITS_MAX):
            problems = list(kit_problems(raw, kits if isinstance(kits, dict) else {}))
            for inside, problem in problems:
                self._fault(("kits", name, *inside), problem)
            if problems:
                continue
            yield name, tuple(Component(sku, int(units)) for sku, units in raw.items())

    def _few_rules_each(self) -> None:
        """Checks that no location has more rules for confidence than the store can look at whenever it takes."""
        counts: dict[object, int] = {}
        rules = self._raw.get("confidence")
        for place, rule in enumerate(rules if isinstance(rules, list) else ()):
            name = rule.get("location") if isinstance(rule, dict) else None
            if name is not None and not isinstance(name, str):
                continue
            counts[name] = counts.get(name, 0) + 1
            if counts[name] == CONFIDENCE_RULES_MAX + 1:
                where = "all locations together" if name is None else name
                self._fault(("confidence", place), f"{where} may have {CONFIDENCE_RULES_MAX} rules at most")

    def _channel_groups(self) -> None:
        """Checks the groups of every channel, also of one with other faults."""
        channels = self._raw.get("channels")
        for name, raw in channels.items() if isinstance(channels, dict) else ():
            groups = raw.get("groups") if isinstance(raw, dict) else None
            if isinstance(groups, list):
                self._references(("channels", name, "groups"), groups, "groups", "group")

    def _states(self) -> tuple[str, ...]:
        """Names of states, each of them once."""
        names = self._raw.get("states")
        names = [] if names is None else names
        if not isinstance(names, list):
            self._fault(("states",), f"a list of names is wanted, {described(names)} found")
            return ()
        if len(names) > STATES_MAX:
            self._fault(("states",), f"{len(names)} names; at most {STATES_MAX} are taken")
            return ()
        seen: dict[str, None] = {}
        for place, name in enumerate(names):
            if not isinstance(name, str):
                self._fault(("states", place), f"a name is wanted, {described(name)} found")
            elif problem := state_problem(name):
                self._fault(("states", place), problem)
            elif name in seen:
                self._fault(("states", place), f"state {name!r} is listed twice")
            else:
                seen[name] = None
        return tuple(seen)

    def _enough(self) -> bool:
        return len(self.faults) >= FAULTS_MAX

    def _fault(self, path: Sequence[str | int], problem: str) -> None:
        if not self._enough():
            self.faults.append(fault_at(self._root.line_of(path), path, problem))

    def _known(self, section: str, name: str) -> bool:
        known = self._raw.get(section)
        return isinstance(known, dict) and name in known

    def _entries(self, section: str, entries_max: int) -> Iterator[tuple[str, Any]]:
        """The (id, value) pairs of a section, their ids checked; nothing when the section is not a mapping."""
        raw = nothing_is_empty(self._raw.get(section))
        if not isinstance(raw, dict):
            self._fault((section,), f"a mapping of ids is wanted, {described(raw)} found")
            return
        if len(raw) > entries_max:
            self._fault((section,), f"{len(raw)} entries; at most {entries_max} are taken")
            return
        for name, value in raw.items():
            if self._enough():
                return
            if problem := identifier_problem(name):
                self._fault((section, name), problem)
            yield name, value

    def _models(self, section: str, model: type[Element], entries_max: int) -> dict[str, Element]:
        found = {}
        for name, raw in self._entries(section, entries_max):
            value = self._model((section, name), model, nothing_is_empty(raw))
            if value is not None:
                found[name] = value
        return found

    def _model(self, path: tuple[str | int, ...], model: type[Element], raw: object) -> Element | None:
        if _vast(raw):  # one sentence: pydantic would write one for each of its parts
            self._fault(path, "has more fields or list items than any element can have")
            return None
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                inside, problem = _explained(model, detail)
                self._fault(path + inside, problem)
            return None

    def _members(self, group: str, raw: object) -> tuple[str, ...]:
        raw = [] if raw is None else raw
        if not isinstance(raw, list):
            self._fault(("groups", group), f"a list of locations is wanted, {described(raw)} found")
            return ()
        return self._references(("groups", group), raw, "locations", "location")

    def _references(
        self, path: tuple[str | int, ...], names: Sequence[Any], section: str, word: str
    ) -> tuple[str, ...]:
        """The names, each of them once and each found in `section`."""
        seen: dict[str, None] = {}
        for place, name in enumerate(names):
            if self._enough():
                break
            if not isinstance(name, str):
                self._fault((*path, place), f"a {word} is wanted, {described(name)} found")
            elif name in seen:
                self._fault((*path, place), f"{word} {name!r} is listed twice")
            elif not self._known(section, name):
                self._fault((*path, place), _unknown_name(word, name, self._raw.get(section)))
            else:
                seen[name] = None
        return tuple(seen)

    def _rules(self, section: str, model: type[Rule]) -> Iterator[Rule]:
        rules = self._raw.get(section)
        rules = [] if rules is None else rules
        if not isinstance(rules, list):
            self._fault((section,), f"a list of rules is wanted, {described(rules)} found")
            return
        if len(rules) > RULES_MAX:
            self._fault((section,), f"{len(rules)} rules; at most {RULES_MAX} are taken")
            return
        places: dict[tuple[str, ...], int] = {}
        for place, raw in enumerate(rules):
            if self._enough():
                return
            self._named(section, place, raw, model)
            rule = self._model((section, place), model, raw)
            if rule is None:
                continue
            first = places.setdefault(rule.scope, place)
            if first != place:
                line = self._root.line_of((section, first))
                self._fault((section, place), f"has the same scope as the rule in line {line}")
            yield rule

    def _named(self, section: str, place: int, rule: object, model: type[Model]) -> None:
        """Checks that what a rule names is in the document; SKUs are not: stock may come later than its rule."""
        for named, word in (("locations", "location"), ("channels", "channel")):
            name = rule.get(word) if isinstance(rule, dict) else None
            if word in model.model_fields and isinstance(name, str) and not self._known(named, name):
                self._fault((section, place, word), _unknown_name(word, name, self._raw.get(named)))
        sku = rule.get("sku") if isinstance(rule, dict) else None
        if section in _NOT_OF_KITS and isinstance(sku, str) and self._known("kits", sku):
            self._fault((section, place, "sku"), f"{shortened(sku, 64)!r} is a kit: {_NOT_OF_KITS[section]}")


def _vast(raw: object) -> bool:
    parts = raw.values() if isinstance(raw, dict) else ()
    return any(isinstance(part, dict | list) and len(part) > GROUPS_MAX for part in (raw, *parts))


def _unknown_field(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:64], known, 1)
    return f"not a known field; {f'{near[0]} is meant?' if near else 'known are ' + ', '.join(known)}"


def _unknown_name(word: str, name: str, known: object) -> str:
    near = difflib.get_close_matches(name[:64], list(known)[:1000], 1) if isinstance(known, dict) else []
    return f"{word} {shortened(name, 64)!r} is not in the document" + (f"; {near[0]!r} is meant?" if near else "")


def _explained(model: type[BaseModel], detail: Any) -> tuple[tuple[str | int, ...], str]:
    """The path inside the element, and the sentence, of one of pydantic's findings."""
    path, kind, context = tuple(detail["loc"]), detail["type"], detail.get("ctx", {})
    found = described(detail["input"])
    if kind == "value_error":
        problem = str(context["error"])
    elif kind == "missing":
        problem = "is missing"
    elif kind == "extra_forbidden":
        owners: dict[str, type[BaseModel]] = {"time_to_live": TimeToLiveDocument, "incoming": IncomingDocument}
        owner = owners.get(str(path[0]), model)
        problem = _unknown_field(str(path[-1]), list(owner.model_fields))
    elif kind == "enum":
        problem = f"{found} is not one of {context['expected']}"
    elif kind == "string_pattern_mismatch":
        problem = f"{found} is not a country such as GB"
    elif kind.endswith("_type"):
        wanted = {"string_type": "text", "tuple_type": "a list"}.get(kind, "a mapping")
        problem = f"{wanted} is wanted, {found} found"
    else:
        problem = str(detail["msg"])
        problem = problem[0].lower() + problem[1:]
    return path, problem
