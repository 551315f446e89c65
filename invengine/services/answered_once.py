"""Planners' requests that are carried out in several steps: sent again, they are answered what they were at first."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invengine.store.redis_store import RedisStore


async def answered_once(
    store: RedisStore, request_id: str, fingerprint: str, carry_out: Callable[[], Awaitable[bytes]]
) -> tuple[bytes, bool]:
    """The answer, and whether the request was answered before; only then nothing is carried out. RequestMismatch.

    Of a request that is sent twice at once both are carried out, and both get the answer that was kept first.
    """
    earlier = await store.remembered(request_id, fingerprint)
    if earlier is not None:
        return base64.b64decode(earlier), True
    answer = await carry_out()
    kept = await store.remember(request_id, fingerprint, base64.b64encode(answer).decode())
    if kept is not None:
        return base64.b64decode(kept), True
    return answer, False
