"""A naive twin of every kernel, from the definition: plain Python over dicts and lists, protobuf for the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from invengine.domain.stock import UNITS_MAX, ConfidenceRule, safety_units, uncertain_units
from invengine.kernels.layout import COUNTED_MAX
from invengine.v1 import availability_service_pb2 as pb
from tests.kernels.allocation_reference import allocate_wave  # noqa: F401
from tests.kernels.demand_reference import demand_lines  # noqa: F401
from tests.kernels.promise_reference import (  # noqa: F401 - dates have a page of their own
    date_baskets,
    date_sources,
    latest_orders,
)
from tests.kernels.reservations_reference import (  # noqa: F401
    AskedReservation,
    answer_reservations,
    pack_reservations,
    read_reservations,
)
from tests.kernels.scarcity_reference import scarcity_prices  # noqa: F401
from tests.kernels.sourcing_reference import source_basket  # noqa: F401
from tests.kernels.standing_reference import date_standing  # noqa: F401


class Malformed(Exception):
    """A row is not what the store's formats say."""


@dataclass
class Position:
    on_hand: int = 0
    reserved: int = 0
    revision: int = 0
    safety: tuple[int, int] = (0, 0)
    counted_at: int = 0
    fences: dict[str, int] = field(default_factory=dict)


@dataclass
class Hold:
    sku: str
    location: str
    units: int
    expires_at: int
    fenced: int = 0
    channel: str = ""


@dataclass
class State:
    """Positions by SKU, then by location, both in the order in which they were first seen; I rows as they came."""

    skus: dict[str, dict[str, Position]] = field(default_factory=dict)
    holds: dict[tuple[int, int], Hold] = field(default_factory=dict)
    second: int = 0
    passed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # SKUs, each once, since `take_changed`

    def note(self, sku: str) -> None:
        if sku not in self.changed:
            self.changed.append(sku)

    def place(self, sku: str, location: str) -> Position:
        return self.skus.setdefault(sku, {}).setdefault(location, Position())

    def holds_over(self) -> dict[tuple[str, str], list[Hold]]:
        """Holds that are over by the clock and still there, by SKU and location."""
        found: dict[tuple[str, str], list[Hold]] = {}
        for hold in self.holds.values():
            if hold.expires_at <= self.second:
                found.setdefault((hold.sku, hold.location), []).append(hold)
        return found

    def ring_fences(self) -> list[tuple[str, str, str, int, int]]:
        """SKU, location, channel, units as stored, units of holds that are over; where there are any."""
        holds_over = self.holds_over()
        return [
            (sku, location, channel, position.fences.get(channel, 0), over.get(channel, 0))
            for sku, places in self.skus.items()
            for location, position in places.items()
            for over in [fenced(holds_over.get((sku, location), []))]
            for channel in sorted(position.fences.keys() | over.keys())
        ]

    def counted(self) -> list[int]:
        """When each position was counted last."""
        return [position.counted_at for places in self.skus.values() for position in places.values()]

    def rows(self) -> list[tuple[str, str, int, int, int, int]]:
        holds_over = self.holds_over()
        return [
            (sku, location, position.on_hand, position.reserved, expired, position.revision)
            for sku, places in self.skus.items()
            for location, position in places.items()
            for expired in [sum(hold.units for hold in holds_over.get((sku, location), []))]
        ]


