"""On whose behalf a call writes: kept in the log beside what it changed. One place for all writes.

A server that knows its callers sets `BY` where a call comes in; what shares calls to the store (group commit) says it
anew for each of them; `Calls.write` hands it to the function, which logs it. Empty: nobody is known, and the log has no
word of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

BY: Final[ContextVar[str]] = ContextVar("invengine_by", default="")
"""A name; or, where several callers share a call, lines of cause TAB name. A cause is what the rows of the log name."""

_CAUSES: Final = ("reservation_id", "return_id", "event_id", "request_id")


def causes_of(item: Any) -> Iterable[str]:
    """What the rows that an item of a write makes name as their cause, see lua/README.md: several of one that is a
    batch itself.
    """
    for name in _CAUSES:
        cause = getattr(item, name, "")
        if cause:
            return (str(cause),)
    return getattr(item, "causes", None) or ("",)


def shared(parts: Iterable[tuple[str, Iterable[Any]]]) -> str:
    """What `BY` is for a call that carries the items of several callers, by their names."""
    together = list(parts)
    names = {name for name, _ in together}
    if len(names) <= 1:
        return names.pop() if names else ""
    return "".join(
        f"{cause}\t{name}\n" for name, items in together if name for item in items for cause in causes_of(item)
    )


def name_in(by: str, cause: str) -> str:
    """Who wrote the row with a cause, by what the log says; empty: nobody known."""
    if "\t" not in by:
        return by
    for line in by.splitlines():
        of, _, name = line.partition("\t")
        if of == cause:
            return name
    return ""
