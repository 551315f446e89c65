"""Promises that cannot be kept, as planners look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.domain.partitions import encode_token
from invengine.services import validation

if TYPE_CHECKING:
    from invengine.domain.incoming import BrokenPromise
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import promise_service_pb2 as pb


class Promises:
    """The use cases of PromiseService."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def list_broken(self, message: pb.ListBrokenPromisesRequest) -> tuple[list[BrokenPromise], str, str]:
        """A page of broken promises from Redis, the token of the next page, and the consistency token."""
        sku = validation.optional_text("sku", message.sku)
        location = validation.optional_text("location", message.location)
        receipt_id = validation.optional_text("receipt_id", message.receipt_id)
        size = validation.page_size("page_size", message.page_size)
        bound = ("broken promises", sku, location, receipt_id)
        after = validation.cursor_of("page_token", message.page_token, bound)
        revisions = await self._store.revisions()  # asked first: what is read then contains at least these
        found, cursor = await self._store.broken_promises(
            sku=sku, location=location, receipt_id=receipt_id, after=after, limit=size
        )
        token = encode_token(self._store.store_id, enumerate(revisions))
        return found, validation.page_token(bound, cursor), token
