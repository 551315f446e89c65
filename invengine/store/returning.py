"""Returns, step by step: begun at the home, made where their SKUs are, ended at the home.

Where one call sees everything the middle step is one call, so all lines come back or none. On a Cluster it is one call
for each partition of their SKUs: all are asked first, and when another return is quicker all the same, the lines of the
partitions before stay taken back. Whoever meets a step under way goes on with it; every step is done once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgpack

from invengine import errors
from invengine.domain.partitions import partition_of
from invengine.domain.returns import (
    DisposalRequest,
    Return,
    ReturnAnswer,
    ReturnLineRequest,
    ReturnRequest,
    ReturnSource,
)
from invengine.domain.transfers import is_transfer
from invengine.store.payload_lines import checked
from invengine.store.return_plans import Part, UnderWay, Undone, location_of, parts_of, refusal_of, with_parts
from invengine.store.return_text import Step, began_ms, read_return, read_step, sources_in, write_return

if TYPE_CHECKING:
    from invengine.store.pieces import Pieces
    from invengine.store.returned import ReturnReads

TRIES_MAX: Final = 50
RESERVATIONS_MAX: Final = 1000
"""Reservations of an order that are read."""

CANDIDATES_MAX: Final = 50
"""Those that units are compared with, the oldest first."""

Outcome = ReturnAnswer | errors.InventoryError
Ask = Callable[[str, Sequence[int], bytes], Awaitable[list[Any]]]
"""Calls a function for partitions with a message; its answers."""

_BY_RANK: Final = (b"QUANTITY_EXCEEDS_FULFILLED", b"INSUFFICIENT_STOCK", b"QUANTITY_OUT_OF_RANGE")


class Returning:
    """The verbs of returns of one store, for one batch of calls."""

    def __init__(self, ask: Ask, reads: ReturnReads, pieces: Pieces | None, message_head: list[int]) -> None:
        self._ask = ask
        self._reads = reads
        self._pieces = pieces
        self._head = message_head
        self._partitions = reads.partitions

    async def receive(self, request: ReturnRequest) -> Outcome:
        """Units come back."""
        candidates = await self._candidates(request)
        if isinstance(candidates, errors.InventoryError):
            return await self._do(request, None, candidates)
        return await self._do(request, Step(request, candidates))

    async def dispose(self, request: DisposalRequest) -> Outcome:
        """It is decided about units of a return that cannot be sold."""
        return await self._do(request, Step(request))

    async def answered_before(
        self, request: ReturnRequest | DisposalRequest, refusal: errors.InventoryError
    ) -> Outcome:
        """What a request was answered before; the refusal where it was not."""
        return await self._do(request, None, refusal)

    async def go_on_with(self, return_id: str, entry: bytes, text: str | None) -> None:
        """Bring a step that is under way to its end."""
        nonce, _, content = (*entry.split(b"\t", 2), b"", b"")[:3]
        before = read_return(return_id, text) if text else None
        await self._go_on(UnderWay(return_id, nonce.decode(), began_ms(entry), read_step(content), before))

    async def _do(
        self, request: ReturnRequest | DisposalRequest, step: Step | None, refusal: errors.InventoryError | None = None
    ) -> Outcome:
        """Have a step done; without one only see whether the request was answered before."""
        nonce = secrets.token_hex(8)
        checked(_texts_of(request))
        item = [
            request.return_id,
            f"{request.channel}\t{request.request_id}",
            request.fingerprint,
            int(isinstance(request, ReturnRequest)),
            nonce,
            step.packed() if step else b"",
        ]
        for _ in range(TRIES_MAX):
            word, *facts = await self._at_home("invengine_begin_return", request.return_id, item)
            if word == b"UNDONE":
                assert refusal is not None
                return refusal
            if word not in (b"BEGUN", b"BUSY"):
                return _answered(request, word, facts)
            its_nonce, began_at_ms, content, text = facts
            before = read_return(request.return_id, text.decode()) if text else None
            under_way = UnderWay(request.return_id, its_nonce.decode(), int(began_at_ms), read_step(content), before)
            outcome = await self._go_on(under_way)
            if word == b"BEGUN" and outcome is not None:
                return outcome
        return errors.StoreUnavailable(f"too many others change return {request.return_id}")

    async def _go_on(self, under_way: UnderWay) -> Outcome | None:
        """The outcome of a step; None where others ended it and nobody remembers how."""
        request = under_way.step.request
        parts = parts_of(under_way)
        if isinstance(parts, errors.InventoryError):
            return await self._end(under_way, None, parts)
        done: list[Part] = []
        sources: dict[str, tuple[ReturnSource, ...]] = {}
        refusal: errors.InventoryError | None = None
        groups = self._groups(parts)
        if len(groups) > 1:
            refusal = await self._asked(under_way, parts, groups)
        for group in groups if refusal is None else ():
            word, *facts = await self._lines(under_way, group)
            if word not in (b"APPLIED", b"REPEATED"):
                refusal = refusal_of(under_way, group, word, facts)
                break
            done += group
            sources |= sources_in(facts[0].decode()) if isinstance(request, ReturnRequest) else {}
        after = with_parts(under_way, done, sources) if done else None
        return await self._end(under_way, after, refusal)

    async def _asked(
        self, under_way: UnderWay, parts: list[Part], groups: list[list[Part]]
    ) -> errors.InventoryError | None:
        """What all groups together refuse a step with, as one would that sees everything; nothing is done yet."""
        order = [part.line_id for part in parts]
        refusals = []
        for group in groups:
            word, *facts = await self._lines(under_way, group, only_looks=True)
            if word not in (b"APPLIED", b"REPEATED", b"UNDONE"):
                rank = _BY_RANK.index(word), order.index(facts[0].decode())
                refusals.append((rank, refusal_of(under_way, group, word, facts)))
        return min(refusals, key=lambda found: found[0])[1] if refusals else None

    async def _end(
        self, under_way: UnderWay, after: Return | None, refusal: errors.InventoryError | None
    ) -> Outcome | None:
        request = under_way.step.request
        state, rest = write_return(after, self._partitions) if after else ("", "")
        item = [
            under_way.return_id,
            f"{request.channel}\t{request.request_id}",
            request.fingerprint,
            under_way.nonce,
            state,
            rest,
        ]
        word, *facts = await self._at_home("invengine_end_return", under_way.return_id, item)
        if refusal is not None and not isinstance(refusal, Undone):
            return refusal
        match word:
            case b"APPLIED":
                return ReturnAnswer(read_return(under_way.return_id, facts[0].decode()))
            case b"REPEATED":  # others, who went on with this very step
                answer = _repeated(facts[0])
                return replace(answer, replayed=False)
        return None

    async def _lines(self, under_way: UnderWay, group: list[Part], *, only_looks: bool = False) -> list[Any]:
        """What the partitions of a group say to its lines."""
        request = under_way.step.request
        receives = isinstance(request, ReturnRequest)
        location = location_of(under_way)
        partitions = sorted({self._of(part.sku) for part in group})
        home = self._of(under_way.return_id) if self._pieces is None else partitions[0]
        function = "invengine_return_lines" if self._pieces is None else "invengine_return_lines_of_one"
        is_checked = receives and bool(request.reservation_id or request.order_ref)  # type: ignore[union-attr]
        for _ in range(TRIES_MAX):
            candidates = await self._places_of(under_way.step.candidates, partitions)
            homes = [place for place in candidates if isinstance(place, int)]
            item = [
                f"\t{under_way.return_id}\t{under_way.nonce}",
                home,
                under_way.return_id,
                request.channel,
                location,
                (request.order_ref or request.reservation_id) if isinstance(request, ReturnRequest) else "",
                request.occurred_at_ms if isinstance(request, ReturnRequest) else 0,
                [
                    [part.line_id, self._of(part.sku), part.sku, part.quantity, part.state, part.reason, part.to_state]
                    for part in group
                ],
                candidates,
                int(is_checked),
                int(not receives),
                int(only_looks),
            ]
            touched = sorted({*partitions, *homes})
            message = _packed([*self._head, touched, [item]])
            (answer,) = await self._ask(function, sorted({*touched, home}), message)
            if answer[0] != b"STALE":
                return list(answer)
        raise errors.StoreUnavailable("the reservations of a return change faster than they can be read")

    async def _places_of(self, reservation_ids: Sequence[str], partitions: list[int]) -> list[str | int]:
        """Id, partition of the record and token of each candidate: of a piece the one that no change can take back."""
        if self._pieces is None:
            return [part for name in reservation_ids for part in (name, self._of(name), "")]
        found: list[str | int] = []
        tokens = await asyncio.gather(*(self._pieces.settled_tokens(name) for name in reservation_ids))
        for name, of_pieces in zip(reservation_ids, tokens, strict=True):
            for partition in partitions:  # one, here
                if partition in of_pieces:
                    found += (name, partition, of_pieces[partition])
        return found

    async def _candidates(self, request: ReturnRequest) -> tuple[str, ...] | errors.InventoryError:
        """The reservations that the units may have left by, the oldest first."""
        if request.reservation_id:
            one = await self._reads.reservation(request.reservation_id)
            if one is None:
                return errors.ReservationNotFound(request.reservation_id)
            if is_transfer(one):  # its units left for another location of ours
                return errors.OfTransfer(request.reservation_id)
            return (request.reservation_id,)
        if not request.order_ref:
            return ()
        listed, _ = await self._reads.list_reservations(order_ref=request.order_ref, limit=RESERVATIONS_MAX)
        found = [reservation for reservation in listed if not is_transfer(reservation)]
        found.sort(key=lambda reservation: (reservation.created_at_ms, reservation.reservation_id))
        return tuple(reservation.reservation_id for reservation in found[:CANDIDATES_MAX])

    async def _at_home(self, function: str, return_id: str, item: list[Any]) -> list[Any]:
        home = self._of(return_id)
        (answer,) = await self._ask(function, [home], _packed([*self._head, [home], home, item]))
        return list(answer) if isinstance(answer, list) else [answer]

    def _groups(self, parts: Sequence[Part]) -> list[list[Part]]:
        """What is atomic together: everything, or the lines of one partition."""
        if self._pieces is None:
            return [list(parts)]
        by_partition: dict[int, list[Part]] = {}
        for part in parts:
            by_partition.setdefault(self._of(part.sku), []).append(part)
        return [by_partition[partition] for partition in sorted(by_partition)]

    def _of(self, name: str) -> int:
        return partition_of(name, self._partitions)


def _packed(message: list[Any]) -> bytes:
    # the functions know one kind of text, so bytes go as that too
    packed: bytes = msgpack.packb(message, use_bin_type=False)
    return packed


def _texts_of(request: ReturnRequest | DisposalRequest) -> Iterable[str]:
    texts = [request.request_id, request.fingerprint, request.return_id, request.channel]
    if isinstance(request, ReturnRequest):
        texts += (request.location, request.reservation_id, request.order_ref)
    for line in request.lines:
        texts += (line.line_id, line.reason)
        texts += (line.sku, line.state) if isinstance(line, ReturnLineRequest) else (line.to_state,)
    return texts


def _answered(request: ReturnRequest | DisposalRequest, word: bytes, facts: list[Any]) -> Outcome:
    """What a request is answered that begins nothing."""
    match word:
        case b"REPEATED":
            return _repeated(facts[0])
        case b"REQUEST_MISMATCH":
            return errors.RequestMismatch(request.request_id)
        case b"RETURN_EXISTS":
            return errors.ReturnExists(request.return_id)
    assert word == b"RETURN_NOT_FOUND", word
    return errors.ReturnNotFound(request.return_id)


def _repeated(fact: bytes) -> ReturnAnswer:
    return_id, text = fact.decode().split("\t", 1)
    return ReturnAnswer(read_return(return_id, text), replayed=True)
