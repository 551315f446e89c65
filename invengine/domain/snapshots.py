"""Snapshots: what a location had at an instant. Quantities are whole units, instants milliseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass

from invengine.domain.stock import MovementResult
from invengine.errors import InventoryError

NOT_COUNTED = -1
"""In place of a quantity: nothing was counted."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot is, without its rows.

    A partial one says nothing of what it does not list; a full one says that it had none of it. `order_refs` are the
    orders whose units it has left out already.
    """

    source: str
    snapshot_id: str
    location: str
    as_of_ms: int
    partial: bool = False
    order_refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CountedSku:
    """Units of one SKU that were there, on hand or in a state (or NOT_COUNTED), and the orders whose fulfilments are in
    that count already.
    """

    sku: str
    quantity: int
    order_refs: tuple[str, ...] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class CountedOutcome:
    """What became of one `CountedSku`: its position after it, and on_hand and reserved before it.

    Where it names a state, on_hand are the units in that, and nothing is reserved.
    """

    result: MovementResult
    on_hand: int
    reserved: int
    revision: int
    on_hand_before: int
    reserved_before: int
    refusal: InventoryError | None = None

    @property
    def makes_shortfall(self) -> bool:
        """Whether more is reserved than there is, and was not before."""
        return self.reserved > self.on_hand and self.reserved_before <= self.on_hand_before
