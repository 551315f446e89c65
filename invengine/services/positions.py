"""One position as it is now, from the replica: as fresh as the caller asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invengine.domain.network_parts import NO_SAFETY, larger
from invengine.domain.partitions import partition_of
from invengine.domain.stock import safety_units
from invengine.errors import PositionNotFound, UnknownLocation, UnknownSku
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, POSITION_COLUMNS, RESERVED, REVISION
from invengine.services import validation
from invengine.services.freshness import be_fresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.incoming import Receipt
    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class PositionNow:
    """A position as callers see it: expired holds do not count. `safety_stock` is what every channel must leave.

    `ring_fences` are (channel, units), by channel; `incoming` the open receipts by day,
    `states` (state, units) of what is there and cannot be sold, by state.
    """

    sku: str
    location: str
    on_hand: int
    reserved: int
    safety_stock: int
    revision: int
    consistency_token: str
    staleness_ms: int
    ring_fences: tuple[tuple[str, int], ...] = ()
    backordered: int = 0
    incoming: tuple[Receipt, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    overdue_stops: bool = False
    """Receipts here whose day is over do not count."""


def position_now(
    replica: Replica, network: Network, sku: str, location: str, *, row: Sequence[int], receipts: tuple[Receipt, ...]
) -> PositionNow:
    """The position of a row of the replica's columns, with the receipts that are expected there."""
    on_hand = row[ON_HAND]
    units, parts = larger(network.location_safety.get(location, NO_SAFETY), network.sku_location_safety(sku, location))
    return PositionNow(
        sku,
        location,
        on_hand,
        row[RESERVED] - row[EXPIRED],
        safety_units(on_hand, units, parts),
        row[REVISION],
        replica.token_of(partition_of(sku, replica.partitions)),
        replica.staleness_ms(),
        tuple((channel, units + over) for channel, units, over in replica.columns.ring_fences(row)),
        replica.incoming.backordered(sku, location),
        receipts,
        replica.unsellable.at(sku, location),
        location in network.stopping,
    )


class Positions:
    """The use case of GetPosition."""

    def __init__(self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks

    async def get(self, message: pb.GetPositionRequest, remaining_seconds: float | None) -> PositionNow:
        """The position; one that was never stocked is empty, at revision 0, where units are expected or backordered.

        UnknownLocation, UnknownSku, PositionNotFound; ReplicaBehind when it cannot be as fresh.
        """
        sku = validation.required_id("sku", message.sku)
        location = validation.required_id("location", message.location)
        network = self._networks.required()
        place = network.locations.get(location)
        if place is None:
            raise UnknownLocation(location)
        replica = self._replica
        home = partition_of(sku, replica.partitions)
        await be_fresh(self._store, replica, message.consistency, remaining_seconds, (home,))
        replica.advance(self._clock.now_ms())
        incoming = replica.incoming
        receipts = tuple(receipt for receipt in incoming.receipts(sku) if receipt.location == location)
        expected = bool(receipts or incoming.backordered(sku, location))
        row = self._row(sku, location, expected=expected)
        return position_now(replica, network, sku, location, row=row, receipts=receipts)

    def _row(self, sku: str, location: str, *, expected: bool) -> list[int]:
        columns = self._replica.state.columns
        number = columns.find_sku(sku)
        place = self._replica.locations.known(location)
        found: list[int]
        for found in columns.rows(number).tolist() if number >= 0 else ():
            if found[LOCATION] == place:
                return found
        if expected:
            return [0] * POSITION_COLUMNS
        if number < 0 and sku not in self._replica.incoming:
            raise UnknownSku(sku)
        raise PositionNotFound(sku, location)
