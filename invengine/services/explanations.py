"""ExplainAvailability: every term and rule behind what a channel can take, and the reservations that hold the rest.

The sums come from the replica, in one go, as those of GetAvailability do. The reservations are looked for in the store,
which takes several reads; the revisions of the positions before and after tell whether all of it is of one moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

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
from invengine.services.explained import Explanation, Known, Question, explain
from invengine.services.freshness import FRESHNESS_SECONDS_MAX, be_fresh, catch_up
from invengine.services.questions import Questions
from invengine.services.validation import required_id
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.incoming import Receipt
    from invengine.domain.stock import LedgerEntry
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.behind import HeldUnits
    from invengine.store.redis_store import RedisStore

EXPLAINED_MAX: Final = 200
RESERVATIONS_DEFAULT: Final = 20
RESERVATIONS_MAX: Final = 100
ROUNDS_MAX: Final = 3
"""Looks at the reservations, before the numbers are told with what moved meanwhile."""

_FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
_NOTHING: Final = [0] * POSITION_COLUMNS


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer: at most EXPLAINED_MAX positions; of the others, how many and what is available there."""

    positions: tuple[Explanation, ...]
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
        """Units that the channel can take at all positions together."""
        return min(sum(position.available for position in self.positions) + self.available_left_out, SUM_MAX)


class _Found(NamedTuple):
    """What the store said: what holds units, the newest revisions by location, what made them."""

    held: Sequence[HeldUnits]
    complete: bool
    revisions: Mapping[str, int]
    stood_still: bool
    changes: Mapping[str, LedgerEntry]


class Explanations:
    """The use case of ExplainAvailability."""

    def __init__(self, replica: Replica, store: RedisStore, clock: StoreClock, networks: Networks) -> None:
        self._replica = replica
        self._store = store
        self._clock = clock
        self._networks = networks
        self._questions = Questions(replica, networks)

    async def explain(self, message: pb.ExplainAvailabilityRequest, remaining_seconds: float | None) -> Explained:
        """Explains one SKU. Refuses as GetAvailability does."""
        replica = self._replica
        sku = required_id("sku", message.sku)
        if not 0 <= message.reservations_max <= RESERVATIONS_MAX:
            problem = f"is {message.reservations_max}; 0 to {RESERVATIONS_MAX} are allowed"
            raise InvalidArgument("reservations_max", problem)
        asked = self._asked(message)
        home = partition_of(sku, replica.partitions)
        seconds = min(FRESHNESS_SECONDS_MAX, remaining_seconds or FRESHNESS_SECONDS_MAX)
        await be_fresh(self._store, replica, message.consistency, remaining_seconds, (home,))
        if (kit := self._networks.required().kits.get(sku)) is not None:
            components = ", ".join(component.sku for component in kit)
            raise InvalidArgument("sku", f"{sku!r} is a kit: ask for its components, {components}")
        if replica.columns.find_sku(sku) < 0 and sku not in replica.incoming:
            raise UnknownSku(sku)
        ignored = None
        if message.ignore_reservation_id:
            ignored = await self._store.reservation(message.ignore_reservation_id)
            await catch_up(self._store, replica, seconds, (home,))  # its units are among the reserved ones then
        for left in range(ROUNDS_MAX - 1, -1, -1):
            found = await self._look(sku, asked)
            await replica.wait_for([(home, max(found.revisions.values(), default=0))], seconds)
            replica.advance(now_ms := self._clock.now_ms())
            rows = self._rows(sku, asked)  # nothing is awaited from here on: all numbers are of one moment
            settled = found.stood_still and all(
                rows.get(place, _NOTHING)[REVISION] == revision for place, revision in found.revisions.items()
            )
            if settled or not left:
                break
        question = Question(
            self._networks.required(),
            sku,
            message.channel,
            _FULFILMENTS[message.fulfilment],
            ignored,
            message.reservations_max or RESERVATIONS_DEFAULT,
        )
        return self._answer(
            question,
            asked,
            named=frozenset(message.locations),
            rows=rows,
            found=found,
            settled=settled,
            now_ms=now_ms,
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

    async def _look(self, sku: str, asked: Sequence[str]) -> _Found:
        wanted = frozenset(asked)
        before = {place: its for place, its in (await self._store.positions(sku)).items() if place in wanted}
        held, complete = await self._store.behind(sku, {place: its.reserved for place, its in before.items()})
        after = {place: its.revision for place, its in (await self._store.positions(sku)).items() if place in wanted}
        stood_still = after == {place: its.revision for place, its in before.items()}
        return _Found(held, complete, after, stood_still, await self._store.last_changes(sku, after))

    def _rows(self, sku: str, asked: Sequence[str]) -> dict[str, list[int]]:
        """The replica's rows of the positions asked about, as they are now."""
        columns, names, wanted = self._replica.columns, self._replica.locations.names, frozenset(asked)
        number = columns.find_sku(sku)
        rows = columns.rows(number).tolist() if number >= 0 else []
        return {names[row[LOCATION]]: row for row in rows if names[row[LOCATION]] in wanted}

    def _answer(
        self,
        question: Question,
        asked: Sequence[str],
        *,
        named: frozenset[str],
        rows: Mapping[str, list[int]],
        found: _Found,
        settled: bool,
        now_ms: int,
    ) -> Explained:
        replica, sku = self._replica, question.sku
        receipts: dict[str, list[Receipt]] = {}
        for receipt in replica.incoming.receipts(sku):
            receipts.setdefault(receipt.location, []).append(receipt)
        held: dict[str, list[HeldUnits]] = {}
        for one in found.held:
            held.setdefault(one.location, []).append(one)
        explained = []
        for place in asked:
            row, backordered = rows.get(place, _NOTHING), replica.incoming.backordered(sku, place)
            if place in rows or place in named or place in receipts or backordered:
                change = found.changes.get(place)
                known = Known(
                    place,
                    row[ON_HAND],
                    row[RESERVED] - row[EXPIRED],
                    row[EXPIRED],
                    row[REVISION],
                    tuple((channel, units + over) for channel, units, over in replica.columns.ring_fences(row)),
                    held.get(place, ()),
                    receipts.get(place, ()),
                    backordered,
                    change if change is not None and change.revision == row[REVISION] else None,
                    replica.unsellable.at(sku, place),
                    row[SAFETY_PARTS] >> PARTS_BITS,
                    place in question.network.stopping,
                )
                explained.append(explain(question, known, now_ms))
        more = explained[EXPLAINED_MAX:]
        return Explained(
            tuple(explained[:EXPLAINED_MAX]),
            len(more),
            sum(position.available for position in more),
            question.network.low_stock_threshold(question.channel, sku, asked[0] if len(asked) == 1 else ""),
            now_ms,
            settled,
            found.complete,
            question.network.revision,
            replica.token_of(partition_of(sku, replica.partitions)),
            replica.staleness_ms(),
        )
