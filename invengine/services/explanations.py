"""ExplainAvailability: every term and rule behind what a channel can take, and the reservations that hold the rest.

The sums come from the replica, in one go, as those of GetAvailability do. The reservations are looked for in the store,
which takes several reads; the revisions of the positions before and after tell whether all of it is of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from invengine.domain.incoming import SUM_MAX
from invengine.domain.orders import Fulfilment
from invengine.domain.partitions import partition_of
from invengine.errors import InvalidArgument, UnknownSku
from invengine.kernels.layout import (
    EXPIRED,
    LOCATION,
    ON_HAND,
    PARTS_BITS,
    POSITION_COLUMNS,
    RESERVED,
    REVISION,
    SAFETY_PARTS,
)
from invengine.services.explained import Explanation, KitExplanation, Known, Question, explain
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, be_fresh, catch_up
from invengine.services.questions import Questions
from invengine.services.validation import required_id
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.incoming import Receipt
    from invengine.domain.kits import Component
    from invengine.domain.network import Network
    from invengine.domain.stock import LedgerEntry, Position
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.behind import HeldUnits
    from invengine.store.redis_store import RedisStore

EXPLAINED_MAX: Final = 200
"""Positions in one answer, of a kit those of all its components together."""

RESERVATIONS_DEFAULT: Final = 20
RESERVATIONS_MAX: Final = 100
ROUNDS_MAX: Final = 3
"""Looks at the reservations, before the numbers are told with what moved meanwhile."""

_FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
PlacedT = TypeVar("PlacedT", "HeldUnits", "Receipt")
_NOTHING: Final = [0] * POSITION_COLUMNS


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer: so many positions as EXPLAINED_MAX allows; of the others, how many and what is available there.

    Of a kit `kits` instead of positions, and its `components`, each with the units of it that the channel can take.
    """

    positions: tuple[Explanation, ...]
    kits: tuple[KitExplanation, ...]
    components: tuple[tuple[Component, int], ...]
    left_out: int
    available_left_out: int
    low_stock_threshold: int
    now_ms: int
    settled: bool
    complete: bool
    network_revision: int
    consistency_token: str
    staleness_ms: int

    @property
    def available(self) -> int:
        """Units, or kits, that the channel can take at all positions together."""
        return min(_sum((*self.positions, *self.kits)) + self.available_left_out, SUM_MAX)


class _Look(NamedTuple):
    """What the store said of a SKU, by location: what holds units, the newest revisions, what made them."""

    held: Mapping[str, Sequence[HeldUnits]]
    complete: bool
    revisions: Mapping[str, int]
    stood_still: bool
    changes: Mapping[str, LedgerEntry]


class _Found(NamedTuple):
    """What is known of a SKU: what the store said, and by location the replica's rows: of all SKUs at one moment."""

    sku: str
    look: _Look
    rows: Mapping[str, list[int]]

    @property
    def is_settled(self) -> bool:
        """Whether both are of that moment."""
        revisions = self.look.revisions.items()
        return self.look.stood_still and all(self.row(place)[REVISION] == revision for place, revision in revisions)

    def row(self, place: str) -> list[int]:
        """The row of a location, of zeros where there is none."""
        return self.rows.get(place, _NOTHING)


