"""Stock as it is or was at one moment, kept apart: copied once, and taken from as often as somebody tries something."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from invengine.domain.capacity import capacity_sku, is_capacity
from invengine.domain.incoming import Receipt, effective_day
from invengine.kernels.layout import EXPIRED, FENCES, LOCATION, ON_HAND, PARTS_BITS, RESERVED, SAFETY_PARTS
from invengine.replica.replica import Replica
from invengine.services.turns import Turns
from invengine.store.records import LogEntry

if TYPE_CHECKING:
    import numpy.typing as npt

    from invengine.domain.network import Network

    Block = npt.NDArray[np.int64]

ROWS_A_TURN: Final = 500

Place = tuple[str, str]
"""SKU and location; of slots of capacity the day."""


class Numbers(NamedTuple):
    """Units of a position."""

    on_hand: int
    reserved: int
    counted_at_ms: int = 0


@dataclass(slots=True)
class StockCopy:
    """Stock of some SKUs at one moment. Nobody changes it; `Scratch` takes from a copy of its own.

    `fences` by place and channel; `receipts` by SKU, location and receipt_id, of backorders without one.
    """

    positions: dict[Place, Numbers] = field(default_factory=dict)
    fences: dict[Place, dict[str, int]] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], Receipt] = field(default_factory=dict)

    @classmethod
    async def of(cls, replica: Replica, skus: Iterable[str], network: Network, now_ms: int) -> StockCopy:
        """What the replica has now, of these SKUs and of the capacity of the network: all of it of this moment."""
        replica.advance(now_ms)
        found, wanted = cls(), list(skus)
        rows, places = replica.columns.rows_of(wanted)
        found._copy_fences(replica, wanted, rows, places)
        for sku in wanted:
            if sku in replica.incoming:
                found._copy_incoming(replica, sku, network)
        for location, way in network.capacities:
            slots = capacity_sku(location, way.value)
            for day, (used, held, _) in replica.slots.rows(slots).items():
                found.positions[slots, day] = Numbers(used, held)
        turns, names = Turns(), replica.locations.names  # from here on nothing of the replica is read that changes
        for first in range(0, len(rows), ROWS_A_TURN):
            part = slice(first, first + ROWS_A_TURN)
            for row, place in zip(rows[part].tolist(), places[part].tolist(), strict=True):
                found.positions[wanted[place], names[row[LOCATION]]] = Numbers(
                    row[ON_HAND], row[RESERVED] - row[EXPIRED], row[SAFETY_PARTS] >> PARTS_BITS
                )
            await turns.pause()
        return found

    def _copy_fences(self, replica: Replica, skus: Sequence[str], rows: Block, places: Block) -> None:
        for at in np.flatnonzero(rows[:, FENCES]).tolist():
            row = rows[at].tolist()
            fences = {name: units + over for name, units, over in replica.columns.ring_fences(row)}
            if fences:
                self.fences[skus[int(places[at])], replica.locations.names[row[LOCATION]]] = fences

    def _copy_incoming(self, replica: Replica, sku: str, network: Network) -> None:
        for receipt in replica.incoming.receipts(sku):
            self.receipts[sku, receipt.location, receipt.receipt_id] = receipt
        for location in network.locations:
            if units := replica.incoming.backordered(sku, location):
                self.receipts[sku, location, ""] = Receipt(sku, location, "", 0, 0, units, 0)

    def only(self, skus: Collection[str]) -> StockCopy:
        """The part of these SKUs, and of capacity."""
        return StockCopy(
            {place: its for place, its in self.positions.items() if place[0] in skus or is_capacity(place[0])},
            {place: its for place, its in self.fences.items() if place[0] in skus},
            {key: its for key, its in self.receipts.items() if key[0] in skus},
        )

    async def free_at(self) -> dict[str, int]:
        """Units by location that no reservation has."""
        found: dict[str, int] = {}
        turns = Turns()
        for (sku, location), its in self.positions.items():
            if not is_capacity(sku):
                found[location] = found.get(location, 0) + max(0, its.on_hand - its.reserved)
            await turns.pause()
        return found


class Scratch:
    """A replica of nothing but a copy, for one run: asked by the same kernels as the live one, and taken from."""

    def __init__(self, stock: StockCopy, network: Network, now_ms: int) -> None:
        self.replica = Replica(1, b"\0" * 8)
        self.replica.set_network(network)
        self._positions = dict(stock.positions)
        self._fences = {place: dict(its) for place, its in stock.fences.items()}
        self._receipts = dict(stock.receipts)
        self._coming: dict[Place, list[tuple[str, str, str]]] = {}
        for sku, location, receipt_id in self._receipts:
            self._coming.setdefault((sku, location), []).append((sku, location, receipt_id))
        self._stopping = network.stopping
        self._now_ms = now_ms
        self._revision = 0

    @classmethod
    async def of(cls, stock: StockCopy, network: Network, now_ms: int) -> Scratch:
        """One with this stock."""
        found, turns = cls(stock, network, now_ms), Turns()
        rows = [_receipt_row(receipt) for receipt in stock.receipts.values()]
        for place in stock.positions:
            rows += found._rows_of(place)
            if len(rows) >= ROWS_A_TURN:
                found._apply(rows)
                rows.clear()
                await turns.pause()
        found._apply(rows)
        return found

    def take(self, sku: str, location: str, units: int, channel: str, free: int) -> int:
        """Takes up to so many units on hand, of `free` ones: out of the channel's own ring-fence first. How many."""
        place = sku, location
        units = min(units, free)
        if units <= 0:
            return 0
        its = self._positions[place]
        self._positions[place] = its._replace(reserved=its.reserved + units)
        fences = self._fences.get(place, {})
        if channel in fences:
            fences[channel] -= min(fences[channel], units)
        self._apply(self._rows_of(place))
        return units

    def peg(self, sku: str, location: str, units: int, day: int) -> None:
        """Promises units of what comes by a day, the earliest first; what no receipt has is backordered."""
        rows = []
        stops = location in self._stopping
        coming = sorted(
            (effective_day(self._receipts[key].expected_day, self._now_ms, overdue_stops=stops), key)
            for key in self._coming.get((sku, location), ())
            if key[2]
        )
        for its_day, key in coming:
            receipt = self._receipts[key]
            part = min(units, receipt.quantity - receipt.pegged) if 0 < its_day <= day else 0
            if part:
                rows.append(self._pegged(key, receipt, part))
                units -= part
        if units:
            key = sku, location, ""
            rows.append(self._pegged(key, self._receipts.get(key, Receipt(*key, 0, 0, 0, 0)), units))
        self._apply(rows)

    async def free_at(self) -> Mapping[str, int]:
        """Units by location that no reservation has, as it is now."""
        return await StockCopy(self._positions).free_at()

    def _pegged(self, key: tuple[str, str, str], receipt: Receipt, units: int) -> str:
        its = Receipt(*key, receipt.expected_day, receipt.quantity, receipt.pegged + units, receipt.revision)
        self._receipts[key] = its
        return _receipt_row(its)

    def _rows_of(self, place: Place) -> list[str]:
        sku, location = place
        on_hand, reserved, counted_at_ms = self._positions[place]
        numbers = f"{on_hand}\t{reserved}\t{counted_at_ms}\t0\t0"
        rows = [f"P\t{sku}\t{location}\t{numbers}\tCOUNT\tcopy\tcopy\t\t\t0\t\n"]
        rows += [f"F\t{sku}\t{location}\t{name}\t{units}\t\n" for name, units in self._fences.get(place, {}).items()]
        return rows

    def _apply(self, rows: list[str]) -> None:
        if not rows:
            return
        self._revision += 1
        self.replica.apply([LogEntry(0, self._revision, self._now_ms, "".join(rows).encode())])
        assert self.replica.fault is None, "a copy that cannot be read"


def _receipt_row(receipt: Receipt) -> str:
    numbers = f"{receipt.expected_day}\t{receipt.quantity}\t{receipt.pegged}"
    return f"I\t{receipt.sku}\t{receipt.location}\t{receipt.receipt_id}\t{numbers}\tSET\tcopy\tcopy\t\n"
