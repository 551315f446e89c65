"""Kits: SKUs that are sold as one and taken as their components. A kit has no stock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

COMPONENTS_MAX: Final = 50
"""Of one kit."""

COMPONENT_UNITS_MAX: Final = 1_000_000
"""Units of a component in one kit."""


@dataclass(frozen=True, slots=True)
class Component:
    """One of the SKUs that a kit is made of, and how many units of it one kit takes (1 or more)."""

    sku: str
    units: int


Kit = tuple[Component, ...]
"""The components of a kit, each SKU once, in the order of the network file; never empty, and none of them a kit."""


@dataclass(frozen=True, slots=True)
class KitLine:
    """What a line of a reservation is part of: the line of a kit, as it was when the line was made.

    `units` of the line's SKU belong to one kit, whatever the network file says of the kit since.
    """

    line_id: str
    sku: str
    units: int


def component_line_id(line_id: str, sku: str) -> str:
    """The id of the line that has a component of the kit line `line_id`."""
    return f"{line_id}/{sku}"


def kits_by_component(kits: Mapping[str, Iterable[Component]]) -> dict[str, tuple[str, ...]]:
    """Component -> the kits that it is part of, by name: what changes when its stock does."""
    found: dict[str, list[str]] = {}
    for name in sorted(kits):
        for component in kits[name]:
            found.setdefault(component.sku, []).append(name)
    return {sku: tuple(names) for sku, names in found.items()}
