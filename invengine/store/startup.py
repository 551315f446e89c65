"""Opening a store: is this server fit for it, whose data are these, is the function library there."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from invengine.domain.partitions import PARTITIONS_MAX
from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.library import Library
from invengine.store.records import StoreSettings
from invengine.store.topology import Standalone, StoreUnsuitable, Topology

__all__ = ["StoreIdentity", "StoreUnsuitable", "as_dict", "check_server", "facts_of", "open_calls"]

FORMAT: Final = 2
"""Of keys and values. A store of another format is not touched."""

REDIS_MIN: Final = (7, 0)
VALKEY_MIN: Final = (8, 0)


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What was fixed when the store was made."""

    partitions: int
    store_id: bytes
    retention_seconds: int
    created_at_ms: int


async def open_calls(server: Redis | Topology, partitions: int, settings: StoreSettings) -> tuple[Calls, StoreIdentity]:
    """Calls to fit servers with the library loaded, and the store's identity; makes the store where there is none.

    StoreUnsuitable, StoreUnavailable.
    """
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise StoreUnsuitable(f"a store has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    topology = server if isinstance(server, Topology) else Standalone(server)
    calls = Calls(topology, settings.retry_seconds, Library.packaged(), settings.replication)
    for info in await calls.read_everywhere(("INFO",)):
        check_server(facts_of(info), in_cluster=not topology.is_whole)
    identity = await _identity(calls, partitions, settings)
    await calls.load_library()
    return calls, identity


def check_server(facts: dict[str, str], *, in_cluster: bool = False) -> None:
    """Refuse a server that cannot keep the engine's promises. `facts` are the fields of INFO."""
    kind, text, least = "Redis", facts.get("redis_version", "0"), REDIS_MIN
    if "valkey_version" in facts:
        kind, text, least = "Valkey", facts["valkey_version"], VALKEY_MIN
    if tuple(int(part) for part in re.findall(r"\d+", text)[:2]) < least:
        raise StoreUnsuitable(
            f"{kind} {text} is too old: the store needs {kind} {'.'.join(map(str, least))} or newer, for its Functions"
        )
    if not in_cluster and facts.get("redis_mode", facts.get("server_mode")) == "cluster":
        raise StoreUnsuitable(f"this {kind} is a node of a Cluster: its url must begin with redis+cluster://")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise StoreUnsuitable(
            f"maxmemory-policy is {policy}, so {kind} may throw stock away when memory is short; set it to noeviction"
        )


def facts_of(info: Any) -> dict[str, str]:
    """The fields of a reply to INFO."""
    lines = (info.decode() if isinstance(info, bytes) else info).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


async def _identity(calls: Calls, partitions: int, settings: StoreSettings) -> StoreIdentity:
    stored = await _stored(calls)
    if not stored:
        seconds, _ = (await calls.read(("TIME",)))[0]
        fields: dict[str, str | int] = {
            "format": FORMAT,
            "partitions": partitions,
            "store_id": secrets.token_hex(8),
            "retention_seconds": settings.retention_seconds,
            "created_at_ms": int(seconds) * 1000,
        }
        # one transaction of HSETNX: of two servers that start at once, the first writes all fields
        await calls.write_once(keys.STORE, *(("HSETNX", keys.STORE, name, value) for name, value in fields.items()))
        stored = await _stored(calls)
    store_format = int(stored[b"format"])
    if store_format > FORMAT:
        raise StoreUnsuitable(
            f"the data have format {store_format} of a newer release; this one reads up to format {FORMAT}"
        )
    if store_format < FORMAT:
        raise StoreUnsuitable(
            f"the data have format {store_format} of an earlier release and this one reads format {FORMAT}:"
            " load the stock anew into an empty store"
        )
    return StoreIdentity(
        int(stored[b"partitions"]),
        bytes.fromhex(stored[b"store_id"].decode()),
        int(stored[b"retention_seconds"]),
        int(stored[b"created_at_ms"]),
    )


async def _stored(calls: Calls) -> dict[bytes, bytes]:
    (stored,) = await calls.read(("HGETALL", keys.STORE))
    return as_dict(stored)


def as_dict(reply: Any) -> dict[bytes, bytes]:
    """The answer of HGETALL, which is a map in RESP3 and a list in RESP2."""
    return dict(reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
