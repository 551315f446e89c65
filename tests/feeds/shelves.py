"""What a place has after each row of its ledger, by the rules alone: facts in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

from tests.feeds.worlds import Counted, Moved, Snapped


class Shelf:
    """One place. Each method takes the next thing that was recorded, which must have been allowed."""

    def __init__(self) -> None:
        self.on_hand = self.reserved = 0
        self.counted_at: float = -inf
        self._trail: list[tuple[float, int, str]] = []  # when, units, the order of a fulfilment

    def move(self, move: Moved) -> None:
        """Units come or go; not when a count contains it, and a sale takes nothing that is reserved."""
        assert move.at > self.counted_at
        if move.kind == "SALE":
            assert -move.units <= self.on_hand - self.reserved
        self._change(move.units, move.at)

    def count(self, count: Counted) -> None:
        """So many were there: what moved later stays on top. Not an older one."""
        assert count.at >= self.counted_at
        self._set(count.units, count.at)

    def snap(self, units: int, snapshot: Snapped, order_refs: set[str]) -> None:
        """Orders that it contains were gone by then, even where a newer count makes it too late to count."""
        for number, (at, moved, ref) in enumerate(self._trail):
            if ref in order_refs and at > snapshot.at:
                self._trail[number] = snapshot.at, moved, ref
                if snapshot.at <= self.counted_at < at:
                    self.on_hand -= moved
        if snapshot.at >= self.counted_at and units + self._moved_after(snapshot.at) >= 0:
            self._set(units, snapshot.at)

    def reserve(self, units: int) -> None:
        """Units are set aside."""
        self.reserved += units
        assert self.reserved <= self.on_hand

    def release(self, units: int) -> None:
        """And given back."""
        self.reserved -= units

    def fulfil(self, units: int, ref: str, left_at: float = inf) -> None:
        """Units of an order leave, now or at an instant; what was counted after that has them not."""
        self.reserved -= units
        if left_at > self.counted_at:
            self._change(-units, left_at, ref)

    def take_back(self, units: int, ref: str) -> None:
        """Units of an order that had left come back: another location had too few for its part of the order.

        They come back as of when they left, so a count since then has them or has them not.
        """
        self.reserved += units
        left_at = next(at for at, moved, of in reversed(self._trail) if (moved, of) == (-units, ref))
        if left_at > self.counted_at:
            self._change(units, left_at, ref)
        else:
            self._trail.append((left_at, units, ref))

    def told_of_earlier(self, told: Iterable[Snapped]) -> list[Shelf]:
        """Copies of this: as it is, and for each order that left, as if a snapshot that contains it had said so.

        Where a count stands in between, that changes what is on hand, and so is a row of its own.
        """
        found = [self._copy(self._trail)]
        for number, (at, units, ref) in enumerate(self._trail):
            instants = {snapshot.at for snapshot in told if ref in snapshot.order_refs and snapshot.at < at}
            for earlier in instants:
                if not earlier <= self.counted_at < at:
                    changed = (earlier, units, ref)
                    found += [
                        shelf._copy([*shelf._trail[:number], changed, *shelf._trail[number + 1 :]])
                        for shelf in found
                        if shelf._trail[number] == (at, units, ref)
                    ]
        return found

    def _copy(self, trail: list[tuple[float, int, str]]) -> Shelf:
        other = Shelf()
        other.on_hand, other.reserved, other.counted_at, other._trail = (
            self.on_hand,
            self.reserved,
            self.counted_at,
            list(trail),
        )
        return other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelf) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def _set(self, units: int, at: float) -> None:
        self.on_hand, self.counted_at = units + self._moved_after(at), at
        assert self.on_hand >= 0

    def _moved_after(self, at: float) -> int:
        return sum(units for when, units, _ in self._trail if when > at)

    def _change(self, units: int, at: float, ref: str = "") -> None:
        self.on_hand += units
        assert min(self.on_hand, self.reserved) >= 0
        self._trail.append((at, units, ref))

    def same_as(self, entry: Any) -> bool:
        """Whether a row of the ledger leaves the place as it is here."""
        return (self.on_hand, self.reserved) == (entry.on_hand_after, entry.reserved_after)
