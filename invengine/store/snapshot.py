"""The keys of all hashes of a kind, none of them missed, whatever moves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from redis.exceptions import RedisError

from invengine.errors import StoreUnavailable
from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.cluster import Cluster, Place
from invengine.store.failures import Fate, Unsent, fate_of
from invengine.store.node import Node

SCAN_COUNT: Final = 1000
ROUNDS_MAX: Final = 50
_PAUSE_SECONDS: Final = 0.1


async def hash_keys(calls: Calls, partitions: int, pattern: bytes) -> AsyncIterator[list[bytes]]:
    """The keys of hashes of all partitions that match, in chunks; a key may come twice. StoreUnavailable.

    A key that is there from beginning to end is found. On one server SCAN promises that. In a Cluster a key may move
    from a node that is not scanned yet to one that was. So all masters are scanned in rounds, and a partition is done

      - after a round before and after which its slot was at rest at the same node, in the same epoch; or
      - after two rounds during which its slot was on its way from one node to one other and nothing else: a key that
        the first round missed at the source had left it by then, and the second round found it at the target.
    """
    if not isinstance(calls.topology, Cluster):
        async for names in calls.scan(*_command(pattern)):
            if names:
                yield names
        return
    cluster = calls.topology
    pending = {partition: cluster.slot_of(keys.log(partition)) for partition in range(partitions)}
    observed: list[dict[int, Place]] = []
    failure: Exception | None = None
    for _ in range(ROUNDS_MAX):
        try:
            nodes, places = await cluster.layout()
            observed = [*observed[-2:], places]
            pending = {n: slot for n, slot in pending.items() if not _is_done([seen.get(slot) for seen in observed])}
            if not pending:
                return
            async for names in _of_all(calls, nodes, pending, pattern):
                yield names
        except (Unsent, RedisError, OSError) as error:
            if fate_of(error) not in (Fate.NOT_DONE, Fate.UNKNOWN):
                raise
            failure, observed = error, []  # the round does not count
            cluster.doubt()
            await asyncio.sleep(_PAUSE_SECONDS)
    raise StoreUnavailable(
        f"slots moved or nodes were away for {ROUNDS_MAX} scans of the Cluster: {failure or 'moving'}"
    )


async def _of_all(
    calls: Calls, nodes: Sequence[Node], pending: dict[int, int], pattern: bytes
) -> AsyncIterator[list[bytes]]:
    for node in nodes:
        async for names in calls.scan(*_command(pattern), node=node):
            wanted = [name for name in names if int(name[2 : name.index(b"}")]) in pending]
            if wanted:
                yield wanted


def _command(pattern: bytes) -> tuple[tuple[str], tuple[str | bytes | int, ...]]:
    return ("SCAN",), ("MATCH", pattern, "COUNT", SCAN_COUNT, "TYPE", "hash")


def _is_done(observed: Sequence[Place | None]) -> bool:
    """Whether the two scans between these three observations of a slot, or the last one, have found all its keys."""
    seen = [place for place in observed if place is not None]
    if len(seen) < max(2, len(observed)):
        return False
    return (seen[-2] == seen[-1] and not seen[-1].target) or (len(seen) == 3 and _is_one_way(seen))


def _is_one_way(seen: Sequence[Place]) -> bool:
    """Whether a slot was at one node, then on its way to another, then there: these steps, in this order."""
    ends = list(dict.fromkeys(node for place in seen for node in (place.owner, place.target) if node))
    steps = [(ends[0], ""), (ends[0], ends[-1]), (ends[-1], "")]
    ways = [(place.owner, place.target) for place in seen]
    return len(ends) == 2 and all(way in steps for way in ways) and ways == sorted(ways, key=steps.index)
