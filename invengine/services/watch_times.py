"""When values become other ones by time alone: rules for confidence that look at the age of counts."""

from __future__ import annotations

from invengine.kernels.layout import MOMENTS_END


class RuleTimes:
    """Between which moments the values of a view were worked out, and from when on they may be others.

    All in milliseconds of the store's clock. Values are looked at again in the first look of a second of that clock in
    which some rule begins to hold, or which the clock went back to: so a change is told at most a second late, and
    costs one pass over the positions of the view in such a second, however many rules begin to hold.
    """

    def __init__(self) -> None:
        self._oldest, self._newest = MOMENTS_END, -1
        self._coming = MOMENTS_END  # no rule begins to hold after the newest moment and before this one
        self._second = -1  # in which all were looked at

    def is_due(self, now_ms: int) -> bool:
        """Whether values may be others by now, and it is time to look."""
        return self._newest >= 0 and now_ms // 1000 != self._second and not self._newest <= now_ms < self._coming

    def begin(self, now_ms: int) -> tuple[int, int]:
        """All are looked at: those stay what they are for which no rule begins to hold after the first moment that is
        answered, and not after the second. What is coming is to be told anew (`worked_out`) of each.
        """
        after, until = min(self._oldest, now_ms), max(self._newest, now_ms)
        self._oldest = self._newest = now_ms
        self._coming, self._second = MOMENTS_END, now_ms // 1000
        return after, until

    def worked_out(self, now_ms: int, coming: int) -> None:
        """Some values are those of this moment; for one of them the next rule begins to hold at `coming`."""
        self._oldest, self._newest = min(self._oldest, now_ms), max(self._newest, now_ms)
        self._coming = min(self._coming, coming)
        if now_ms // 1000 != self._second:  # the clock may go back to a second in which all were looked at
            self._second = -1
