"""Which SKUs of a batch a rule for low stock names, by their numbers in the replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from invengine.replica.columns import Columns
    from invengine.services.selection import RuledSkus

Numbers = npt.NDArray[np.int64]


class RuledLevels:
    """Remembers the numbers of the SKUs that rules name, which stay as long as rules and columns do."""

    def __init__(self) -> None:
        self._ruled: RuledSkus | None = None
        self._columns: Columns | None = None
        self._sku_count = -1
        self._numbers: Numbers = np.empty(0, np.int64)  # by place among the names, -1 for one that is not known yet
        self._order: Numbers = np.empty(0, np.int64)

    def places(self, ruled: RuledSkus, columns: Columns, numbers: Numbers) -> Numbers:
        """For each SKU, by its number, its place among `ruled.names`; -1 where no rule names it."""
        self._find(ruled, columns)
        of = self._numbers[self._order]
        at = np.minimum(np.searchsorted(of, numbers), len(of) - 1)
        return np.where((of[at] == numbers) & (numbers >= 0), self._order[at], -1)

    def _find(self, ruled: RuledSkus, columns: Columns) -> None:
        if ruled is not self._ruled or columns is not self._columns:
            self._ruled, self._columns, self._sku_count = ruled, columns, -1
            self._numbers = np.full(len(ruled.names), -1, np.int64)
        if self._sku_count == columns.sku_count:
            return
        self._sku_count = columns.sku_count
        for place in np.flatnonzero(self._numbers < 0).tolist():
            self._numbers[place] = columns.find_sku(ruled.names[place])
        self._order = np.argsort(self._numbers)
