"""What can be promised of stock that is still to come: units by day, and the day by which so many are there.

Made for one moment and one channel, and asked about many SKUs: what a SKU can promise is worked out once, for all its
locations.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.incoming import next_units
from invengine.kernels.layout import (
    ARRIVAL_LOCATION,
    IGNORED_COLUMNS,
    LOCATION,
    ROWS,
    STEP_COLUMNS,
    STEP_DAY,
)
from invengine.services.arrivals import NO_ARRIVALS, LocalDays, arrivals
from invengine.services.availability_wire import next_date_field, next_receipt_field
from invengine.services.selection import Floors

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, ComponentRequest
    from invengine.replica.replica import Replica
    from invengine.services.selection import Selection

    Block = npt.NDArray[np.int64]

Step = tuple[int, int]
"""From this day on so many units; days since 1970, local days of the location."""

_NOTHING_IGNORED: Final = np.zeros((1, IGNORED_COLUMNS), np.int64)


class Promised(NamedTuple):
    """What can be promised at a location: units now, and from today on by the end of each day.

    The first of `steps` is of today; the others are of the days on which there are more, each with more than the one
    before.
    """

    now: int
    steps: Sequence[Step]


class Promisable:
    """What one channel can be promised at one moment, as the replica has it.

    `borrows`: the channel may take beyond its own ring-fence what is fenced for nobody. What must stay at a location
    is what the rules of the network say for the channel: of a candidate only the location counts.
    """

    def __init__(self, replica: Replica, network: Network, channel: str, now_ms: int, borrows: bool) -> None:
        replica.advance(now_ms)
        self._replica = replica
        self._local_days = LocalDays(network, now_ms)
        self._floors = Floors(network, replica.locations, replica.channels, channel, now_ms, borrows=borrows)
        self._found: dict[str, dict[str, Promised]] = {}

    def days(self, sku: str, candidate: Candidate) -> list[Step]:
        """Units that can be promised by the end of each day: of today, then of the days on which there are more."""
        return list(self.at(sku, candidate.location).steps)

    def day_of(self, sku: str, candidate: Candidate, units: int) -> int | None:
        """The first day by which so many units are there: today's number when they are now, None for never."""
        return day_of(self.at(sku, candidate.location).steps, units)

    def kit_days(self, components: Sequence[ComponentRequest], location: str) -> list[Step]:
        """How many of a kit come together at a location by the end of each day, as `days`."""
        return list(self.kit_at([(one.sku, one.units) for one in components], location).steps)

    def at(self, sku: str, location: str) -> Promised:
        """What can be promised of a SKU at a location of the network."""
        found = self._at(sku).get(location)
        return Promised(0, [(self.today(location), 0)]) if found is None else found

    def kit_at(self, parts: Sequence[tuple[str, int]], location: str) -> Promised:
        """What can be promised of a kit of these (SKU, units in a kit): as of the part of which there is the least."""
        found = [self.at(sku, location) for sku, _ in parts]
        steps: list[Step] = []
        for day in sorted({day for one in found for day, _ in one.steps}):
            kits = min(units_by(one.steps, day) // units for one, (_, units) in zip(found, parts, strict=True))
            if not steps or kits > steps[-1][1]:
                steps.append((day, kits))
        return Promised(min(one.now // units for one, (_, units) in zip(found, parts, strict=True)), steps)

    def places(self, sku: str) -> frozenset[str]:
        """The locations of the network where the SKU has a position or is expected."""
        return frozenset(self._at(sku))

    def today(self, location: str) -> int:
        """What day it is at a location of the network."""
        return self._local_days.today(location)

    def _at(self, sku: str) -> dict[str, Promised]:
        found = self._found.get(sku)
        if found is None:
            found = self._found[sku] = self._work_out(sku)
        return found

    def _work_out(self, sku: str) -> dict[str, Promised]:
        replica = self._replica
        columns = replica.columns
        number = columns.find_sku(sku)
        coming = NO_ARRIVALS
        if sku in replica.incoming:
            coming = arrivals(sku, replica, self._local_days)
        places = coming[:, ARRIVAL_LOCATION].tolist()
        if number >= 0:
            places += columns.rows(number)[:, LOCATION].tolist()
        elif not places:
            return {}
        found: dict[str, Promised] = {}
        names, local = replica.locations.names, self._local_days
        begun: list[Step] = []
        for place, day, units in steps_of(replica, number, self._floors.at(places), _NOTHING_IGNORED, coming).tolist():
            if not day:  # the first step of a location
                today = local.today(names[place])
                begun = [(today, units)]
                found[names[place]] = Promised(units, begun)
            elif day == today:  # what comes today is there by the end of it
                begun[0] = today, units
            else:
                begun.append((day, units))
        return found


def day_of(steps: Sequence[Step], units: int) -> int | None:
    """The first day on which the steps have so many units; None for never."""
    at = bisect_left(steps, units, key=_units)
    return steps[at][0] if at < len(steps) else None


def units_by(steps: Sequence[Step], day: int) -> int:
    """The units that the steps have by the end of a day; 0 before the first."""
    units = 0
    for begins, there in steps:
        if begins > day:
            break
        units = there
    return units


def expected_fields(
    replica: Replica, sku: str, selection: Selection, ignored: Block, *, number: int, now_ms: int
) -> bytes:
    """`next_receipt` and `next_date` of the answer about a SKU, by its name and number, of which something is expected
    or backordered.
    """
    receipt = next_units(replica.incoming.open_receipts(sku), selection.usable, now_ms, replica.stopping)
    coming = arrivals(sku, replica, LocalDays(selection.network, now_ms))
    day = next_day(replica, number, selection.at(now_ms), ignored, coming) if coming.size else 0
    return (next_receipt_field(*receipt) if receipt else b"") + (next_date_field(day) if day else b"")


def next_day(replica: Replica, number: int, block: Block, ignored: Block, coming: Block) -> int:
    """The first day on which more units of a SKU can be promised than now at some usable location, 0 for none."""
    steps = steps_of(replica, number, block, ignored, coming)
    days = [day for day in steps[:, STEP_DAY].tolist() if day]
    return min(days, default=0)


def steps_of(replica: Replica, number: int, block: Block, ignored: Block, coming: Block) -> Block:
    """int64 [n, 3] as `promisable_steps` fills it, of the SKU of this number (-1: it has no position)."""
    columns = replica.columns
    rows = int(columns.skus[number, ROWS]) if number >= 0 else 0
    steps = np.empty((rows + len(coming), STEP_COLUMNS), np.int64)
    count = kernels.promisable_steps(
        number, columns.positions, columns.skus, columns.fences, block, ignored, coming, steps
    )
    return steps[:count]


def _units(step: Step) -> int:
    return step[1]
