"""What locations can spare of a SKU, and what they lack: as the replica has it, by the rules of the network."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Protocol

from invengine.domain.incoming import effective_day
from invengine.domain.network_parts import larger
from invengine.domain.rebalancing import Fill, Need, Supply, needs_of
from invengine.domain.stock import safety_units, uncertain_units
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, PARTS_BITS, RESERVED, SAFETY_PARTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from invengine.domain.network import Network
    from invengine.replica.replica import Replica


class Rates(Protocol):
    """What is known of demand."""

    def skus(self) -> Iterable[str]:
        """The SKUs that may be sold out soon."""

    def per_day(self, sku: str, now_ms: int) -> Mapping[str, float]:
        """Units of a SKU that are sold a day, by location, where anything is known."""


class NoRates:
    """Nothing is known of demand."""

    def skus(self) -> Iterable[str]:
        """None."""
        return ()

    def per_day(self, sku: str, now_ms: int) -> Mapping[str, float]:
        """Nothing."""
        return {}


NO_RATES = NoRates()


class Asked(NamedTuple):
    """What is to be filled, and for how many days a location keeps what it is expected to sell."""

    fills: Collection[Fill]
    forecast_days: int
    today: int


class _Position(NamedTuple):
    on_hand: int
    reserved: int
    fenced: int
    counted_at_ms: int


class Surplus:
    """What is to spare and what is wanted, of one engine at one moment."""

    def __init__(self, replica: Replica, network: Network, now_ms: int, *, asked: Asked, rates: Rates) -> None:
        self._replica = replica
        self._network = network
        self._now_ms = now_ms
        self._asked = asked
        self._rates = rates

    def of(self, sku: str, planned: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[list[Supply], list[Need]]:
        """What each location can spare, and what each lacks. `planned`: (day, units) of transfers to each location."""
        rates = self._rates.per_day(sku, self._now_ms)
        places = self._positions(sku)
        backordered = {at: self._replica.incoming.backordered(sku, at) for at in self._network.locations}
        coming = self._coming(sku, planned)
        supplies: list[Supply] = []
        needs: list[Need] = []
        for at in sorted(self._network.locations):
            its = places.get(at, _Position(0, 0, 0, 0))
            free = its.on_hand - its.reserved
            waiting = [(Fill.SHORTFALL, max(0, -free)), (Fill.BACKORDER, backordered[at])]
            kept = self._kept(sku, at, its)
            waiting.append((Fill.SAFETY_STOCK, max(0, kept - max(0, free))))
            lacks, left = needs_of(at, waiting, coming.get(at, ()))
            days = min([day - self._asked.today for day, _ in left], default=self._asked.forecast_days)
            days = max(0, min(days, self._asked.forecast_days))
            sold = ceil(round(rates.get(at, 0.0) * days, 6))
            spare = free - backordered[at] - kept - its.fenced
            if spare - sold > 0:
                supplies.append(Supply(at, spare - sold))
            if self._network.locations[at].enabled:
                needs += [need for need in lacks if need.fill in self._asked.fills]
                if Fill.FORECAST in self._asked.fills and sold > max(0, spare):
                    needs.append(Need(at, sold - max(0, spare), Fill.FORECAST))
        return supplies, needs

    def _positions(self, sku: str) -> dict[str, _Position]:
        columns, names = self._replica.columns, self._replica.locations.names
        number = columns.find_sku(sku)
        return {
            names[row[LOCATION]]: _Position(
                row[ON_HAND],
                row[RESERVED] - row[EXPIRED],
                sum(units + over for _, units, over in columns.ring_fences(row)),
                row[SAFETY_PARTS] >> PARTS_BITS,
            )
            for row in (columns.rows(number).tolist() if number >= 0 else ())
        }

    def _coming(self, sku: str, planned: Mapping[str, Sequence[tuple[int, int]]]) -> dict[str, list[tuple[int, int]]]:
        """Days and units of receipts that are promised to nobody, and of transfers that have not left, by location."""
        found = {at: list(units) for at, units in planned.items()}
        for receipt in self._replica.incoming.receipts(sku):
            stops = receipt.location in self._replica.stopping
            day = effective_day(receipt.expected_day, self._now_ms, overdue_stops=stops)
            if day and receipt.quantity > receipt.pegged:
                found.setdefault(receipt.location, []).append((day, receipt.quantity - receipt.pegged))
        return found

    def _kept(self, sku: str, at: str, its: _Position) -> int:
        """Units that stay whoever asks: by the largest safety stock of any channel there, and by confidence."""
        network = self._network
        safety = network.sku_location_safety(sku, at)
        for channel in network.channels:
            if at in network.visible(channel):
                safety = larger(safety, network.place_safety(channel, at))
        safety = larger(safety, network.location_safety.get(at, (0, 0)))
        uncertain = uncertain_units(its.on_hand, its.counted_at_ms, self._now_ms, network.confidence(at))
        return safety_units(its.on_hand, *safety) + uncertain
