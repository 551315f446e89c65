"""Reserving in pieces: each partition of a basket in ascending order, then the commit at the home."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from invengine import errors
from invengine.domain.orders import LineRequest, ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store import answers
from invengine.store.answers import Answer
from invengine.store.expiring import Expiring
from invengine.store.heads import SHARED_FIELDS, merged
from invengine.store.payload_lines import CandidateLists, check_line, checked, line_item
from invengine.store.records import read_reservation
from invengine.store.turns import Batch

ATTEMPTS_MAX = 20
LOOKS = 3
"""At the home of a reservation, before the pieces of another attempt at it, which may be about to be committed, are
taken for abandoned."""

PAUSE_SECONDS_MAX = 0.05
_TAKE, _BEST_EFFORT, _LOOK = 0, 1, 2
_NO_PARTITION = -1
_NOTHING_IN_THE_WAY = b"RESERVATION_NOT_FOUND"

Outcome = ReservationAnswer | errors.InventoryError


def _new_token() -> str:
    return "a" + secrets.token_hex(8)


@dataclass(slots=True)
class _Attempt:
    """One attempt at one request. Its alternatives are looked at where all that it may have is in one partition."""

    request: ReserveRequest
    lines: dict[int, list[int]]
    """Places of the lines by partition, ascending."""

    token: str = field(default_factory=_new_token)
    other_tokens: list[str] = field(default_factory=list)
    """Of the request's alternatives: the token of a piece says which choice it is."""
    pieces: dict[int, str] = field(default_factory=dict)
    refusals: dict[int, list[Any]] = field(default_factory=dict)
    first_short_after: int | None = None
    """Holds that the batch had found over when the first piece was short."""

    @property
    def has_units(self) -> bool:
        """Whether any unit was taken."""
        return any(line.quantity > line.short_quantity for text in self.pieces.values() for line in self.read(text))

    def read(self, text: str) -> Any:
        """The lines of a piece."""
        return read_reservation(self.request.reservation_id, text).lines

    def note_choice(self, text: str) -> int:
        """The choice that a piece says it is; from then on the request is that one."""
        token = text.split("\t", SHARED_FIELDS + 1)[SHARED_FIELDS]
        if token not in self.other_tokens:
            return 0
        place = self.other_tokens.index(token)
        self.token, self.request = token, replace(self.request, lines=self.request.alternatives[place])
        (partition,) = self.lines
        self.lines = {partition: list(range(len(self.request.lines)))}
        return place + 1

    def note_short(self, batch: Batch[Any]) -> None:
        """A piece was short."""
        if self.first_short_after is None:
            self.first_short_after = batch.expired


