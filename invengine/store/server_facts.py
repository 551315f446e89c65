"""What the servers behind a store say of themselves: memory, persistence, replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invengine.store.startup import facts_of


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One primary; sizes in bytes.

    memory_limit     what it may use: maxmemory, or the memory of its machine where it has none
    aof_is_on        it keeps an append-only file
    aof_is_well      its last append and its last rewrite of that file went well; so where it keeps none
    saving_is_well   its last save of a snapshot went well
    aof_delays       appends so far that waited for a slow disk
    replicas         connected to it now
    """

    memory: int
    memory_limit: int
    aof_is_on: bool
    aof_is_well: bool
    saving_is_well: bool
    aof_delays: int
    replicas: int
    clients: int


SECTIONS = ("INFO", "server", "clients", "memory", "persistence", "replication")


def read_facts(info: object) -> ServerFacts:
    """The facts in the reply to INFO."""
    facts = facts_of(info)
    maxmemory = int(facts.get("maxmemory", "0"))
    return ServerFacts(
        memory=int(facts["used_memory"]),
        memory_limit=maxmemory or int(facts.get("total_system_memory", "0")),
        aof_is_on=facts.get("aof_enabled") == "1",
        aof_is_well=all(
            facts.get(name, "ok") == "ok" for name in ("aof_last_write_status", "aof_last_bgrewrite_status")
        ),
        saving_is_well=facts.get("rdb_last_bgsave_status", "ok") == "ok",
        aof_delays=int(facts.get("aof_delayed_fsync", "0")),
        replicas=int(facts.get("connected_slaves", "0")),
        clients=int(facts.get("connected_clients", "0")),
    )


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """All primaries of a store; the worst of them where one is meant."""

    primaries: Sequence[ServerFacts]

    @property
    def memory(self) -> int:
        """Bytes, of all."""
        return sum(server.memory for server in self.primaries)

    @property
    def memory_limit(self) -> int:
        """Bytes that all may use."""
        return sum(server.memory_limit for server in self.primaries)

    @property
    def fullest(self) -> float:
        """How much of what it may use the fullest uses, 0 to 1."""
        return max((server.memory / server.memory_limit for server in self.primaries if server.memory_limit), default=0)

    @property
    def fewest_replicas(self) -> int:
        """Of the primary that has the fewest."""
        return min((server.replicas for server in self.primaries), default=0)
