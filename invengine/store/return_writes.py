"""Returns, taken back and decided about, in batches."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import ResponseError

from invengine.domain.returns import DisposalRequest, Return, ReturnAnswer, ReturnRequest
from invengine.errors import Exhausted, InventoryError, OutcomeUnknown, Unavailable
from invengine.store import keys
from invengine.store.records import Unreadable, Written
from invengine.store.return_text import began_ms, read_return
from invengine.store.returned import ReturnReads
from invengine.store.returning import Returning
from invengine.store.tally import Tally

if TYPE_CHECKING:
    from invengine.store.payload import Packer
    from invengine.store.pieces import Pieces

logger = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", ReturnRequest, DisposalRequest)

RETURN_STEP_SECONDS: Final = 3
"""A step of a return that began longer ago is nobody's any more: whoever finds it goes on with it."""


class ReturnWrites(ReturnReads):
    """Adds the verbs of returns to a store that calls functions."""

    _packer: Packer
    _pieces: Pieces | None

    @abstractmethod
    async def _call(self, function: str, touched: Sequence[int], message: bytes) -> bytes:
        """The reply of a function that is told a message and declares these partitions."""

    @abstractmethod
    async def _cover(self, tally: Tally[Any]) -> None:
        """Have the backorders covered that the last reply asks for."""

    async def receive_returns(self, requests: Sequence[ReturnRequest]) -> Written[ReturnAnswer | InventoryError]:
        """Units that left come back, each return on its own, in order."""
        return await self._each_return(requests, lambda returning, request: returning.receive(request))

    async def dispose_returns(self, requests: Sequence[DisposalRequest]) -> Written[ReturnAnswer | InventoryError]:
        """It is decided about units that came back and cannot be sold, each request on its own, in order."""
        return await self._each_return(requests, lambda returning, request: returning.dispose(request))

    async def return_answered_before(
        self, request: ReturnRequest | DisposalRequest, refusal: InventoryError
    ) -> ReturnAnswer | InventoryError:
        """What a request about a return was answered before; the refusal where it was not. Changes nothing."""
        return await self._returning(Tally()).answered_before(request, refusal)

    async def find_return(self, return_id: str) -> Return | None:
        """A return as it is, a step of it under way brought to its end first."""
        text, entry = await self.stored_return(return_id)
        if entry is not None:
            await self._returning(Tally()).go_on_with(return_id, entry, text)
            text, _ = await self.stored_return(return_id)
        return read_return(return_id, text) if text is not None else None

    async def finish_returns(self, partition: int) -> Written[str]:
        """Bring to an end what servers that are gone began of returns at a partition and left."""
        tally: Tally[str] = Tally()
        async for chunk in self.scan_hash(keys.return_steps(partition)):
            oldest = await self.now_ms() - RETURN_STEP_SECONDS * 1000
            for name, entry in chunk:
                if began_ms(entry) <= oldest:
                    await self._go_on_with_return(tally, name.decode(), entry)
        return tally.written()

    async def _each_return(
        self,
        requests: Sequence[RequestT],
        one: Callable[[Returning, RequestT], Awaitable[ReturnAnswer | InventoryError]],
    ) -> Written[ReturnAnswer | InventoryError]:
        tally: Tally[ReturnAnswer | InventoryError] = Tally()
        for request in requests:
            logged = len(tally.entries)
            try:
                tally.outcomes.append(await one(self._returning(tally), request))
            except (Unavailable, Exhausted) as error:
                is_known = len(tally.entries) == logged
                tally.outcomes.append(error if is_known else OutcomeUnknown(str(error)))
            except OutcomeUnknown as error:
                tally.outcomes.append(error)
        return tally.written()

    async def _go_on_with_return(self, tally: Tally[Any], return_id: str, entry: bytes) -> None:
        """Bring a step of a return to its end, if it still is under way. Damaged data must not keep others waiting."""
        text, now = await self.stored_return(return_id)
        if now == entry:
            try:
                await self._returning(tally).go_on_with(return_id, entry, text)
            except (ResponseError, Unreadable):
                logger.exception("the step of return %s that is under way cannot be finished", return_id)

    def _returning(self, tally: Tally[Any]) -> Returning:
        """The verbs of returns; what their calls log is noted in the tally."""

        async def ask(function: str, partitions: Sequence[int], message: bytes) -> list[Any]:
            answered = tally.note(await self._call(function, partitions, message))
            await self._cover(tally)
            return answered

        return Returning(ask, self, self._pieces, self._packer.head)
