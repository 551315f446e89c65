"""The planner's file of a sourcing profile: what may stand in it, and how it is read.

The models see every scalar as text (see network_yaml), so each field says itself how its text is read.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field

from invengine.domain.delivery_document import Cost, money
from invengine.domain.identifiers import identifier_problem
from invengine.domain.network_fields import Model, described, nothing_is_empty, short_text, text_of, whole
from invengine.domain.network_reading import Reading, unknown_field
from invengine.domain.network_yaml import FAULTS_MAX, read_yaml, shortened
from invengine.domain.profiles import ABOVE_ALL, ALLOWED, AS_ASKED, FORBIDDEN, NEVER, NODES_MAX, Places, Profile
from invengine.errors import NetworkFault, NetworkInvalid, ProfileInvalid

DOCUMENT_BYTES_MAX: Final = 65_536
DESCRIPTION_BYTES_MAX: Final = 500
PERCENT_MAX: Final = 1_000
PARCELS_MAX: Final = 10_000
EXCLUDED_MAX: Final = 500
NODES_LIMIT: Final = 1_000_000
VERSION_MAX: Final = 2**31 - 1

SectionT = TypeVar("SectionT", bound=Model)

_SECTIONS: Final = ("name", "description", "costs", "weights", "rules")
_TEXT = re.compile(r"([^@]+)(?:@([1-9][0-9]{0,9}))?")


class SplitWord(StrEnum):
    """Whether lines may come from more than one location."""

    AS_ASKED = AS_ASKED
    NEVER = NEVER


class LatenessWord(StrEnum):
    """Whether a line may come after the day by which it is needed."""

    FORBIDDEN = FORBIDDEN
    ALLOWED = ALLOWED


def _shortage(value: object) -> int | None:
    if value == ABOVE_ALL:
        return None
    if isinstance(value, str) and not value[:1].isdigit():
        raise ValueError(f"{described(value)} is neither an amount such as 4.95 nor {ABOVE_ALL}")
    return money(value)


def _listed(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError(f"a list of locations and groups is wanted, {described(value)} found")
    return value or []


Percent = Annotated[int, Field(ge=0, le=PERCENT_MAX), BeforeValidator(whole)]


class CostsDocument(Model):
    """Amounts of the network's currency. `day_…` per line and day, `priority` per parcel and step of priority."""

    parcel: Cost = 0
    unit: Cost = 0
    kilometre: Cost = 0
    day_waiting: Cost = 0
    day_late: Cost = 0
    day_early: Cost = 0
    priority: Cost = 0
    shortage: Annotated[int | None, BeforeValidator(_shortage)] = None


class WeightsDocument(Model):
    """Percentages of what the network, and scarcity, say that things cost."""

    lane: Percent = 100
    handling: Percent = 100
    opportunity: Percent = 0


class RulesDocument(Model):
    """What plans may do. The names in `exclude` are looked at by the reader."""

    parcels_max: Annotated[int, Field(ge=0, le=PARCELS_MAX), BeforeValidator(whole)] = 0
    split: SplitWord = SplitWord.AS_ASKED
    lateness: LatenessWord = LatenessWord.FORBIDDEN
    exclude: Annotated[list[Any], BeforeValidator(_listed)] = Field(default_factory=list)
    nodes_max: Annotated[int, Field(ge=1, le=NODES_LIMIT), BeforeValidator(whole)] = NODES_MAX


def profile_name_problem(name: str) -> str:
    """What is wrong with the name of a profile; empty when nothing is."""
    return "a name has no @: what follows one is a version" if "@" in name else identifier_problem(name)


def _name(value: object) -> str:
    text = text_of(value, "a name")
    if problem := profile_name_problem(text):
        raise ValueError(problem)
    return text


class _Head(Model):
    """What is no section."""

    name: Annotated[str, BeforeValidator(_name)] = ""
    description: Annotated[
        str, short_text(DESCRIPTION_BYTES_MAX), BeforeValidator(lambda value: "" if value is None else value)
    ] = ""


