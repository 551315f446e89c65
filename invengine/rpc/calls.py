"""What is known of a call while it runs, for logs and traces: its id, its trace, who makes it, how long it takes.

Every wrapped method begins and ends a `Call`. The id is looked for only when somebody wants to know it: the
`request_id` of the message, else what the caller sent as `x-request-id`, else a new one. So every line that is logged
while a call runs can tell it (see logs.py), and a call of which nothing is logged pays next to nothing.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError

logger = logging.getLogger("invengine.access")
"""One line per call, at DEBUG; at INFO those that are slow or failed by our fault."""

REQUEST_ID: Final = "x-request-id"
TRACE_PARENT: Final = "traceparent"
_ID_MAX: Final = 128
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_FAULTS: Final = frozenset({"Internal", "Unknown"})

Metadata = Sequence[tuple[str, str | bytes]]

METADATA: ContextVar[Metadata] = ContextVar("METADATA", default=())
"""What the caller sent beside its message; empty where that is the name of its program only. Whoever finds the handler
of a call sets it: there it costs nothing.
"""

_CURRENT: ContextVar[Call | None] = ContextVar("_CURRENT", default=None)


class Span(Protocol):
    """A call in a trace."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def end(self, call: Call, code: str, reason: str) -> None:
        """The call is over."""


class Call:
    """One call of a method, from its arrival to its end. `ended` is for tasks that it began and that outlive it."""

    ended = False
    bytes_out = 0
    span: Span | None = None
    _request_id = ""

    def __init__(self, method: Observed, request: bytes | None) -> None:
        self.method = method
        self.request = request

    @property
    def metadata(self) -> Metadata:
        """What the caller sent beside its message; in the context of the call."""
        return METADATA.get()

    @property
    def request_id(self) -> str:
        """The name of this call."""
        if not self._request_id:
            self._request_id = self._id_of_message() or self.sent_id() or secrets.token_hex(8)
        return self._request_id

    @property
    def trace_id(self) -> str:
        """Of the trace that this call or its caller is in, 32 hexadecimal digits; empty where there is none."""
        if self.span is not None:
            return self.span.trace_id
        found = _TRACE_PARENT.fullmatch(self.sent(TRACE_PARENT))
        return found[1] if found and found[1].strip("0") else ""

    def sent_id(self) -> str:
        """What the caller sent as the id of this call; empty where that is none, or none to be written into a log."""
        sent = self.sent(REQUEST_ID)
        return sent if 0 < len(sent) <= _ID_MAX and sent.isascii() and sent.isprintable() else ""

    def sent(self, name: str) -> str:
        """A text that the caller sent beside its message, empty where it did not."""
        for key, value in self.metadata:
            if key == name and isinstance(value, str):
                return value
        return ""

    def trailing(self) -> tuple[tuple[str, str], ...]:
        """What a refusal carries beside its details; nothing where the id cannot travel there: its caller knows it."""
        told = self.sent_id() or self.request_id
        return ((REQUEST_ID, told),) if told.isascii() else ()

    def _id_of_message(self) -> str:
        """`request_id` of the message, where it has one that can be read."""
        if not self.request:
            return ""
        try:
            found = getattr(self.method.decode(self.request), "request_id", "")
        except DecodeError:
            return ""
        return found if isinstance(found, str) and len(found) <= _ID_MAX and found.isprintable() else ""


def current() -> Call | None:
    """The call that is being answered here, None outside of any, or when it is over."""
    call = _CURRENT.get()
    return None if call is None or call.ended else call


class Observing:
    """What is told of calls.

    every          a line for every call, not only for those that are slow or failed by our fault
    slow_seconds   from when on a call that answers once is slow
    who            the name of the caller, empty where nobody asks who calls
    trace          begins the span of a call, None where it is not traced
    """

    def __init__(
        self,
        *,
        every: bool = False,
        slow_seconds: float = float("inf"),
        who: Callable[[], str] = str,
        trace: Callable[[Call], Span | None] | None = None,
    ) -> None:
        self.every = every
        self.slow_seconds = slow_seconds
        self.who = who
        self.trace = trace

    def method(self, path: str, decode: Callable[[bytes], Any], *, is_stream: bool) -> Observed:
        """What is told of the calls of one method. `decode` makes a message of the bytes of a request."""
        return Observed(self, path, decode, is_stream=is_stream)


class Observed:
    """One method."""

    def __init__(self, by: Observing, path: str, decode: Callable[[bytes], Any], *, is_stream: bool) -> None:
        self.path = path
        self.decode = decode
        self.is_stream = is_stream
        self._who = by.who
        trace = by.trace

        def traced(call: Call) -> None:
            _CURRENT.set(call)
            assert trace is not None
            call.span = trace(call)

        self.begin: Callable[[Call], object] = _CURRENT.set if trace is None else traced
        """Has a call that has arrived be the one that is answered here."""
        self._every = by.every
        self._slow_seconds = float("inf") if is_stream else by.slow_seconds
        self.end_seconds = 0.0 if by.every or by.trace else self._slow_seconds
        """From how many seconds on the end of a call is worth a look, whatever its code."""

    def begun(self) -> Call:
        """A call that has just arrived and has no single message."""
        call = Call(self, None)
        self.begin(call)
        return call

    def end(self, call: Call, code: str, reason: str, seconds: float) -> None:
        """The call is over after so many seconds. Its line is written where it is worth one."""
        if seconds >= self.end_seconds or code in _FAULTS:
            self._tell(call, code, reason, seconds)
        call.ended = True

    def _tell(self, call: Call, code: str, reason: str, seconds: float) -> None:
        if call.span is not None:
            call.span.end(call, code, reason)
        is_slow = seconds >= self._slow_seconds
        level = logging.INFO if is_slow or code in _FAULTS else logging.DEBUG
        if level == logging.DEBUG and not self._every:
            return
        facts = {
            "method": self.path,
            "code": code,
            "reason": reason,
            "ms": round(seconds * 1000, 3),
            "principal": self._who(),
        }
        if not self.is_stream:  # the messages of a stream are counted by method, not by call
            facts |= {"bytes_in": len(call.request or b""), "bytes_out": call.bytes_out}
        told = {name: fact for name, fact in facts.items() if fact != ""}
        logger.log(level, "a slow call" if is_slow else "a call", extra=told)


QUIET: Final = Observing()
"""Tells of faults only."""
