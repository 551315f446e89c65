"""Names that fall into one partition, so that a write of them is one call on a Cluster too."""

from __future__ import annotations

import itertools

from invengine.domain.orders import ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Movement
from tests.store.making import line, movement, request


class Names:
    """Names of one run in the partitions of one store. The same seed gives the same names."""

    def __init__(self, partitions: int, seed: str = "n") -> None:
        self._partitions, self._seed = partitions, seed
        self._numbers = itertools.count(1)

    def of(self, partition: int, before: str = "") -> str:
        """A new name so that `before` + the name is in the partition."""
        while True:
            name = f"{self._seed}{next(self._numbers)}"
            if partition_of(before + name, self._partitions) == partition:
                return name

    def movement(self, kind: str, quantity: int, at: int, sku: str, location: str = "AMS1") -> Movement:
        """A movement of a new event that is remembered beside the SKU."""
        event_id = self.of(partition_of(sku, self._partitions), "erp\t")
        return movement(kind, quantity, at, sku=sku, location=location, event_id=event_id)

    def request(self, quantity: int, sku: str, location: str = "AMS1") -> ReserveRequest:
        """A new reservation of a new request, both beside the SKU."""
        partition = partition_of(sku, self._partitions)
        return request(
            line(quantity, location, sku=sku),
            reservation_id=self.of(partition),
            request_id=self.of(partition, "web\t"),
            time_to_live_seconds=3600,
        )
