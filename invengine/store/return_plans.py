"""What a step of a return does, line by line; what the return is after it; and why it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from invengine import errors
from invengine.domain.returns import (
    DisposalLine,
    Disposition,
    Return,
    ReturnLine,
    ReturnRequest,
    ReturnSource,
)
from invengine.domain.stock import GONE
from invengine.store.return_text import Step

_GOES_TO: Final = {Disposition.RESTOCK: "", Disposition.SCRAP: GONE}


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a step as its partition gets it: units that come to a state or leave it."""

    line_id: str
    sku: str
    quantity: int
    state: str
    reason: str
    to_state: str = ""
    disposition: Disposition | None = None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A step that is under way, and the return as it was before it (None: there was none)."""

    return_id: str
    nonce: str
    began_at_ms: int
    step: Step
    before: Return | None


class Undone(errors.InventoryError):
    """Others learnt why this step is refused: it is to be begun anew."""


def location_of(under_way: UnderWay) -> str:
    """Where the units are."""
    if isinstance(under_way.step.request, ReturnRequest):
        return under_way.step.request.location
    assert under_way.before is not None
    return under_way.before.location


def parts_of(under_way: UnderWay) -> list[Part] | errors.InventoryError:
    """What a step does, by line; or why it cannot be by the return alone."""
    request = under_way.step.request
    if isinstance(request, ReturnRequest):
        return [Part(line.line_id, line.sku, line.quantity, line.state, line.reason) for line in request.lines]
    assert under_way.before is not None
    lines = {line.line_id: line for line in under_way.before.lines}
    left = {line_id: line.open for line_id, line in lines.items()}
    parts = []
    short = []
    for place, asked in enumerate(request.lines):
        line = lines.get(asked.line_id)
        if line is None:
            return errors.ReturnNotFound(request.return_id, asked.line_id)
        there = left[asked.line_id]
        units = asked.quantity or there
        if units > there or not units:
            short.append(errors.ShortLine(asked.line_id, line.sku, under_way.before.location, max(1, units), there))
            continue
        if asked.disposition is Disposition.MOVE and asked.to_state == line.state:
            return errors.InvalidArgument(f"lines[{place}].to_state", "is the state that the units are in")
        left[asked.line_id] -= units
        parts.append(_part_of(asked, line, units))
    return errors.InsufficientStock(tuple(short)) if short else parts


def _part_of(asked: DisposalLine, line: ReturnLine, units: int) -> Part:
    to_state = _GOES_TO.get(asked.disposition, asked.to_state)
    return Part(line.line_id, line.sku, units, line.state, asked.reason, to_state, asked.disposition)


def with_parts(under_way: UnderWay, done: list[Part], sources: dict[str, tuple[ReturnSource, ...]]) -> Return:
    """The return after these parts of the step."""
    request = under_way.step.request
    if isinstance(request, ReturnRequest):
        made = {part.line_id for part in done}
        lines = tuple(
            ReturnLine(
                line.line_id, line.sku, line.quantity, line.state, line.reason, sources=sources.get(line.line_id, ())
            )
            for line in request.lines
            if line.line_id in made
        )
        return Return(
            request.return_id,
            request.channel,
            request.location,
            lines,
            request.reservation_id,
            request.order_ref,
            under_way.began_at_ms,
            request.occurred_at_ms,
        )
    assert under_way.before is not None
    after = {line.line_id: line for line in under_way.before.lines}
    for part in done:
        line = after[part.line_id]
        match part.disposition:
            case Disposition.RESTOCK:
                line = replace(line, restocked=line.restocked + part.quantity)
            case Disposition.SCRAP:
                line = replace(line, scrapped=line.scrapped + part.quantity)
            case _:
                line = replace(line, moved=line.moved + part.quantity)
        after[part.line_id] = line
    return replace(under_way.before, lines=tuple(after.values()))


def refusal_of(under_way: UnderWay, group: list[Part], word: bytes, facts: list[Any]) -> errors.InventoryError:
    """What the partitions of a group refuse its lines with."""
    if word == b"UNDONE":
        return Undone()
    line_id = facts[0].decode()
    part = next(part for part in group if part.line_id == line_id)
    request, location = under_way.step.request, location_of(under_way)
    match word:
        case b"QUANTITY_EXCEEDS_FULFILLED":
            assert isinstance(request, ReturnRequest)
            return errors.QuantityExceedsFulfilled(
                line_id, part.sku, facts[1], facts[2], facts[3], request.reservation_id, request.order_ref
            )
        case b"INSUFFICIENT_STOCK":
            return errors.InsufficientStock((errors.ShortLine(line_id, part.sku, location, facts[1], facts[2]),))
    assert word == b"QUANTITY_OUT_OF_RANGE", word
    return errors.QuantityOutOfRange(part.sku, location, facts[1], facts[2])
