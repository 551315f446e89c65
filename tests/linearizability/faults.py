"""Faults to plant: into the functions that a store runs, and into histories that were recorded from a sound one.

A function's fault is a change of its text. The store finds the changed library in its Redis under a version that is
newer than its own, so it leaves it there. A text that is not there any more is an error here, never a fault that does
nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from invengine.store.library import Library


@dataclass(frozen=True)
class Fault:
    """Texts of the library and what stands in their places, each of them once."""

    name: str
    changes: tuple[tuple[str, str], ...]
    answers: int = 800  # of a history in which it mostly shows
    by_time: bool = False  # it shows only when holds are over

    def planted(self) -> str:
        """The library with the fault."""
        code = Library.packaged().code.decode()
        for before, after in self.changes:
            assert code.count(before) == 1, f"{self.name}: not once in the library: {before}"
            code = code.replace(before, after)
        code, count = re.subn(r"(?m)^-- Version \d+\.", "-- Version 1000000.", code, count=1)
        assert count == 1
        return code


IN_LIBRARY = [
    Fault("one unit too many is sold", (("if free >= left then", "if free + 1 >= left then"),)),
    Fault("the last unit is never sold", (("if free >= left then", "if free > left then"),)),
    Fault("units are taken twice", (("reserved_before[p] + take_units[t]", "reserved_before[p] + take_units[t] * 2"),)),
    Fault(
        "of two takes in one call the first is lost",
        (("reserved_before[p], reserved_text[p] = after, text_of(after)", "reserved_text[p] = text_of(after)"),),
    ),
    Fault(
        "a release frees nothing",
        (
            (
                "  note_pool(p)\n  set_reserved(p, reserved[p] - units)\n",
                "  note_pool(p)\n  set_reserved(p, reserved[p] - (kind == 'EXPIRE' and units or 0))\n",
            ),
        ),
    ),
    Fault(
        "what is fulfilled stays on hand",
        (("set_on_hand(p, on_hand[p] - leaving)\n", "set_on_hand(p, on_hand[p])\n"),),
        answers=1500,
    ),
    Fault(
        "a repeated request is carried out again",
        (("  local first, rest = match(answer,", "  do return nil end\n  local first, rest = match(answer,"),),
    ),
    Fault("a repeated movement is applied again", (("if stored[i] or seen[event] then", "if seen[event] then"),)),
    Fault(
        "a hold is confirmed after its time",
        (("now_s, now_text = floor(now_ms / 1000), ", "now_s, now_text = floor(now_ms / 1000) - 2, "),),
        by_time=True,
    ),
    Fault(
        "a hold ends before its time",
        (("now_s, now_text = floor(now_ms / 1000), ", "now_s, now_text = floor(now_ms / 1000) + 1, "),),
        by_time=True,
    ),
    Fault(
        "holds that are over still count",
        (
            ("function expire_for(partitions)\n", "function expire_for(partitions)\n  do return nil end\n"),
            ("  expire_due(partition, expired)\n  if not swept[partition] then", "  if false then"),
        ),
        by_time=True,
    ),
    Fault(
        "a count forgets what moved since",
        (
            (
                "local moved = is_known and moved_since(m.p, m.state and m.state.name or '', m.occurred_at) or 0",
                "local moved = 0",
            ),
        ),
        answers=3000,
    ),
    Fault(
        "an older count is applied",
        (("if counted_at > 0 and m.occurred_at < counted_at then", "if false then"),),
        answers=3000,
    ),
    Fault("a position keeps its old revision", (("  revised[p] = revision_texts[partition_of[p]]\n", ""),)),
    Fault(
        "what is moved elsewhere stays reserved here too",
        (
            (
                "  allocation.quantity = allocation.quantity - units\n  set_reserved(p, reserved[p] - units)\n",
                "  allocation.quantity = allocation.quantity - units\n",
            ),
        ),
    ),
    Fault(
        "safety stock is sold",
        ((" - reserved[p] - larger_of(p, keep, part)\n", " - reserved[p]\n"),),
    ),
    Fault(
        "a stale revision is accepted",
        (("elseif expected_revision >= 0 and whole(record[REVISION]) ~= expected_revision then", "elseif false then"),),
    ),
    Fault(
        "a request that is refused keeps what it took",
        (("    local kept = take_count\n    taking.undo(0)\n", "    local kept = take_count\n    take_count = 0\n"),),
    ),
]
