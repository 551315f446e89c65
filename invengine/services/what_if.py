"""WhatIf: the same orders under several profiles, on a copy of the stock as it is or was. Nothing is written.

What is copied is copied at one moment; from then on nothing that others do is seen. Orders are sourced one at a time,
and others have their turn in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from invengine.domain.partitions import encode_token
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, catch_up
from invengine.services.recorded_days import DAY_MS, RecordedDays, orders_of
from invengine.services.stock_copies import Scratch, StockCopy
from invengine.services.turns import Turns
from invengine.services.what_if_requests import OrdersFrom, check_what_if, orders_given
from invengine.services.what_if_runs import Run

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import BasketLine
    from invengine.domain.what_if import Tally, WhatIfOrder
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.recorded_days import Recorded
    from invengine.services.scarcity import Scarcity
    from invengine.services.transit_times import LearntTransit
    from invengine.services.what_if_requests import CheckedWhatIf
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import whatif_pb2 as pb


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """What came of it under a profile, named; `left`: units by location that nobody has at the end."""

    profile: str
    tally: Tally
    left: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WhatIfAnswer:
    """What came of the orders; `free`: units by location that nobody had at first, at `stock_ms`."""

    results: tuple[ProfileResult, ...]
    orders: int
    left_out: int
    free: Mapping[str, int]
    stock_ms: int
    currency: str
    consistency_token: str


class WhatIf:
    """The use case of WhatIf. `scarcity`: what scarce units are worth, None: nothing is known."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        *,
        transit: LearntTransit,
        profiles: Profiles,
        scarcity: Scarcity | None = None,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._transit = transit
        self._profiles = profiles
        self._scarcity = scarcity
        self._days = RecordedDays(store)

    async def compare(self, message: pb.WhatIfRequest) -> WhatIfAnswer:
        """The profiles side by side.

        InvalidArgument, NetworkMissing, UnknownChannel, UnknownProfile, DayNotRecorded, ReplicaBehind.
        """
        asked = check_what_if(message, self._clock.now_ms() // DAY_MS)
        network = self._networks.required()
        chosen = [self._chosen(text, f"profiles[{place}]") for place, text in enumerate(asked.profiles)]
        stock_ms = asked.day * DAY_MS or self._clock.now_ms()
        recorded = None
        if asked.day:
            recorded = await self._days.since(stock_ms, stock_ms + DAY_MS)
        orders = await self._orders(asked, message, network, recorded, stock_ms)
        left_out = max(0, len(orders) - asked.orders_max)
        orders = orders[: asked.orders_max] if asked.orders_from is not OrdersFrom.GIVEN else orders
        left_out = left_out if asked.orders_from is OrdersFrom.RECORDED else 0
        stock, token = await self._copy(orders, network, recorded, stock_ms)
        results = []
        for text, of_channel in zip(asked.profiles, chosen, strict=True):
            scratch = await Scratch.of(stock, network, stock_ms)
            is_priced = any(profile.opportunity_percent for profile in map(of_channel, network.channels) if profile)
            prices = self._scarcity.on(scratch.replica) if self._scarcity and is_priced else None
            run = Run(scratch, network, stock_ms, of_channel=of_channel, transit=self._transit.times, prices=prices)
            await _sourced(run, orders)
            named = of_channel("") if text else None
            results.append(ProfileResult(str(named) if named else "", run.tally, await run.left()))
        currency = network.delivery.currency
        return WhatIfAnswer(tuple(results), len(orders), left_out, await stock.free_at(), stock_ms, currency, token)

    def _chosen(self, text: str, field: str) -> Callable[[str], Profile | None]:
        """By channel the profile that counts: always the one that is named, or the active ones as they are now."""
        if text:
            named = self._profiles.get(text, field)
            return lambda _: named
        active = {channel: self._profiles.active(channel) for channel in self._networks.required().channels}
        return active.get

    async def _orders(
        self,
        asked: CheckedWhatIf,
        message: pb.WhatIfRequest,
        network: Network,
        recorded: Recorded | None,
        stock_ms: int,
    ) -> list[WhatIfOrder]:
        if asked.orders_from is OrdersFrom.GIVEN:
            return await orders_given(message, network, stock_ms)
        if asked.orders_from is OrdersFrom.RECORDED:
            assert recorded is not None
            return [order for order in orders_of(recorded) if order.channel in network.channels]
        now_ms = self._clock.now_ms()
        recent = await self._days.since(now_ms - asked.recent_days * DAY_MS, now_ms + DAY_MS, strict=False)
        known = [order for order in orders_of(recent) if order.channel in network.channels]
        if not known:
            return []
        random = Random(asked.seed)  # noqa: S311 -- draws orders, guards nothing
        drawn = [random.choice(known) for _ in range(asked.orders_max)]
        return [
            order._replace(order_id=f"{number}", at_ms=stock_ms, lines=tuple([_undated(line) for line in order.lines]))
            for number, order in enumerate(drawn, 1)
        ]

    async def _copy(
        self, orders: list[WhatIfOrder], network: Network, recorded: Recorded | None, stock_ms: int
    ) -> tuple[StockCopy, str]:
        """The stock of what the orders want, and a token that names the state it is of."""
        skus = {
            sku
            for order in orders
            for line in order.lines
            for sku in ([part.sku for part in network.kits[line.sku]] if line.sku in network.kits else [line.sku])
        }
        await catch_up(self._store, self._replica, FRESHNESS_SECONDS_MAX)
        applied = list(self._replica.applied)
        now = await StockCopy.of(self._replica, sorted(skus), network, self._clock.now_ms())
        token = encode_token(self._store.store_id, enumerate(applied))
        if recorded is None:
            return now, token
        await self._days.go_on(recorded, applied, stock_ms, stock_ms)
        return recorded.opening(now).only(skus), token


def _undated(line: BasketLine) -> BasketLine:
    """A line of a recent order that is made now: it need not be there on a day of then."""
    return line._replace(needed_by=0)


async def _sourced(run: Run, orders: list[WhatIfOrder]) -> None:
    turns = Turns()
    for order in orders:
        run.source(order)
        await turns.pause()
