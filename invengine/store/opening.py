"""From a url to the servers behind it."""

from __future__ import annotations

from redis.asyncio import Redis

from invengine.redis_url import Kind, RedisUrl
from invengine.store.cluster import Cluster
from invengine.store.topology import Standalone, Topology, Watched


def open_topology(url: str) -> Topology:
    """The servers that a url leads to; nothing is connected yet. ValueError when it is no such url."""
    parsed = RedisUrl.parse(url)
    if parsed.kind is Kind.CLUSTER:
        return Cluster(parsed)
    return Watched(parsed) if parsed.kind is Kind.SENTINEL else Standalone(Redis.from_url(url))
