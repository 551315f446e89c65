"""Views: what many subscribers see the same way, worked out once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import INDEX, KIT_PARTS, KIT_UNITS, KNOWN, RANK, UNKNOWN_SKU
from invengine.services.kit_availability import KitAvailability
from invengine.services.selection import select
from invengine.services.watch_times import RuleTimes
from invengine.services.watch_values import LEVELS, Codes, Values

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.selection import RuledSkus
    from invengine.services.watch_names import WatchedNames
    from invengine.services.watch_network import Slots
    from invengine.services.watch_subscribers import Subscriber

SLOTS_A_STEP: Final = 10_000
SLOTS_A_STEP_BY_LOCATION: Final = 1_000
KITS_A_STEP: Final = 100
"""How many SKUs are worked out at once: a few milliseconds, then others have their turn."""

_OUT, _LOW, _IN_STOCK = 1, 2, 3


class _Rows(NamedTuple):
    """What some SKUs have at the usable locations, those of one behind those of another."""

    sizes: npt.NDArray[np.int32]  # how many rows each SKU has
    places: npt.NDArray[np.int32]  # of each row: which of the usable locations
    available: Slots


@dataclass(frozen=True, slots=True)
class ViewQuestion:
    """What subscribers of one view have in common."""

    channel: str
    locations: tuple[str, ...]
    group: str
    fulfilment: Fulfilment
    by_location: bool
    levels_only: bool
    is_all: bool  # every SKU, instead of those that are named


class View:
    """One question over the SKUs of `names`, its answers (`values`), and who wants to be told of them."""

    def __init__(
        self, question: ViewQuestion, names: WatchedNames, replica: Replica, network: Network, ruled: RuledSkus
    ) -> None:
        self.question = question
        self.names = names
        self.values = Values(names, replica, by_location=question.by_location, is_all=question.is_all)
        self.subscribers: set[Subscriber] = set()
        self.waiting: set[Subscriber] = set()  # of these, those who have been told all that there is
        self._replica = replica
        self._kits = KitAvailability(replica)
        self.ask(network, ruled)

    def ask(self, network: Network, ruled: RuledSkus) -> None:
        """Asks the network anew; `ruled` are the SKUs that its rules for low stock name. All has to be worked out.

        UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable.
        """
        question, replica = self.question, self._replica
        self._selection = select(
            network,
            replica.locations,
            replica.channels,
            question.channel,
            locations=question.locations,
            group=question.group,
            fulfilment=question.fulfilment,
            ruled=ruled,
        )
        index = self._selection.block[:, INDEX]
        usable = np.flatnonzero(index >= 0)
        self._places = np.empty(usable.size, np.int64)  # the number of each usable location
        self._places[index[usable]] = usable
        self._of_threshold = 1 + self._selection.block[self._places, RANK]  # where the thresholds of each stand
        self._times = RuleTimes()

    def steps(self, slots: Slots, now_ms: int) -> Iterator[None]:
        """Works out the values that these slots have at this moment. Others may have their turn between two steps."""
        self.values.make_room()
        kits = self.names.in_network.kits_among(slots)
        plain, kits = (np.delete(slots, kits), slots[kits]) if kits.size else (slots, kits)
        step = SLOTS_A_STEP_BY_LOCATION if self.question.by_location else SLOTS_A_STEP
        for first in range(0, plain.size, step):
            self._update(plain[first : first + step], now_ms)
            yield
        for first in range(0, kits.size, KITS_A_STEP):
            self._update_kits(kits[first : first + KITS_A_STEP], now_ms)
            yield

    def is_due(self, now_ms: int) -> bool:
        """Whether time alone may have changed values, so that `begun` is to be asked which."""
        return self._selection.is_timed and self._times.is_due(now_ms)

    def begun(self, now_ms: int) -> Iterator[Slots]:
        """The slots that time alone may have changed since they were worked out, step by step; some may come twice."""
        after, until = self._times.begin(now_ms)
        numbers = self.names.numbers
        for first in range(0, numbers.size, SLOTS_A_STEP):
            yield first + np.flatnonzero(self._rules_begun(numbers[first : first + SLOTS_A_STEP], now_ms, after, until))
        components, kits = self.names.in_network.pairs(self.names.columns)
        for first in range(0, kits.size, SLOTS_A_STEP):
            begun = self._rules_begun(components[first : first + SLOTS_A_STEP], now_ms, after, until)
            yield np.unique(kits[first : first + SLOTS_A_STEP][begun])

    def begun_since(self, numbers: Slots, after: int, now_ms: int) -> npt.NDArray[np.bool_]:
        """Which of these SKUs time alone may have changed after a moment."""
        if not self._selection.is_timed:
            return np.zeros(numbers.size, np.bool_)
        return self._rules_begun(numbers, now_ms, after, now_ms)

    def _update(self, slots: Slots, now_ms: int) -> None:
        numbers, columns = self.names.numbers[slots], self.names.columns
        self._note_time(numbers, now_ms)
        arrays = columns.positions, columns.skus, columns.fences, self._selection.at(now_ms)
        status, totals = np.empty(slots.size, np.uint8), np.empty(slots.size, np.int64)
        if not (self.question.is_all or self.question.by_location):
            kernels.available_totals(numbers, *arrays, status, totals)
            self._know_expected(slots, status)
            self._take_totals(slots, status, totals)
            return
        room = int(kernels.rows_at_most(numbers, columns.skus))
        row_counts, index = np.empty(slots.size, np.int32), np.empty(room, np.int32)
        available = np.empty(room, np.int64)
        rows = int(kernels.available_rows(numbers, *arrays, status, totals, row_counts, index, available))
        if not self.question.is_all:
            self._know_expected(slots, status)
        self._take(slots, status, totals, _Rows(row_counts, index[:rows], available[:rows]))

    def _update_kits(self, slots: Slots, now_ms: int) -> None:
        """As `_update` for kits, which are known; they have a row where some component of them has one."""
        kits = [self.names.in_network.kits[slot] for slot in slots.tolist()]
        if self._selection.is_timed:
            find = self.names.columns.find_sku
            self._note_time(np.array([find(part.sku) for kit in kits for part in kit], np.int64), now_ms)
        found = [self._kits.units(kit, self._selection, now_ms) for kit in kits]
        there = [np.flatnonzero(rows[:, KIT_PARTS]) for _, rows in found]
        status, totals = np.full(slots.size, KNOWN, np.uint8), np.array([total for total, _ in found], np.int64)
        counts = np.array([index.size for index in there], np.int32)
        available = np.concatenate([rows[index, KIT_UNITS] for (_, rows), index in zip(found, there, strict=True)])
        self._take(slots, status, totals, _Rows(counts, np.concatenate(there).astype(np.int32), available))

    def _note_time(self, numbers: Slots, now_ms: int) -> None:
        if self._selection.is_timed:
            self._rules_begun(numbers, now_ms, now_ms, now_ms)

    def _rules_begun(self, numbers: Slots, now_ms: int, after: int, until: int) -> npt.NDArray[np.bool_]:
        """Of which of these SKUs a rule for confidence began to hold between two moments; notes what is coming."""
        columns, begun = self.names.columns, np.empty(numbers.size, np.uint8)
        block = self._selection.at(now_ms)
        coming = kernels.rules_begun(numbers, columns.positions, columns.skus, block, after, until, begun)
        self._times.worked_out(now_ms, int(coming))
        return begun.astype(np.bool_)

    def _take(self, slots: Slots, status: Codes, totals: Slots, rows: _Rows) -> None:
        if self.question.by_location:
            self._take_rows(slots, status, rows)
        elif self.question.is_all:
            there = (rows.sizes > 0) | self.values.were_told(slots)
            self._take_totals(slots[there], status[there], totals[there])
        else:
            self._take_totals(slots, status, totals)

    def _take_totals(self, slots: Slots, status: Codes, totals: Slots) -> None:
        thresholds: Slots | np.int64 = self._selection.thresholds[0]
        ruled = self.names.in_network.ruled_among(slots)
        if ruled.size:
            thresholds = np.full(slots.size, thresholds)
            thresholds[ruled] = [self._thresholds_of(slot)[0] for slot in slots[ruled].tolist()]
        codes = (status * LEVELS + _levels(totals, thresholds)).astype(np.uint8)
        if self.question.levels_only:
            totals = np.zeros_like(totals)
        self.values.take(slots, totals, codes)

    def _take_rows(self, slots: Slots, status: Codes, rows: _Rows) -> None:
        levels = _levels(rows.available, self._row_thresholds(slots, rows)).tolist()
        units = [0] * len(levels) if self.question.levels_only else rows.available.tolist()
        cells = list(zip(self._places[rows.places].tolist(), units, levels, strict=True))
        self.values.take_cells(slots, status, rows.sizes, cells)

    def _row_thresholds(self, slots: Slots, rows: _Rows) -> Slots:
        """Most units that are LOW, of each row."""
        places = self._of_threshold[rows.places]
        thresholds: Slots = self._selection.thresholds[places]
        ruled = self.names.in_network.ruled_among(slots).tolist()
        if ruled:
            ends = np.cumsum(rows.sizes, dtype=np.int64)
            for i in ruled:
                its = slice(ends[i] - rows.sizes[i], ends[i])
                thresholds[its] = self._thresholds_of(int(slots[i]))[places[its]]
        return thresholds

    def _thresholds_of(self, slot: int) -> Slots:
        return self._selection.thresholds_of(self.names.names[slot].decode())

    def _know_expected(self, slots: Slots, status: Codes) -> None:
        """A SKU without a position is known where units of it are expected or backordered."""
        incoming = self._replica.incoming
        if incoming:
            for place in np.flatnonzero(status == UNKNOWN_SKU).tolist():
                if self.names.names[slots[place]].decode() in incoming:
                    status[place] = KNOWN


def _levels(available: Slots, thresholds: Slots | np.int64) -> Slots:
    return np.where(available == 0, _OUT, np.where(available > thresholds, _IN_STOCK, _LOW))
