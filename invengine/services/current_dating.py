"""The dating that is in force: by the network and the transit times as they are when it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from invengine.services.dated_lines import DatedLines
from invengine.services.dating import Dating

if TYPE_CHECKING:
    from collections.abc import Callable

    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.replica.slots import TakenSlots
    from invengine.services.promise_routes import TransitDays
    from invengine.services.shelf import Shelf

OTHERS_SECONDS_MAX: Final = 2.0
"""How long a refusal waits for requests that are about to take slots: they are decided in milliseconds."""


class CurrentDating:
    """Makes what places lines; `transit` answers the transit times in force."""

    def __init__(self, replica: Replica, clock: StoreClock, transit: Callable[[], TransitDays]) -> None:
        self._replica = replica
        self._clock = clock
        self._transit = transit
        self._dating: Dating | None = None
        self._by: tuple[Network, TransitDays] | None = None
        self._decided = asyncio.Event()

    def of(self, network: Network) -> Dating:
        """The dating by this network."""
        transit = self._transit()
        if self._dating is None or self._by is None:
            self._dating = Dating(network, transit, self._replica, self._clock)
        elif self._by[0] is not network:
            self._dating.set_network(network)
        if self._by is not None and self._by[1] is not transit:
            self._dating.set_transit(transit)
        self._by = network, transit
        return self._dating

    @contextmanager
    def lines(
        self, network: Network, shelf: Shelf, reservation_id: str, *, best_effort: bool = False
    ) -> Iterator[DatedLines]:
        """What places the lines of one request; the slots that it chooses count as taken until the end."""
        placing = DatedLines(
            network,
            self.of(network),
            shelf,
            self._replica.slots,
            now_ms=self._clock.now_ms(),
            reservation_id=reservation_id,
            best_effort=best_effort,
        )
        try:
            yield placing
        finally:
            placing.release_claims()
            self._decided.set()

    async def others_decided(self, slots: TakenSlots) -> bool:
        """Waits until a request that was about to take slots is decided; False when that takes too long."""
        if not slots.has_claims:
            return True
        self._decided.clear()
        try:
            async with asyncio.timeout(OTHERS_SECONDS_MAX):
                await self._decided.wait()
        except TimeoutError:
            return False
        return True
