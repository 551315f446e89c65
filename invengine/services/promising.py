"""When could it be had: promises of baskets, of pages of SKUs and of many orders. Nothing is taken by asking.

A question is checked, the network says who may serve it, the replica what is there and what comes, the calendars and
lanes when it would be with the customer; then the best combination of locations is chosen for each way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import partition_of
from invengine.domain.promising import BatchStatus, Gap, ManyPromises, Promise, Way
from invengine.services.dating import Dating
from invengine.services.freshness import be_fresh
from invengine.services.promisable import Promisable
from invengine.services.promising_objective import Objective
from invengine.services.promising_options import Basket, Means, Options
from invengine.services.promising_orders import Batch, ManyOrders
from invengine.services.promising_requests import OrderChecks, check_batch, check_get, check_skus
from invengine.services.promising_supply import Supply, demands_of
from invengine.services.sourcing import Sourcing

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.promising import Option
    from invengine.domain.transit import TransitTimes
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.promising_requests import AskedBatch, AskedOrder
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.services.transit_times import LearntTransit
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import promise_service_pb2 as pb

PART: Final = 1000
"""Orders that are dated without a pause."""

GAPS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of the orders so far; ways and locations by their numbers in the answer."""

    ways: dict[Way, int]
    status: list[BatchStatus]
    days: list[int]
    chosen: list[int]
    line_counts: list[int]
    served_by: list[int]
    locations: dict[str, int]
    gaps: dict[Gap, None]


