"""Long work on the event loop, in slices: others have their turn in between."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

SLICE_SECONDS: Final = 0.005


class Turns:
    """Of one piece of work: `pause` after every small step."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def pause(self) -> None:
        """Lets others go first, where the slice is over."""
        if perf_counter() - self._since > SLICE_SECONDS:
            await asyncio.sleep(0)
            self._since = perf_counter()
