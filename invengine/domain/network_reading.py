"""What reading a network document takes, whichever section is read; every fault with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from invengine.domain.delivery_document import CapacityDocument, HandlingCostsDocument, PreparationDocument
from invengine.domain.identifiers import identifier_problem
from invengine.domain.network_document import IncomingDocument, TimeToLiveDocument
from invengine.domain.network_fields import Model, described, nothing_is_empty
from invengine.domain.network_yaml import FAULTS_MAX, Node, fault_at, shortened
from invengine.errors import NetworkFault

PARTS_MAX: Final = 2_000
"""Fields or list items that any one element can have."""

Element = TypeVar("Element", bound=Model)
_OWNERS: Final[dict[str, type[BaseModel]]] = {
    "time_to_live": TimeToLiveDocument,
    "incoming": IncomingDocument,
    "ship": PreparationDocument,
    "pickup": PreparationDocument,
    "ship_to_store": PreparationDocument,
    "capacity": CapacityDocument,
    "costs": HandlingCostsDocument,
}
"""The models of elements inside others, by the name of their field."""


class Reading:
    """A document being read. One fault hides no other; when there are enough of them it stops."""

    def __init__(self, root: Node, faults: list[NetworkFault]) -> None:
        self.line_of: Final = root.line_of
        self.raw = root.plain()
        self.faults = list(faults)

    def enough(self) -> bool:
        """Whether more faults would be left out of the answer anyway."""
        return len(self.faults) >= FAULTS_MAX

    def fault(self, path: Sequence[str | int], problem: str) -> None:
        """Notes what is wrong with the element at a path."""
        if not self.enough():
            self.faults.append(fault_at(self.line_of(path), path, problem))

    def known(self, section: str, name: str) -> bool:
        """Whether a section has an element of this name, faults or not."""
        known = self.raw.get(section)
        return isinstance(known, dict) and name in known

    def entries(self, section: str, entries_max: int) -> Iterator[tuple[str, Any]]:
        """The (id, value) pairs of a section, their ids checked; nothing when the section is not a mapping."""
        raw = nothing_is_empty(self.raw.get(section))
        if not isinstance(raw, dict):
            self.fault((section,), f"a mapping of ids is wanted, {described(raw)} found")
            return
        if len(raw) > entries_max:
            self.fault((section,), f"{len(raw)} entries; at most {entries_max} are taken")
            return
        for name, value in raw.items():
            if self.enough():
                return
            if problem := identifier_problem(name):
                self.fault((section, name), problem)
            yield name, value

    def models(self, section: str, model: type[Element], entries_max: int) -> dict[str, Element]:
        """The elements of a section that have no fault, by id."""
        found = {}
        for name, raw in self.entries(section, entries_max):
            value = self.model((section, name), model, nothing_is_empty(raw))
            if value is not None:
                found[name] = value
        return found

    def model(self, path: tuple[str | int, ...], model: type[Element], raw: object) -> Element | None:
        """An element, or None when it has faults."""
        if _vast(raw):  # one sentence: pydantic would write one for each of its parts
            self.fault(path, "has more fields or list items than any element can have")
            return None
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                inside, problem = _explained(model, detail)
                self.fault(path + inside, problem)
            return None

    def references(self, path: tuple[str | int, ...], names: Sequence[Any], section: str, word: str) -> tuple[str, ...]:
        """The names, each of them once and each found in `section`."""
        seen: dict[str, None] = {}
        for place, name in enumerate(names):
            if self.enough():
                break
            if not isinstance(name, str):
                self.fault((*path, place), f"a {word} is wanted, {described(name)} found")
            elif name in seen:
                self.fault((*path, place), f"{word} {name!r} is listed twice")
            elif not self.known(section, name):
                self.fault((*path, place), unknown_name(word, name, self.raw.get(section)))
            else:
                seen[name] = None
        return tuple(seen)


def _vast(raw: object) -> bool:
    parts = raw.values() if isinstance(raw, dict) else ()
    return any(isinstance(part, dict | list) and len(part) > PARTS_MAX for part in (raw, *parts))


def unknown_field(name: str, known: Sequence[str]) -> str:
    """The sentence about a field that an element has not."""
    near = difflib.get_close_matches(name[:64], known, 1)
    return f"not a known field; {f'{near[0]} is meant?' if near else 'known are ' + ', '.join(known)}"


def unknown_name(word: str, name: str, known: object) -> str:
    """The sentence about a name that a section has not; `word` is what such a name is of."""
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
        owner = _OWNERS.get(str(path[-2]), model) if len(path) > 1 else model
        fields = [field.alias or name for name, field in owner.model_fields.items()]
        problem = unknown_field(str(path[-1]), fields)
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
