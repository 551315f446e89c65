"""What a failed attempt to reach Redis means, and what its caller is told."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    TimeoutError,
)

from invengine.errors import OutcomeUnknown, StoreFull, StoreUnavailable

_LATER = ("BUSY ", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "LOADING")


class Fate(Enum):
    """What a failed attempt means."""

    ELSEWHERE = auto()  # another node of the Cluster serves the key, and was named (MOVED, ASK)
    NOT_DONE = auto()  # surely not executed; may work in a moment
    UNKNOWN = auto()  # sent, and no answer came; or done, and not on as many replicas as wanted
    FULL = auto()  # refused for want of memory or disk
    NO_FUNCTION = auto()  # the library is not there
    FAULT = auto()  # a fault of the caller, the set-up or the engine


class Unsent(Exception):
    """No connection: nothing was sent."""


class NotReplicated(Exception):
    """Done on the primary, but fewer replicas than wanted said in time that they have it."""


_KINDS: Final[tuple[tuple[tuple[type[BaseException], ...], Fate], ...]] = (  # the first that fits
    ((AuthenticationError, AuthorizationError), Fate.FAULT),
    ((AskError,), Fate.ELSEWHERE),  # MovedError is one
    ((Unsent, BusyLoadingError), Fate.NOT_DONE),
    ((NotReplicated, ConnectionError, TimeoutError, OSError, asyncio.IncompleteReadError), Fate.UNKNOWN),
    ((OutOfMemoryError,), Fate.FULL),
)


def fate_of(error: BaseException) -> Fate:
    """The fate of an attempt that raised this."""
    for kinds, fate in _KINDS:
        if isinstance(error, kinds):
            return fate
    said = str(error)
    if said.startswith(("OOM", "MISCONF")):
        return Fate.FULL
    if "Function not found" in said:
        return Fate.NO_FUNCTION
    return Fate.NOT_DONE if _is_later(error, said) else Fate.FAULT


def _is_later(error: BaseException, said: str) -> bool:
    # redis-py takes the code off the messages of errors for which it has classes, so both are looked at
    return said.startswith(_LATER) or type(error).__name__ in {
        "ReadOnlyError",
        "MasterDownError",
        "ClusterDownError",
        "TryAgainError",
    }


def refusal(is_full: bool, may_be_done: bool, failure: Exception) -> OutcomeUnknown | StoreFull | StoreUnavailable:
    """What the caller is told when no attempt worked. `may_be_done`: one of them may have changed something."""
    detail = str(failure)
    if may_be_done:
        return OutcomeUnknown(detail)
    return StoreFull(detail) if is_full else StoreUnavailable(detail)
