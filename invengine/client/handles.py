"""Handles of SKUs, as a server told them: shorter to send than names, and cheaper to look up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from invengine.v1 import availability_service_pb2 as pb

HANDLES_MAX: Final = 1_000_000
"""Handles that are remembered; when there would be more, they are learnt anew."""


class Handles:
    """The handles of the epoch that was told last."""

    def __init__(self) -> None:
        self._epoch = 0
        self._of: dict[str, int] = {}

    def fill(self, request: pb.BatchGetAvailabilityRequest, skus: Sequence[str]) -> None:
        """Puts the SKUs into the request: by handle those that have one, by name the others, whose handles it asks."""
        handles = [self._of.get(sku, 0) for sku in skus]
        unknown = [sku for sku, handle in zip(skus, handles, strict=True) if not handle]
        request.skus.extend(unknown)
        request.want_handles = bool(unknown)
        if len(unknown) < len(skus):
            request.handles.extend(handles)
            request.handle_epoch = self._epoch

    def learn(self, skus: Sequence[str], answer: pb.BatchGetAvailabilityResponse) -> None:
        """Remembers what the answer tells of these SKUs."""
        if not answer.handle_epoch:
            return
        if answer.handle_epoch != self._epoch or len(self._of) + len(skus) > HANDLES_MAX:
            self.forget()
            self._epoch = answer.handle_epoch
        self._of.update((sku, handle) for sku, handle in zip(skus, answer.handles, strict=True) if handle)

    def forget(self) -> None:
        """Goes back to asking by name."""
        self._epoch = 0
        self._of.clear()
