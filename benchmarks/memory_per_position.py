"""What does a position cost in the memory of a server?"""

from __future__ import annotations

import gc

from benchmarks import memory_replica
from benchmarks.figures import Figure, say
from invengine import kernels
from invengine.replica.replica import Replica

SKUS, LOCATIONS, UNITS = 100_000, 10, 100


def resident_bytes() -> int:
    """Memory of this process, in bytes, by the kernel's account."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def server_bytes() -> float:
    """Resident bytes per position that a filled replica adds."""
    kernels.warm_up()
    memory_replica.fill(Replica(memory_replica.PARTITIONS, bytes(8)), 2_000, LOCATIONS, UNITS)  # touches what is shared
    before = resident_bytes()
    replica = Replica(memory_replica.PARTITIONS, bytes(8))
    memory_replica.fill(replica, SKUS, LOCATIONS, UNITS)
    used = resident_bytes() - before
    if replica.columns.position_count != SKUS * LOCATIONS:
        raise RuntimeError(f"{replica.columns.position_count} positions, not {SKUS * LOCATIONS}")
    return used / (SKUS * LOCATIONS)


def run(*, quick: bool) -> list[Figure]:
    """1,000,000 positions, 10 locations a SKU; a smaller store would divide what is shared by too few."""
    server = server_bytes()
    say("server bytes per position", "78: 64 of columns, the SKU's share of index and name", f"{server:.1f}")
    setup = "10 locations a SKU, 12-character SKUs"
    return [Figure("server memory per position at 1M", server, "bytes", "lower", 96, setup)]
