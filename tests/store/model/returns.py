"""Units that left and come back, and what becomes of those that cannot be sold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from invengine import errors
from invengine.domain.orders import Reservation
from invengine.domain.returns import (
    DisposalRequest,
    Disposition,
    Return,
    ReturnAnswer,
    ReturnLine,
    ReturnRequest,
    ReturnSource,
)
from invengine.domain.stock import GONE
from tests.store.model.movements import Movements
from tests.store.model.reservations import Reservations, is_transfer

Answers = list[ReturnAnswer | errors.InventoryError]
GOES_TO = {Disposition.RESTOCK: "", Disposition.SCRAP: GONE}


class Returns(Movements, Reservations):
    """The verbs receive_returns and dispose_returns."""

    def receive_returns(self, requests: list[ReturnRequest]) -> Answers:
        return self._each(requests, self._take_back)

    def dispose_returns(self, requests: list[DisposalRequest]) -> Answers:
        return self._each(requests, self._dispose)

    def _each(self, requests, decide) -> Answers:
        """Each is a call for the units and then one for the return, which gets the revision of that one."""
        answers: Answers = []
        changed: set[int] = set()
        for request in requests:
            self.begin_call()
            try:
                answers.append(self._known(request) or self._kept(request, decide(request)))
            except errors.InventoryError as refusal:
                answers.append(refusal)
            changed |= self.changed
        self.changed = changed
        return answers

    def _known(self, request) -> ReturnAnswer | None:
        """The first answer again."""
        name = request.channel, request.request_id
        if name not in self.return_answers:
            return None
        fingerprint, returned = self.return_answers[name]
        if fingerprint != request.fingerprint:
            raise errors.RequestMismatch(request.request_id)
        return ReturnAnswer(returned, replayed=True)

    def _kept(self, request, returned: Return) -> ReturnAnswer:
        self.end_item()
        of_units = self.changed
        self.begin_call()
        returned = replace(returned, revision=self.revise(self.of(returned.return_id)))
        self.changed |= of_units
        self.returns[returned.return_id] = returned
        self.return_answers[request.channel, request.request_id] = request.fingerprint, returned
        return ReturnAnswer(returned)

    def _take_back(self, request: ReturnRequest) -> Return:
        if request.return_id in self.returns:
            raise errors.ReturnExists(request.return_id)
        if request.reservation_id and request.reservation_id not in self.reservations:
            raise errors.ReservationNotFound(request.reservation_id)
        if request.reservation_id and is_transfer(self.reservations[request.reservation_id]):
            raise errors.OfTransfer(request.reservation_id)
        back: Counter[tuple[str, str]] = Counter()
        sources = {line.line_id: self._sources(request, line, back) for line in request.lines}
        coming: Counter[tuple[str, str]] = Counter()
        for line in request.lines:
            coming[line.sku, line.state] += line.quantity
        self._refuse_overflow(request.location, coming, request.occurred_at_ms)
        self.begin_item()
        for line in request.lines:
            self._shift((line.sku, request.location), [(line.state, line.quantity)], request.occurred_at_ms)
        for reservation_id in dict.fromkeys(name for name, _ in back):
            before = self.reservations[reservation_id]
            lines = tuple(
                replace(line, returned=line.returned + back[reservation_id, line.line_id]) for line in before.lines
            )
            self.reservations[reservation_id] = self.revised(before, lines=lines)
        lines = tuple(
            ReturnLine(line.line_id, line.sku, line.quantity, line.state, line.reason, sources=sources[line.line_id])
            for line in request.lines
        )
        said = request.reservation_id, request.order_ref, self.now_ms, request.occurred_at_ms
        return Return(request.return_id, request.channel, request.location, lines, *said)

    def _candidates(self, request: ReturnRequest) -> list[Reservation]:
        """The reservations that the units may have left by."""
        if request.reservation_id:
            return [self.reservations[request.reservation_id]]
        found = [one for one in self.reservations.values() if request.order_ref and one.order_ref == request.order_ref]
        found = [one for one in found if not is_transfer(one)]
        return sorted(found, key=lambda one: (one.created_at_ms, one.reservation_id))

    def _sources(self, request: ReturnRequest, wanted, back: Counter) -> tuple[ReturnSource, ...]:
        """Which of the units that left come back by a line; those of earlier lines are in `back`."""
        if not request.reservation_id and not request.order_ref:
            return ()
        found, left, fulfilled, returned = [], wanted.quantity, 0, 0
        for reservation in self._candidates(request):
            for line in reservation.lines:
                if line.sku != wanted.sku:
                    continue
                name = reservation.reservation_id, line.line_id
                went = sum(leg.fulfilled for leg in line.allocations)
                came = line.returned + back[name]
                fulfilled, returned = fulfilled + went, returned + came
                units = min(left, went - came)
                if units:
                    back[name] += units
                    left -= units
                    found.append(ReturnSource(*name, units))
        if left:
            raise errors.QuantityExceedsFulfilled(
                wanted.line_id,
                wanted.sku,
                wanted.quantity,
                fulfilled,
                returned,
                request.reservation_id,
                request.order_ref,
            )
        return tuple(found)

    def _refuse_overflow(self, location: str, coming: Counter, at: int) -> None:
        for (sku, state), units in coming.items():
            if not self._count_contains((sku, location), state, at):
                self._refuse_out_of_range((sku, location), state, units)

    def _shift(self, place, shelves: list[tuple[str, int]], at: int) -> None:
        """Units come and go, but for shelves whose last count contains it; the position counts as changed anyhow."""
        self.stock.set(place)
        for state, units in shelves:
            if not self._count_contains(place, state, at):
                self._move(place, state, units, at)

    def _dispose(self, request: DisposalRequest) -> Return:
        if request.return_id not in self.returns:
            raise errors.ReturnNotFound(request.return_id)
        returned = self.returns[request.return_id]
        lines = {line.line_id: line for line in returned.lines}
        shifts, short = [], []
        leaving: Counter[tuple[str, str]] = Counter()
        coming: Counter[tuple[str, str]] = Counter()
        for asked in request.lines:
            if asked.line_id not in lines:
                raise errors.ReturnNotFound(request.return_id, asked.line_id)
            line = lines[asked.line_id]
            units = asked.quantity or line.open
            if not 0 < units <= line.open:
                short.append(errors.ShortLine(asked.line_id, line.sku, returned.location, max(1, units), line.open))
                continue
            counted = {
                Disposition.RESTOCK: {"restocked": line.restocked + units},
                Disposition.SCRAP: {"scrapped": line.scrapped + units},
                Disposition.MOVE: {"moved": line.moved + units},
            }
            lines[asked.line_id] = replace(line, **counted[asked.disposition])
            to_state = GOES_TO.get(asked.disposition, asked.to_state)
            shifts.append((line, units, to_state))
            leaving[line.sku, line.state] += units
            if to_state != GONE:
                coming[line.sku, to_state] += units
        if short:
            raise errors.InsufficientStock(tuple(short))
        for (sku, state), units in leaving.items():
            there = self._units((sku, returned.location), state)
            if units > there and not self._count_contains((sku, returned.location), state, self.now_ms):
                first = next(line for line, _, _ in shifts if (line.sku, line.state) == (sku, state))
                raise errors.InsufficientStock((errors.ShortLine(first.line_id, sku, returned.location, units, there),))
        self._refuse_overflow(returned.location, coming, self.now_ms)
        self.begin_item()
        for line, units, to_state in shifts:
            ways = [(line.state, -units), *([] if to_state == GONE else [(to_state, units)])]
            self._shift((line.sku, returned.location), ways, self.now_ms)
        return replace(returned, lines=tuple(lines.values()))
