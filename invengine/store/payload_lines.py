"""The lines of messages to the functions, and lists of their candidates, as `lua/reserve.lua` and others have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from invengine import errors
from invengine.domain.orders import Candidate, LinePlacement, LineRequest, PlacedRequest
from invengine.store.records import future_text, standing_text

_FORBIDDEN = re.compile("[\x00-\x1f\x7f]")


def checked(texts: Iterable[str]) -> None:
    """Refuse control characters: TAB and LF end the columns of what is stored. Services name the field before."""
    text = "".join(texts)
    if not text.isprintable() and _FORBIDDEN.search(text):  # the first look is the quick one
        raise errors.InvalidArgument("text", "must not hold control characters")


class CandidateLists:
    """The lists of candidates of a message; lines that share a list send it once."""

    def __init__(self) -> None:
        self.columns: list[tuple[object, ...]] = []
        self._places: dict[int, int] = {}  # the messages are packed while their requests live, so ids are theirs alone

    def place_of(self, candidates: Sequence[Candidate], units_at: Sequence[int] = ()) -> int:
        """The place of this list, counted from 1; `units_at` are units that each candidate is to give."""
        if units_at:
            self.columns.append(columns_of(candidates, units_at))
            return len(self.columns)
        place = self._places.get(id(candidates))
        if place is None:
            self.columns.append(columns_of(candidates))
            place = self._places[id(candidates)] = len(self.columns)
        return place


def check_line(line: LineRequest) -> None:
    """Refuse control characters in what a line says beside its candidates."""
    to = line.destination
    checked((line.line_id, line.sku, to.country, to.postal_code, to.location))


def line_item(line: LineRequest, partition: int, lists: CandidateLists) -> tuple[object, ...]:
    """A line to take, as lua/reserve.lua has it."""
    sku, quantity, to = line.sku, line.quantity, line.destination
    if isinstance(line, PlacedRequest):
        asked, future, place = (
            line.asked,
            future_text(line.told or line.future, line.kit, line.standing),
            lists.place_of(line.candidates, line.units_at),
        )
    else:
        asked, future, place = quantity, future_text(line.future), lists.place_of(line.candidates)
    fields = (
        f"\t{line.line_id}\t{partition}\t{sku}\t{asked}\t{line.fulfilment}"
        f"\t{to.country}\t{to.postal_code}\t{to.location}\t{line.expected_day or future}\t"
    )
    return partition, sku, quantity, fields, _ways_of(line), place


def placement_item(line: LinePlacement, lists: CandidateLists) -> tuple[object, ...]:
    """A line to amend or rebind, as lua/amend.lua has it."""
    checked((line.line_id, line.named_location))
    head = (
        line.line_id,
        line.quantity,
        line.named_location,
        _ways_of(line),
        lists.place_of(line.candidates, line.units_at),
    )
    return head if line.standing is None else (*head, False, standing_text(line.standing))


def added_item(line: LineRequest, line_id: str, partition: int, lists: CandidateLists) -> tuple[object, ...]:
    """A line to add, as lua/amend.lua has it."""
    texts = (line.fulfilment, line.destination.country, line.destination.postal_code, line.destination.location)
    checked((line_id, line.sku, line.named_location, *texts))
    if isinstance(line, PlacedRequest):
        units_at, future = line.units_at, future_text(line.told or line.future, line.kit, line.standing)
    else:
        units_at, future = (), future_text(line.future)
    head = (line_id, line.quantity, line.named_location, _ways_of(line), lists.place_of(line.candidates, units_at))
    return (*head, partition, line.sku, *texts, future)


def _ways_of(line: LineRequest | LinePlacement) -> int | tuple[int, int, int]:
    """Whether a line may be split, and what it may take that is not on hand."""
    split, future = int(line.allow_split), line.future
    return split if future is None else (split, future.needed_by, future.backorder_units)


def columns_of(candidates: Sequence[Candidate], units_at: Sequence[int] = ()) -> tuple[object, ...]:
    """The columns of a list as lua/taking.lua has them; those at its end that say nothing are left out."""
    locations = [candidate.location for candidate in candidates]
    checked(locations)
    columns: list[object] = [
        locations,
        [candidate.safety_units for candidate in candidates],
        [candidate.safety_parts for candidate in candidates],
    ]
    rules, stops = False, False
    for candidate in candidates:
        rules = rules or bool(candidate.confidence)
        stops = stops or candidate.overdue_stops
    if rules or units_at or stops:
        told = [[number for rule in candidate.confidence for number in rule] or False for candidate in candidates]
        columns.append(told if rules else False)
    if units_at or stops:
        columns.append(units_at or False)
    if stops:
        columns.append([int(candidate.overdue_stops) for candidate in candidates])
    return tuple(columns)
