"""Repromise: what a planner does with broken promises. Accept the days that would do now, or move lines elsewhere.

Each line is dealt with for the reservation as it is then, and written for that revision only; when it changed meanwhile
it is looked at again. So a request that was cut off may be sent again: what it did is not broken any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Fulfilment
from invengine.domain.partitions import encode_token
from invengine.errors import InventoryError, OfTransfer, ReservationNotFound, RevisionMismatch
from invengine.services.answered_once import answered_once
from invengine.services.repromise_requests import BrokenAsked, Outcome, Result, check_repromise

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine
    from invengine.domain.orders import Reservation, ReservationLine
    from invengine.services.broken_scan import BrokenScan
    from invengine.services.networks import Networks
    from invengine.services.repromise_keeping import Keeping
    from invengine.services.repromise_moves import Moves
    from invengine.services.repromise_requests import CheckedRepromise
    from invengine.services.shelf import Shelf
    from invengine.services.shortages import Shortages
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import promise_service_pb2 as pb

ATTEMPTS_MAX: Final = 5
"""Looks at a reservation that others change all the time."""

_PAGE: Final = 1000


class Answer(NamedTuple):
    """What became of a request."""

    outcomes: list[Outcome]
    has_more: bool
    consistency_token: str


class Repromising:
    """The use case of Repromise."""

    def __init__(
        self, store: RedisStore, networks: Networks, scan: BrokenScan, *, keeping: Keeping, moves: Moves
    ) -> None:
        self._store = store
        self._networks = networks
        self._scan = scan
        self._keeping = keeping
        self._moves = moves

    async def repromise(self, message: pb.RepromiseRequest, encode: Callable[[Answer], bytes]) -> tuple[bytes, bool]:
        """The answer as bytes, and whether the request was answered before. NetworkMissing, RequestMismatch.

        `encode` makes the bytes that are kept of an answer, to be answered again.
        """
        asked = check_repromise(message)
        self._networks.required()

        async def carried_out() -> bytes:
            return encode(await self._done(asked))

        if asked.dry_run:
            return await carried_out(), False
        return await answered_once(self._store, asked.request_id, asked.fingerprint, carried_out)

    async def _done(self, asked: CheckedRepromise) -> Answer:
        shortages = await self._scan.shortages()
        found, has_more = await self._lines(asked, shortages)
        shelves: dict[str, Shelf] = {}
        outcomes = [await self._one(asked, line, shortages, shelves) for line in found]
        outcomes += await self._nothing_broken(asked, {line.reservation_id for line in found})
        if asked.reservation_ids:
            place = {name: number for number, name in enumerate(asked.reservation_ids)}
            outcomes.sort(key=lambda outcome: place[outcome.reservation_id])
        revisions = await self._store.revisions()
        return Answer(outcomes, has_more, encode_token(self._store.store_id, enumerate(revisions)))

    async def _lines(self, asked: CheckedRepromise, shortages: Shortages) -> tuple[list[BrokenAsked], bool]:
        """The lines to deal with, and whether there are more."""
        if asked.reservation_ids:
            broken = await self._scan.of_reservations(asked.reservation_ids, shortages)
            lines = _by_line(one for one in broken if asked.which.matches(one))
            return lines[: asked.lines_max], len(lines) > asked.lines_max
        matching: list[BrokenLine] = []
        cursor = ""
        while True:
            page = await self._scan.page(asked.which, cursor, _PAGE)
            matching += page.lines
            lines = _by_line(matching)
            if not page.cursor or len(lines) > asked.lines_max:
                return lines[: asked.lines_max], len(lines) > asked.lines_max
            cursor = page.cursor

    async def _nothing_broken(self, asked: CheckedRepromise, broken: set[str]) -> list[Outcome]:
        """Of reservations that were named and have nothing broken."""
        outcomes = []
        for name in asked.reservation_ids:
            if name not in broken:
                is_there = await self._store.reservation(name) is not None
                refusal = None if is_there else ReservationNotFound(name)
                result = Result.NOT_BROKEN if is_there else Result.REFUSED
                outcomes.append(Outcome(name, "", "", 0, result, refusal=refusal))
        return outcomes

    async def _one(
        self, asked: CheckedRepromise, line: BrokenAsked, shortages: Shortages, shelves: dict[str, Shelf]
    ) -> Outcome:
        """Deals with one line, anew when its reservation changed in between."""
        changed: RevisionMismatch | None = None
        for _ in range(ATTEMPTS_MAX):
            seen = await self._store.reservation(line.reservation_id)
            again = _by_line(await self._scan.of_reservations([line.reservation_id], shortages))
            now = next((one for one in again if one.line_id == line.line_id), None)
            if seen is None or now is None:
                return _outcome(line, Result.NOT_BROKEN)
            try:
                outcome = await self._tried(asked, now, seen, shelves)
            except RevisionMismatch as mismatch:
                changed = mismatch
                continue
            except InventoryError as refusal:
                return _outcome(now, Result.REFUSED, seen=seen, refusal=refusal)
            if outcome.result is Result.MOVED:
                shortages.leave(one.leg for one in now.broken)
            return outcome
        return _outcome(line, Result.REFUSED, refusal=changed)

    async def _tried(
        self, asked: CheckedRepromise, line: BrokenAsked, seen: Reservation, shelves: dict[str, Shelf]
    ) -> Outcome:
        if line.broken[0].fulfilment is Fulfilment.TRANSFER:
            raise OfTransfer(line.reservation_id)
        plain = _outcome(line, Result.KEPT, seen=seen)
        if not asked.moves:
            return await self._keeping.kept(asked, line, seen, plain)
        if line.broken[0].fulfilment is Fulfilment.PICKUP:
            return replace(plain, result=Result.COLLECTED)
        return await self._moves.moved(asked, line, seen, plain, shelves)


def _by_line(broken: Iterable[BrokenLine]) -> list[BrokenAsked]:
    """All that is broken of each line as it was asked for, in the order in which they first come."""
    found: dict[tuple[str, str], list[BrokenLine]] = {}
    for one in broken:
        found.setdefault((one.reservation_id, one.asked_line_id), []).append(one)
    return [BrokenAsked(*key, tuple(lines)) for key, lines in found.items()]


def _outcome(
    line: BrokenAsked, result: Result, *, seen: Reservation | None = None, refusal: InventoryError | None = None
) -> Outcome:
    first = line.broken[0]
    lines = [one for one in seen.lines if _asked_id(one) == line.line_id] if seen else []
    locations = dict.fromkeys(its.location for one in lines for its in one.allocations if its.open)
    sku, quantity = first.sku, sum(one.quantity for one in line.broken)
    if lines:
        kit = lines[0].kit
        sku = kit.sku if kit else first.sku
        quantity = sum(its.open for its in lines[0].allocations) // (kit.units if kit else 1)
    return Outcome(
        line.reservation_id,
        line.line_id,
        sku,
        quantity,
        result,
        first.reason,
        line.promised_day,
        line.new_day,
        from_locations=tuple(locations),
        refusal=refusal,
    )


def _asked_id(line: ReservationLine) -> str:
    return line.kit.line_id if line.kit else line.line_id
