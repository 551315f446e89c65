"""Plans of lines that take the same units where the kernel does not see it: kits and their components, lines that share
no parcels, lines that wait.

Each is planned as if it were alone. If the plans take no more than there is, none is better; else the lines are given
shares of what lies where they took too much, in their order, and all is planned again. What was found at first then
says how much better a plan could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine.kernels.layout import WHOLE
from invengine.services.sourcing_choice import Chooser, Group

if TYPE_CHECKING:
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_choice import Choice, Part

Block = npt.NDArray[np.int64]

ROUNDS_MAX: Final = 16
"""Times that shares are given where plans took too much, before every location is shared out beforehand."""


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
    limit = basket.question.limit
    chooser = Chooser(groups, shortage, {}, limit)
    best, bound = chooser.best(), chooser.bound()
    nodes, is_too_large = chooser.nodes, chooser.is_too_large
    shared = _shared(basket, groups)
    caps: dict[tuple[tuple[int, ...], int], int] = {}
    rounds = 0
    while best is not None and shared and (excess := _excess(basket, best.parts, shared)):
        if rounds == ROUNDS_MAX:
            caps = _all_shares(basket, groups, shared)
        else:
            _give_shares(basket, best.parts, excess, caps)
        rounds += 1
        chooser = Chooser(groups, shortage, caps, limit)
        best = chooser.best()
        if best is None and rounds <= ROUNDS_MAX:  # who comes first was given too much: share out all of it
            caps = _all_shares(basket, groups, shared)
            chooser = Chooser(groups, shortage, caps, limit)
            best = chooser.best()
            rounds = ROUNDS_MAX + 1
        nodes += chooser.nodes
    following = chooser.next(best) if best is not None else None
    if following is not None and shared and _excess(basket, following.parts, shared):
        following = None
    return Planned(best, following, bound, nodes, is_too_large, shortage)


def _shortage(basket: Basket, groups: Sequence[Group]) -> int:
    """What a missing unit costs: more than anything else where the profile names no price."""
    if not basket.question.best_effort:
        return WHOLE
    price = basket.question.profile.shortage_cost
    if price is not None:
        return price
    return 1 + sum(max(sum(parcels.dearest() for parcels in trial) for trial in group) for group in groups)


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


def _give_shares(
    basket: Basket,
    parts: Sequence[Part],
    excess: Sequence[tuple[int, int]],
    caps: dict[tuple[tuple[int, ...], int], int],
) -> None:
    """Each of those who took too much keeps what it took as long as there is something, in the order of the lines."""
    rows = sorted([(members, part) for part in parts for members in part.parcels.rows], key=lambda row: row[0])
    for place, column in excess:
        left = int(basket.limits[place, column])
        for members, part in rows:
            each = dict(basket.parts[members[0]]).get(place, 0)
            at = np.flatnonzero(part.parcels.columns == column)
            if not each or not at.size:
                continue
            own = [part.parcels.lines.index(line) for line in members]
            share = min(int(part.found.units[own, at[0]].sum()), left // each)
            caps[members, column] = min(caps.get((members, column), share), share)
            left -= share * each


def _all_shares(
    basket: Basket, groups: Sequence[Group], shared: frozenset[int]
) -> dict[tuple[tuple[int, ...], int], int]:
    """Everywhere: each gets what it wants as long as there is something, in the order of the lines."""
    caps: dict[tuple[tuple[int, ...], int], int] = {}
    left = basket.limits.copy()
    rows = {members for group in groups for trial in group for parcels in trial for members in parcels.rows}
    done: set[int] = set()
    for members in sorted(rows):
        parts = [(place, each) for place, each in basket.parts[members[0]] if place in shared]
        if not parts:
            continue
        wanted = sum([basket.question.lines[line].quantity for line in members])
        share = np.minimum(wanted, basket.units[members[0]])
        for place, each in parts:
            share = np.minimum(share, left[place] // each)
        for column, units in enumerate(share.tolist()):
            caps[members, column] = units
        if done.isdisjoint(members):
            for place, each in parts:
                left[place] -= share * each
        done.update(members)
    return caps
