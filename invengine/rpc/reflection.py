"""Reflection: which services there are. Where calls need a token, this needs one too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import grpc
from grpc_reflection.v1alpha.reflection import aio

from invengine.errors import InventoryError, StoreUnavailable
from invengine.rpc.errors import refusal_to_status

if TYPE_CHECKING:
    from invengine.rpc.admission import Admission


class Reflection(aio.ReflectionServicer):  # type: ignore[misc]  # the package has no types
    """The ready-made servicer behind the check of who calls. `admission` is None until it is known who may."""

    def __init__(self, names: Iterable[str], *, asks: bool) -> None:
        super().__init__(names)
        self._asks = asks
        self.admission: Admission | None = None

    async def ServerReflectionInfo(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """Answers question by question."""
        if self._asks:
            try:
                if self.admission is None:
                    raise StoreUnavailable("the server is loading its data")
                self.admission.caller(context)
            except InventoryError as refusal:
                await context.abort_with_status(refusal_to_status(refusal))
        async for answer in super().ServerReflectionInfo(requests, context):
            yield answer