class Attempts:
    """The verb reserve, for reservations in pieces."""

    def __init__(self, partitions: int, expiring: Expiring) -> None:
        self._partitions = partitions
        self._expiring = expiring

    async def reserve(self, batch: Batch[Any], request: ReserveRequest) -> Outcome:
        """Reserve one basket. A crash anywhere leaves it wholly held or, once somebody looked, wholly free.

        Its alternatives are tried by the same call where they and its lines are all in one partition. Elsewhere each is
        an attempt of its own, one trip more.
        """
        _check(request)
        if (
            not request.alternatives
            or len({partition_of(line.sku, self._partitions) for line in request.all_lines}) == 1
        ):
            return await self._reserve(batch, request)
        outcome = first = await self._reserve(batch, replace(request, alternatives=()))
        for choice, lines in enumerate(request.alternatives, 1):
            if not isinstance(outcome, errors.InsufficientStock):
                return outcome
            outcome = await self._reserve(batch, replace(request, lines=lines, alternatives=()))
            if isinstance(outcome, ReservationAnswer) and not outcome.replayed:
                return outcome.chosen(choice, choice + 1)
        return first if isinstance(outcome, errors.InsufficientStock) else outcome

    async def _reserve(self, batch: Batch[Any], request: ReserveRequest) -> Outcome:
        lines: dict[int, list[int]] = {}
        for place, line in enumerate(request.lines):
            lines.setdefault(partition_of(line.sku, self._partitions), []).append(place)
        for _ in range(ATTEMPTS_MAX):
            others = [_new_token() for _ in request.alternatives]
            attempt = _Attempt(request, dict(sorted(lines.items())), other_tokens=others)
            outcome = await self._try(batch, attempt)
            if outcome is not None:
                return outcome
        return errors.StoreUnavailable(f"too many others want reservation {request.reservation_id}")

    async def _try(self, batch: Batch[Any], attempt: _Attempt) -> Outcome | None:
        """One attempt; None when it has to begin anew."""
        how = _BEST_EFFORT if attempt.request.best_effort else _TAKE
        choice = 0
        for partition in attempt.lines:
            answer = await batch.ask_list("invengine_reserve_pieces", partition, self._piece(attempt, partition, how))
            word, *facts = answer
            if word == b"TAKEN":
                attempt.pieces[partition] = facts[0].decode()
                if attempt.other_tokens:
                    choice = attempt.note_choice(attempt.pieces[partition])
                if facts[1]:
                    attempt.note_short(batch)
            elif word == b"RESERVATION_EXISTS":
                return await self._met_another(batch, attempt, partition, facts[0].decode())
            else:
                attempt.refusals[partition] = answer
                attempt.note_short(batch)
                await self._learn_shortages(batch, attempt, partition)
                break
        if how == _BEST_EFFORT and not attempt.refusals and not attempt.has_units:
            await self._learn_shortages(batch, attempt, _NO_PARTITION)  # lines that take all or nothing had some units
            return await self._refused(batch, attempt)
        if attempt.refusals:
            return await self._refused(batch, attempt)
        if self._stock_came_free(batch, attempt):
            await self._free(batch, attempt)
            return None
        outcome = await self._commit(batch, attempt)
        if choice and isinstance(outcome, ReservationAnswer) and not outcome.replayed:
            return outcome.chosen(choice, 1)
        return outcome

    async def _learn_shortages(self, batch: Batch[Any], attempt: _Attempt, refused: int) -> None:
        """Ask the partitions after the one that refused what they are short of: all is told at once."""
        later = [partition for partition in attempt.lines if partition > refused]
        answers = await asyncio.gather(
            *(
                batch.ask_list("invengine_reserve_pieces", partition, self._piece(attempt, partition, _LOOK))
                for partition in later
            )
        )
        for partition, answer in zip(later, answers, strict=True):
            if answer[0] != b"TAKEN":
                attempt.refusals[partition] = answer

    async def _refused(self, batch: Batch[Any], attempt: _Attempt) -> Outcome | None:
        """Frees what was taken. A request that was answered before gets that answer, whatever there is now."""
        await self._free(batch, attempt)
        known = await self._in_the_way(batch, attempt)
        if known is not None:
            return known
        if self._stock_came_free(batch, attempt):
            return None
        return _merged_refusal(attempt)

    def _stock_came_free(self, batch: Batch[Any], attempt: _Attempt) -> bool:
        """Whether holds expired after a piece was short: they may have had units there too."""
        return attempt.first_short_after is not None and batch.expired > attempt.first_short_after

    async def _commit(self, batch: Batch[Any], attempt: _Attempt) -> Outcome | None:
        request = attempt.request
        first = next(iter(attempt.pieces.values())).split("\t", SHARED_FIELDS)
        lines = [(request.lines[place].line_id, p) for p, places in attempt.lines.items() for place in places]
        order = {line.line_id: place for place, line in enumerate(request.lines)}
        lines.sort(key=lambda line: order[line[0]])
        answer = await self._ask_home(
            batch,
            attempt,
            [request.channel, first[2], first[3], request.customer_ref, request.order_ref, request.cart_ref],
            [text for line_id, partition in lines for text in (line_id, str(partition))],
            merged(lines, attempt.pieces),
            1 if request.is_transfer else 2 if request.is_confirmed else 0,
        )
        if isinstance(answer, list):
            await self._free(batch, attempt)
            if answer[0] == b"UNDONE":
                return None
        return answers.reserved(request, answer)

    async def _in_the_way(self, batch: Batch[Any], attempt: _Attempt) -> Outcome | None:
        """What the home says to this request before anything is taken."""
        answer = await self._ask_home(batch, attempt)
        if isinstance(answer, list) and answer[0] == _NOTHING_IN_THE_WAY:
            return None
        return answers.reserved(attempt.request, answer)

    async def _ask_home(self, batch: Batch[Any], attempt: _Attempt, *head: Any) -> Answer:
        request = attempt.request
        home = partition_of(request.reservation_id, self._partitions)
        name = f"{request.channel}\t{request.request_id}"
        return await batch.ask(
            "invengine_commit", home, [request.reservation_id, attempt.token, name, request.fingerprint, *head]
        )

    async def _met_another(self, batch: Batch[Any], attempt: _Attempt, partition: int, token: str) -> Outcome | None:
        """There is a piece already: of this request sent before, of a reservation with this id, or of an attempt that
        nobody goes on with.
        """
        await self._free(batch, attempt)
        request = attempt.request
        for _ in range(LOOKS):
            known = await self._in_the_way(batch, attempt)
            if known is not None:
                return known
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # noqa: S311  # so that two do not meet for ever
        word, *_ = await self._expiring.judged(batch, request.reservation_id, token, 1)
        if word == b"ABORT":
            await self._expiring.free(batch, request.reservation_id, token, [partition])
        return None

    async def _free(self, batch: Batch[Any], attempt: _Attempt) -> None:
        await self._expiring.free(batch, attempt.request.reservation_id, attempt.token, list(attempt.pieces))

    def _piece(self, attempt: _Attempt, partition: int, how: int) -> Any:
        """Packs the item of a piece, see `reserve_pieces` in lua/pieces.lua."""
        request = attempt.request
        expires_at = next((int(text.split("\t", 4)[3]) for text in attempt.pieces.values()), 0)
        reason = request.cart_ref if request.is_transfer else ""

        def build(lists: CandidateLists) -> list[Any]:
            there = attempt.lines[partition]
            return [
                request.reservation_id,
                attempt.token,
                expires_at,
                request.time_to_live_seconds,
                how,
                f"{'CONFIRMED' if request.is_transfer or request.is_confirmed else 'HELD'}\t{request.channel}\t",
                f"\t{request.customer_ref}\t{request.order_ref}\t{request.cart_ref}",
                len(there),
                self._items([request.lines[place] for place in there], partition, lists),
                f"\tRESERVE\t{request.channel}\t{request.reservation_id}\t{reason}\t{request.order_ref}\t",
                "" if request.is_transfer else request.channel,
                int(request.borrows),
                [
                    (token, len(other), self._items(other, partition, lists))
                    for token, other in zip(attempt.other_tokens, request.alternatives, strict=True)
                ],
            ]

        return build

    @staticmethod
    def _items(lines: Iterable[LineRequest], partition: int, lists: CandidateLists) -> list[object]:
        return [part for line in lines for part in line_item(line, partition, lists)]


