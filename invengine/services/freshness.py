"""How fresh a read must be: the `Consistency` of a message, kept by waiting for the replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import decode_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.replica.replica import Replica
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import common_pb2

FRESHNESS_SECONDS_MAX: Final = 2.0
"""The longest wait for the replica."""


async def be_fresh(
    store: RedisStore,
    replica: Replica,
    consistency: common_pb2.Consistency,
    remaining_seconds: float | None,
    partitions: Iterable[int] | None = None,
) -> None:
    """Waits until the replica is as fresh as the message wants, in these partitions (None: all). ReplicaBehind."""
    seconds = min(FRESHNESS_SECONDS_MAX, remaining_seconds or FRESHNESS_SECONDS_MAX)
    wanted = consistency.WhichOneof("requirement")
    if wanted == "at_least_as_fresh":
        pairs = decode_token(consistency.at_least_as_fresh, replica.store_id, replica.partitions)
        await replica.wait_for(pairs, seconds)
    elif wanted == "fully_consistent" and consistency.fully_consistent:
        await catch_up(store, replica, seconds, partitions)


async def catch_up(
    store: RedisStore, replica: Replica, seconds: float, partitions: Iterable[int] | None = None
) -> None:
    """Waits until the replica has every write that the store acknowledged before this call. ReplicaBehind."""
    revisions = await store.revisions()
    wanted = range(len(revisions)) if partitions is None else partitions
    await replica.wait_for([(partition, revisions[partition]) for partition in wanted], seconds)
