"""GetAvailableToPromise: from which day on so many units of one SKU, or so many of a kit, can be promised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from invengine.domain.incoming import SUM_MAX
from invengine.domain.partitions import partition_of
from invengine.errors import InvalidArgument, UnknownSku
from invengine.services.arrivals import HORIZON_DAYS
from invengine.services.days import today
from invengine.services.freshness import be_fresh
from invengine.services.promisable import Promisable, Promised
from invengine.services.questions import checked
from invengine.services.validation import required_id

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.promisable import Step
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import availability_service_pb2 as pb

_NOTHING: Final = Promised(0, ())


@dataclass(frozen=True, slots=True)
class Place:
    """What can be promised at one location; nothing, and no steps, where the channel cannot use it (`why_not`)."""

    location: str
    promised: Promised
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The answer: places by name, the sums over them, and of a kit what can be taken of each component now."""

    places: tuple[Place, ...]
    total: Promised
    last_day: int
    components: tuple[tuple[str, int, int], ...]
    """(SKU, units in one kit, units available)."""
    consistency_token: str
    staleness_ms: int


class AvailableToPromise:
    """The use case of GetAvailableToPromise."""

    def __init__(self, replica: Replica, store: RedisStore, clock: StoreClock, networks: Networks) -> None:
        self._replica = replica
        self._store = store
        self._clock = clock
        self._networks = networks

    async def get(self, message: pb.GetAvailableToPromiseRequest, remaining_seconds: float | None) -> Outlook:
        """The outlook for one SKU. Refuses as GetAvailability does."""
        replica = self._replica
        sku = required_id("sku", message.sku)
        fulfilment = checked(message)
        if not 0 <= message.days <= HORIZON_DAYS:
            raise InvalidArgument("days", f"is {message.days}; 0 to {HORIZON_DAYS} are allowed")
        network = self._networks.required()
        asked = network.asked(message.channel, locations=tuple(message.locations), group=message.group)
        kit = network.kits.get(sku)
        skus = [sku] if kit is None else [component.sku for component in kit]
        homes = sorted({partition_of(one, replica.partitions) for one in skus})
        await be_fresh(self._store, replica, message.consistency, remaining_seconds, homes)
        if kit is None and replica.columns.find_sku(sku) < 0 and sku not in replica.incoming:
            raise UnknownSku(sku)
        now_ms = self._clock.now_ms()
        channel = network.channel(message.channel)
        promisable = Promisable(replica, network, message.channel, now_ms, channel.borrows)
        first = min((promisable.today(location) for location in asked), default=today(now_ms))
        last = first + (message.days or HORIZON_DAYS) - 1
        known = frozenset[str]().union(*(promisable.places(one) for one in skus))
        places = []
        for location in asked:
            if location in known:
                why_not = network.why_not(message.channel, location, fulfilment)
                found = _NOTHING if why_not else _until(_at(promisable, sku, kit, location), last)
                places.append(Place(location, found, why_not))
        return Outlook(
            tuple(places),
            total([place.promised for place in places], first),
            last,
            tuple((part.sku, part.units, _now(promisable, part.sku, places)) for part in kit or ()),
            replica.token(homes),
            replica.staleness_ms(),
        )


def total(of: Sequence[Promised], first_day: int) -> Promised:
    """The sums. What each has at its own today is counted on `first_day`, the earliest of these."""
    gains = {first_day: 0}
    for promised in of:
        before = 0
        for number, (day, units) in enumerate(promised.steps):
            counted = day if number else first_day
            gains[counted] = gains.get(counted, 0) + units - before
            before = units
    steps: list[Step] = []
    units = 0
    for day, gain in sorted(gains.items()):
        units += gain
        if not steps or min(units, SUM_MAX) > steps[-1][1]:
            steps.append((day, min(units, SUM_MAX)))
    return Promised(min(sum(promised.now for promised in of), SUM_MAX), steps)


def _at(promisable: Promisable, sku: str, kit: Kit | None, location: str) -> Promised:
    if kit is None:
        return promisable.at(sku, location)
    return promisable.kit_at([(component.sku, component.units) for component in kit], location)


def _until(promised: Promised, last_day: int) -> Promised:
    """Without what is later than the last day; the step of today stays."""
    return Promised(promised.now, (promised.steps[0], *(step for step in promised.steps[1:] if step[0] <= last_day)))


def _now(promisable: Promisable, sku: str, places: Iterable[Place]) -> int:
    """Units of a component that can be taken now at the places that can be used."""
    return min(sum(promisable.at(sku, place.location).now for place in places if not place.why_not), SUM_MAX)