class Promising:
    """The use cases of GetPromise and BatchGetPromise."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        *,
        transit: LearntTransit,
        metrics: Metrics | None = None,
        profiles: Profiles | None = None,
        plans: SourcingPlans | None = None,
    ) -> None:
        """`profiles` has the profile of a request, by which `plans` choose locations; without them nothing does."""
        self._store = store
        self._replica = replica
        self._clock = clock
        self._sourcing = Sourcing(replica, clock)
        self._seconds = None if metrics is None else metrics.kernel_seconds
        self._networks = networks
        self._transit = transit
        self._profiles = profiles
        self._plans = plans
        self._dating: Dating | None = None
        self._dated_by: tuple[Network, TransitTimes] | None = None

    async def get(self, message: pb.GetPromiseRequest, remaining_seconds: float | None = None) -> Promise:
        """Every way to get a basket.

        InvalidArgument, NetworkMissing, UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable,
        UnknownGroup, GroupNotUsable, UnknownService, UnknownProfile, ReplicaBehind, StoreUnavailable.
        """
        asked = check_get(message, self._networks.required())
        objective = self._objective(message.profile, asked.channel)
        demands = demands_of(asked.lines, self._networks.required(), "lines")
        partitions = {partition_of(sku, self._replica.partitions) for demand in demands for sku, _ in demand.parts}
        await be_fresh(self._store, self._replica, message.consistency, remaining_seconds, partitions)
        began = perf_counter()
        network = self._networks.required()  # nothing is awaited from here on: all of it is of one moment
        lines = asked.lines
        if objective is not None and not objective.profile.may_split:
            lines = tuple([line._replace(allow_split=False) for line in lines])
        demands = demands_of(lines, network, "lines")
        now_ms = self._clock.now_ms()
        basket = Basket(asked.channel, demands, asked.how, asked.confidence_parts, now_ms, asked.explain)
        options, gaps = self._answer(basket, self._means(network, asked.channel, now_ms, objective))
        to = asked.how.destination
        promise = Promise(
            tuple(options),
            tuple(gaps),
            network.delivery.zone_of(to.country, to.postal_code) if to.country else "",
            network.delivery.currency,
            now_ms,
            self._replica.token(),
            self._replica.staleness_ms(),
            "" if objective is None else str(objective.profile),
        )
        if self._seconds is not None:
            self._seconds["promise"].observe(perf_counter() - began)
        return promise

    async def batch(self, message: pb.BatchGetPromiseRequest, remaining_seconds: float | None = None) -> ManyPromises:
        """The earliest days of many SKUs, or of many orders. Refuses as `get`."""
        asked = check_batch(message, self._networks.required())
        await be_fresh(self._store, self._replica, message.consistency, remaining_seconds)
        began = perf_counter()
        network, replica = self._networks.required(), self._replica
        token, staleness_ms, now_ms = replica.token(), replica.staleness_ms(), self._clock.now_ms()
        if message.skus:
            found = self._columns(check_skus(message, asked, network), asked, network, now_ms)
        else:
            found = await self._orders(message, asked, network, now_ms)
        if self._seconds is not None:
            self._seconds["promise_batch"].observe(perf_counter() - began)
        return replace(found, consistency_token=token, staleness_ms=staleness_ms)

    def _columns(self, orders: Sequence[AskedOrder], asked: AskedBatch, network: Network, now_ms: int) -> ManyPromises:
        lines = [order.lines[0] for order in orders]
        demands = [(demand,) for demand in demands_of(lines, network, "skus")]
        means = self._means(network, asked.channel, now_ms)
        many = ManyOrders(means, self._replica, Batch(asked.channel, orders, demands, asked.confidence_parts, now_ms))
        columns, _, unknown, gapped = many.columns(many.laid())
        status = [BatchStatus.NOT_PROMISABLE] * len(orders)
        for _, days in columns:
            for place in days.nonzero()[0].tolist():
                status[place] = BatchStatus.PROMISED
        _mark(status, gapped, unknown)
        ways = tuple(way for way, _ in columns)
        gaps = tuple(many.gaps)[:GAPS_MAX]
        return ManyPromises(ways, status, gaps, now_ms, "", 0, columns=[days.tolist() for _, days in columns])

    async def _orders(
        self, message: pb.BatchGetPromiseRequest, asked: AskedBatch, network: Network, now_ms: int
    ) -> ManyPromises:
        """In parts, so that other calls get their turn; each part is of its own moment, none older than the token."""
        checks = OrderChecks(asked, network)
        every: list[AskedOrder] = []
        for first in range(0, len(message.orders), PART):
            part = message.orders[first : first + PART]
            every += [checks.order(order, first + place) for place, order in enumerate(part)]
            await asyncio.sleep(0)
        found = Collected({}, [], [], [], [], [], {}, {})
        for first in range(0, len(every), PART):
            self._date_part(every[first : first + PART], first, asked, (network, now_ms), found)
            await asyncio.sleep(0)
        return ManyPromises(
            tuple(found.ways),
            found.status,
            tuple(found.gaps)[:GAPS_MAX],
            now_ms,
            "",
            0,
            days=found.days,
            chosen=found.chosen,
            line_counts=found.line_counts,
            served_by=found.served_by,
            locations=tuple(found.locations),
        )

    def _date_part(
        self,
        orders: Sequence[AskedOrder],
        first: int,
        asked: AskedBatch,
        moment: tuple[Network, int],
        found: Collected,
    ) -> None:
        network, now_ms = moment
        demands = [
            demands_of(order.lines, network, f"orders[{first + place}].lines") for place, order in enumerate(orders)
        ]
        means = self._means(network, asked.channel, now_ms)
        many = ManyOrders(means, self._replica, Batch(asked.channel, orders, demands, asked.confidence_parts, now_ms))
        laid = many.laid()
        dated = many.chosen(laid)
        for place, name in enumerate(many.locations):
            assert found.locations.setdefault(name, place) == place  # of one network and channel they are the same
        ways = list(many.ways)
        status = [BatchStatus.PROMISED if day else BatchStatus.NOT_PROMISABLE for day in dated.days.tolist()]
        _mark(status, dated.gapped, dated.unknown)
        found.gaps.update(many.gaps)
        days, chosen = dated.days.tolist(), [ways[way] if way >= 0 else None for way in dated.ways.tolist()]
        for place in dated.odd:
            basket = Basket(asked.channel, demands[place], orders[place].how, asked.confidence_parts, now_ms)
            options, gaps = self._answer(basket, means)
            promised = [option for option in options if option.delivery_day]
            status[place] = BatchStatus.GAP if gaps else BatchStatus.NOT_PROMISABLE
            if promised:
                best = min(promised, key=lambda option: (option.delivery_day, option.cost))
                status[place], days[place], chosen[place] = BatchStatus.PROMISED, best.delivery_day, best.way
                at = laid.orders[place][0]
                for line in best.lines:
                    dated.served_by[at] = found.locations.setdefault(line.parts[0].location, len(found.locations))
                    at += 1
            else:
                found.gaps.update(dict.fromkeys(gaps))
        found.status.extend(status)
        found.days.extend(days)
        found.chosen.extend([found.ways.setdefault(way, len(found.ways)) if way is not None else -1 for way in chosen])
        found.line_counts.extend([count for _, count, _ in laid.orders])
        found.served_by.extend(dated.served_by)

    def _answer(self, basket: Basket, means: Means) -> tuple[Sequence[Option], Sequence[Gap]]:
        options: list[Option] = []
        gaps: dict[Gap, None] = {}
        for way in basket.how.ways:
            found = Options(means, basket, way)
            options += found.found()
            gaps.update(dict.fromkeys(found.gaps()))
        return options, list(gaps)

    def _objective(self, profile: str, channel: str) -> Objective | None:
        """What chooses locations: the profile that is named, else the active one; None where there is none."""
        if self._profiles is None or self._plans is None:
            return None
        found = self._profiles.of_request(profile, channel)
        return None if found is None else Objective(self._plans, found)

    def _means(self, network: Network, channel: str, now_ms: int, objective: Objective | None = None) -> Means:
        replica = self._replica
        promisable = Promisable(replica, network, channel, now_ms, network.channel(channel).borrows)
        supply = Supply(promisable, replica, network)
        return Means(network, self._sourcing, self._dating_by(network), supply, self._transit.times, objective)

    def _dating_by(self, network: Network) -> Dating:
        """What dates by this network and by the transit times in force."""
        times = self._transit.times
        if self._dating is None:
            self._dating = Dating(network, times, self._replica, self._clock)
        elif self._dated_by != (network, times):
            self._dating.set_network(network)
            self._dating.set_transit(times)
        self._dated_by = network, times
        return self._dating


def _mark(status: list[BatchStatus], gapped: Sequence[int], unknown: Sequence[int]) -> None:
    for place in gapped:
        status[place] = BatchStatus.GAP
    for place in unknown:
        status[place] = BatchStatus.UNKNOWN_SKU
