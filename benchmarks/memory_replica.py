"""A replica in this process, filled without Redis: what the benchmarks of the read side ask."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

from benchmarks import engine
from invengine.domain.network import Network
from invengine.replica.clock import StoreClock
from invengine.replica.replica import Replica
from invengine.services.availability import Availability

PARTITIONS = 64


class NoStore:
    """Stands for the store where nothing is asked of it."""

    async def revisions(self) -> list[int]:
        """Never asked."""
        raise AssertionError("a read from the replica asked the store")

    async def reservation(self, reservation_id: str) -> None:
        """Never asked."""
        raise AssertionError("a read from the replica asked the store")


def fill(replica: Replica, skus: int, locations: int, units: int) -> None:
    """Load `units` of every SKU at every location, in the bulk form that a start reads from Redis."""
    names = [engine.location(number).encode() for number in range(locations)]
    for first in range(0, skus, 1_000):
        chunk = [
            (engine.sku(number), dict.fromkeys(names, b"%d,0,%d,0" % (units, 1)))
            for number in range(first, min(first + 1_000, skus))
        ]
        replica.state.columns.load(chunk, PARTITIONS)


def availability(skus: int, locations: int, units: int) -> tuple[Replica, Availability]:
    """A filled replica and the service that answers from it."""
    replica = Replica(PARTITIONS, bytes(8))
    fill(replica, skus, locations, units)
    network = Network.parse(engine.network_document(locations), 1)
    replica.set_network(network)
    replica.caught_up(monotonic())
    clock = StoreClock()
    now = monotonic()
    clock.observe(1_800_000_000_000, now, now)
    return replica, Availability(replica, NoStore(), clock, SimpleNamespace(current=network))
