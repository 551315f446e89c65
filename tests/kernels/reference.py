"""A naive twin of every kernel, from the definition: plain Python over dicts and lists, protobuf for the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from invengine.domain.stock import UNITS_MAX, safety_units
from invengine.v1 import availability_service_pb2 as pb


class Malformed(Exception):
    """A row is not what the store's formats say."""


@dataclass
class Position:
    on_hand: int = 0
    reserved: int = 0
    revision: int = 0
    safety: tuple[int, int] = (0, 0)


@dataclass
class Hold:
    sku: str
    location: str
    units: int
    expires_at: int


@dataclass
class State:
    """Positions by SKU, then by location, both in the order in which they were first seen."""

    skus: dict[str, dict[str, Position]] = field(default_factory=dict)
    holds: dict[tuple[int, int], Hold] = field(default_factory=dict)
    second: int = 0

    def place(self, sku: str, location: str) -> Position:
        return self.skus.setdefault(sku, {}).setdefault(location, Position())

    def expired(self, sku: str, location: str) -> int:
        """Units of holds that are over by the clock and still there."""
        return sum(
            hold.units
            for hold in self.holds.values()
            if (hold.sku, hold.location) == (sku, location) and hold.expires_at <= self.second
        )

    def rows(self) -> list[tuple[str, str, int, int, int, int]]:
        return [
            (sku, location, position.on_hand, position.reserved, self.expired(sku, location), position.revision)
            for sku, places in self.skus.items()
            for location, position in places.items()
        ]


# names


def find_name(names: Sequence[bytes], name: bytes) -> int:
    return names.index(name) if name in names else -1


def find_names(names: Sequence[bytes], wanted: Iterable[bytes]) -> list[int]:
    return [find_name(names, name) for name in wanted]


def insert_name(names: Sequence[bytes], name: bytes) -> list[bytes]:
    return [*names, name]


def list_names(names: Sequence[bytes]) -> list[bytes]:
    return list(names)


def rehash_names(names: Sequence[bytes]) -> list[bytes]:
    return list(names)


# rows


def pack_rows(state: State) -> tuple[State, int]:
    """Nothing changes but where rows are, and how many lines are set aside."""
    return state, sum(len(places) for places in state.skus.values())


def clear_safety(state: State) -> None:
    for places in state.skus.values():
        for position in places.values():
            position.safety = (0, 0)


def raise_safety(state: State, sku: str, location: str | None, units: int, parts: int) -> None:
    for name, position in state.skus[sku].items():
        if location in (None, name):
            position.safety = (max(position.safety[0], units), max(position.safety[1], parts))


# the log


def _number(text: str, most: int = UNITS_MAX) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
        raise Malformed(text)
    return int(text)


def apply_rows(state: State, partition: int, revision: int, rows: str) -> None:
    """The rows of one entry; Malformed leaves what came before applied."""
    if not rows:
        return
    if not rows.endswith("\n"):
        raise Malformed(rows)
    for line in rows[:-1].split("\n"):
        if not line.endswith("\t"):
            raise Malformed(line)
        kind, *columns = line[:-1].split("\t")
        if kind == "P" and len(columns) == 13:
            sku, location, on_hand, reserved = columns[0], columns[1], _number(columns[2]), _number(columns[3])
            if not sku or not location:
                raise Malformed(line)
            position = state.place(sku, location)
            if revision >= position.revision:
                position.on_hand, position.reserved, position.revision = on_hand, reserved, revision
        elif kind == "H" and len(columns) == 5:
            leg, sku, location = _number(columns[0]), columns[1], columns[2]
            units, expires_at = _number(columns[3]), _number(columns[4])
            if not sku or not location:
                raise Malformed(line)
            state.place(sku, location)
            state.holds.pop((partition, leg), None)
            if units and expires_at:
                state.holds[partition, leg] = Hold(sku, location, units, expires_at)
        elif not (kind in ("R", "G") and len(columns) >= 3):
            raise Malformed(line)


