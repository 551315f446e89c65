"""The stock of the shop: what a position has, what can be taken of it, and what a movement does to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.linearizability import shop
from tests.linearizability.answers import Item, Moved, Record, Refusal

DUE = Refusal("", {"why": "holds that are over still count"})  # no engine says so: decide it somewhere else


class Move(NamedTuple):
    """A change of one position."""

    sku: str
    location: str
    on_hand: int
    reserved: int


class Effect(NamedTuple):
    """What a question does where it is decided: the answer, and what changes with it."""

    answer: Record | Moved
    moves: list[Move]
    changed: bool = True
    kind: str = ""  # of its rows in the ledgers
    actor: str = ""
    cause: str = ""
    counted_at_ms: int = 0


@dataclass(slots=True)
class Position:
    """One position; `reserved` still counts holds that are over until they are swept."""

    on_hand: int = 0
    reserved: int = 0
    revision: int = 0
    counted_at_ms: int = 0
    changes: list[tuple[int, int]] = field(default_factory=list)  # when it occurred, units


NOWHERE = Position()
MOVEMENT_KINDS = ("", "RECEIPT", "SALE", "ADJUSTMENT", "COUNT", "RETURN")


class Want(NamedTuple):
    """Units that a line is to take: from `places` in their order."""

    line: int  # its place in the reservation
    line_id: str
    sku: str
    units: int
    location: str  # as named by the caller
    may_split: bool
    places: Sequence[str]


class Stock:
    """All positions. `is_due` says of a SKU whether holds that are over still take units of it."""

    def __init__(self, is_due: Callable[[str], bool]) -> None:
        self.positions: dict[str, dict[str, Position]] = {}
        self._is_due = is_due

    def position(self, sku: str, location: str) -> Position:
        """A position, one with nothing where there is none."""
        return self.positions.get(sku, {}).get(location, NOWHERE)

    def apply(self, effect: Effect, revision: int, occurred_at_ms: int) -> None:
        """Moves units for good."""
        for sku, location, on_hand, reserved in effect.moves:
            position = self.positions.setdefault(sku, {}).setdefault(location, Position())
            position.on_hand += on_hand
            position.reserved += reserved
            position.revision = revision
            if effect.counted_at_ms:
                position.counted_at_ms = effect.counted_at_ms
            elif on_hand:
                position.changes.append((occurred_at_ms, on_hand))

    def shift(self, moves: list[Move], sign: int) -> None:
        """Moves units only, to see what would be (1), and back (-1). Positions that are not there stay away."""
        for sku, location, on_hand, reserved in moves:
            position = self.positions.get(sku, {}).get(location)
            if position is not None:
                position.on_hand += sign * on_hand
                position.reserved += sign * reserved

    def take(
        self, channel: str, wants: list[Want], given_back: Mapping[tuple[str, str], int], *, best_effort: bool
    ) -> list[list[tuple[str, int]]] | Refusal:
        """Per want its units by location: the first place that has all of them, or parts where it may be split."""
        free = dict(given_back)  # what is free beyond the position's own
        taken: list[list[tuple[str, int]]] = []
        short = []
        for want in wants:
            there = self.positions.get(want.sku)
            if there is None:
                return Refusal("UNKNOWN_SKU", {"sku": want.sku})
            offers = []
            for location in want.places:
                position = there.get(location)
                if position is not None:
                    left = position.on_hand - position.reserved + free.get((want.sku, location), 0)
                    left -= shop.stays(channel, want.sku, location, position.on_hand)
                    if left > 0:
                        offers.append((location, left))
            takes, available = _choose(want, offers)
            if available < want.units:
                short.append((want.line_id, want.sku, want.location, want.units, available))
                if not best_effort:
                    takes = []
            for location, units in takes:
                free[want.sku, location] = free.get((want.sku, location), 0) - units
            taken.append(takes)
        if not short:
            return taken
        if any(self._is_due(sku) for _, sku, *_ in short):
            return DUE
        return taken if best_effort and any(taken) else Refusal("INSUFFICIENT_STOCK", {}, tuple(short))

    def missing(self, leaves: Sequence[tuple[str, str, str, int]]) -> Refusal | None:
        """Why units of these lines cannot leave: they are not on hand. None where they are."""
        left: dict[tuple[str, str], int] = {}
        short = []
        for line_id, sku, location, units in leaves:
            there = left.get((sku, location), self.position(sku, location).on_hand)
            if units > there:
                short.append((line_id, sku, location, units, there))
            else:
                left[sku, location] = there - units
        return Refusal("INSUFFICIENT_STOCK", {}, tuple(short)) if short else None

    def short_lines(self, request: Any) -> dict[str, int | None]:
        """How many units there are for each line of a request alone; None where there are enough."""
        found: dict[str, int | None] = {}
        for want in wants_of(request):
            taken = self.take(request.channel, [want], {}, best_effort=False)
            is_short = isinstance(taken, Refusal) and taken.short_lines
            found[want.line_id] = taken.short_lines[0][4] if is_short else None
        return found

    def move(self, item: Item, revision: int) -> Effect | Refusal:
        """A movement that was not applied before."""
        request, kind = item.request, MOVEMENT_KINDS[item.request.kind]
        position = self.position(request.sku, request.location)
        expected = request.expected_revision
        if request.HasField("expected_revision") and expected != position.revision:
            facts = {"expected_revision": str(expected), "revision": str(position.revision)}
            return _not_moved("REFUSED", position, Refusal("REVISION_MISMATCH", facts))
        at_ms = request.occurred_at.ToMilliseconds()
        if (
            position.counted_at_ms
            and at_ms <= position.counted_at_ms
            and (kind, at_ms) != ("COUNT", position.counted_at_ms)
        ):
            facts = {"sku": request.sku, "location": request.location, "counted_at_ms": str(position.counted_at_ms)}
            reason = "OLDER_COUNT" if kind == "COUNT" else "COVERED_BY_COUNT"
            return _not_moved("STALE", position, Refusal(reason, facts))
        if kind == "COUNT":
            return self._count(request, position, at_ms, revision)
        units = -request.quantity if kind == "SALE" else request.quantity
        free = max(0, position.on_hand - position.reserved) if kind == "SALE" else position.on_hand
        if -units > free:
            if kind == "SALE" and self._is_due(request.sku):
                return DUE
            short = ("", request.sku, request.location, -units, free)
            return _not_moved("REFUSED", position, Refusal("INSUFFICIENT_STOCK", {}, (short,)))
        return _moved(request, position, units, revision)

    @staticmethod
    def _count(request: Any, position: Position, at_ms: int, revision: int) -> Effect:
        """What was counted, and what moved since on top."""
        moved = sum([units for occurred_at_ms, units in position.changes if occurred_at_ms > at_ms])
        if request.quantity + moved < 0:
            facts = {"on_hand": str(request.quantity), "quantity": str(moved)}
            facts |= {"sku": request.sku, "location": request.location}
            return _not_moved("REFUSED", position, Refusal("QUANTITY_OUT_OF_RANGE", facts))
        return _moved(request, position, request.quantity + moved - position.on_hand, revision, at_ms)


def _not_moved(result: str, position: Position, refusal: Refusal | None) -> Effect:
    answer = Moved(result, position.on_hand, position.reserved, position.revision, refusal)
    return Effect(answer, [], changed=False)


def repeated(position: Position) -> Effect:
    """What a movement that was applied before is answered."""
    return _not_moved("REPEATED", position, None)


def _moved(request: Any, position: Position, units: int, revision: int, counted_at_ms: int = 0) -> Effect:
    answer = Moved("APPLIED", position.on_hand + units, position.reserved, revision, None)
    moves = [Move(request.sku, request.location, units, 0)]
    return Effect(answer, moves, True, MOVEMENT_KINDS[request.kind], request.source, request.event_id, counted_at_ms)


def wants_of(request: Any) -> list[Want]:
    """What a request for a reservation wants."""
    return [
        Want(n, line.line_id or str(n + 1), line.sku, line.quantity, line.location, line.allow_split, places)
        for n, line in enumerate(request.lines)
        for places in [shop.candidates(request.channel, line.location, line.group)]
    ]


def _choose(want: Want, offers: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], int]:
    """What a want takes of the places that offer something, and how much there is for it at most."""
    if want.may_split:
        takes, left = [], want.units
        for location, there in offers:
            units = min(there, left)
            if units:
                takes.append((location, units))
                left -= units
        return takes, want.units - left
    for location, there in offers:
        if there >= want.units:
            return [(location, want.units)], want.units
    if not offers:
        return [], 0
    location, most = max(offers, key=lambda offer: offer[1])  # the first of those with the most
    return [(location, most)], most
