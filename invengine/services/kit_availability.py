"""Kits answered like any SKU: from what the channel can take of their components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import ComponentRequest
from invengine.kernels.layout import (
    IGNORED_FENCED,
    IGNORED_OWN,
    IGNORED_UNITS,
    KIT_COLUMNS,
    REASONS_MAX,
    ROWS,
    TERM_AVAILABLE,
    TERM_COLUMNS,
    TERM_ON_HAND,
    TERM_RANK,
    TERM_REASONS,
    TOTAL_MAX,
)
from invengine.services.arrivals import LocalDays
from invengine.services.days import date_of
from invengine.services.shelf import Shelf
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.selection import Selection

    Units = npt.NDArray[np.int64]
    Ignored = Mapping[str, Units]
    """By component what a reservation of the one who asks holds, as the kernels want it."""

_WHY_NOT: Final = sum(
    1 << reason
    for reason in (
        pb.AVAILABILITY_REASON_LOCATION_DISABLED,
        pb.AVAILABILITY_REASON_NOT_IN_CHANNEL,
        pb.AVAILABILITY_REASON_CANNOT_FULFIL,
        pb.AVAILABILITY_REASON_CHANNEL_DISABLED,
    )
)
"""Bits of the reasons that a location has for all SKUs."""


class KitAvailability:
    """Answers about kits from the replica, which has been advanced to the moment of the question."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def units(self, kit: Kit, selection: Selection, now_ms: int) -> tuple[int, Units]:
        """The kits that can be taken in all, and int64 [usable, 2] as `available_kits` fills it."""
        columns = self._replica.columns
        numbers = np.array([columns.find_sku(component.sku) for component in kit], np.int64)
        parts = np.array([component.units for component in kit], np.int64)
        found = np.empty((len(selection.usable), KIT_COLUMNS), np.int64)
        block = selection.at(now_ms)
        total = kernels.available_kits(numbers, parts, columns.positions, columns.skus, columns.fences, block, found)
        return int(total), found

    def answer(
        self, sku: str, kit: Kit, selection: Selection, ignored: Ignored | None, now_ms: int
    ) -> pb.GetAvailabilityResponse:
        """`available`, `level`, `positions`, `next_receipt` and `components` of the answer about a kit."""
        terms = [self._terms(component.sku, selection, ignored, now_ms) for component in kit]
        thresholds = selection.thresholds_of(sku).tolist()
        answer = pb.GetAvailabilityResponse()
        total = 0
        for rank in sorted({rank for of_component in terms for rank in of_component}):
            position = _position(kit, [of_component.get(rank) for of_component in terms], thresholds[1 + rank])
            position.location = selection.asked[rank]
            answer.positions.append(position)
            total = min(total + position.available, TOTAL_MAX)
        answer.available = total
        answer.level = level_of(total, thresholds[0])
        for component, of_component in zip(kit, terms, strict=True):
            there = min(sum(int(term[TERM_AVAILABLE]) for term in of_component.values()), TOTAL_MAX)
            answer.components.add(sku=component.sku, units=component.units, available=there)
        gains = self._gains(kit, selection, ignored, now_ms)
        if gains:
            by_day: dict[int, int] = {}
            for day, more in gains.values():
                by_day[day] = min(by_day.get(day, 0) + more, TOTAL_MAX)
            day, answer.next_receipt.quantity = min(by_day.items())
            answer.next_receipt.date.CopyFrom(date_of(day))
            local = LocalDays(selection.network, now_ms)
            answer.next_date.CopyFrom(date_of(min(max(day, local.today(place)) for place, (day, _) in gains.items())))
        return answer

    def _terms(self, sku: str, selection: Selection, ignored: Ignored | None, now_ms: int) -> dict[int, list[int]]:
        """The terms of a component's positions, by rank of location."""
        columns = self._replica.columns
        number = columns.find_sku(sku)
        if number < 0:
            return {}
        terms = np.empty((int(columns.skus[number, ROWS]), TERM_COLUMNS), np.int64)
        free = selection.nothing_ignored if ignored is None else ignored[sku]
        count = kernels.available_positions(
            number, columns.positions, columns.skus, columns.fences, selection.at(now_ms), free, terms
        )
        return {term[TERM_RANK]: term for term in terms[:count].tolist()}

    def _gains(
        self, kit: Kit, selection: Selection, ignored: Ignored | None, now_ms: int
    ) -> dict[str, tuple[int, int]]:
        """By location the first day on which more kits come together there than now, and how many more."""
        incoming, network = self._replica.incoming, selection.network
        if not any(component.sku in incoming for component in kit):
            return {}
        usable = tuple(sorted(selection.usable))
        components = components_of(kit, selection.channel, usable, network)
        borrows = network.channel(selection.channel).borrows
        shelf = Shelf(self._replica, now_ms, selection.channel, borrows=borrows)
        for sku, units in (ignored or {}).items():
            for location, free in zip(selection.asked, units.tolist(), strict=True):
                shelf.give(sku, location, free[IGNORED_UNITS], free[IGNORED_OWN], own=True)
                shelf.give(sku, location, 0, free[IGNORED_FENCED] - free[IGNORED_OWN])
        found = {location: more_kits(shelf, components, location) for location in usable}
        return {location: gain for location, gain in found.items() if gain is not None}


def components_of(kit: Kit, channel: str, usable: tuple[str, ...], network: Network) -> tuple[ComponentRequest, ...]:
    """The components of a kit, each with what must stay of it at the usable locations."""
    return tuple(
        [
            ComponentRequest(
                part.sku, part.units, {one.location: one for one in network.candidates(channel, part.sku, usable)}
            )
            for part in kit
        ]
    )


def more_kits(shelf: Shelf, components: Sequence[ComponentRequest], location: str) -> tuple[int, int] | None:
    """The first day on which more kits come together at a location than now, and how many more; None for never."""
    now = shelf.kits(components, location)
    for day in coming_days(shelf, components, (location,)):
        then = shelf.kits(components, location, day)
        if then > now:
            return day, then - now
    return None


def coming_days(shelf: Shelf, components: Sequence[ComponentRequest], locations: Sequence[str]) -> list[int]:
    """The days on which something of the components is expected at the locations."""
    return sorted({one.day for part in components for one in shelf.coming(part.sku, locations)})


def _position(kit: Kit, terms: Sequence[list[int] | None], threshold: int) -> pb.PositionAvailability:
    """A position of a kit out of those of its components, None for one that never was there."""
    found = pb.PositionAvailability()
    least = on_hand = TOTAL_MAX
    reasons = why_not = 0
    for component, term in zip(kit, terms, strict=True):
        kits = term[TERM_AVAILABLE] // component.units if term else 0
        on_hand = min(on_hand, term[TERM_ON_HAND] // component.units if term else 0)
        why_not |= term[TERM_REASONS] & _WHY_NOT if term else 0
        if kits < least:
            least, found.limiting_component = kits, component.sku
            reasons = term[TERM_REASONS] if term else 0
    found.available, found.on_hand, found.level = least, on_hand, level_of(least, threshold)
    found.reasons.extend([reason for reason in range(REASONS_MAX + 1) if (reasons | why_not) >> reason & 1])  # type: ignore[misc]
    return found


def level_of(units: int, threshold: int) -> pb.Level.ValueType:
    """How well so many units are."""
    if units == 0:
        return pb.LEVEL_OUT
    return pb.LEVEL_LOW if units <= threshold else pb.LEVEL_IN_STOCK
