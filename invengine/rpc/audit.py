"""The audit log: who changed what, one line for each accepted write. Never what was in it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from invengine.services.tokens import Caller

logger: Final = logging.getLogger("invengine.audit")
"""Its own, so that a handler may keep its lines apart; each message is one JSON object."""


class Audit:
    """Writes down accepted writes."""

    def written(self, caller: Caller, method: str, request: Any, *, messages: int, code: str) -> None:
        """One write; of a stream, once it ended, with how many messages were taken and how it ended."""
        if not logger.isEnabledFor(logging.INFO):
            return
        told = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "token": caller.name,
            "token_id": caller.token.token_id,
            "channel": getattr(request, "channel", "") or caller.channel,
            "method": method,
            "request_id": getattr(request, "request_id", ""),
            "messages": messages,
            "code": code,
        }
        logger.info("%s", json.dumps(told, ensure_ascii=False))
