"""The best plan for a whole basket: which service its lines go by, and how they share a limit of parcels.

Lines that go different ways or to different places share no parcels, so each of these groups is planned alone, by each
service that it may go by. Only a limit of parcels and units of the same SKU tie them together: the first is shared out
here, the second is looked after by sourcing_together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from invengine.services.sourcing_parcels import Found, Key, Parcels

if TYPE_CHECKING:
    from invengine.services.sourcing_parcels import Caps, Solved

Trial = Sequence[Parcels]
"""The lines of a group, each by a service: lines that go by the same one share parcels."""
Group = Sequence[Trial]
"""Lines of one way and destination, by each service in turn."""

Item = TypeVar("Item", Parcels, Sequence[Sequence[Parcels]])


class Part(NamedTuple):
    """The plan for lines that share parcels."""

    parcels: Parcels
    found: Found


class Choice(NamedTuple):
    """A plan for all lines."""

    key: Key
    parts: tuple[Part, ...]

    @property
    def cost(self) -> int:
        """With what missing units cost."""
        return self.key[0]


NOTHING = Choice((0, 0, 0, 0), ())


class Chooser:
    """Chooses for groups of lines; what was planned once is remembered."""

    def __init__(self, groups: Sequence[Group], shortage: int, caps: Caps, limit: int) -> None:
        """`shortage`: of a missing unit, or WHOLE. `limit`: of parcels, 0 for any number."""
        self._groups = groups
        self._shortage = shortage
        self._caps = caps
        self._limit = limit
        self._solved: dict[tuple[int, int], Solved] = {}
        self.nodes = 0
        self.is_too_large = False

    def best(self) -> Choice | None:
        """The plan that costs least; of equal ones that with the fewest parcels, the best locations, the first day."""
        return self._share(self._groups, self._limit, self._of_group)

    def bound(self, best: Choice | None) -> int | None:
        """No plan costs less; None: there is none. `best`: what `best` found."""
        found = self._share(self._groups, 0, self._bound_of_group)
        if found is None or not self._limit or (best is not None and best.cost <= found.cost):
            return None if found is None else found.cost
        found = self._share(self._groups, self._limit, self._bound_of_group)
        return None if found is None else found.cost

    def next(self, best: Choice) -> Choice | None:
        """The best of the plans that do without a location of the best one.

        All other locations being as they are, or with another service for the lines of one group.
        """
        found = []
        for place, part in enumerate(best.parts):
            others = [other for at, other in enumerate(best.parts) if at != place]
            limit = self._left(others, part)
            instead = self._solve(part.parcels, limit).next if limit >= 0 else None
            if instead is not None:
                found.append(_all([*others, Part(part.parcels, instead)]))
        for group in self._groups:
            if len(group) > 1:
                found += self._by_other_services(group, best)
        return min(found, key=lambda choice: choice.key, default=None)

    def _by_other_services(self, group: Group, best: Choice) -> list[Choice]:
        """Plans by which the lines of a group go by another service, and do without a location of the best plan: the
        best one by each service, or where that does not, what is next to it.
        """
        lines = {line for parcels in group[0] for line in parcels.lines}
        mine = [part for part in best.parts if part.parcels.lines[0] in lines]
        others = [part for part in best.parts if part.parcels.lines[0] not in lines]
        used = {place for part in mine for place in _places(part)}
        limit = self._left(others, *mine)
        found = []
        for trial in group if limit >= 0 else ():
            instead = None
            if [parcels.service for parcels in trial] != [part.parcels.service for part in mine]:
                instead = self._share(trial, limit, self._of_parcels)
            if instead is None:
                continue
            every = [instead]
            for place, part in enumerate(instead.parts):
                rest = [other for at, other in enumerate(instead.parts) if at != place]
                left = self._left([*others, *rest], part)
                following = self._solve(part.parcels, left).next if left >= 0 else None
                if following is not None:
                    every.append(_all([*rest, Part(part.parcels, following)]))
            for choice in every:
                if not used <= {place for part in choice.parts for place in _places(part)}:
                    found.append(_all([*others, *choice.parts]))
        return found

    def _left(self, others: Sequence[Part], *mine: Part) -> int:
        """What the others leave of the limit: 0 for any number, -1 for no parcel at all."""
        if not self._limit or not any(part.parcels.is_sent for part in mine):
            return 0
        return self._limit - _sent(others) or -1

    def _of_group(self, group: Group, limit: int) -> Choice | None:
        if limit < 0:
            return self._without(group)
        found = [self._share(trial, limit, self._of_parcels) for trial in group]
        return min([one for one in found if one is not None], key=lambda choice: choice.key, default=None)

    def _of_parcels(self, parcels: Parcels, limit: int) -> Choice | None:
        best = parcels.nothing(self._shortage) if limit < 0 else self._solve(parcels, limit).best
        return None if best is None else Choice(best.key, (Part(parcels, best),))

    def _without(self, group: Group) -> Choice | None:
        found = [self._of_parcels(parcels, -1) for parcels in group[0]]
        return None if None in found else _all([part for one in found if one is not None for part in one.parts])

    def _bound_of_group(self, group: Group, limit: int) -> Choice | None:
        if limit < 0:
            return self._without(group)
        found = [self._share(trial, limit, self._bound_of_parcels) for trial in group]
        return min([one for one in found if one is not None], key=lambda choice: choice.key, default=None)

    def _bound_of_parcels(self, parcels: Parcels, limit: int) -> Choice | None:
        if limit < 0:
            return self._of_parcels(parcels, limit)
        bound = self._solve(parcels, limit).bound
        return None if bound is None else Choice((bound, 0, 0, 0), ())

    def _share(self, items: Sequence[Item], limit: int, plan: Callable[[Item, int], Choice | None]) -> Choice | None:
        """The best plan of all items together within a limit: each gets its share of the parcels, or (-1) none at all.

        `plan` plans one item within its own limit, 0 for any number.
        """
        if len(items) == 1 or limit <= 0:
            return _sum([plan(item, limit) for item in items])
        free = _sum([plan(item, 0) for item in items])
        if free is None or (free.parts and _sent(free.parts) <= limit):
            return free
        shared: dict[int, Choice] = {0: NOTHING}
        for item in items:
            wider: dict[int, Choice] = {}
            for used, before in shared.items():
                for share in range(limit - used + 1) if _is_sent(item) else (0,):
                    more = _sum([before, plan(item, (share or -1) if _is_sent(item) else 0)])
                    at = used + share
                    if more is not None and (at not in wider or more.key < wider[at].key):
                        wider[at] = more
            shared = wider
        return min(shared.values(), key=lambda choice: choice.key, default=None)

    def _solve(self, parcels: Parcels, limit: int) -> Solved:
        key = id(parcels), limit if parcels.is_sent else 0
        found = self._solved.get(key)
        if found is None:
            found = self._solved[key] = parcels.solve(self._shortage, self._caps, key[1])
            self.nodes += found.nodes
            self.is_too_large |= found.is_too_large
        return found


def _is_sent(item: Parcels | Trial | Group) -> bool:
    """Whether these lines, which go the same way, take parcels."""
    while not isinstance(item, Parcels):
        item = item[0]
    return item.is_sent


def _sent(parts: Sequence[Part]) -> int:
    return sum([part.found.key[1] for part in parts if part.parcels.is_sent])


def _places(part: Part) -> list[int]:
    """The locations that units come from, by their places."""
    found: list[int] = part.parcels.columns[part.found.units.any(axis=0)].tolist()
    return found


def _all(parts: Sequence[Part]) -> Choice:
    keys = [part.found.key for part in parts]
    return Choice(_add(keys), tuple(parts))


def _sum(choices: Sequence[Choice | None]) -> Choice | None:
    found = [choice for choice in choices if choice is not None]
    if len(found) < len(choices):
        return None
    if len(found) == 1:
        return found[0]
    return Choice(_add([choice.key for choice in found]), tuple([part for choice in found for part in choice.parts]))


def _add(keys: Sequence[Key]) -> Key:
    columns = [sum(column) for column in zip(*keys, strict=True)] or [0, 0, 0, 0]
    return columns[0], columns[1], columns[2], columns[3]
