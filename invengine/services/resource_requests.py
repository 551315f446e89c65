"""What a planner asks to be done about shortfalls, checked; and what became of each line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.errors import InvalidArgument
from invengine.services import validation
from invengine.v1 import shortfall_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.orders import Fulfilment
    from invengine.domain.shortfalls import Shortfall
    from invengine.errors import InventoryError

RESERVATIONS_MAX: Final = 1000
LINES_MAX: Final = 1000


class Result(IntEnum):
    """What was done with a line, or why nothing was; by their numbers in the proto."""

    MOVED = 1
    MOVED_IN_PART = 2
    COVERED = 3
    NOT_ENOUGH = 4
    COLLECTED = 5
    TOO_LATE = 6
    REFUSED = 7


class CheckedResource(NamedTuple):
    """A request that obeys the contract."""

    request_id: str
    fingerprint: str
    sku: str
    location: str
    channel: str
    reservation_ids: frozenset[str]
    to_group: str
    allow_split: bool
    best_effort: bool
    accept_later: bool
    dry_run: bool
    lines_max: int
    profile: str


@dataclass(frozen=True, slots=True)
class ShortLine:
    """A line as it was asked for, with units at a location that are not there. Units are kits where `sku` is one."""

    reservation_id: str
    line_id: str
    sku: str
    location: str
    units: int
    channel: str
    fulfilment: Fulfilment
    created_at_ms: int
    promised_day: int
    short_skus: tuple[str, ...]
    """What is short: the SKU itself, or components of the kit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line; `moves` are locations and units. Days are 0 where there are none."""

    line: ShortLine
    result: Result
    moves: tuple[tuple[str, int], ...] = ()
    available: int = 0
    delivery_day: int = 0
    refusal: InventoryError | None = None


def check_resource(message: pb.ResourceShortfallsRequest) -> CheckedResource:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
    request_id = validation.required_id("request_id", message.request_id)
    validation.count_of("reservation_ids", len(message.reservation_ids), RESERVATIONS_MAX, least=0)
    names = [
        validation.required_id(f"reservation_ids[{place}]", name) for place, name in enumerate(message.reservation_ids)
    ]
    sku = validation.optional_text("sku", message.sku)
    location = validation.optional_text("location", message.location)
    channel = validation.optional_text("channel", message.channel)
    if not (names or sku or location or channel or message.all):
        raise InvalidArgument("all", "is required where nothing says which shortfalls")
    if not 0 <= message.lines_max <= LINES_MAX:
        raise InvalidArgument("lines_max", f"is {message.lines_max}; 0 to {LINES_MAX} are allowed")
    content = pb.ResourceShortfallsRequest()
    content.CopyFrom(message)
    content.request_id = ""
    return CheckedResource(
        request_id,
        blake2b(content.SerializeToString(deterministic=True), digest_size=16).hexdigest(),
        sku,
        location,
        channel,
        frozenset(names),
        validation.optional_text("to_group", message.to_group),
        message.allow_split,
        message.best_effort,
        message.accept_later,
        message.dry_run,
        message.lines_max or LINES_MAX,
        message.profile,
    )


def lines_of(found: Iterable[Shortfall]) -> list[ShortLine]:
    """The lines of shortfalls as they were asked for: by the place of the first shortfall, the oldest first.

    Of a kit whole kits are short: as many as the component that lacks most makes impossible.
    """
    lines: dict[tuple[str, str, str], ShortLine] = {}
    for shortfall in found:
        for one in reversed(shortfall.lines):
            key = one.reservation_id, one.asked_line_id, shortfall.location
            units = -(-one.uncovered // one.units_per_kit)
            known = lines.get(key)
            if known is not None:
                units = max(units, known.units)
            lines[key] = ShortLine(
                one.reservation_id,
                one.asked_line_id,
                one.asked_sku,
                shortfall.location,
                units,
                one.channel,
                one.fulfilment,
                one.created_at_ms,
                one.promised_day,
                (*(known.short_skus if known else ()), shortfall.sku),
            )
    return list(lines.values())