def fenced(holds: Iterable[Hold]) -> dict[str, int]:
    """Units of the holds that go back into ring-fences, by channel."""
    found: dict[str, int] = {}
    for hold in holds:
        if hold.fenced:
            found[hold.channel] = found.get(hold.channel, 0) + hold.fenced
    return found


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
            counted_at = _number(columns[4], 10**18)
            if not sku or not location:
                raise Malformed(line)
            position = state.place(sku, location)
            state.note(sku)
            if revision >= position.revision:
                position.counted_at = min(counted_at, COUNTED_MAX)
                position.on_hand, position.reserved, position.revision = on_hand, reserved, revision
        elif kind == "F" and len(columns) == 4:
            sku, location, channel, units = columns[0], columns[1], columns[2], _number(columns[3])
            if not sku or not location or not channel:
                raise Malformed(line)
            position = state.place(sku, location)
            state.note(sku)
            if revision >= position.revision:
                position.fences.pop(channel, None)
                if units:
                    position.fences[channel] = units
        elif kind == "H" and len(columns) == 7:
            leg, sku, location, channel = _number(columns[0]), columns[1], columns[2], columns[6]
            units, expires_at, fenced = map(_number, columns[3:6])
            if not sku or not location or fenced > units or bool(fenced) != bool(channel):
                raise Malformed(line)
            state.place(sku, location)
            state.note(sku)
            state.holds.pop((partition, leg), None)
            if units and expires_at:
                state.holds[partition, leg] = Hold(sku, location, units, expires_at, fenced, channel)
        elif (kind == "I" and len(columns) in (9, 10)) or (kind == "U" and len(columns) == 6):
            state.passed.append(line)
        elif kind in ("R", "G", "T"):
            if len(columns) < 3:
                raise Malformed(line)
        elif kind == "B":
            if len(columns) != 10:
                raise Malformed(line)
        elif len(kind) != 1 or not "A" <= kind <= "Z" or kind in "PFHIU":  # else of a newer library
            raise Malformed(line)


