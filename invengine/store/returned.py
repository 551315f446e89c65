"""Returns, read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from invengine.domain.returns import Return
from invengine.store import keys
from invengine.store.promised import Promised
from invengine.store.return_text import read_return


class ReturnReads(Promised):
    """Adds returns to what is read."""

    async def stored_return(self, return_id: str) -> tuple[str | None, bytes | None]:
        """Text of a return, open or closed within retention, and what is kept of a step of it that is under way."""
        home = self._of(return_id)
        entry, text = await self._calls.read(
            ("HGET", keys.return_steps(home), return_id), ("HGET", keys.returns(home), return_id)
        )
        if text is None:
            periods = self.periods(await self.now_ms())
            found = await self._calls.read(
                *(("HGET", keys.closed_returns(home, period), return_id) for period in periods)
            )
            text = next(filter(None, found), None)
        return text.decode() if text is not None else None, entry

    async def list_returns(
        self, *, reservation_id: str = "", order_ref: str = "", after: str = "", limit: int
    ) -> tuple[list[Return], str]:
        """Returns of a reservation, of an order or of both, the oldest first, and where to go on: "" at the end."""
        wanted = [(kind, name) for kind, name in (("of", reservation_id), ("for", order_ref)) if name]
        commands = [
            ("SINTER", *(keys.returns_with(home, kind, name) for kind, name in wanted))
            for home in range(self.partitions)
        ]
        members = await self._calls.read(*commands)
        found = []
        for return_id in sorted(name.decode() for of_home in members for name in of_home):
            text, _ = await self.stored_return(return_id)
            if text is not None:
                found.append(read_return(return_id, text))
        found.sort(key=lambda one: (one.created_at_ms, one.return_id))
        left = [one for one in found if _place(one) > after] if after else found
        return left[:limit], _place(left[limit - 1]) if len(left) > limit else ""

    async def open_returns(self, partition: int) -> AsyncIterator[list[tuple[str, str]]]:
        """Id and text of the returns of a home partition that wait for decisions, in chunks; one may come twice."""
        async for chunk in self._scan_hash(keys.returns(partition)):
            yield chunk


def _place(one: Return) -> str:
    return f"{one.created_at_ms:015}\t{one.return_id}"
