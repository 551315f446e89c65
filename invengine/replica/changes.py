"""What changed in a replica since somebody looked: for those who watch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Changes:
    """SKUs whose positions, or what is expected of them, changed. Their values may be what they were.

    `everything`: any SKU may have changed, and numbers may belong to other SKUs than before: the replica was loaded
    anew, or the network changed. `since` is the moment of the monotonic clock when the first of them was applied.
    """

    numbers: npt.NDArray[np.int64]  # of SKUs that have positions, each once
    expected: frozenset[str]  # SKUs with other receipts or backorders, by name
    created: tuple[tuple[int, bytes], ...]  # SKUs that are new: number and name, in the order of their numbers
    everything: bool
    rows: int  # how many changes of positions these were
    since: float


NOTHING_SINCE = float("inf")
