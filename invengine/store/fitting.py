"""How much of a batch goes into one call: so much that Redis is busy for a few milliseconds at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from invengine.domain.incoming import IncomingChange
from invengine.domain.orders import LinePlacement, LineRequest, ReservationChange, ReserveRequest
from invengine.domain.snapshots import CountedSku
from invengine.domain.stock import Movement

RESERVATIONS_PER_CALL = 200
LINES_PER_CALL = 500
CANDIDATES_PER_CALL = 20_000
MOVEMENTS_PER_CALL = 250
ORDER_REFS_PER_CALL = 2_000


def requests_that_fit(requests: Sequence[ReserveRequest], start: int) -> int:
    """Where a call ends that reserves, and begins at `start`."""
    return _lines_that_fit([request.all_lines for request in requests[start : start + RESERVATIONS_PER_CALL]], start)


def placings_that_fit(changes: Sequence[ReservationChange], start: int) -> int:
    """Where a call ends that amends or rebinds."""
    part = changes[start : start + RESERVATIONS_PER_CALL]
    return _lines_that_fit([(*change.placements, *change.added) for change in part], start)


def _lines_that_fit(items: Iterable[Sequence[LineRequest | LinePlacement]], start: int) -> int:
    """Where a call ends that has items with these lines from `start` on: bounded in lines and candidates."""
    lines = candidates = 0
    end = start
    for of_item in items:
        lines += len(of_item)
        candidates += sum(len(line.candidates) for line in of_item)
        if end > start and (lines > LINES_PER_CALL or candidates > CANDIDATES_PER_CALL):
            break
        end += 1
    return end


def changes_that_fit(changes: Sequence[ReservationChange], start: int) -> int:
    """Where a call ends of any other verb."""
    return min(start + RESERVATIONS_PER_CALL, len(changes))


def movements_that_fit(movements: Sequence[Movement | IncomingChange | CountedSku], start: int) -> int:
    """Where a call ends of movements, changes of receipts or counts."""
    end, refs = min(start + MOVEMENTS_PER_CALL, len(movements)), 0
    if isinstance(movements[0], CountedSku):
        for place in range(start, end):
            row = movements[place]
            assert isinstance(row, CountedSku)
            refs += len(row.order_refs)
            if refs > ORDER_REFS_PER_CALL and place > start:
                return place
    return end