class Explanations:
    """The use case of ExplainAvailability."""

    def __init__(self, replica: Replica, store: RedisStore, clock: StoreClock, networks: Networks) -> None:
        self._replica = replica
        self._store = store
        self._clock = clock
        self._networks = networks
        self._questions = Questions(replica, networks)

    async def explain(self, message: pb.ExplainAvailabilityRequest, remaining_seconds: float | None) -> Explained:
        """Explains one SKU, a kit by its components. Refuses as GetAvailability does."""
        replica = self._replica
        sku = required_id("sku", message.sku)
        if not 0 <= message.reservations_max <= RESERVATIONS_MAX:
            problem = f"is {message.reservations_max}; 0 to {RESERVATIONS_MAX} are allowed"
            raise InvalidArgument("reservations_max", problem)
        asked, network = self._asked(message), self._networks.required()
        kit = network.kits.get(sku, ())
        skus = [component.sku for component in kit] or [sku]
        homes = sorted({partition_of(one, replica.partitions) for one in skus})
        seconds = min(FRESHNESS_SECONDS_MAX, remaining_seconds or FRESHNESS_SECONDS_MAX)
        await be_fresh(self._store, replica, message.consistency, remaining_seconds, homes)
        if not kit and replica.columns.find_sku(sku) < 0 and sku not in replica.incoming:
            raise UnknownSku(sku)
        ignored = None
        if message.ignore_reservation_id:
            ignored = await self._store.reservation(message.ignore_reservation_id)
            await catch_up(self._store, replica, seconds, homes)  # its units are among the reserved ones then
        found, now_ms = await self._find(skus, asked, seconds)
        places = self._places(found, asked, frozenset(message.locations))
        fulfilment, listed = _FULFILMENTS[message.fulfilment], message.reservations_max or RESERVATIONS_DEFAULT
        explained = []
        for one in found:
            question = Question(network, one.sku, message.channel, fulfilment, ignored, listed)
            receipts = _by_location(replica.incoming.receipts(one.sku))
            known = [self._known(one, place, receipts, network) for place in places]
            explained.append([explain(question, its, now_ms) for its in known])
        shown = max(1, EXPLAINED_MAX // len(skus))
        positions: list[Explanation] = [] if kit else explained[0]
        kits = [KitExplanation(kit, its) for its in zip(*explained, strict=True)] if kit else []
        return Explained(
            tuple(positions[:shown]),
            tuple(kits[:shown]),
            tuple([(part, _sum(its)) for part, its in zip(kit, explained, strict=bool(kit))]),
            max(0, len(places) - shown),
            _sum([*positions[shown:], *kits[shown:]]),
            network.low_stock_threshold(message.channel, sku, asked[0] if len(asked) == 1 else ""),
            now_ms,
            all(one.is_settled for one in found),
            all(one.look.complete for one in found),
            network.revision,
            replica.token(homes),
            replica.staleness_ms(),
        )

    def _asked(self, message: pb.ExplainAvailabilityRequest) -> tuple[str, ...]:
        """The locations that the question is about; the checks and refusals are GetAvailability's."""
        same = pb.GetAvailabilityRequest(
            channel=message.channel,
            locations=message.locations,
            group=message.group,
            fulfilment=message.fulfilment,
            ignore_reservation_id=message.ignore_reservation_id,
            consistency=message.consistency,
        )
        return self._questions.of_get(same.SerializeToString()).selection.asked

    async def _find(self, skus: Sequence[str], asked: Sequence[str], seconds: float) -> tuple[list[_Found], int]:
        """What there is of the SKUs, and the moment that it is of: nothing is awaited after that."""
        replica = self._replica
        for left in range(ROUNDS_MAX - 1, -1, -1):
            looks = await self._look(skus, asked)
            newest = [
                (partition_of(sku, replica.partitions), max(look.revisions.values(), default=0))
                for sku, look in zip(skus, looks, strict=True)
            ]
            await replica.wait_for(newest, seconds)
            replica.advance(now_ms := self._clock.now_ms())
            found = [_Found(sku, look, self._rows(sku, asked)) for sku, look in zip(skus, looks, strict=True)]
            if not left or all(one.is_settled for one in found):
                break
        return found, now_ms

    async def _look(self, skus: Sequence[str], asked: Sequence[str]) -> list[_Look]:
        store = self._store
        before = await self._positions(skus, asked)
        behind = await store.behind(
            {sku: {place: p.reserved for place, p in its.items()} for sku, its in zip(skus, before, strict=True)}
        )
        after = [{place: p.revision for place, p in its.items()} for its in await self._positions(skus, asked)]
        changes = await asyncio.gather(*map(store.last_changes, skus, after))
        looks = []
        for sku, earlier, revisions, made_by in zip(skus, before, after, changes, strict=True):
            held, complete = behind[sku]
            stood_still = revisions == {place: p.revision for place, p in earlier.items()}
            looks.append(_Look(_by_location(held), complete, revisions, stood_still, made_by))
        return looks

    async def _positions(self, skus: Sequence[str], asked: Sequence[str]) -> list[dict[str, Position]]:
        """Of each SKU the positions that are asked about, as the store has them."""
        wanted, found = frozenset(asked), await asyncio.gather(*map(self._store.positions, skus))
        return [{place: its for place, its in of_sku.items() if place in wanted} for of_sku in found]

    def _rows(self, sku: str, asked: Sequence[str]) -> dict[str, list[int]]:
        """The replica's rows of the positions asked about, as they are now."""
        columns, names, wanted = self._replica.columns, self._replica.locations.names, frozenset(asked)
        number = columns.find_sku(sku)
        rows = columns.rows(number).tolist() if number >= 0 else []
        return {names[row[LOCATION]]: row for row in rows if names[row[LOCATION]] in wanted}

    def _places(self, found: Sequence[_Found], asked: Sequence[str], named: frozenset[str]) -> list[str]:
        """Of the locations asked about those that are explained: for every component of a kit the same ones."""
        incoming = self._replica.incoming
        expected = {receipt.location for one in found for receipt in incoming.receipts(one.sku)}
        return [
            place
            for place in asked
            if place in named
            or place in expected
            or any(place in one.rows or incoming.backordered(one.sku, place) for one in found)
        ]

    def _known(self, found: _Found, place: str, receipts: Mapping[str, Sequence[Receipt]], network: Network) -> Known:
        replica, row, change = self._replica, found.row(place), found.look.changes.get(place)
        return Known(
            place,
            row[ON_HAND],
            row[RESERVED] - row[EXPIRED],
            row[EXPIRED],
            row[REVISION],
            tuple((channel, units + over) for channel, units, over in replica.columns.ring_fences(row)),
            found.look.held.get(place, ()),
            receipts.get(place, ()),
            replica.incoming.backordered(found.sku, place),
            change if change is not None and change.revision == row[REVISION] else None,
            replica.unsellable.at(found.sku, place),
            row[SAFETY_PARTS] >> PARTS_BITS,
            place in network.stopping,
        )


def _by_location(found: Iterable[PlacedT]) -> dict[str, list[PlacedT]]:
    by_location: dict[str, list[PlacedT]] = {}
    for one in found:
        by_location.setdefault(one.location, []).append(one)
    return by_location


def _sum(explained: Iterable[Explanation | KitExplanation]) -> int:
    return min(sum(its.available for its in explained), SUM_MAX)
