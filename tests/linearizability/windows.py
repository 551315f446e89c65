"""Where in the order of revisions a call may stand, given what had ended before it began and what began after it.

Calls are atomic in Redis: what a call made or saw is there before its caller is answered, and a call that begins later
makes or sees nothing older. So every call stands after the newest revision that was told before it began, and before
the oldest that was made by a call which began after it had ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate


class Windows:
    """Bounds from witnesses: calls of which the revision is known that they made or saw.

    seen   (ended, revision): an answer told this revision; so it was there when the answer was
    made   (began, revision): the state before this call was at most at this revision
    """

    def __init__(self, seen: Iterable[tuple[int, int]], made: Iterable[tuple[int, int]], last: int) -> None:
        by_end, by_begin = sorted(seen), sorted(made, reverse=True)
        self._ended = [ended for ended, _ in by_end]
        self._newest = [0, *accumulate((revision for _, revision in by_end), max)]
        self._began = [began for began, _ in by_begin][::-1]
        self._oldest = [last, *accumulate((revision for _, revision in by_begin), min, initial=last)][1:][::-1]

    def earliest(self, began: int) -> int:
        """A call that began then stands at the end of this revision at first."""
        return self._newest[bisect_left(self._ended, began)]

    def latest(self, ended: int) -> int:
        """A call that ended then stands at the end of this revision at last."""
        return self._oldest[bisect_right(self._began, ended)]
