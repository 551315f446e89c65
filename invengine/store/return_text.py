"""Returns as the store keeps them, and what is kept of a step of one while it is under way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import msgpack

from invengine.domain.partitions import partition_of
from invengine.domain.returns import (
    DisposalLine,
    DisposalRequest,
    Disposition,
    Return,
    ReturnLine,
    ReturnLineRequest,
    ReturnRequest,
    ReturnSource,
)
from invengine.store.records import Unreadable

OPEN: Final = "OPEN"
CLOSED: Final = "CLOSED"
"""The first field of a text: whether something of the return waits for a decision."""


def read_return(return_id: str, text: str) -> Return:
    """The return that a text says, see lua/README.md. Unreadable."""
    fields = iter(text.split("\t"))
    try:
        _, revision, channel, location, reservation_id, order_ref, created, occurred, count = islice(fields, 9)
        lines = tuple(_read_line(fields) for _ in range(int(count)))
        return Return(
            return_id,
            channel,
            location,
            lines,
            reservation_id,
            order_ref,
            int(created),
            int(occurred),
            int(revision),
        )
    except (ValueError, StopIteration, RuntimeError) as error:
        raise Unreadable(f"not a return at {return_id}: {text!r}") from error


def _read_line(fields: Any) -> ReturnLine:
    line_id, _, sku, quantity, state, reason, restocked, scrapped, moved, count = islice(fields, 10)
    sources = []
    for _ in range(int(count)):
        reservation_id, its_line, units = islice(fields, 3)
        sources.append(ReturnSource(reservation_id, its_line, int(units)))
    numbers = int(restocked), int(scrapped), int(moved)
    return ReturnLine(line_id, sku, int(quantity), state, reason, *numbers, tuple(sources))


def write_return(it: Return, partitions: int) -> tuple[str, str]:
    """State and rest of the text of a return; the revision, which its step gets, stands between them."""
    fields: list[object] = [
        *(it.channel, it.location, it.reservation_id, it.order_ref, it.created_at_ms, it.occurred_at_ms),
        len(it.lines),
    ]
    for line in it.lines:
        fields += (line.line_id, partition_of(line.sku, partitions), line.sku, line.quantity, line.state, line.reason)
        fields += (line.restocked, line.scrapped, line.moved, len(line.sources))
        for source in line.sources:
            fields += (source.reservation_id, source.line_id, source.quantity)
    return OPEN if it.is_open else CLOSED, "\t".join(map(str, fields))


def sources_in(told: str) -> dict[str, tuple[ReturnSource, ...]]:
    """By line_id what a step tells of the reservations that units had left by."""
    found: dict[str, tuple[ReturnSource, ...]] = {}
    for row in told.split("\n")[:-1]:
        line_id, reservation_id, its_line, units = row.split("\t")
        found[line_id] = (*found.get(line_id, ()), ReturnSource(reservation_id, its_line, int(units)))
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a return: what was asked and, of one that takes back, the reservations that units may have left by."""

    request: ReturnRequest | DisposalRequest
    candidates: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """As it is kept while it is under way."""
        content: bytes = msgpack.packb([type(self.request).__name__, asdict(self.request), self.candidates])
        return content


def began_ms(entry: bytes) -> int:
    """When a step began, by what is kept of it while it is under way; 0 where that is damaged."""
    parts = entry.split(b"\t", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def read_step(content: bytes) -> Step:
    """The step that a content says. Unreadable."""
    try:
        return _read_step(content)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise Unreadable(f"not a step of a return: {content!r}") from error


def _read_step(content: bytes) -> Step:
    name, fields, candidates = msgpack.unpackb(content)
    lines = fields.pop("lines")
    if name == DisposalRequest.__name__:
        disposals = tuple(DisposalLine(**line | {"disposition": Disposition(line["disposition"])}) for line in lines)
        return Step(DisposalRequest(**fields, lines=disposals))
    returned = tuple(ReturnLineRequest(**line) for line in lines)
    return Step(ReturnRequest(**fields, lines=returned), tuple(candidates))
