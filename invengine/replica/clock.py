"""The store's clock, estimated here: expiry is judged by Redis's time wherever it is judged."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

_STEP_MS: Final = (
    1000  # a correction backward that is smaller holds the clock still; a larger one is a step of the store's
)


class StoreClock:
    """Redis's clock from its answers to TIME and the local monotonic clock: no step of the local wall clock matters.

    Every answer bounds the difference of the two clocks from both sides; bounds that agree are narrowed, a bound that
    contradicts them (drift, or a step of the store's clock) replaces them.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._least = 0.0
        self._most = 0.0
        self._difference: float | None = None
        self._newest = 0

    def observe(self, store_ms: int, sent: float, received: float) -> None:
        """Takes in that TIME, sent and received at these moments of the local clock, answered `store_ms`."""
        least, most = store_ms - received * 1000, store_ms + 1 - sent * 1000
        if self._difference is not None and least <= self._most and most >= self._least:
            least, most = max(least, self._least), min(most, self._most)
        self._least, self._most = least, most
        self._difference = (least + most) / 2

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the store's clock."""
        if self._difference is None:
            raise RuntimeError("the store was not asked for its time yet")
        now = int(self._clock() * 1000 + self._difference)
        if now < self._newest and self._newest - now < _STEP_MS:
            return self._newest
        self._newest = now
        return now
