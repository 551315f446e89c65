"""How the server logs: lines for people or JSON objects for machines, both to standard error.

What is logged while a call is answered carries the id of that call, and the trace that its caller is in.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from invengine.rpc import calls
from invengine.rpc.errors import caller_was_gone

logger = logging.getLogger(__name__)

_OF_EVERY_RECORD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_OF_EVERY_LINE: Final = frozenset({"time", "level", "logger", "exception", "stack"})


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says besides its message: the call that it belongs to, and what it was given as `extra`."""
    facts: dict[str, Any] = {}
    call = calls.current()
    if call is not None:
        facts["request_id"] = call.request_id
        if (sent := call.sent_id()) and sent != call.request_id:
            facts["x_request_id"] = sent
        if trace_id := call.trace_id:
            facts["trace_id"] = trace_id
    facts.update((name, value) for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD)
    return facts


class JsonLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update((name, value) for name, value in facts_of(record).items() if name not in _OF_EVERY_LINE)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """A line for people: time, level, logger, message, and what else is known as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without its traceback."""
        told = " ".join(f"{name}={_word(value)}" for name, value in facts_of(record).items())
        line = super().formatMessage(record)
        return f"{line} {told}" if told else line


def _word(value: Any) -> str:
    """A value as one word: with quotes where it would be several."""
    text = str(value)
    return text if text and not any(mark in text for mark in ' "=\n\r\t') else json.dumps(text, ensure_ascii=False)


class _CallersGone(logging.Filter):
    """Keeps what gRPC says of answers whose callers were gone already from looking like a fault of this server."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for such a record, which is told at DEBUG in words."""
        fault = record.exc_info[1] if record.exc_info else None
        if not caller_was_gone(fault):
            return True
        logger.debug("a caller was gone before its answer was sent")
        return False


_CALLERS_GONE: Final = _CallersGone()


def configure_logging(level: str, *, as_json: bool, every_call: bool = False) -> None:
    """Logs to standard error from `level` on; of calls, with `every_call`, a line for each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    calls.logger.setLevel(logging.DEBUG if every_call else logging.NOTSET)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_CALLERS_GONE)
