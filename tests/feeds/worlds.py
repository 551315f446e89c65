"""Made-up truths: what moved, was counted and was ordered at two locations, and what must be there in the end.

Instants are numbers; a history is in their order. Nothing here knows how the engine works.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf

from hypothesis import strategies as st

SKUS = ("A", "B", "C")
STATES = ("A/damaged", "B/quarantine")
LOCATIONS = ("X", "Y")
Place = tuple[str, str]
"""SKU and location; units that cannot be sold are told from others as `SKU/state`."""

PLACES = tuple((sku, location) for location in LOCATIONS for sku in SKUS)
SHELVES = tuple((sku, location) for location in LOCATIONS for sku in (*SKUS, *STATES))
"""With those of units that cannot be sold."""

OPENING = -1
"""The instant before everything, when the first stock came."""


@dataclass(frozen=True)
class Moved:
    """Units came (or, below 0, went) at an instant."""

    event_id: str
    kind: str
    place: Place
    units: int
    at: int


@dataclass(frozen=True)
class Counted:
    """So many units were there at an instant."""

    event_id: str
    place: Place
    units: int
    at: int


@dataclass(frozen=True)
class Snapped:
    """What a location had at an instant; a full one says that it had nothing else."""

    snapshot_id: str
    location: str
    rows: tuple[tuple[str, int], ...]
    at: int
    partial: bool
    order_refs: tuple[str, ...]

    def speaks_of(self, place: Place) -> bool:
        """Whether it says how many units of a place there were."""
        sku, location = place
        return location == self.location and (not self.partial or sku in dict(self.rows))

    def units(self, place: Place) -> int:
        """How many it says."""
        return dict(self.rows).get(place[0], 0)


@dataclass(frozen=True)
class Order:
    """A reservation made before anything else, and what its channel does with it: "fulfil", "release" or nothing."""

    ref: str
    lines: tuple[tuple[Place, int], ...]
    fate: str
    is_held: bool = False


Told = Moved | Counted | Snapped
"""What feeds tell, in any order."""


@dataclass(frozen=True)
class History:
    """All of it, in the order of its instants."""

    opening: tuple[Moved, ...]
    orders: tuple[Order, ...]
    told: tuple[Told, ...] = field(default=())

    def left_at(self, order: Order, place: Place) -> float:
        """When the units of an order left a place: the first snapshot without them, else now (later than all else)."""
        instants = [
            snapshot.at
            for snapshot in self.told
            if isinstance(snapshot, Snapped) and order.ref in snapshot.order_refs and snapshot.speaks_of(place)
        ]
        return min(instants, default=inf)

    def stays_reserved(self, order: Order, place: Place) -> bool:
        """Whether the order keeps its units of a place."""
        return not order.fate and self.left_at(order, place) == inf

    def on_hand(self, place: Place) -> int:
        """The newest count of the place, and what moved after it."""
        counts = [(fact.at, fact.units) for fact in self.told if isinstance(fact, Counted) and fact.place == place]
        counts += [(s.at, s.units(place)) for s in self.told if isinstance(s, Snapped) and s.speaks_of(place)]
        last, units = max(counts, default=(-inf, 0))
        moves = [m for m in (*self.opening, *self.told) if isinstance(m, Moved) and m.place == place and m.at > last]
        return units + sum(move.units for move in moves) - self._left_after(place, last)

    def reserved(self, place: Place) -> int:
        """Open units of orders."""
        return sum(
            units
            for order in self.orders
            for its, units in order.lines
            if its == place and self.stays_reserved(order, place)
        )

    def _left_after(self, place: Place, instant: float) -> int:
        return sum(
            units
            for order in self.orders
            for its, units in order.lines
            if its == place and order.fate != "release" and not self.stays_reserved(order, place)
            if self.left_at(order, place) > instant
        )

    def needed_after(self, place: Place, instant: float) -> int:
        """Units that must be there at an instant for the orders that leave later, or stay."""
        return self._left_after(place, instant) + self.reserved(place)


_KINDS = ("RECEIPT", "RECEIPT", "RETURN", "ADJUSTMENT", "ADJUSTMENT", "SALE", "COUNT", "COUNT", "SNAPSHOT")


@st.composite
def histories(draw: st.DrawFn, orders: tuple[int, int] = (2, 6)) -> History:
    """A history in which everything that happened was possible."""
    opening = tuple(
        Moved(f"open {sku} {location}", "RECEIPT", (sku, location), draw(st.integers(4, 12)), OPENING)
        for sku, location in SHELVES
        if draw(st.booleans())
    )
    made = _orders(draw, opening, draw(st.integers(*orders)))
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=12, max_size=30))
    frames = tuple(
        _frame(draw, f"s{n}", 10 * n, made, (*SKUS, *STATES)) for n, kind in enumerate(kinds) if kind == "SNAPSHOT"
    )
    skeleton = History(opening, made, frames)
    by_instant = {frame.at: frame for frame in frames}
    there: Counter[Place] = Counter({move.place: move.units for move in opening})
    told: list[Told] = []
    for n, kind in enumerate(kinds):
        at = 10 * n
        if kind == "SNAPSHOT":
            frame = by_instant[at]
            rows = tuple(
                (sku, skeleton.needed_after((sku, frame.location), at) + draw(st.integers(0, 20)))
                for sku, _ in frame.rows
            )
            whole = Snapped(frame.snapshot_id, frame.location, rows, at, frame.partial, frame.order_refs)
            there.update({place: whole.units(place) - there[place] for place in SHELVES if whole.speaks_of(place)})
            told.append(whole)
            continue
        place = draw(st.sampled_from(SHELVES))
        needed = skeleton.needed_after(place, at)
        if kind == "COUNT":
            told.append(Counted(f"e{n}", place, needed + draw(st.integers(0, 20)), at))
            there[place] = told[-1].units
            continue
        units = draw(st.integers(1, 9))
        is_possible = there[place] - units >= needed
        if kind == "SALE" or (kind == "ADJUSTMENT" and draw(st.integers(0, 3))):
            units = -units if is_possible else units
        word = kind
        if kind == "SALE" and (not is_possible or place not in PLACES):
            word = "ADJUSTMENT" if is_possible else "RECEIPT"
        if told and not isinstance(told[-1], Moved) and draw(st.integers(0, 3)) == 0:
            at = told[-1].at
        if told and told[-1].at == at and _contains(told[-1], place):
            pass  # in the same instant as the count, so contained in it: any units will do
        elif units > 0 or there[place] + units >= needed:
            there[place] += units
        told.append(Moved(f"e{n}", word, place, units, at))
    return History(opening, made, tuple(told))


@st.composite
def wild_histories(draw: st.DrawFn) -> History:
    """Anything that feeds may tell, possible or not."""
    opening = tuple(
        Moved(f"open {sku} {location}", "RECEIPT", (sku, location), draw(st.integers(4, 12)), OPENING)
        for sku, location in PLACES
        if draw(st.integers(0, 3))
    )
    orders = _orders(draw, opening, draw(st.integers(2, 6)))
    told: list[Told] = []
    for n, kind in enumerate(draw(st.lists(st.sampled_from(_KINDS), min_size=12, max_size=30))):
        at, place = draw(st.integers(0, 99)), draw(st.sampled_from(PLACES))
        if kind == "SNAPSHOT":
            frame = _frame(draw, f"s{n}", at, orders)
            told.append(replace(frame, rows=tuple((sku, draw(st.integers(0, 15))) for sku, _ in frame.rows)))
        elif kind == "COUNT":
            told.append(Counted(f"e{n}", place, draw(st.integers(0, 15)), at))
        else:
            units = draw(st.integers(1, 9))
            goes = kind == "SALE" or (kind == "ADJUSTMENT" and draw(st.booleans()))
            told.append(Moved(f"e{n}", kind, place, -units if goes else units, at))
    return History(opening, orders, tuple(told))


def _contains(count: Told, place: Place) -> bool:
    if isinstance(count, Snapped):
        return count.speaks_of(place)
    return isinstance(count, Counted) and count.place == place


def _orders(draw: st.DrawFn, opening: tuple[Moved, ...], count: int) -> tuple[Order, ...]:
    left = {move.place: move.units for move in opening if move.place in PLACES}
    orders: list[Order] = []
    for n in range(count if left else 0):
        lines = []
        for place in draw(st.lists(st.sampled_from(sorted(left)), min_size=1, max_size=3, unique=True)):
            units = min(draw(st.integers(1, 4)), left[place])
            if units:
                left[place] -= units
                lines.append((place, units))
        fate = draw(st.sampled_from(["", "", "fulfil", "fulfil", "release"]))
        if lines:
            orders.append(Order(f"o{n}", tuple(lines), fate, not fate and draw(st.booleans())))
    return tuple(orders)


def _frame(
    draw: st.DrawFn, snapshot_id: str, at: int, orders: tuple[Order, ...], names: tuple[str, ...] = SKUS
) -> Snapped:
    """A snapshot without its numbers. A full one lists what orders still need that it does not contain."""
    location, partial = draw(st.sampled_from(LOCATIONS)), draw(st.integers(0, 2)) == 0
    refs = tuple(order.ref for order in orders if order.fate != "release" and draw(st.booleans()))
    skus = set(draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
    if not partial:
        skus |= {sku for order in orders if order.ref not in refs for (sku, its), _ in order.lines if its == location}
    return Snapped(snapshot_id, location, tuple((sku, 0) for sku in sorted(skus)), at, partial, refs)