def load_positions(state: State, chunk: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    for sku, fields in chunk:
        state.skus.setdefault(sku, {})
        for location, text in fields.items():
            numbers = text.split(",")
            if len(numbers) != 4:
                raise Malformed(text)
            on_hand, reserved, revision = (_number(number) for number in numbers[:3])
            _number(numbers[3], 10**18)
            position = state.place(sku, location)
            if revision >= position.revision:
                position.on_hand, position.reserved, position.revision = on_hand, reserved, revision


# holds


def advance_holds(state: State, second: int) -> None:
    """What is over is a matter of the clock alone: State.expired."""
    state.second = second


def rehash_holds(holds: Mapping[int, int]) -> dict[int, int]:
    return dict(holds)


# availability


@dataclass(frozen=True)
class Asked:
    """What is asked of one location: `why_not` is 0 when it can be used."""

    units: int = 0
    parts: int = 0
    why_not: int = 0


Selection = Mapping[str, Asked]


@dataclass(frozen=True)
class Terms:
    location: str
    available: int
    on_hand: int
    reserved: int
    safety: int
    reasons: tuple[int, ...]


def available_positions(
    state: State, sku: str, selection: Selection, ignored: Mapping[str, int] | None = None
) -> list[Terms]:
    found = []
    for location, position in sorted(state.skus[sku].items()):
        if location not in selection:
            continue
        asked = selection[location]
        reserved = position.reserved - state.expired(sku, location) - (ignored or {}).get(location, 0)
        reserved = max(0, reserved)
        safety = safety_units(
            position.on_hand, max(asked.units, position.safety[0]), max(asked.parts, position.safety[1])
        )
        available = max(0, position.on_hand - reserved - safety)
        reasons: list[int] = []
        if asked.why_not:
            available, reasons = 0, [asked.why_not]
        else:
            if available < max(0, position.on_hand - reserved):
                reasons.append(pb.AVAILABILITY_REASON_SAFETY_STOCK)
            if reserved > position.on_hand:
                reasons.append(pb.AVAILABILITY_REASON_SHORTFALL)
            if reserved:
                reasons.append(pb.AVAILABILITY_REASON_RESERVED)
        found.append(Terms(location, available, position.on_hand, reserved, safety, tuple(reasons)))
    return found


def available_total(state: State, sku: str, selection: Selection) -> int:
    return min(sum(terms.available for terms in available_positions(state, sku, selection)), 2**62)


def available_totals(state: State, skus: Iterable[str], selection: Selection) -> list[tuple[int, int]]:
    """(status, units) of each SKU."""
    return [(1, available_total(state, sku, selection)) if sku in state.skus else (2, 0) for sku in skus]


def available_rows(state: State, skus: Iterable[str], selection: Selection) -> list[dict[str, int]]:
    """Units by usable location, for each SKU."""
    return [
        {
            terms.location: terms.available
            for terms in (available_positions(state, sku, selection) if sku in state.skus else ())
            if not selection[terms.location].why_not
        }
        for sku in skus
    ]


def rows_at_most(state: State, skus: Iterable[str]) -> int:
    return sum(len(state.skus.get(sku, {})) for sku in skus)


# the wire


def answer_availability(
    state: State, sku: str, selection: Selection, threshold: int, ignored: Mapping[str, int] | None = None
) -> pb.GetAvailabilityResponse:
    positions = available_positions(state, sku, selection, ignored)
    total = min(sum(terms.available for terms in positions), 2**62)
    return pb.GetAvailabilityResponse(
        available=total,
        level=pb.LEVEL_OUT if not total else pb.LEVEL_LOW if total <= threshold else pb.LEVEL_IN_STOCK,
        positions=[
            pb.PositionAvailability(
                location=terms.location,
                available=terms.available,
                on_hand=terms.on_hand,
                reserved=terms.reserved,
                safety_stock=terms.safety,
                reasons=terms.reasons,  # type: ignore[arg-type]
            )
            for terms in positions
        ],
    )


def split_request(message: bytes) -> tuple[list[str], pb.BatchGetAvailabilityRequest]:
    """The SKUs, and the request without them. DecodeError as protobuf raises it."""
    request = pb.BatchGetAvailabilityRequest.FromString(message)
    skus = list(request.skus)
    request.ClearField("skus")
    return skus, request
