"""Plans of lines that take the same units where the kernel does not see it: kits and their components, lines that share
no parcels, lines that wait.

Each is planned as if it were alone. If the plans take no more than there is, none is better. Else of those that took
too much one stays where it is, and the others are planned again with what it leaves, until nobody takes too much: once
the first line before the others, once the last one, and the better plan counts. What was found at first then says how
much better a plan could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine.kernels.layout import WHOLE
from invengine.services.sourcing_choice import Chooser, Group

if TYPE_CHECKING:
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_choice import Choice, Part

Block = npt.NDArray[np.int64]

SHORTAGE_MAX: Final = 2**60
"""What a missing unit costs at most: more than the kernel counts, so that it says so."""

Row = tuple[int, ...]
"""Lines that share units in the model."""


class Planned(NamedTuple):
    """A plan for the basket, and how sure it is. `bound`: no plan costs less; None: there is certainly none."""

    best: Choice | None
    next: Choice | None
    bound: int | None
    nodes: int
    is_too_large: bool
    shortage: int

    @property
    def is_proved(self) -> bool:
        """Whether nothing is better than the best plan, or there is none."""
        if self.best is None:
            return self.bound is None and not self.is_too_large
        return self.bound is not None and self.best.cost <= self.bound


def plan(basket: Basket, groups: Sequence[Group]) -> Planned:
    """The best plan for all lines, whole or with best effort."""
    shortage = _shortage(basket, groups)
    chooser = Chooser(groups, shortage, {}, basket.question.limit)
    best = chooser.best()
    bound = chooser.bound(best)
    choosers = [chooser]
    shared = _shared(basket, groups)
    if best is not None and shared and _excess(basket, best.parts, shared):
        found = []
        fixed = _by_these_services(groups, best)
        for is_last_first in (False, True):
            choice, used = _in_turn(basket, fixed, best, shared, shortage, is_last_first=is_last_first)
            choosers += used
            if choice is not None:
                found.append((choice.key, len(choosers) - 1, choice))
        best = None
        if found:
            _, place, best = min(found, key=lambda one: one[:2])
            chooser = choosers[place]
    following = chooser.next(best) if best is not None else None
    if following is not None and shared and _excess(basket, following.parts, shared):
        following = None
    nodes = sum(one.nodes for one in choosers)
    return Planned(best, following, bound, nodes, choosers[0].is_too_large, shortage)


def _by_these_services(groups: Sequence[Group], best: Choice) -> list[Group]:
    """The groups, each with the services only by which its lines go in a plan."""
    services = {(part.parcels.lines, part.parcels.service) for part in best.parts}
    return [
        [next(trial for trial in group if all((one.lines, one.service) in services for one in trial))]
        for group in groups
    ]


def _in_turn(
    basket: Basket,
    groups: Sequence[Group],
    first: Choice,
    shared: frozenset[int],
    shortage: int,
    *,
    is_last_first: bool,
) -> tuple[Choice | None, list[Chooser]]:
    """A plan that takes no more than there is: of the lines that took too much together the first (or the last) stays
    where it is, the others are planned again with what is left, and so on. None where that comes to no plan.
    """
    best: Choice | None = first
    kept: dict[Row, Block] = {}
    used: list[Chooser] = []
    while best is not None and (excess := _excess(basket, best.parts, shared)):
        kept_next = _first_of(basket, best.parts, excess, kept, is_last_first=is_last_first)
        kept.update([kept_next])
        caps = _left_beside(basket, groups, kept, shared)
        chooser = Chooser(groups, shortage, caps, basket.question.limit)
        used.append(chooser)
        best = chooser.best()
    return best, used


def _shortage(basket: Basket, groups: Sequence[Group]) -> int:
    """What a missing unit costs: more than anything else where the profile names no price."""
    if not basket.question.best_effort:
        return WHOLE
    price = basket.question.profile.shortage_cost
    if price is not None:
        return price
    dearest = sum(max(sum(parcels.dearest() for parcels in trial) for trial in group) for group in groups)
    return min(1 + dearest, SHORTAGE_MAX)


def _shared(basket: Basket, groups: Sequence[Group]) -> frozenset[int]:
    """The SKUs (their places) of which the kernel does not see that lines share them."""
    users: dict[int, set[tuple[int, ...]]] = {}
    for group in groups:
        for members in {members for trial in group for parcels in trial for members in parcels.rows}:
            for line in members:
                for place, _ in basket.parts[line]:
                    users.setdefault(place, set()).add(members)
    return frozenset(place for place, members in users.items() if len(members) > 1)


def _excess(basket: Basket, parts: Iterable[Part], shared: frozenset[int]) -> list[tuple[int, int]]:
    """(SKU, location), by their places, of which the plan takes more than there is."""
    taken = np.zeros_like(basket.limits)
    for part in parts:
        for row, line in enumerate(part.parcels.lines):
            for place, each in basket.parts[line]:
                taken[place, part.parcels.columns] += part.found.units[row] * each
    over = taken > basket.limits
    places, columns = over.nonzero()
    pairs = zip(places.tolist(), columns.tolist(), strict=True)
    return [(place, column) for place, column in pairs if place in shared]


def _first_of(
    basket: Basket,
    parts: Sequence[Part],
    excess: Sequence[tuple[int, int]],
    kept: Mapping[Row, Block],
    *,
    is_last_first: bool,
) -> tuple[Row, Block]:
    """Of the lines that took too much, the first that are not kept yet, with what they took from each location."""
    takers: list[tuple[Row, Block]] = []
    for part in parts:
        for members in part.parcels.rows:
            if members in kept:
                continue
            taken = np.zeros(basket.limits.shape[1], np.int64)
            rows = [part.parcels.lines.index(line) for line in members]
            taken[part.parcels.columns] = part.found.units[rows].sum(axis=0)
            skus = {place for place, _ in basket.parts[members[0]]}
            if any(place in skus and taken[column] for place, column in excess):
                takers.append((members, taken))
    return (max if is_last_first else min)(takers, key=lambda taker: taker[0])


def _left_beside(
    basket: Basket, groups: Sequence[Group], kept: Mapping[Row, Block], shared: frozenset[int]
) -> dict[tuple[Row, int], int]:
    """What lines may have at most: those that are kept what they took, the others what these leave."""
    left = basket.limits.copy()
    for members, taken in kept.items():
        for place, each in basket.parts[members[0]]:
            left[place] -= taken * each
    caps: dict[tuple[Row, int], int] = {}
    for members in {members for group in groups for trial in group for parcels in trial for members in parcels.rows}:
        parts = [(place, each) for place, each in basket.parts[members[0]] if place in shared]
        if parts:
            most = (
                kept[members] if members in kept else np.minimum.reduce([left[place] // each for place, each in parts])
            )
            caps.update({(members, column): units for column, units in enumerate(most.tolist())})
    return caps
