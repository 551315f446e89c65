"""When could it be had: promises of baskets, of pages of SKUs and of many orders. Nothing is taken by asking.

A question is checked, the network says who may serve it, the replica what is there and what comes, the calendars and
lanes when it would be with the customer; then the best combination of locations is chosen for each way.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from invengine.domain.partitions import partition_of
from invengine.domain.promising import Promise
from invengine.domain.transit import NOTHING_LEARNT
from invengine.errors import NetworkMissing
from invengine.services.dating import Dating
from invengine.services.freshness import be_fresh
from invengine.services.promisable import Promisable
from invengine.services.promising_options import Basket, Means, Options
from invengine.services.promising_requests import check_get
from invengine.services.promising_supply import Supply, demands_of
from invengine.services.sourcing import Sourcing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.network import Network
    from invengine.domain.promising import Gap, Option
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import promise_service_pb2 as pb


class Promising:
    """The use cases of GetPromise and BatchGetPromise."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._sourcing = Sourcing(replica, clock)
        self._seconds = None if metrics is None else metrics.kernel_seconds
        self._network: Network | None = None
        self._dating: Dating | None = None
        networks.add_listener(self._set_network)

    async def get(self, message: pb.GetPromiseRequest, remaining_seconds: float | None = None) -> Promise:
        """Every way to get a basket.

        InvalidArgument, NetworkMissing, UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable,
        UnknownGroup, GroupNotUsable, UnknownService, ReplicaBehind, StoreUnavailable.
        """
        asked = check_get(message, self._required())
        demands = demands_of(asked.lines, self._required(), "lines")
        partitions = {partition_of(sku, self._replica.partitions) for demand in demands for sku, _ in demand.parts}
        await be_fresh(self._store, self._replica, message.consistency, remaining_seconds, partitions)
        began = perf_counter()
        network = self._required()  # nothing is awaited from here on: all of it is of one moment
        demands = demands_of(asked.lines, network, "lines")
        now_ms = self._clock.now_ms()
        basket = Basket(asked.channel, demands, asked.how, asked.confidence_parts, now_ms, asked.explain)
        options, gaps = self._answer(basket, self._means(network, asked.channel, now_ms))
        to = asked.how.destination
        promise = Promise(
            tuple(options),
            tuple(gaps),
            network.delivery.zone_of(to.country, to.postal_code) if to.country else "",
            network.delivery.currency,
            now_ms,
            self._replica.token(),
            self._replica.staleness_ms(),
        )
        if self._seconds is not None:
            self._seconds["promise"].observe(perf_counter() - began)
        return promise

    def _answer(self, basket: Basket, means: Means) -> tuple[Sequence[Option], Sequence[Gap]]:
        options: list[Option] = []
        gaps: dict[Gap, None] = {}
        for way in basket.how.ways:
            found = Options(means, basket, way)
            options += found.found()
            gaps.update(dict.fromkeys(found.gaps()))
        return options, list(gaps)

    def _means(self, network: Network, channel: str, now_ms: int) -> Means:
        replica = self._replica
        assert self._dating is not None
        promisable = Promisable(replica, network, channel, now_ms, network.channel(channel).borrows)
        return Means(network, self._sourcing, self._dating, Supply(promisable, replica, network))

    def _required(self) -> Network:
        if self._network is None:
            raise NetworkMissing
        return self._network

    def _set_network(self, network: Network) -> None:
        self._network = network
        if self._dating is None:
            self._dating = Dating(network, NOTHING_LEARNT, self._replica, self._clock)
        else:
            self._dating.set_network(network)

