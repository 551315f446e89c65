"""Units that left and come back: returns, and what becomes of those that cannot be sold. Instants are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Disposition(StrEnum):
    """What becomes of units of a return that cannot be sold as they are."""

    RESTOCK = "RESTOCK"
    MOVE = "MOVE"
    SCRAP = "SCRAP"


@dataclass(frozen=True, slots=True)
class ReturnLineRequest:
    """Units of a SKU that come back; `state` is empty where they can be sold at once."""

    line_id: str
    sku: str
    quantity: int
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReturnRequest:
    """What comes back where. It names a reservation, an order or neither: then nothing is compared with what left."""

    request_id: str
    fingerprint: str
    return_id: str
    channel: str
    location: str
    lines: tuple[ReturnLineRequest, ...]
    reservation_id: str = ""
    order_ref: str = ""
    occurred_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class DisposalLine:
    """What becomes of so many units of a line, 0 for all that are open; `to_state` goes with MOVE."""

    line_id: str
    quantity: int
    disposition: Disposition
    to_state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DisposalRequest:
    """What becomes of units of a return."""

    request_id: str
    fingerprint: str
    return_id: str
    channel: str
    lines: tuple[DisposalLine, ...]


@dataclass(frozen=True, slots=True)
class ReturnSource:
    """The line of a reservation that returned units had left by."""

    reservation_id: str
    line_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReturnLine:
    """Units that came back. Those with a `state` are open until they are restocked, scrapped or moved."""

    line_id: str
    sku: str
    quantity: int
    state: str = ""
    reason: str = ""
    restocked: int = 0
    scrapped: int = 0
    moved: int = 0
    sources: tuple[ReturnSource, ...] = ()

    @property
    def open(self) -> int:
        """Units that nobody decided about yet."""
        return self.quantity - self.restocked - self.scrapped - self.moved if self.state else 0


@dataclass(frozen=True, slots=True)
class Return:
    """What came back in one go, and what became of it."""

    return_id: str
    channel: str
    location: str
    lines: tuple[ReturnLine, ...]
    reservation_id: str = ""
    order_ref: str = ""
    created_at_ms: int = 0
    occurred_at_ms: int = 0
    revision: int = 0

    @property
    def is_open(self) -> bool:
        """Whether something of it waits for a decision."""
        return any(line.open for line in self.lines)


@dataclass(frozen=True, slots=True)
class ReturnAnswer:
    """A return as a write left it; `replayed` when the request_id was answered before."""

    returned: Return
    replayed: bool = False