def named_version(text: str) -> tuple[str, int]:
    """(name, version) of `web@3`; the version is 0 for `web`, which means the newest. ValueError says what is wrong."""
    match = _TEXT.fullmatch(text)
    if match is None or int(match[2] or 0) > VERSION_MAX:
        raise ValueError(f"{described(text)} is not a profile such as web, the newest, or web@3")
    if problem := identifier_problem(match[1]):
        raise ValueError(problem)
    return match[1], int(match[2] or 0)


def read_profile(
    document: str, *, name: str = "", unnamed: str = "", version: int = 0, network: Places | None = None
) -> Profile:
    """The profile of a YAML document. ProfileInvalid carries every fault, the first 100 by line.

    `name`: the document may leave its name out then, or say the same. `unnamed`: what it is called where neither says;
    without that it is a fault. With a network, excluded names that it has neither as a location nor as a group are
    faults.
    """
    if len(document) > DOCUMENT_BYTES_MAX or len(document.encode(errors="replace")) > DOCUMENT_BYTES_MAX:
        raise ProfileInvalid((NetworkFault(0, "document", f"more than {DOCUMENT_BYTES_MAX} bytes"),))
    try:
        root, faults = read_yaml(document)
    except NetworkInvalid as refused:
        raise ProfileInvalid(refused.faults) from None
    reader = _Reader(root, faults)
    profile = reader.read(name, unnamed, version, network)
    if reader.faults:
        raise ProfileInvalid(tuple(sorted(reader.faults, key=lambda fault: fault.line)[:FAULTS_MAX]))
    return profile


class _Reader(Reading):
    """Reads section by section."""

    def read(self, name: str, unnamed: str, version: int, network: Places | None) -> Profile:
        if not isinstance(self.raw, dict):
            self.fault((), f"{', '.join(_SECTIONS[:-1])} and {_SECTIONS[-1]} are wanted, {described(self.raw)} found")
            return Profile(name, version)
        for key in self.raw:
            if key not in _SECTIONS:
                self.fault((key,), unknown_field(key, _SECTIONS))
        head = self.model((), _Head, {key: self.raw[key] for key in ("name", "description") if key in self.raw})
        costs = self._section("costs", CostsDocument)
        weights = self._section("weights", WeightsDocument)
        rules = self._section("rules", RulesDocument)
        if head and not (head.name or name or unnamed):
            self.fault((), "name is missing")
        if head and head.name and name and head.name != name:
            self.fault(("name",), f"the profile is put as {shortened(name, 64)!r}")
        return Profile(
            (head.name if head else "") or name or unnamed,
            version,
            head.description if head else "",
            parcel_cost=costs.parcel,
            unit_cost=costs.unit,
            kilometre_cost=costs.kilometre,
            waiting_day_cost=costs.day_waiting,
            late_day_cost=costs.day_late,
            early_day_cost=costs.day_early,
            priority_cost=costs.priority,
            shortage_cost=costs.shortage,
            lane_percent=weights.lane,
            handling_percent=weights.handling,
            opportunity_percent=weights.opportunity,
            parcels_max=rules.parcels_max,
            may_split=rules.split is SplitWord.AS_ASKED,
            may_be_late=rules.lateness is LatenessWord.ALLOWED,
            excluded=self._excluded(rules.exclude, network),
            nodes_max=rules.nodes_max,
        )

    def _section(self, section: str, model: type[SectionT]) -> SectionT:
        """A section, with every default where it is not there or has faults."""
        return self.model((section,), model, nothing_is_empty(self.raw.get(section))) or model()

    def _excluded(self, names: list[Any], network: Places | None) -> tuple[str, ...]:
        """The names of locations and groups, each of them once, sorted."""
        path = ("rules", "exclude")
        if len(names) > EXCLUDED_MAX:
            self.fault(path, f"{len(names)} names; at most {EXCLUDED_MAX} are taken")
            return ()
        seen: dict[str, None] = {}
        for place, name in enumerate(names):
            if not isinstance(name, str):
                self.fault((*path, place), f"a location or group is wanted, {described(name)} found")
            elif problem := identifier_problem(name):
                self.fault((*path, place), problem)
            elif name in seen:
                self.fault((*path, place), f"{name!r} is listed twice")
            elif network is not None and not (name in network.locations or name in network.groups):
                self.fault((*path, place), f"the network has no location or group {name!r}")
            else:
                seen[name] = None
        return tuple(sorted(seen))
