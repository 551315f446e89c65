"""Positions that have more reserved than is there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, RESERVED, ROW_COUNT
from invengine.replica.columns import Columns


def short_positions(columns: Columns) -> Iterator[tuple[str, str]]:
    """SKU and location of each, holds that are over aside. Looks at every position: for work, not for questions."""
    used = columns.positions[: int(columns.counters[ROW_COUNT])]
    rows = np.flatnonzero(used[:, RESERVED] - used[:, EXPIRED] > used[:, ON_HAND])
    if not rows.size:
        return
    rows, numbers = columns.in_use(rows)
    names = columns.locations.names
    for place, sku in zip(used[rows, LOCATION].tolist(), columns.index.names(columns.sku_count, numbers), strict=True):
        yield sku.decode(), names[place]
