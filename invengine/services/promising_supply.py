"""What the lines of a basket want of the stock of each location, and by which day it is there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.stock import UNITS_MAX
from invengine.errors import InvalidArgument

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.promisable import Promisable, Step
    from invengine.services.promising_requests import WantedLine

Taken = dict[str, int]
"""Units by SKU that other lines of the basket take at a location."""


class Demand(NamedTuple):
    """A line with what it is taken as: itself, or the components of its kit, (SKU, units of it in one); `each`: units
    that leave a location for one.
    """

    line: WantedLine
    parts: tuple[tuple[str, int], ...]
    each: int = 1

    @property
    def units(self) -> int:
        """Units that leave a location for all of it."""
        return self.line.quantity * self.each

    def units_of(self, quantity: int) -> int:
        """Units that leave a location for so many."""
        return quantity * self.each

    def take(self, taken: Taken, quantity: int) -> None:
        """Notes that so many are taken."""
        for sku, units in self.parts:
            taken[sku] = taken.get(sku, 0) + units * quantity


def demands_of(lines: Sequence[WantedLine], network: Network, field: str) -> list[Demand]:
    """The lines as they are taken. InvalidArgument where a kit's components would be too many to be counted."""
    found = []
    for place, line in enumerate(lines):
        kit = network.kits.get(line.sku)
        if kit is None:
            found.append(Demand(line, ((line.sku, 1),)))
            continue
        for part in kit:
            if part.units * line.quantity > UNITS_MAX:
                raise InvalidArgument(
                    f"{field}[{place}].quantity", f"takes more than {UNITS_MAX} units of {part.sku!r}"
                )
        found.append(Demand(line, tuple([(part.sku, part.units) for part in kit]), sum([part.units for part in kit])))
    return found


def groups_of(demands: Sequence[Demand], places: Iterable[int]) -> list[list[int]]:
    """The places in groups whose lines take the same SKUs, directly or through others, in order."""
    groups: list[tuple[set[str], list[int]]] = []
    for place in places:
        skus = {sku for sku, _ in demands[place].parts}
        members = [place]
        apart = []
        for group in groups:
            if group[0] & skus:
                skus |= group[0]
                members += group[1]
            else:
                apart.append(group)
        groups = [*apart, (skus, sorted(members))]
    return sorted(members for _, members in groups)


class Supply:
    """What can be promised at each location, asked for by demand."""

    def __init__(self, promisable: Promisable, replica: Replica, network: Network) -> None:
        self._promisable = promisable
        self._replica = replica
        self._network = network

    def knows(self, demand: Demand) -> bool:
        """Whether the network has the kit, or anything of the SKU was ever recorded or is expected."""
        sku = demand.line.sku
        return sku in self._network.kits or self._replica.columns.find_sku(sku) >= 0 or sku in self._replica.incoming

    def day(self, demand: Demand, quantity: int, location: str, taken: Taken) -> int:
        """The day by which so many are there beside what is taken: 0 when they are there now, -1 for never."""
        latest = 0
        for sku, units in demand.parts:
            wanted = quantity * units + taken.get(sku, 0)
            found = self._promisable.at(sku, location)
            if found.now >= wanted:
                continue
            steps = found.steps
            at = bisect_left(steps, wanted, key=_units)
            if at == len(steps):
                return -1
            latest = max(latest, steps[at][0])
        return latest if latest > self._promisable.today(location) else 0

    def steps(self, demand: Demand, location: str, taken: Taken) -> list[Step]:
        """(day, quantity) from which day on how many can be had beside what is taken; day 0: now. Rising."""
        today = self._promisable.today(location)
        found = [(self._promisable.at(sku, location), units, taken.get(sku, 0)) for sku, units in demand.parts]
        steps: list[Step] = []
        for day in sorted({day for one, _, _ in found for day, _ in one.steps}):
            quantity = min(max(0, _units_by(one.steps, day) - less) // units for one, units, less in found)
            if quantity > (steps[-1][1] if steps else 0):
                steps.append((day if day > today else 0, quantity))
        return steps

    def most(self, demand: Demand, location: str) -> int:
        """How many can be had there at all."""
        steps = self.steps(demand, location, {})
        return steps[-1][1] if steps else 0


def _units(step: Step) -> int:
    return step[1]


def _units_by(steps: Sequence[Step], day: int) -> int:
    units = 0
    for begins, there in steps:
        if begins > day:
            break
        units = there
    return units
