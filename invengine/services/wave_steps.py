"""The steps of a commit: which orders are committed together, and in which order the steps are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import partition_of

if TYPE_CHECKING:
    from invengine.domain.waves import PlannedOrder

ORDERS_A_STEP: Final = 100
POSITIONS_A_STEP: Final = 250

_Kind = tuple[int, int, int, bool]


class Steps:
    """Gathers the orders that get anything, and divides them: those whose SKUs are in one partition together, those
    over several after them. By class; where channels see different stock, by channel before: `ranks` gives their order.
    """

    def __init__(self, partitions: int, ranks: Mapping[str, int]) -> None:
        self._partitions = partitions
        self._ranks = ranks
        self._found: dict[_Kind, list[tuple[int, int]]] = {}

    def add(self, place: int, one: PlannedOrder) -> None:
        """An order by its place, those of lower places before it."""
        positions = sum([len(line.units) for line in one.lines])
        if positions:
            homes = {partition_of(line.line.sku, self._partitions) for line in one.lines if line.units}
            home = homes.pop() if len(homes) == 1 else self._partitions
            order = one.order
            kind = self._ranks.get(order.channel, 0), order.priority_class, home, bool(order.reservation_id)
            self._found.setdefault(kind, []).append((place, positions))

    def divided(self) -> tuple[tuple[int, ...], ...]:
        """Places of orders, by step."""
        steps: list[tuple[int, ...]] = []
        for kind in sorted(self._found):
            step: list[int] = []
            positions = 0
            for place, more in self._found[kind]:
                if step and (len(step) == ORDERS_A_STEP or positions + more > POSITIONS_A_STEP):
                    steps.append(tuple(step))
                    step, positions = [], 0
                step.append(place)
                positions += more
            steps.append(tuple(step))
        return tuple(steps)
