"""Promises that cannot be kept, as planners look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.kept import BreakReason, BrokenFilter
from invengine.domain.partitions import encode_token
from invengine.errors import InvalidArgument
from invengine.services import validation

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine
    from invengine.services.broken_scan import BrokenScan
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import promise_service_pb2 as pb

REASONS: Final = (None, *BreakReason)
"""By their numbers in the proto."""

_TEXTS: Final = ("sku", "location", "receipt_id", "channel", "customer_ref", "order_ref")


def broken_filter(
    message: pb.ListBrokenPromisesRequest | pb.BrokenPromiseFilter, path: str = "", reservation_id: str = ""
) -> BrokenFilter:
    """Which broken promises a message means; InvalidArgument names the field, `path` before it, that does not do."""
    texts = {name: validation.optional_text(f"{path}{name}", getattr(message, name)) for name in _TEXTS}
    if not 0 <= message.reason < len(REASONS):
        raise InvalidArgument(f"{path}reason", f"{message.reason} is not a reason")
    return BrokenFilter(**texts, reservation_id=reservation_id, reason=REASONS[message.reason])


class Promises:
    """The use cases of PromiseService that are about promises which were given."""

    def __init__(self, store: RedisStore, scan: BrokenScan) -> None:
        self._store = store
        self._scan = scan

    async def list_broken(self, message: pb.ListBrokenPromisesRequest) -> tuple[list[BrokenLine], str, str]:
        """A page of broken promises, the token of the next page, and the consistency token."""
        reservation_id = validation.optional_text("reservation_id", message.reservation_id)
        which = broken_filter(message, reservation_id=reservation_id)
        size = validation.page_size("page_size", message.page_size)
        bound = ("broken promises", *(str(getattr(which, name)) for name in (*_TEXTS, "reservation_id", "reason")))
        after = validation.cursor_of("page_token", message.page_token, bound)
        found, cursor, revisions = await self._scan.page(which, after, size)
        token = encode_token(self._store.store_id, enumerate(revisions))
        return found, validation.page_token(bound, cursor), token
