"""The store's clock, estimated here: expiry is judged by it wherever it is judged.

It is Redis's clock as long as that one runs evenly. When Redis's clock is set by more than a minute, holds must not end
at once and must not last longer by it: the store's clock goes on as it ran, and is led to the new one bit by bit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import copysign
from typing import Final

STEP_SECONDS: Final = 60.0
"""A change of Redis's clock that is larger is a step, which is not followed at once. Smaller ones are: they are what
time services correct, and what a hold may be off by anyhow.
"""

LEAD: Final = 1 / 250
"""How much faster or slower the store's clock may run while it is led to Redis's. A hold of 15 minutes then ends 3.6 s
early or late at most, less than one round of the sweeper. A step of an hour is caught up with in ten days.
"""

_STILL_MS: Final = 1000
"""A correction backward that is smaller holds the clock still; a larger one sets it back."""

_log = logging.getLogger(__name__)


def uptime_seconds() -> float:
    """The machine's clock that nobody sets. Where there is such a one, it goes on while the machine is suspended, as
    the clock of another machine does.
    """
    return time.clock_gettime(_UPTIME) if _UPTIME is not None else time.monotonic()


_UPTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def _nothing(_: float) -> None:
    """The hook of those who do not listen."""


class StoreClock:
    """The store's clock, from Redis's answers to TIME and a local clock that is never set: no step of the local wall
    clock matters.

    Every answer bounds the difference of Redis's clock and the local one from both sides; bounds that agree are
    narrowed, a bound that contradicts them (drift, or a step of Redis's clock) replaces them. `on_step` is told the
    seconds of every step.
    """

    def __init__(
        self, clock: Callable[[], float] = uptime_seconds, *, on_step: Callable[[float], object] = _nothing
    ) -> None:
        self.local = clock
        """Seconds of the local clock: when a question was sent and its answer received."""
        self._on_step = on_step
        self._least = 0.0
        self._most = 0.0
        self._of_redis: float | None = None  # Redis's clock less the local one, ms
        self._of_store = 0.0  # the store's clock less the local one, ms
        self._is_led = False
        self._led_at = 0.0
        self._newest = 0

    def observe(self, redis_ms: int, sent: float, received: float) -> None:
        """Takes in that TIME, sent and received at these moments of the local clock, answered `redis_ms`."""
        least, most = redis_ms - received * 1000, redis_ms + 1 - sent * 1000
        if self._of_redis is not None:
            if least <= self._most and most >= self._least:
                least, most = max(least, self._least), min(most, self._most)
            else:
                nearest = least if least > self._of_redis else most
                if abs(nearest - self._of_redis) > STEP_SECONDS * 1000:
                    self._note_step((nearest - self._of_redis) / 1000)
        self._least, self._most = least, most
        self._of_redis = (least + most) / 2
        if self._is_led:
            self._lead(self._of_redis)
        else:
            self._of_store = self._of_redis

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the store's clock."""
        if self._of_redis is None:
            raise RuntimeError("the store was not asked for its time yet")
        if self._is_led:
            self._lead(self._of_redis)
        now = int(self.local() * 1000 + self._of_store)
        if now < self._newest and self._newest - now < _STILL_MS:
            return self._newest
        self._newest = now
        return now

    def latest_ms(self) -> int:
        """The same, or Redis's clock where that one is ahead: what others who go by the right time may call now."""
        return self.now_ms() + max(0, int(self.ahead_seconds * 1000))

    def for_call(self) -> int:
        """The store's time as a call of a function says it: 0 when it is not known, less than 0 where it goes before
        Redis's clock however near that is.
        """
        if self._of_redis is None:
            return 0
        now = self.now_ms()
        return -now if self._is_led else now

    @property
    def ahead_seconds(self) -> float:
        """How far Redis's clock is ahead of the store's; below 0 where it is behind."""
        return 0.0 if self._of_redis is None else (self._of_redis - self._of_store) / 1000

    def _note_step(self, seconds: float) -> None:
        if not self._is_led:
            self._is_led, self._led_at = True, self.local()
        _log.warning(
            "the clock of Redis was set %s by %.1f s. Holds go on by the time before, which is led to the new one: an"
            " hour takes ten days. Servers that are started now take the new one at once; start all anew for that",
            "forward" if seconds > 0 else "back",
            abs(seconds),
        )
        self._on_step(seconds)

    def _lead(self, wanted: float) -> None:
        """Brings the store's clock nearer to Redis's, by what the time since the last look allows."""
        now = self.local()
        most = (now - self._led_at) * 1000 * LEAD
        self._led_at = now
        gap = wanted - self._of_store
        if abs(gap) > most:
            self._of_store += copysign(most, gap)
            return
        self._of_store, self._is_led = wanted, False
        _log.info("the store goes by the clock of Redis again")
