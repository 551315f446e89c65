"""Positions that have more reserved than is there."""

from __future__ import annotations

import numpy as np

from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, RESERVED, ROW_COUNT
from invengine.replica.columns import Columns


def short_numbers(columns: Columns) -> dict[tuple[str, str], tuple[int, int]]:
    """on_hand and reserved, holds that are over aside, of each, by SKU and location.

    Looks at every position: for work, not for questions.
    """
    used = columns.positions[: int(columns.counters[ROW_COUNT])]
    rows = np.flatnonzero(used[:, RESERVED] - used[:, EXPIRED] > used[:, ON_HAND])
    if not rows.size:
        return {}
    rows, numbers = columns.in_use(rows)
    places = columns.locations.names
    return {
        (name.decode(), places[row[LOCATION]]): (row[ON_HAND], row[RESERVED] - row[EXPIRED])
        for row, name in zip(used[rows].tolist(), columns.index.names(columns.sku_count, numbers), strict=True)
    }
