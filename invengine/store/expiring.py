"""Holds in pieces whose time is over: the partition says what is due, the head what becomes of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from invengine.domain.partitions import partition_of
from invengine.store.turns import Batch

DUE_PER_CALL = 200
_NO_QUESTION = 0


class Expiring:
    """Sweeps the pieces of partitions."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    async def sweep(self, batch: Batch[Any], partition: int) -> int:
        """Expire everything that is due in a partition; how many holds that were."""
        count, more = 0, True
        while more:
            ids, more = await self.sweep_some(batch, partition, DUE_PER_CALL)
            count += len(ids)
        return count

    async def sweep_some(self, batch: Batch[Any], partition: int, limit: int) -> tuple[list[str], bool]:
        """Look at so many entries that are due: the reservations that expired by it, and whether more are due.

        A hold that is over is freed in all partitions of its pieces. What an operation under way keeps from being
        judged is looked at again in a second.
        """
        more, *found = await batch.call("invengine_due", partition, limit)
        verdicts = await asyncio.gather(*(self._judged(batch, *entry[2:]) for entry in found))
        over: list[str] = []
        elsewhere: dict[int, list[list[Any]]] = defaultdict(list)
        asks = []
        for (second, entry, name, token, question), (word, *facts) in zip(found, verdicts, strict=True):
            again = 0
            if word == b"EXPIRE" and facts[0]:
                over.append(name.decode())
                for other in facts[1:]:
                    if other != partition:
                        elsewhere[other].append([name, b"", b"EXPIRE", b"", b"", 0])
            elif word == b"BUSY":
                again = 1
            elif word == b"KEEP" and question > 1:
                again = facts[0]
            asks.append(batch.ask("invengine_settle", partition, [name, token, word, second, entry, again]))
        asks += [batch.ask("invengine_settle", other, item) for other, items in elsewhere.items() for item in items]
        await asyncio.gather(*asks)
        return over, more == 1

    async def _judged(self, batch: Batch[Any], name: bytes, token: bytes, question: int) -> list[Any]:
        if question == _NO_QUESTION:
            return [b"KEEP", 0]
        return await self.judged(batch, name.decode(), token.decode(), question)

    async def judged(self, batch: Batch[Any], reservation_id: str, token: str, question: int) -> list[Any]:
        """What the head says about a piece, see `judge` in lua/heads.lua."""
        home = partition_of(reservation_id, self._partitions)
        return await batch.ask_list("invengine_judge", home, [reservation_id, token, question])

    async def free(self, batch: Batch[Any], reservation_id: str, attempt: str, partitions: list[int]) -> None:
        """Free the pieces that an attempt took and that will not be committed."""
        item = [reservation_id, attempt, "ABORT", "", "", 0]
        await asyncio.gather(*(batch.ask("invengine_settle", partition, item) for partition in partitions))