def _merged_refusal(attempt: _Attempt) -> errors.InventoryError:
    """One refusal out of those of the partitions; their places of lines are those within the piece."""
    lines = attempt.request.lines
    if not attempt.refusals:  # best effort, and nothing at all was there
        return errors.InsufficientStock(
            tuple(
                errors.ShortLine(line.line_id, line.sku, line.named_location, line.quantity, 0)
                for line in lines
                if line.quantity
            )
        )
    unknown: list[int] = []
    short: dict[int, int] = {}
    for partition, (word, *facts) in attempt.refusals.items():
        places = attempt.lines[partition]
        if word == b"UNKNOWN_SKU":
            unknown.append(places[facts[0] - 1])
        else:
            short |= {places[place - 1]: units for place, units in zip(facts[::2], facts[1::2], strict=True)}
    if unknown:
        return errors.UnknownSku(lines[min(unknown)].sku)
    facts = [fact for place in sorted(short) for fact in (place + 1, short[place])]
    refusal = answers.reserved(attempt.request, [b"INSUFFICIENT_STOCK", *facts])
    assert isinstance(refusal, errors.InventoryError)
    return refusal


def _check(request: ReserveRequest) -> None:
    checked((request.request_id, request.fingerprint, request.reservation_id, request.channel))
    checked((request.customer_ref, request.order_ref, request.cart_ref))
    for line in request.all_lines:
        check_line(line)
        checked(candidate.location for candidate in line.candidates)
