"""The steps of a commit: which orders are committed together, and in which order the steps are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import partition_of

if TYPE_CHECKING:
    from invengine.domain.waves import PlannedOrder

ORDERS_A_STEP: Final = 200
POSITIONS_A_STEP: Final = 500

_Kind = tuple[int, int, int, bool]


def steps_of(orders: Sequence[PlannedOrder], partitions: int, ranks: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Places of the orders that get anything, by step: those whose SKUs are in one partition together, those over
    several after them. By class; where channels see different stock, by channel before that: `ranks` gives their order.
    """
    found: dict[_Kind, list[int]] = {}
    for place, one in enumerate(orders):
        if one.planned:
            homes = {partition_of(line.line.sku, partitions) for line in one.lines if line.units}
            home = homes.pop() if len(homes) == 1 else partitions
            kind = ranks.get(one.order.channel, 0), one.order.priority_class, home, bool(one.order.reservation_id)
            found.setdefault(kind, []).append(place)
    steps: list[tuple[int, ...]] = []
    for kind in sorted(found):
        step: list[int] = []
        positions = 0
        for place in found[kind]:
            more = sum([len(line.units) for line in orders[place].lines])
            if step and (len(step) == ORDERS_A_STEP or positions + more > POSITIONS_A_STEP):
                steps.append(tuple(step))
                step, positions = [], 0
            step.append(place)
            positions += more
        steps.append(tuple(step))
    return tuple(steps)
