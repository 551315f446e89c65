"""What columns have of a SKU, to be compared with what is stored."""

from __future__ import annotations

from invengine.domain.capacity import is_capacity
from invengine.kernels.layout import FENCES, LOCATION, ON_HAND, RESERVED, REVISION
from invengine.replica.columns import Columns
from invengine.replica.state import State

Row = tuple[int, int, int]
"""on_hand, reserved, revision."""


def rows_of(state: State, sku: str) -> dict[str, Row]:
    """What a state has of a SKU, of goods or of slots: location -> (on_hand, reserved, revision)."""
    if is_capacity(sku):
        return state.slots.rows(sku)
    columns = state.columns
    number = columns.find_sku(sku)
    if number < 0:
        return {}
    names = columns.locations.names
    return {names[row[LOCATION]]: (row[ON_HAND], row[RESERVED], row[REVISION]) for row in columns.rows(number).tolist()}


def fences_of(columns: Columns, sku: str) -> dict[str, tuple[tuple[str, int], ...]]:
    """What columns have of the ring-fences of a SKU: location -> those with units, by channel."""
    number = columns.find_sku(sku)
    if number < 0:
        return {}
    return {
        columns.locations.names[row[LOCATION]]: tuple(
            (channel, units) for channel, units, _ in columns.ring_fences(row) if units
        )
        for row in columns.rows(number).tolist()
        if row[FENCES]
    }
