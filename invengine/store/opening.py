"""From a url to the servers behind it."""

from __future__ import annotations

from redis.asyncio import Redis

from invengine.redis_url import Kind, RedisUrl
from invengine.store.cluster import Cluster
from invengine.store.topology import ANSWER_SECONDS, DRIVER, Standalone, Topology, Watched


def open_topology(url: str) -> Topology:
    """The servers that a url leads to; nothing is connected yet. ValueError when it is no such url."""
    parsed = RedisUrl.parse(url)
    if parsed.kind is Kind.CLUSTER:
        return Cluster(parsed)
    if parsed.kind is Kind.SENTINEL:
        return Watched(parsed)
    client: Redis = Redis.from_url(
        url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=ANSWER_SECONDS, driver_info=DRIVER
    )
    return Standalone(client)
