"""Changes of reservations in pieces: begun at the head, made in the pieces, completed at the head.

Whoever meets an operation under way may go on with it, any number at once: the head decides once whether it is carried
out, and a piece applies each operation once or never.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from invengine import errors
from invengine.domain.orders import ReservationChange
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store import answers, payload
from invengine.store.answers import Answer
from invengine.store.heads import SHARED_FIELDS, Head, merged, read_head, what_is_left
from invengine.store.operation_text import read_operation, write_operation
from invengine.store.payload_lines import CandidateLists
from invengine.store.plans import OF_TRANSFERS, STOCK_REFUSALS, Plan, check_texts, plan_of
from invengine.store.turns import Batch

TRIES_MAX = 20
_CLOSING = frozenset({"release", "fulfil", "amend", "rebind", "close_transfer"})
_TAKING = frozenset({"amend", "rebind"})
_DOING = frozenset({"ship_transfer", "cancel_transfer"})
"""What has to find something to do."""

_MADE = frozenset({b"APPLIED", b"PREPARED"})
_OVER = frozenset({b"UNDONE", b"STALE", b"RESERVATION_NOT_FOUND"})

Outcome = ReservationAnswer | errors.InventoryError


@dataclass(frozen=True, slots=True)
class Operation:
    """A change under way."""

    head: Head
    expires_at: int
    """The second that it gives the reservation; 0 where it leaves the expiry."""

    plan: Plan

    @property
    def number(self) -> int:
        """Its number, unique and rising per reservation."""
        return int(self.head.operation.lstrip("+!"))

    @property
    def is_decided(self) -> bool:
        """It will be carried out."""
        return self.head.operation.startswith("+")

    @property
    def is_taken_back(self) -> bool:
        """It will not."""
        return self.head.operation.startswith("!")

    @property
    def is_prepared_first(self) -> bool:
        """Units are taken and given back in several partitions: nothing is given back before all is taken."""
        return self.plan.verb in _TAKING and len(self.plan.asked) > 1

    @property
    def pieces(self) -> list[int]:
        """Partitions of the reservation after it."""
        return sorted({partition for _, partition in self.plan.lines})


class _Over(Exception):
    """Somebody else decided or ended the operation meanwhile, or it was refused before."""


class _Refused(Exception):
    """What the caller is told."""

    def __init__(self, answer: list[Any]) -> None:
        self.answer = answer


class Operations:
    """The verbs for reservations in pieces."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    async def change(self, batch: Batch[Any], verb: str, change: ReservationChange) -> Outcome:
        """Change one reservation. A crash anywhere leaves it as it was or as it is to be, once somebody looked."""
        check_texts(change)
        nonce = secrets.token_hex(8)
        for _ in range(TRIES_MAX):
            answer = await self._begin(batch, verb, change, nonce)
            if answer[0] not in (b"BEGUN", b"BUSY"):
                return answers.changed(change, answer)
            found = await self.go_on(batch, self.operation(change.reservation_id, *answer[1:]))
            if answer[0] == b"BEGUN" and found is not None:
                return answers.changed(change, found)
        return errors.StoreUnavailable(f"too many others change reservation {change.reservation_id}")

    def operation(self, reservation_id: str, head: bytes, expires_at: int, content: bytes) -> Operation:
        """The operation that is under way by its head and its content."""
        read = read_head(reservation_id, head.decode())
        verb, change = read_operation(content)
        return Operation(read, expires_at, plan_of(verb, change, read, self._partitions))

    async def go_on(self, batch: Batch[Any], operation: Operation) -> Answer | None:
        """Bring an operation to its end: its answer, None when it has none because it was taken back."""
        try:
            if operation.is_taken_back:
                raise _Over
            texts, is_same = await self._make(batch, operation)
            answer = await self._complete(batch, operation, texts, is_same=is_same)
        except _Refused as refused:
            return await self._take_back(batch, operation, refused.answer)
        except _Over:
            return await self._take_back(batch, operation, None)
        return answer if isinstance(answer, bytes) else None

    async def _begin(self, batch: Batch[Any], verb: str, change: ReservationChange, nonce: str) -> list[Any]:
        fingerprint, _, expected_revision, seconds, _ = payload.head_of(change)
        checked_seconds = seconds if verb in ("extend", "hand_over") else 0
        item = [
            change.reservation_id,
            f"{change.channel}\t{change.request_id}",
            fingerprint,
            expected_revision,
            verb,
            checked_seconds,
            nonce,
            write_operation(verb, change),
        ]
        return await batch.ask_list("invengine_begin_operations", self._home(change.reservation_id), item)

    async def _make(self, batch: Batch[Any], operation: Operation) -> tuple[dict[int, str], bool]:
        """Make the change in the pieces: their records, and whether nothing changed."""
        plan = operation.plan
        if (len(plan.asked) > 1 or plan.refusals) and not operation.is_decided:
            await self._check(batch, operation)
        if operation.is_prepared_first:
            if not operation.is_decided:
                for partition in plan.asked:
                    await self._modes(batch, operation, "prepare", [partition])
                if await self._end(batch, operation, "GO") != [b"PREPARED"]:
                    raise _Over
            made = await self._modes(batch, operation, "finish", plan.asked)
        elif plan.verb in OF_TRANSFERS and len(plan.asked) > 1:
            # nothing of it is ever taken back: units on the way may be promised. So it is decided now, and pieces that
            # have less by then send what they have
            if not operation.is_decided and await self._end(batch, operation, "GO") != [b"PREPARED"]:
                raise _Over
            made = await self._modes(batch, operation, "apply", plan.asked)
        elif plan.verb == "fulfil":  # one after the other: what is done is taken back when a later one has not enough
            made = {}
            for partition in plan.asked:
                made |= await self._modes(batch, operation, "apply", [partition])
        else:
            made = await self._modes(batch, operation, "apply", plan.asked)
        is_same = all(answer[2] for answer in made.values())
        made |= await self._modes(batch, operation, "look", set(operation.pieces) - set(plan.asked))
        return {partition: answer[1].decode() for partition, answer in made.items()}, is_same

    async def _check(self, batch: Batch[Any], operation: Operation) -> None:
        """Ask all pieces before anything is done: none refuses what another has done, but for what moves meanwhile."""
        while True:
            expired = batch.expired
            answers = await self._answers(batch, operation, "check", operation.plan.asked)
            refused = {partition: answer for partition, answer in answers.items() if answer[0] not in _MADE}
            if any(answer[0] in _OVER for answer in refused.values()):
                raise _Over
            if not refused and not operation.plan.refusals:
                if operation.plan.verb in _DOING and all(answer[2:] == [1] for answer in answers.values()):
                    raise _Refused([b"TRANSFER_CLOSED"])
                return
            if batch.expired == expired:  # else there may be units now that were not there when others were asked
                raise _Refused(operation.plan.refusal(refused))

    async def _modes(
        self, batch: Batch[Any], operation: Operation, mode: str, partitions: Iterable[int]
    ) -> dict[int, list[Any]]:
        """Have pieces do something that all of them must do."""
        answers = await self._answers(batch, operation, mode, partitions)
        if any(answer[0] in _OVER for answer in answers.values()):
            raise _Over
        refused = {partition: answer for partition, answer in answers.items() if answer[0] not in _MADE}
        if refused:
            raise _Refused(operation.plan.refusal(refused))
        return answers

    async def _answers(
        self, batch: Batch[Any], operation: Operation, mode: str, partitions: Iterable[int]
    ) -> dict[int, list[Any]]:
        function = "invengine_check_piece" if mode == "check" else "invengine_change_pieces"
        asked = list(partitions)
        answers = await asyncio.gather(
            *(batch.ask_list(function, partition, self._item(operation, mode, partition)) for partition in asked)
        )
        return dict(zip(asked, answers, strict=True))

    def _item(self, operation: Operation, mode: str, partition: int, state: str = "") -> Any:
        """Packs the item of a piece, see `run_pieces` in lua/pieces.lua."""
        plan, head = operation.plan, operation.head
        may_be_undone = plan.verb == "fulfil" and len(plan.asked) > 1
        is_new = partition not in head.partitions

        def build(lists: CandidateLists) -> list[Any]:
            return [
                head.reservation_id,
                operation.number,
                mode,
                state or plan.verb,
                plan.fields(partition, lists) if partition in plan.asked else [],
                operation.expires_at,
                int(may_be_undone),
                int(len(operation.pieces) == 1),
                head.shared[:SHARED_FIELDS] if is_new else [],
            ]

        return build

    async def _complete(
        self, batch: Batch[Any], operation: Operation, texts: dict[int, str], *, is_same: bool
    ) -> Answer:
        """Make the result known: from here on the reservation is what the operation made of it."""
        head, change, verb = operation.head, operation.plan.change, operation.plan.verb
        state, expires_at = head.state, int(head.shared[3])
        if verb == "confirm":
            state, expires_at = "CONFIRMED", 0
        elif operation.expires_at:
            expires_at = operation.expires_at
        elif verb in _CLOSING and not is_same:
            is_open, is_fulfilled = what_is_left(texts.values())
            if not is_open:
                state, expires_at = "FULFILLED" if is_fulfilled else "RELEASED", 0
            if not is_open and len(texts) > 1:  # a piece that is the whole reservation closed itself
                await asyncio.gather(
                    *(
                        batch.ask(
                            "invengine_change_pieces", partition, self._item(operation, "close", partition, state)
                        )
                        for partition in texts
                    )
                )
        lines = [text for line_id, partition in operation.plan.lines for text in (line_id, str(partition))]
        result = [
            int(is_same),
            state,
            str(expires_at),
            change.to_channel if verb == "hand_over" else "",
            change.to_customer_ref if verb == "hand_over" else "",
            change.order_ref if verb == "confirm" else "",
            lines,
            merged(operation.plan.lines, texts),
        ]
        return await self._end(batch, operation, "COMPLETE", result)

    async def _take_back(self, batch: Batch[Any], operation: Operation, refusal: list[Any] | None) -> Answer | None:
        """End an operation that cannot be carried out. Its answer where others have carried it out."""
        # others may have found possible what is not any more, and done some of it; a single piece refuses for all
        if refusal is None or (refusal[0] in STOCK_REFUSALS and len(operation.plan.asked) > 1):
            answer = await self._end(batch, operation, "UNDO")
            if answer != [b"UNDONE"]:
                return answer if isinstance(answer, bytes) else None
            await self._answers(batch, operation, "undo", operation.plan.asked)
        answer = await self._end(batch, operation, "ABANDON")
        return answer if isinstance(answer, bytes) else refusal

    async def _end(self, batch: Batch[Any], operation: Operation, word: str, result: list[Any] | None = None) -> Answer:
        change = operation.plan.change
        request = f"{change.channel}\t{change.request_id}"
        item = [change.reservation_id, operation.number, word, request, change.fingerprint, result or []]
        return await batch.ask("invengine_end_operations", self._home(change.reservation_id), item)

    def _home(self, reservation_id: str) -> int:
        return partition_of(reservation_id, self._partitions)
