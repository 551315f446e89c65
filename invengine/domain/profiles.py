"""Sourcing profiles: what plans for baskets and waves cost, and what they may do. Named, versioned, never changed.

Costs are whole ten-thousandths of the network's currency.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from invengine.domain.delivery_parts import cost_text

ABOVE_ALL: Final = "above_all"
"""How a file says that a missing unit costs more than anything else."""
AS_ASKED: Final = "as_asked"
NEVER: Final = "never"
FORBIDDEN: Final = "forbidden"
ALLOWED: Final = "allowed"
NODES_MAX: Final = 2_000
"""How long a search may be, where a profile does not say. Defaults are part of what stored profiles mean: one that
changes would change them."""
PERCENT: Final = 100


class Places(Protocol):
    """What is needed of a network."""

    @property
    def locations(self) -> Mapping[str, Any]:
        """By id."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Locations by group."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One version of a profile."""

    name: str
    version: int = 0
    """From 1; 0 where it is not stored."""
    description: str = ""
    parcel_cost: int = 0
    """Of each parcel, besides what its location and lane cost."""
    unit_cost: int = 0
    """Of each unit."""
    kilometre_cost: int = 0
    """Of each parcel and kilometre from its location to its destination."""
    waiting_day_cost: int = 0
    """Of each line and day from the order's day to its delivery day."""
    late_day_cost: int = 0
    """Of each line and day after the day by which it is needed."""
    early_day_cost: int = 0
    """Of each line and day before the day by which it is needed."""
    priority_cost: int = 0
    """Of each parcel, times its location's priority number."""
    shortage_cost: int | None = None
    """Of each missing unit of a line that need not come whole; None: more than anything else costs."""
    lane_percent: int = PERCENT
    """How much of what lanes cost counts."""
    handling_percent: int = PERCENT
    """How much of what locations cost counts."""
    opportunity_percent: int = 0
    """How much of what scarce stock is worth counts; 0: it is not asked."""
    parcels_max: int = 0
    """Most parcels; 0: any number."""
    may_split: bool = True
    """False: no line comes from more than one location, also where it may."""
    may_be_late: bool = False
    """False: the day by which a line is needed is kept; True: days after it cost."""
    excluded: tuple[str, ...] = ()
    """Locations or groups that nothing comes from, sorted."""
    nodes_max: int = NODES_MAX
    """How long the search for the best plan of a basket may be, see docs/profiles.md."""

    def __str__(self) -> str:
        return profile_text(self.name, self.version)

    def excluded_locations(self, network: Places) -> frozenset[str]:
        """The locations that nothing comes from, the members of groups among them.

        A name that the network has not excludes nothing; one that is both a location's and a group's excludes both.
        """
        found = {name for name in self.excluded if name in network.locations}
        return frozenset(found.union(*(network.groups.get(name, ()) for name in self.excluded)))


class Difference(NamedTuple):
    """A term that two profiles have different, as text: `costs.parcel`, `4.95`, `5.50`."""

    term: str
    before: str
    after: str


def profile_elements(profile: Profile) -> dict[str, Any]:
    """A profile as plain values, every term of it, in the shape of its file. Name and version are left out."""
    shortage = ABOVE_ALL if profile.shortage_cost is None else cost_text(profile.shortage_cost)
    return {
        "description": profile.description,
        "costs": {
            "parcel": cost_text(profile.parcel_cost),
            "unit": cost_text(profile.unit_cost),
            "kilometre": cost_text(profile.kilometre_cost),
            "day_waiting": cost_text(profile.waiting_day_cost),
            "day_late": cost_text(profile.late_day_cost),
            "day_early": cost_text(profile.early_day_cost),
            "priority": cost_text(profile.priority_cost),
            "shortage": shortage,
        },
        "weights": {
            "lane": profile.lane_percent,
            "handling": profile.handling_percent,
            "opportunity": profile.opportunity_percent,
        },
        "rules": {
            "parcels_max": profile.parcels_max,
            "split": AS_ASKED if profile.may_split else NEVER,
            "lateness": ALLOWED if profile.may_be_late else FORBIDDEN,
            "exclude": list(profile.excluded),
            "nodes_max": profile.nodes_max,
        },
    }


def profile_terms(profile: Profile) -> list[tuple[str, str]]:
    """Every term with its text, in the order of the file: `costs.parcel`, `4.95`; names of a list with commas."""
    found = []
    for section, terms in profile_elements(profile).items():
        for name, value in terms.items() if isinstance(terms, dict) else [("", terms)]:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            found.append((f"{section}.{name}" if name else section, text))
    return found


def differences(one: Profile, other: Profile) -> tuple[Difference, ...]:
    """The terms that two profiles have different, in the order of the file; names and versions are none."""
    before, after = dict(profile_terms(one)), dict(profile_terms(other))
    return tuple(Difference(term, text, after[term]) for term, text in before.items() if text != after[term])


def fingerprint(profile: Profile) -> str:
    """The same text for profiles whose terms are the same, whatever their names and versions."""
    content = json.dumps(profile_elements(profile), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def profile_text(name: str, version: int) -> str:
    """How a version is named: `web@3`; a version of 0 leaves the newest meant: `web`."""
    return f"{name}@{version}" if version else name
