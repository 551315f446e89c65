"""The opportunity cost of local stock: what one unit less at a location is expected to cost until more units come."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from invengine.domain.incoming import effective_day
from invengine.domain.network_parts import NO_SAFETY
from invengine.errors import InventoryError
from invengine.kernels.layout import (
    EXPIRED,
    LOCATION,
    MILLIONTHS,
    ON_HAND,
    PARTS_BITS,
    POSITION_COLUMNS,
    RESERVED,
    SAFETY_PARTS,
    SAFETY_UNITS,
)
from invengine.services.demand_log import MEMORY_BYTES, SeenDemand
from invengine.services.demand_regions import Columns, prices_of
from invengine.services.scarcity_network import NetworkRegions
from invengine.store.records import LogTrimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.metrics import Metrics
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.settings import Settings
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often the log is read: a forecast of weeks has the time."""
ENTRIES_A_READ: Final = 500
PRICE_SECONDS: Final = 60
"""How long a SKU's prices are kept while its stock stays: demand and the way to a receipt change that slowly."""
PRICES_KEPT: Final = 100_000
ASKED_KEPT: Final = 1_000
"""Lists of locations that prices are asked for."""
STOCK_MAX: Final = 2**40
MINUTE_MS: Final = 60_000
MINUTES_A_DAY: Final = 1_440
PARTS: Final = 10_000
NO_ROWS: Final = np.empty((0, POSITION_COLUMNS), np.int64)


class Kept(NamedTuple):
    """Prices of a SKU at all locations, for the stock that they were computed from; `rows` is how it was seen last."""

    rows: bytes
    stock: Columns
    until_ms: int
    prices: Columns


def _has_changed(before: Columns, stock: Columns) -> bool:
    """Whether stock is anywhere by more than a sixteenth of what it was: so, where it is scarce, by a unit."""
    return bool((np.abs(stock - before) > before >> 4).any())


