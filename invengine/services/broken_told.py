"""Promises that a change of a receipt broke, told with the answer to it as the list of broken promises tells them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from invengine.errors import InventoryError
from invengine.services.shortages import Shortages

if TYPE_CHECKING:
    from invengine.domain.incoming import BrokenPromise, IncomingOutcome
    from invengine.domain.kept import BrokenLine
    from invengine.services.broken_scan import BrokenScan

logger = logging.getLogger(__name__)

Facts = tuple[str, str, str, str, str]


class BrokenTold:
    """Adds what was promised to whom. A promise that is kept for the customer all the same is not told.

    When units that lost their receipt come by others is left to the list: all live reservations tell that, and this is
    the answer to a write.
    """

    def __init__(self, scan: BrokenScan) -> None:
        self._scan = scan

    async def told(self, outcome: IncomingOutcome) -> IncomingOutcome:
        """The outcome with its broken promises as they are now; as it is where that cannot be found out."""
        if not outcome.broken:
            return outcome
        try:
            found = await self._scan.of_reservations({one.reservation_id for one in outcome.broken}, Shortages())
        except InventoryError as refusal:  # the change is made: nothing here may fail it
            logger.warning("what a receipt broke is told without its days: %s", refusal)
            return outcome
        known = {_facts(one): one for one in found}
        return replace(outcome, broken=tuple(known[key] for key in map(_facts, outcome.broken) if key in known))


def _facts(one: BrokenPromise | BrokenLine) -> Facts:
    return one.reservation_id, one.line_id, one.location, one.receipt_id, str(one.reason)