def load_positions(state: State, chunk: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    for sku, fields in chunk:
        state.skus.setdefault(sku, {})
        for location, text in fields.items():
            head, *pairs = text.split("\t")
            numbers = head.split(",")
            if len(numbers) != 4 or len(pairs) % 2:
                raise Malformed(text)
            on_hand, reserved, revision = (_number(number) for number in numbers[:3])
            counted_at = _number(numbers[3], 10**18)
            fences = {channel: _number(units) for channel, units in zip(pairs[::2], pairs[1::2], strict=True)}
            if "" in fences:
                raise Malformed(text)
            position = state.place(sku, location)
            if revision >= position.revision:
                position.counted_at = min(counted_at, COUNTED_MAX)
                position.on_hand, position.reserved, position.revision = on_hand, reserved, revision
                position.fences = {channel: units for channel, units in fences.items() if units}


# holds


def advance_holds(state: State, second: int) -> None:
    """What is over is a matter of the clock alone: State.holds_over. SKUs of holds that end, or end no more, change."""
    before, state.second = state.second, second
    for hold in state.holds.values():
        if (hold.expires_at <= before) != (hold.expires_at <= second):
            state.note(hold.sku)


def take_changed(state: State) -> list[str]:
    taken, state.changed = state.changed, []
    return taken


def newer_slots(slots: Iterable[int], changed_at: Sequence[int], count: int) -> list[int]:
    return [slot for slot in slots if changed_at[slot] > count]


def changed_since(state: State, names: Iterable[str], seen: Mapping[str, int]) -> list[bool]:
    """`seen`: the revision of each SKU's partition that was seen."""
    return [
        not state.skus.get(sku)
        or any(position.revision > seen[sku] for position in state.skus[sku].values())
        or any(hold.sku == sku for holds in state.holds_over().values() for hold in holds)
        for sku in names
    ]


def rehash_holds(holds: Mapping[int, int]) -> dict[int, int]:
    return dict(holds)


# availability


@dataclass(frozen=True)
class Asked:
    """What is asked of one location: `why_not` is 0 when it can be used."""

    units: int = 0
    parts: int = 0
    why_not: int = 0
    rules: tuple[ConfidenceRule, ...] = ()


NOW_MS = 1_000_000_000
"""When a test asks."""

Selection = Mapping[str, Asked]


@dataclass(frozen=True)
class Asker:
    """The channel that asks."""

    channel: str = "web"
    borrows: bool = True


WEB = Asker()


@dataclass(frozen=True)
class Ignored:
    """Units that a reservation of the asker holds at a location, those out of ring-fences by channel among them."""

    units: int = 0
    fenced: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    location: str
    available: int
    on_hand: int
    reserved: int
    safety: int
    reasons: tuple[int, ...]
    fenced: int = 0
    own_fence: int = 0
    uncertain: int = 0


def available_positions(
    state: State,
    sku: str,
    selection: Selection,
    ignored: Mapping[str, Ignored] | None = None,
    asker: Asker = WEB,
) -> list[Terms]:
    found, holds_over = [], state.holds_over()
    for location, position in sorted(state.skus[sku].items()):
        if location not in selection:
            continue
        asked = selection[location]
        free, over = (ignored or {}).get(location, Ignored()), holds_over.get((sku, location), [])
        reserved = max(0, position.reserved - sum(hold.units for hold in over) - free.units)
        unreserved = position.on_hand - reserved
        fences: dict[str, int] = {}
        for given in (position.fences, fenced(over), free.fenced):
            for channel, units in given.items():
                fences[channel] = fences.get(channel, 0) + units
        own = fences.get(asker.channel, 0)
        pool = unreserved - sum(fences.values())
        safety = safety_units(
            position.on_hand, max(asked.units, position.safety[0]), max(asked.parts, position.safety[1])
        )
        uncertain = uncertain_units(position.on_hand, position.counted_at, NOW_MS, asked.rules)
        above_safety = max(0, unreserved - safety)
        trusted = max(0, unreserved - safety - uncertain)
        available = max(0, min(unreserved - safety - uncertain, own + max(0, pool) if asker.borrows else own))
        reasons: list[int] = []
        if asked.why_not:
            available, reasons = 0, [asked.why_not]
        else:
            if above_safety < max(0, unreserved):
                reasons.append(pb.AVAILABILITY_REASON_SAFETY_STOCK)
            if reserved > position.on_hand:
                reasons.append(pb.AVAILABILITY_REASON_SHORTFALL)
            if reserved:
                reasons.append(pb.AVAILABILITY_REASON_RESERVED)
            if available < trusted:
                reasons.append(pb.AVAILABILITY_REASON_RING_FENCE)
            if trusted < above_safety:
                reasons.append(pb.AVAILABILITY_REASON_CONFIDENCE)
        others = min(sum(fences.values()) - own, 2**62)
        found.append(
            Terms(
                location,
                available,
                position.on_hand,
                reserved,
                safety,
                tuple(reasons),
                others,
                min(own, UNITS_MAX),
                uncertain,
            )
        )
    return found


def available_total(state: State, sku: str, selection: Selection, asker: Asker = WEB) -> int:
    return min(sum(terms.available for terms in available_positions(state, sku, selection, None, asker)), 2**62)


def available_totals(
    state: State, skus: Iterable[str], selection: Selection, asker: Asker = WEB
) -> list[tuple[int, int]]:
    """(status, units) of each SKU."""
    return [(1, available_total(state, sku, selection, asker)) if sku in state.skus else (2, 0) for sku in skus]


def available_rows(state: State, skus: Iterable[str], selection: Selection, asker: Asker = WEB) -> list[dict[str, int]]:
    """Units by usable location, for each SKU."""
    return [
        {
            terms.location: terms.available
            for terms in (available_positions(state, sku, selection, None, asker) if sku in state.skus else ())
            if not selection[terms.location].why_not
        }
        for sku in skus
    ]


def stock_levels(totals: Iterable[int], threshold: int) -> list[int]:
    return [_level(units, threshold) for units in totals]


def available_kits(
    state: State, kit: Mapping[str, int], selection: Selection, asker: Asker = WEB
) -> dict[str, tuple[int, int]]:
    """Kits by usable location, and how many of the components have a position there."""
    found = {}
    for location in selection:
        there = [
            (terms.available, units)
            for sku, units in kit.items()
            for terms in (available_positions(state, sku, selection, None, asker) if sku in state.skus else ())
            if terms.location == location
        ]
        if not selection[location].why_not:
            whole = min(available // units for available, units in there) if len(there) == len(kit) else 0
            found[location] = whole, len(there)
    return found


def rules_begun(
    state: State, skus: Iterable[str], selection: Selection, after: int, until: int
) -> tuple[list[bool], list[int]]:
    """For which SKUs a rule for confidence began to hold between the moments; all moments at which one does."""
    begins = [
        [
            position.counted_at + rule.counted_before_ms
            for location, position in state.skus.get(sku, {}).items()
            if location in selection and not selection[location].why_not
            for rule in selection[location].rules
            if rule.counted_before_ms and (not rule.fewer_than or position.on_hand < rule.fewer_than)
        ]
        for sku in skus
    ]
    return [any(after < moment <= until for moment in of_sku) for of_sku in begins], [
        moment for of_sku in begins for moment in of_sku
    ]


def rows_at_most(state: State, skus: Iterable[str]) -> int:
    return sum(len(state.skus.get(sku, {})) for sku in skus)


# the wire


def answer_availability(
    state: State,
    sku: str,
    selection: Selection,
    thresholds: Mapping[str, int],
    ignored: Mapping[str, Ignored] | None = None,
    asker: Asker = WEB,
) -> pb.GetAvailabilityResponse:
    """`thresholds` by location, and of all together under the empty name."""
    positions = available_positions(state, sku, selection, ignored, asker)
    total = min(sum(terms.available for terms in positions), 2**62)
    return pb.GetAvailabilityResponse(
        available=total,
        level=_level(total, thresholds.get("", 0)),  # type: ignore[arg-type]
        positions=[
            pb.PositionAvailability(
                location=terms.location,
                available=terms.available,
                on_hand=terms.on_hand,
                reserved=terms.reserved,
                safety_stock=terms.safety,
                reasons=terms.reasons,  # type: ignore[arg-type]
                fenced=terms.fenced,
                own_fence=terms.own_fence,
                uncertain=terms.uncertain,
                level=_level(terms.available, thresholds.get(terms.location, 0)),  # type: ignore[arg-type]
            )
            for terms in positions
        ],
    )


def _level(units: int, threshold: int) -> int:
    if not units:
        return pb.LEVEL_OUT
    return pb.LEVEL_LOW if units <= threshold else pb.LEVEL_IN_STOCK


def answer_sku(
    state: State,
    sku: str,
    selection: Selection,
    thresholds: Mapping[str, int],
    ignored: Mapping[str, Ignored] | None = None,
    asker: Asker = WEB,
) -> pb.GetAvailabilityResponse | None:
    """As `answer_availability`; None for a SKU that is not known."""
    if sku not in state.skus:
        return None
    return answer_availability(state, sku, selection, thresholds, ignored, asker)


def answer_queries(
    state: State,
    request: pb.StreamAvailabilityRequest,
    selection: Selection,
    threshold: int,
    asker: Asker = WEB,
) -> pb.StreamAvailabilityResponse:
    """All queries are for `selection`."""

    def fill(
        query: pb.StreamAvailabilityRequest | pb.AvailabilityQuery,
        answer: pb.StreamAvailabilityResponse | pb.AvailabilityAnswer,
    ) -> None:
        ((answer.status, answer.available),) = available_totals(state, [query.sku], selection, asker)  # type: ignore[assignment]
        answer.query_id, answer.level = query.query_id, _level(answer.available, threshold)  # type: ignore[assignment]

    response = pb.StreamAvailabilityResponse()
    for query in request.queries:
        fill(query, response.answers.add())
    if not request.queries:
        fill(request, response)
    return response


def split_request(message: bytes) -> tuple[list[str], list[int], pb.BatchGetAvailabilityRequest]:
    """The SKUs, the handles, and the request without them. DecodeError as protobuf raises it."""
    request = pb.BatchGetAvailabilityRequest.FromString(message)
    skus, handles = list(request.skus), list(request.handles)
    request.ClearField("skus")
    request.ClearField("handles")
    return skus, handles, request


def read_handles(handles: Sequence[int], known: int) -> list[int] | int:
    """The number of each SKU, -1 for a handle of 0; or the place of the first handle of none of the `known` SKUs."""
    for place, handle in enumerate(handles):
        if handle > known:
            return place
    return [handle - 1 for handle in handles]


def choose_locations(
    groups: Sequence[Sequence[int]],
    day_of: Mapping[tuple[int, frozenset[int]], int],
    cost_of: Mapping[tuple[int, frozenset[int]], int],
    fixed: Sequence[tuple[int, int]],
    least_day: int = 0,
) -> tuple[int, int, int, int] | None:
    """(day, cost, parcels, ranks) of the best of all combinations, each tried; None where none can be had.

    No day counts as earlier than `least_day`.

    `day_of` and `cost_of` by location and set of lines of one group; a set that is missing cannot come from there.
    """
    lines = [line for group in groups for line in group]
    found = []
    for places in product(range(len(fixed)), repeat=len(lines)):
        place_of = dict(zip(lines, places, strict=True))
        parts = [
            (place, frozenset(line for line in group if place_of[line] == place))
            for group in groups
            for place in {place_of[line] for line in group}
        ]
        if all(part in day_of for part in parts):
            used = set(places)
            cost = sum(cost_of[part] for part in parts) + sum(fixed[place][0] for place in used)
            day = max(least_day, *(day_of[part] for part in parts))
            found.append((day, cost, sum(fixed[place][1] for place in used), sum(places)))
    return min(found, default=None)


# what can be promised


def available_to_promise(on_hand: int, safety_stock: int, horizon: Sequence[tuple[int, int]]) -> list[int]:
    """`horizon` has (due in, due out) of each day."""

    def balance(day: int) -> int:
        return on_hand - safety_stock + sum(due_in - due_out for due_in, due_out in horizon[: day + 1])

    days = range(len(horizon))
    return [max(0, min(balance(later) for later in days[day:])) for day in days]


@dataclass(frozen=True)
class Coming:
    """What is expected at a location: day -> units that are pegged to nobody; `safety` of the SKU there."""

    days: Mapping[int, int]
    backordered: int = 0
    safety: tuple[int, int] = (0, 0)


def promisable_steps(
    state: State,
    sku: str,
    selection: Selection,
    arrivals: Mapping[str, Coming],
    ignored: Mapping[str, Ignored] | None = None,
    asker: Asker = WEB,
) -> dict[str, list[tuple[int, int]]]:
    """By usable location (day, units), day 0 being now, of the days that promise more than the one before.

    What a day promises can be taken when all that is due by then has come, and what is promised of it has left, on that
    day and on every later one.
    """
    last = max((day for coming in arrivals.values() for day in coming.days), default=0)
    found = {}
    for location in sorted(state.skus.get(sku, {}).keys() | arrivals.keys()):
        if location not in selection or selection[location].why_not:
            continue
        coming = arrivals.get(location, Coming({}))
        free = (ignored or {}).get(location, Ignored())
        by_day = [
            available_positions(
                _when_come(state, sku, location, coming, free.units, day),
                sku,
                {location: selection[location]},
                ignored,
                asker,
            )[0].available
            for day in range(last + 1)
        ]
        promised = [min(by_day[day:]) for day in range(last + 1)]
        found[location] = [(day, units) for day, units in enumerate(promised) if not day or units > promised[day - 1]]
    return found


def _when_come(state: State, sku: str, location: str, coming: Coming, own: int, day: int) -> State:
    """The position when all that is due by the day has come, and what is pegged or backordered of it has left."""
    before = state.skus.get(sku, {}).get(location, Position())
    over = state.holds_over().get((sku, location), [])
    more = max(0, sum(units for due, units in coming.days.items() if due <= day) - coming.backordered)
    after = Position(
        before.on_hand + more,
        max(before.reserved, own + sum(hold.units for hold in over)),
        safety=(max(before.safety[0], coming.safety[0]), max(before.safety[1], coming.safety[1])),
        counted_at=before.counted_at,
        fences=before.fences,
    )
    return State({sku: {location: after}}, state.holds, state.second)


def choose_for_orders(
    orders: Sequence[tuple[Sequence[tuple[Sequence[int], int]], int]],
    places: Sequence[int],
    days: Sequence[Sequence[Sequence[int | None]]],
    parcels: Sequence[Sequence[Sequence[int]]],
    units: Sequence[Sequence[Sequence[int]]],
) -> list[tuple[int, int, int] | None]:
    """(day, option, cost) of each order, None where no option serves it.

    An order is its lines (sources, units wanted) and its end.
    """
    found = []
    for lines, end in orders:
        options = []
        for option, of_option in enumerate(days[end]):
            there = sorted({places[source] for sources, _ in lines for source in sources})
            day_of, cost_of = {}, {}
            for line, (sources, wanted) in enumerate(lines):
                for source in sources:
                    part = there.index(places[source]), frozenset({line})
                    if of_option[source] is not None:
                        day_of[part], cost_of[part] = of_option[source], units[end][option][places[source]] * wanted
            fixed = [(parcels[end][option][place], 1) for place in there]
            best = choose_locations([[line] for line in range(len(lines))], day_of, cost_of, fixed) if there else None
            if best is not None:
                options.append((best[0], best[1], option))
        day, cost, option = min(options, default=(0, 0, 0))
        found.append((day, option, cost) if options else None)
    return found
