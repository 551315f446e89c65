"""SuggestTransfers: which stock should go from one location to another, so that more of what waits is filled.

It only reads. The search of a SKU goes in steps, and others have their turn in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.calendars import local_day
from invengine.domain.partitions import encode_token
from invengine.domain.rebalancing import Fill, Need, Search, Suggestion, Supply, Way
from invengine.errors import InvalidArgument, UnknownLocation
from invengine.replica.short import short_numbers
from invengine.services import validation
from invengine.services.surplus import NO_RATES, Asked, Surplus
from invengine.services.turns import Turns

if TYPE_CHECKING:
    from invengine.domain.delivery import TransferLane
    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.surplus import Rates
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import rebalance_pb2 as pb

SKUS_MAX: Final = 1000
SUGGESTIONS_DEFAULT: Final = 1000
SUGGESTIONS_MAX: Final = 10_000
FORECAST_DAYS_DEFAULT: Final = 14
FORECAST_DAYS_MAX: Final = 365
DAYS_MAX: Final = 730
FRESHNESS_SECONDS_MAX: Final = 2.0

_READS_AT_ONCE: Final = 50
_MINUTE_MS: Final = 60_000


class Unfillable(IntEnum):
    """Why no transfer fills a need; by their numbers in the proto."""

    NO_SURPLUS = 1
    NO_LANE = 2
    COMES_SOONER = 3


class SkuSuggestion(NamedTuple):
    """A suggestion, and the days that it takes."""

    sku: str
    suggestion: Suggestion
    days: int


class Unfilled(NamedTuple):
    """What no transfer fills."""

    sku: str
    need: Need
    why: Unfillable


@dataclass(slots=True)
class Report:
    """A rebalancing report."""

    currency: str
    suggestions: list[SkuSuggestion] = field(default_factory=list)
    unfilled: list[Unfilled] = field(default_factory=list)
    has_more: bool = False
    cut_short: list[str] = field(default_factory=list)
    consistency_token: str = ""


class _Checked(NamedTuple):
    skus: tuple[str, ...]
    to_location: str
    from_location: str
    fills: frozenset[Fill]
    days_max: int
    forecast_days: int
    suggestions_max: int


Planned = Mapping[str, Mapping[str, Sequence[tuple[int, int]]]]
"""By SKU and destination: days and units of transfers that have not left."""


class Rebalancing:
    """The use case of SuggestTransfers."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks, *, rates: Rates = NO_RATES
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._rates = rates

    async def report(self, message: pb.SuggestTransfersRequest) -> Report:
        """What should be moved. InvalidArgument, NetworkMissing, UnknownLocation, ReplicaBehind."""
        network = self._networks.required()
        asked = _checked(message, network)
        revisions = await self._store.revisions()
        await self._replica.wait_for(list(enumerate(revisions)), FRESHNESS_SECONDS_MAX)
        now_ms = self._clock.now_ms()
        self._replica.advance(now_ms)
        planned = await self._planned()
        today = local_day(now_ms // _MINUTE_MS, "UTC")
        surplus = Surplus(
            self._replica, network, now_ms, asked=Asked(asked.fills, asked.forecast_days, today), rates=self._rates
        )
        ways = {way: days for way, days in _ways(network, now_ms).items() if days <= asked.days_max}
        report = Report(network.delivery.currency)
        turns = Turns()
        for sku in self._skus(asked):
            supplies, needs = surplus.of(sku, planned.get(sku, {}))
            needs = [one for one in needs if asked.to_location in ("", one.location)]
            supplies = [one for one in supplies if asked.from_location in ("", one.location)]
            search = Search(supplies, needs, list(ways))
            while not search.is_done:
                search.step()
                await turns.pause()
            await turns.pause()
            found = search.suggestions()
            if len(report.suggestions) + len(found) > asked.suggestions_max:
                report.has_more = True
                break
            _note(report, sku, search, found, ways)
        report.consistency_token = encode_token(self._store.store_id, enumerate(revisions))
        return report

    def _skus(self, asked: _Checked) -> list[str]:
        """The SKUs to look at: those that are named, else those of which units wait or may be short."""
        if asked.skus:
            return sorted(set(asked.skus))
        waiting = {sku for sku, _ in short_numbers(self._replica.columns)}
        waiting |= {sku for sku, _ in self._replica.incoming.all_backordered()}
        if Fill.FORECAST in asked.fills:
            waiting.update(self._rates.skus())
        return sorted(waiting)

    async def _planned(self) -> Planned:
        """What transfers that are planned will bring: it has not left, so no receipt says so."""
        found: dict[str, dict[str, list[tuple[int, int]]]] = {}
        ids = await self._store.transfer_ids()
        for first in range(0, len(ids), _READS_AT_ONCE):
            some = ids[first : first + _READS_AT_ONCE]
            for transfer in await asyncio.gather(*(self._store.reservation(name) for name in some)):
                for line in transfer.lines if transfer else ():
                    units = sum(its.open for its in line.allocations)
                    if units:
                        to = found.setdefault(line.sku, {}).setdefault(line.destination.location, [])
                        to.append((line.expected_day, units))
        return found


def _checked(message: pb.SuggestTransfersRequest, network: Network) -> _Checked:
    validation.count_of("skus", len(message.skus), SKUS_MAX, least=0)
    skus = tuple(validation.required_id(f"skus[{place}]", sku) for place, sku in enumerate(message.skus))
    places = {}
    for name in ("to_location", "from_location"):
        places[name] = validation.optional_text(name, getattr(message, name))
        if places[name] and places[name] not in network.locations:
            raise UnknownLocation(places[name])
    fills = set()
    for place, number in enumerate(message.fills):
        if int(number) not in set(Fill):
            raise InvalidArgument(f"fills[{place}]", f"{number} is nothing that can be filled")
        fills.add(Fill(number))
    if Fill.SAFETY_STOCK in fills and not skus:
        raise InvalidArgument("skus", "are required where safety stock is to be filled")
    return _Checked(
        skus,
        places["to_location"],
        places["from_location"],
        frozenset(fills or {Fill.SHORTFALL, Fill.BACKORDER, Fill.FORECAST}),
        _within("days_max", message.days_max, DAYS_MAX, DAYS_MAX),
        _within("forecast_days", message.forecast_days, FORECAST_DAYS_MAX, 0)
        if message.HasField("forecast_days")
        else FORECAST_DAYS_DEFAULT,
        _within("suggestions_max", message.suggestions_max, SUGGESTIONS_MAX, SUGGESTIONS_DEFAULT),
    )


def _within(name: str, number: int, most: int, usual: int) -> int:
    if not 0 <= number <= most:
        raise InvalidArgument(name, f"is {number}; 0 to {most} are allowed")
    return number or usual


def _ways(network: Network, now_ms: int) -> dict[Way, int]:
    """Every transfer lane with a day, and the days that it takes from today on."""
    found = {}
    for lane in network.delivery.transfer_lanes.values():
        today = local_day(now_ms // _MINUTE_MS, network.locations[lane.from_location].time_zone)
        day = arrival_day(lane, today)
        if day:
            way = Way(lane.from_location, lane.to_location, lane.cost, lane.cost_per_unit, day)
            found[way] = day - today
    return found


def arrival_day(lane: TransferLane, today: int) -> int:
    """The day on which units are there that leave with the next collection, tomorrow at the earliest; 0 for never."""
    leaves = next((day for day in range(today + 1, today + DAYS_MAX) if lane.pickups.is_open(day)), 0)
    left = lane.transit_days
    day = leaves
    while leaves and left:
        day += 1
        if day > today + DAYS_MAX:
            return 0
        left -= lane.calendar.is_open(day)
    return day


def _note(report: Report, sku: str, search: Search, found: Iterable[Suggestion], ways: Mapping[Way, int]) -> None:
    report.suggestions += [SkuSuggestion(sku, one, ways[one.way]) for one in found]
    if not search.is_proved:
        report.cut_short.append(sku)
    spare = {one.location for one in search.supplies}
    for need in search.unfilled():
        report.unfilled.append(Unfilled(sku, need, _why(need, search.supplies, spare, ways)))


def _why(need: Need, supplies: Sequence[Supply], spare: set[str], ways: Mapping[Way, int]) -> Unfillable:
    lanes = [way for way in ways if way.to_location == need.location]
    from_spare = [way for way in lanes if way.from_location in spare]
    in_time = [way for way in from_spare or lanes if not need.cover_day or way.day < need.cover_day]
    if lanes and not in_time:
        return Unfillable.COMES_SOONER
    if from_spare or not any(one.location != need.location for one in supplies):
        return Unfillable.NO_SURPLUS
    return Unfillable.NO_LANE
