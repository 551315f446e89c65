"""How late is what 1,000 subscribers are told while 5,000 positions change every second?"""

from __future__ import annotations

import uvloop

from benchmarks import engine, processes, watch_load
from benchmarks.figures import Figure, say

SKUS, WATCHED, SUBSCRIBERS, CHANGES = 2_000, 50, 1_000, 5_000


def run(*, quick: bool) -> list[Figure]:
    """1,000 subscribers, 50 of 2,000 SKUs each, on a server that others keep busy with 5,000 changes a second."""
    seconds = 10.0 if quick else 60.0
    with engine.process() as (address, pid):
        engine.fill(address, 0, 2)
        load = watch_load.Load(SUBSCRIBERS, SKUS, WATCHED, CHANGES, seconds)
        before = processes.cpu_seconds(pid)
        told = uvloop.run(watch_load.put_under(address, load))
        busy = (processes.cpu_seconds(pid) - before) / (told.seconds + told.catching_up_seconds)
    estimate = "a message costs some 50 us here and there: a round of 1,000 takes 0.1 s, so a lag of two rounds"
    say("1,000 subscribers, 5,000 changes/s", estimate, f"{told}; the server used {busy:.2f} cores")
    setup = (
        f"{SUBSCRIBERS:,} subscribers of {WATCHED} of {SKUS:,} SKUs, {CHANGES:,} changes/s, client on the same 2 cores"
    )
    return [
        Figure("watch: messages a second", told.messages / told.seconds, "/s", "higher", 5_000, setup),
        Figure("watch: lag p99, write sent to change read", told.lag(99), "s", "lower", 1, setup),
    ]
