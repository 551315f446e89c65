"""Answers to planners' requests that are carried out in several steps, kept to be given again."""

from __future__ import annotations

from invengine.errors import RequestMismatch
from invengine.store.return_writes import ReturnWrites
from invengine.store.tally import Tally


class PromiseWrites(ReturnWrites):
    """Adds the answers to requests about promises."""

    async def remember(self, request_id: str, fingerprint: str, answer: str) -> str | None:
        """Keep the answer to a planner's request, for as long as those of other requests; the one it was given before,
        where there is one. RequestMismatch where that was for other content.
        """
        touched, message = self._packer.answer(f"\t{request_id}", fingerprint, answer)
        word, *facts = Tally[None]().note(await self._call("invengine_remember", touched, message))
        if word == b"REQUEST_MISMATCH":
            raise RequestMismatch(request_id)
        return facts[0].decode().partition("\t")[2] if word == b"REPEATED" else None
