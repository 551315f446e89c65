"""What is there and what is expected: units at positions, in ring-fences, of receipts and backorders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from invengine.domain.capacity import is_capacity, is_slot_line
from invengine.domain.incoming import Receipt
from invengine.domain.orders import Allocation, Reservation
from invengine.domain.stock import Position, Unsellable

Place = tuple[str, str]
"""SKU and location."""

Shelf = tuple[str, str, str, str]
"""SKU, location, state and an empty text: units that are there and not sellable."""

Source = tuple[str, str, str]
"""SKU, location, receipt_id; without a receipt_id the units backordered at the position."""

NOTHING = Position(0, 0, 0)


@dataclass(slots=True, unsafe_hash=True)
class Leg(Allocation):
    """An allocation that can be told from all others."""

    serial: int = 0


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who takes units: the channel, and whether it may take from the pool."""

    channel: str
    borrows: bool = True


def plain(reservation: Reservation) -> Reservation:
    """The reservation in the words of the domain. Here lines of slots are lines, there they are apart."""
    lines = [
        replace(line, allocations=tuple(_without_serial(leg) for leg in line.allocations)) for line in reservation.lines
    ]
    return replace(
        reservation,
        lines=tuple(line for line in lines if not is_slot_line(line.line_id)),
        slot_lines=tuple(line for line in lines if is_slot_line(line.line_id)),
    )


def _without_serial(leg: Allocation) -> Allocation:
    return Allocation(**{name: getattr(leg, name) for name in Allocation.__dataclass_fields__})


class Stock:
    """Units, and how they may change. `touched` collects what changed until somebody gives that its new revision."""

    def __init__(self) -> None:
        self.positions: dict[Place, Position] = {}
        self.receipts: dict[Source, Receipt] = {}
        self.states: dict[Shelf, Unsellable] = {}
        self.touched: dict[Place | Source | Shelf, None] = {}  # in the order of their first change
        self.counted: dict[str, int] = {}
        """Location -> instant of its newest full snapshot."""

    def copy(self) -> Stock:
        """Another one with the same units, to try things on."""
        other = Stock()
        other.positions, other.receipts, other.states = dict(self.positions), dict(self.receipts), dict(self.states)
        other.counted = self.counted
        return other

    # On hand

    def at(self, place: Place) -> Position:
        """The position; zeros where there is none, as of the newest full snapshot of the location."""
        return self.positions.get(place) or replace(NOTHING, counted_at_ms=self.counted.get(place[1], 0))

    def unreserved(self, place: Place) -> int:
        """Units on hand that no reservation has."""
        return self.at(place).on_hand - self.at(place).reserved

    def pool(self, place: Place) -> int:
        """Unreserved units that are fenced for nobody; below 0 where more is fenced than there is."""
        return self.unreserved(place) - sum(units for _, units in self.at(place).fences)

    def fence(self, place: Place, channel: str) -> int:
        """Units left in the ring-fence of a channel."""
        return dict(self.at(place).fences).get(channel, 0)

    def can_take(self, place: Place, buyer: Buyer, safety: int = 0) -> int:
        """Units on hand that a buyer may take."""
        own = self.fence(place, buyer.channel)
        reach = own + max(0, self.pool(place)) if buyer.borrows else own
        return max(0, min(self.unreserved(place) - safety, reach))

    def take(self, place: Place, units: int, channel: str) -> int:
        """Reserves units, those of the channel's own ring-fence first; how many came out of it."""
        fenced = min(units, self.fence(place, channel))
        self.set(place, reserved=self.at(place).reserved + units)
        self.change_fence(place, channel, -fenced)
        return fenced

    def put_back(self, place: Place, units: int, fenced: int, channel: str) -> None:
        """Ends the reserving of units, of which some go back to a ring-fence."""
        self.set(place, reserved=self.at(place).reserved - units)
        self.change_fence(place, channel, fenced)

    def change_fence(self, place: Place, channel: str, units: int) -> None:
        """Raises or lowers the ring-fence of a channel."""
        if units:
            fences = dict(self.at(place).fences)
            fences[channel] = fences.get(channel, 0) + units
            self.set(place, fences=tuple(sorted((name, left) for name, left in fences.items() if left)))

    def set(self, place: Place, **changes) -> None:
        """Changes a position."""
        self.positions[place] = replace(self.at(place), **changes)
        self.touched[place] = None

    # There and not sellable

    def in_state(self, place: Place, state: str) -> Unsellable:
        """The units in a state at a position; none, as of the newest full snapshot, where there never were any."""
        none = Unsellable(*place, state, 0, 0, self.counted.get(place[1], 0))
        return self.states.get((*place, state, ""), none)

    def set_state(self, place: Place, state: str, **changes) -> None:
        """Changes the units in a state; the position counts as changed too."""
        self.states[*place, state, ""] = replace(self.in_state(place, state), **changes)
        self.touched[*place, state, ""] = None
        self.set(place)

    # Expected

    def pegged(self, source: Source) -> int:
        """Units promised from a receipt, or backordered."""
        return self.receipts[source].pegged if source in self.receipts else 0

    def peg(self, source: Source, units: int) -> None:
        """Promises units of a receipt or backorders them; with units below 0 ends that."""
        before = self.receipts.get(source, Receipt(*source, 0, 0, 0, 0))
        self.set_receipt(source, replace(before, pegged=before.pegged + units))

    def set_receipt(self, source: Source, receipt: Receipt) -> None:
        """Says what a receipt is; one without units is gone."""
        self.receipts[source] = receipt
        if not receipt.quantity and not receipt.pegged:
            del self.receipts[source]
        self.touched[source] = None

    def is_known(self, sku: str) -> bool:
        """Whether the SKU has a position or anything incoming; every one of slots is known."""
        return is_capacity(sku) or any(sku == its[0] for its in (*self.positions, *self.receipts))
