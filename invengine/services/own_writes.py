"""Read-your-writes: a server's replica has a write before its caller is answered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from invengine.errors import ReplicaBehind

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.store.records import Written

logger = logging.getLogger(__name__)

SECONDS_MAX: Final = 1.0
"""How long an answer is kept back for the replica. It is done and true without; its token says what to wait for."""


async def take_in(replica: Replica, written: Written[Any]) -> None:
    """Applies what a write logged. What others wrote in between comes by the follower: that is waited for, shortly."""
    replica.apply(written.entries)
    pairs = list(written.revisions.items())
    if replica.behind(pairs):
        try:
            await replica.wait_for(pairs, SECONDS_MAX)
        except ReplicaBehind as behind:
            logger.warning("a write is answered before this server can read it: %s", behind)