class Scarcity:
    """Prices of scarce stock of one engine."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        networks: Networks,
        metrics: Metrics | None = None,
        *,
        half_life_days: float = 28,
        horizon_days: float = 14,
        kilometre_cost: int = 40,
        memory_bytes: int = MEMORY_BYTES,
        demand: SeenDemand | None = None,
    ) -> None:
        """`horizon_days`: until more units come where no receipt is known; `kilometre_cost`: ten-thousandths of the
        currency, of a parcel, where no lanes say what it costs.
        """
        self._store = store
        self._replica = replica
        self._networks = networks
        self._metrics = metrics
        self._horizon_minutes = round(horizon_days * MINUTES_A_DAY)
        self._kilometre_cost = kilometre_cost
        self.demand: Final = SeenDemand(half_life_days, memory_bytes) if demand is None else demand
        self._after = [0] * store.partitions
        self._regions: NetworkRegions | None = None
        self._columns: Columns = np.empty(0, np.int64)
        self._safety: Columns = np.empty((0, 2), np.int64)
        self._closed: Columns = np.empty(0, np.int64)
        self._places: Columns = np.empty(0, np.int64)
        self._asked_places: dict[tuple[str, ...], tuple[Columns, Columns]] = {}
        self._kept: dict[str, Kept] = {}

    @classmethod
    def by(
        cls, settings: Settings, store: RedisStore, replica: Replica, networks: Networks, metrics: Metrics
    ) -> Scarcity:
        """As an operator has set it."""
        return cls(
            store,
            replica,
            networks,
            metrics,
            half_life_days=settings.demand_half_life_days,
            horizon_days=settings.scarcity_horizon_days,
            kilometre_cost=round(settings.scarcity_kilometre_cost * PARTS),
        )

    def prices(self, skus: Sequence[str], locations: Sequence[str], now_ms: int) -> Columns:
        """int64 [SKUs, locations]: ten-thousandths of the currency for a unit; 0 where nothing is known.

        By the replica as it is: of stock, what no reservation and no safety rule keeps, ring-fences left aside.
        """
        regions = self._network_regions()
        out = np.zeros((len(skus), len(locations)), np.int64)
        if regions is None or not len(self.demand) or not skus:
            return out
        fresh = []
        for sku in skus:
            kept, rows = self._kept.get(sku), self._rows(sku)
            if kept is None or now_ms >= kept.until_ms or not self._is_like(kept, rows):
                fresh.append((sku, rows))
        if fresh:
            self._price(fresh, now_ms, regions)
        places, known = self._asked(tuple(locations), regions)
        for row, sku in enumerate(skus):
            out[row, known] = self._kept[sku].prices[places]
        return out

    def on(self, replica: Replica) -> Scarcity:
        """Prices of another stock, by demand as it is known now; it learns nothing more."""
        return Scarcity(
            self._store,
            replica,
            self._networks,
            horizon_days=self._horizon_minutes / MINUTES_A_DAY,
            kilometre_cost=self._kilometre_cost,
            demand=self.demand.copied(),
        )

    def skus(self) -> list[str]:
        """SKUs of which demand was seen."""
        return self.demand.skus()

    def per_day(self, sku: str, now_ms: int) -> dict[str, float]:
        """Units of a SKU that are expected to be wanted a day near each location of the network."""
        regions = self._network_regions()
        if regions is None or not len(self.demand):
            return {}
        (rates,) = self.demand.rates.forecast(self.demand.numbers_of([sku]), now_ms).rate[:, self._columns].tolist()
        return {name: rate / MILLIONTHS for name, rate in zip(regions.names, rates, strict=True)}

    async def run(self) -> None:
        """Follows the change log until cancelled."""
        while True:
            try:
                await self.look()
            except InventoryError as refusal:
                logger.debug("no demand is read: %s", refusal)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Reads all that the log has, from where the last look ended; nothing before there is a network."""
        newest = await self._store.revisions()
        self._after = [min(pair) for pair in zip(self._after, newest, strict=True)]  # a failover may lose the newest
        while (regions := self._network_regions()) is not None:
            try:
                entries = await self._store.read_log(self._after, 0, ENTRIES_A_READ)
            except LogTrimmed as trimmed:
                await self._go_on_behind(trimmed.partition)
                continue
            if not entries:
                break
            for entry in entries:
                self._after[entry.partition] = entry.revision
            before = self.demand.lines
            self.demand.take(sorted(entries, key=lambda entry: entry.recorded_at_ms), regions, self._columns)
            if self._metrics is not None:
                self._metrics.demand_lines.inc(self.demand.lines - before)
                self._metrics.demand_skus.set(len(self.demand))
            await asyncio.sleep(0)

    async def _go_on_behind(self, partition: int) -> None:
        """Entries are gone that were not read: goes on with the first that is left."""
        left = await self._store.log_between(partition, self._after[partition], 2**53, 1)
        if left:
            self._after[partition] = left[0].revision - 1

    def _network_regions(self) -> NetworkRegions | None:
        """Those of the network in force."""
        network = self._networks.current
        if network is None:
            return None
        if self._regions is None or self._regions.network is not network:
            regions = self._regions = NetworkRegions(network, self._kilometre_cost)
            self._columns = self.demand.columns_of(regions.names)
            rules = [network.location_safety.get(name, NO_SAFETY) for name in regions.names]
            self._safety = np.array(rules, np.int64).reshape(-1, 2)
            self._closed = np.array([not network.locations[name].enabled for name in regions.names], np.bool_)
            self._places = np.empty(0, np.int64)
            self._asked_places.clear()
            self._kept.clear()
        return self._regions

    def _asked(self, locations: tuple[str, ...], regions: NetworkRegions) -> tuple[Columns, Columns]:
        """The network's numbers of those locations that it has, and which of them these are."""
        found = self._asked_places.get(locations)
        if found is None:
            if len(self._asked_places) >= ASKED_KEPT:
                self._asked_places.clear()
            places = np.array([regions.number.get(name, -1) for name in locations], np.int64)
            known = np.flatnonzero(places >= 0)
            found = self._asked_places[locations] = (places[known], known)
        return found

    def _is_like(self, kept: Kept, rows: Columns) -> bool:
        """Whether stock is about what the prices were computed from."""
        seen = rows.tobytes()
        return seen == kept.rows or not _has_changed(kept.stock, self._stock(rows))

    def _price(self, skus: Sequence[tuple[str, Columns]], now_ms: int, regions: NetworkRegions) -> None:
        """Keeps the prices of these SKUs, each with its rows of the replica."""
        if len(self._kept) + len(skus) > PRICES_KEPT:
            self._kept.clear()
        stock = np.stack([self._stock(rows) for _, rows in skus])
        minutes = np.full(stock.shape, self._horizon_minutes, np.int64)
        for row, (sku, _) in enumerate(skus):
            self._set_receipts(minutes[row], sku, now_ms, regions)
        forecast = self.demand.rates.forecast(self.demand.numbers_of([sku for sku, _ in skus]), now_ms)
        wanted = regions.regions(self._columns, np.asarray(forecast.rate.any(axis=0)))
        found = prices_of(forecast, wanted, self.demand.rates.lines_an_order, stock, minutes)
        until_ms = now_ms + PRICE_SECONDS * 1000
        for row, (sku, rows) in enumerate(skus):
            self._kept[sku] = Kept(rows.tobytes(), stock[row], until_ms, found[row].copy())

    def _set_receipts(self, minutes: Columns, sku: str, now_ms: int, regions: NetworkRegions) -> None:
        """Where a receipt with units for all is known, the end of its day counts."""
        first: dict[int, int] = {}
        for receipt in self._replica.incoming.open_receipts(sku):
            place = regions.number.get(receipt.location, -1)
            stops = receipt.location in regions.network.stopping
            day = effective_day(receipt.expected_day, now_ms, overdue_stops=stops)
            if place >= 0 and day and receipt.quantity > receipt.pegged:
                first[place] = min(first.get(place, day), day)
        for place, day in first.items():
            minutes[place] = (day + 1) * MINUTES_A_DAY - now_ms // MINUTE_MS

    def _rows(self, sku: str) -> Columns:
        """The SKU's rows of the replica."""
        columns = self._replica.columns
        number = columns.find_sku(sku)
        return NO_ROWS if number < 0 else columns.rows(number)

    def _stock(self, rows: Columns) -> Columns:
        """[N] units that can be taken at the network's locations."""
        found = np.zeros(len(self._safety), np.int64)
        places = self._places_of(rows[:, LOCATION])
        rows, places = rows[places >= 0], places[places >= 0]
        on_hand = np.minimum(rows[:, ON_HAND], STOCK_MAX)
        units = np.maximum(rows[:, SAFETY_UNITS], self._safety[places, 0])
        parts = np.maximum(rows[:, SAFETY_PARTS] & ((1 << PARTS_BITS) - 1), self._safety[places, 1])
        safety = np.maximum(units, -(-on_hand * parts // PARTS))
        found[places] = np.maximum(on_hand - rows[:, RESERVED] + rows[:, EXPIRED] - safety, 0)
        found[self._closed] = 0
        return found

    def _places_of(self, numbers: Columns) -> Columns:
        """The network's numbers of locations by those of the replica, -1 for what the network has not."""
        if self._places.size < len(self._replica.locations):
            assert self._regions is not None
            names = self._replica.locations.names
            self._places = np.array([self._regions.number.get(name, -1) for name in names], np.int64)
        return np.asarray(self._places[numbers])
