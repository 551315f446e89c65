"""Hypothesis strategies in domain words, from worlds so small that everything meets everything.

A long history draws thousands of items, so strategies are made once, and what is put together of many small parts is
picked from a pool. The ids of items are empty and their times are told from now on: the test fills them in.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations

from hypothesis import strategies as st

from invengine.domain.capacity import is_capacity
from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.kits import KitLine
from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    Future,
    LinePlacement,
    LineRequest,
    LineUnits,
    PlacedRequest,
    Reservation,
    ReservationChange,
    ReservationLine,
    ReserveRequest,
)
from invengine.domain.returns import DisposalLine, DisposalRequest, Disposition, ReturnLineRequest, ReturnRequest
from invengine.domain.snapshots import NOT_COUNTED, CountedSku, Snapshot
from invengine.domain.stock import GONE, UNITS_MAX, ConfidenceRule, FeedMark, Movement, MovementKind

SKUS = ("LAMP", "SOFA", "CHAIR/é 2")
NEW_SKU = "RUG"
LOCATIONS = ("AMS1", "BER1", "PAR1")
CHANNELS = ("web", "till", "app")
FEEDS = ("erp", "till")
LINE_IDS = ("1", "2", "3")

locations = st.sampled_from(["AMS1"] * 4 + ["BER1"] * 2 + ["PAR1"])
channels = st.sampled_from(["web"] * 4 + ["till"] * 2 + ["app"])
skus = st.sampled_from(["LAMP"] * 9 + ["SOFA"] * 4 + [SKUS[2]] * 2 + [NEW_SKU])
units = st.integers(1, 9)
fingerprints = st.sampled_from("AAAAAAAB")
references = st.sampled_from(["", "", "K1", "K2"])
sources = st.sampled_from(["erp", "till 7"])
borrows = st.sampled_from([True] * 3 + [False])
ways = st.sampled_from(
    [
        (way, destination)
        for way in Fulfilment
        if way is not Fulfilment.TRANSFER
        for destination in (Destination(), Destination("NL", "1012 AB"), Destination(location="BER1"))
    ]
)
"""How a line is fulfilled, and where to."""


def rarely(strategy: st.SearchStrategy, otherwise: st.SearchStrategy, one_in: int = 10) -> st.SearchStrategy:
    """`strategy` once in so many draws."""
    return st.integers(1, one_in).flatmap(lambda n: strategy if n == one_in else otherwise)


maybe_revisions = rarely(st.integers(0, 6), st.none())
_SAFETY = ((0, 0), (0, 0), (1, 0), (0, 333), (5, 0), (0, 2_500), (1, 333))
_CONFIDENCE = (
    (),
    (),
    (ConfidenceRule(0, 5, 1, 0),),
    (),
    (ConfidenceRule(15_000, 0, 2, 0), ConfidenceRule(0, 3, 0, 5_000)),
)
candidates = st.sampled_from(
    [
        tuple(
            Candidate(place, *_SAFETY[(7 * n + k) % len(_SAFETY)], _CONFIDENCE[(n + k) % len(_CONFIDENCE)], n == 3)
            for k, place in enumerate(places)
        )
        for n in range(len(_SAFETY))
        for count in (1, 1, 2, 3)
        for places in permutations(LOCATIONS, count)
    ]
)
some_candidates = rarely(st.just(()), candidates, 15)
offsets_ms = rarely(st.integers(-4_000_000, 60_000), st.integers(-20_000, 0), 4)
"""When something happened, from now on: mostly recent, some old, some a little ahead."""


@cache
def futures(today: int) -> st.SearchStrategy[Future | None]:
    """What a line may take that is not on hand: nothing, receipts of the coming days, receipts and backorders."""
    by_day = [Future(today + days) for days in range(-1, 7)]
    return st.sampled_from([*[None] * 5, *by_day, *(Future(0, units) for units in (0, 2, 5, 12, *[20] * 6))])


def placed(line: LineRequest, how: int) -> LineRequest:
    """One line in three as one for which it is decided already how many units come from where."""
    if how % 3 or not line.candidates:
        return line
    parts = [(line.quantity * (k + how + 1)) % 4 for k in range(len(line.candidates))]
    quantity = sum(parts) if how % 2 else min(line.quantity, how)
    return PlacedRequest(
        line.line_id,
        line.sku,
        quantity,
        line.candidates,
        line.fulfilment,
        line.destination,
        line.allow_split,
        line.named_location,
        line.future,
        asked=quantity + how,
        units_at=tuple(parts) if how % 2 and quantity else (),
        kit=KitLine("1 2", "SET é", 3) if how < 4 and not line.future else None,
    )


@cache
def line_requests(today: int) -> st.SearchStrategy[tuple[LineRequest, ...]]:
    """The lines of one basket; several may want the same SKU."""
    part = st.tuples(skus, units, some_candidates, ways, st.booleans(), futures(today), st.integers(0, 8))

    def lines(parts: list[tuple]) -> tuple[LineRequest, ...]:
        made = [
            LineRequest(line_id, sku, quantity, places, *way, may_split, future=future)
            for line_id, (sku, quantity, places, way, may_split, future, _) in zip(LINE_IDS, parts, strict=False)
        ]
        decided = [placed(line, how) for line, (*_, how) in zip(made, parts, strict=True)]
        return tuple(decided if any(line.quantity for line in decided) else made)  # nothing at all is asked by nobody

    return st.lists(part, min_size=1, max_size=3).map(lines)


@cache
def reserve_requests(today: int) -> st.SearchStrategy[ReserveRequest]:
    """Requests to reserve; at times with one or two other choices, which are for the same SKUs."""
    made = st.builds(
        ReserveRequest,
        st.just(""),
        fingerprints,
        st.just(""),
        channels,
        line_requests(today),
        st.sampled_from([1, 3, 8, 20, 40, 300, 100_000]),
        st.booleans(),
        references,
        references,
        references,
        borrows,
    )
    elsewhere = st.lists(st.lists(candidates, min_size=3, max_size=3), min_size=1, max_size=2)
    return st.builds(_with_alternatives, made, rarely(elsewhere, st.just([]), 3))


def _with_alternatives(request: ReserveRequest, elsewhere: list[list[tuple[Candidate, ...]]]) -> ReserveRequest:
    """The request, which may have its lines from these candidates instead."""

    def moved(line: LineRequest, places: tuple[Candidate, ...]) -> LineRequest:
        if not isinstance(line, PlacedRequest) or not line.units_at:
            return replace(line, candidates=places)
        parts = (line.quantity, *(0 for _ in places[1:]))  # all of it from the first
        return replace(line, candidates=places, units_at=parts)

    others = tuple(
        tuple(moved(line, places) for line, places in zip(request.lines, of_lines, strict=False))
        for of_lines in elsewhere
    )
    return replace(request, alternatives=others)


@cache
def transfers(today: int) -> st.SearchStrategy[ReserveRequest]:
    """Transfers from one location to another; several lines may be of one SKU."""

    def made(parts: list[tuple[str, int]], way: tuple[str, str], day: int, fingerprint: str, why: str):
        start, end = way
        lines = tuple(
            LineRequest(
                line_id,
                sku,
                quantity,
                (Candidate(start),),
                Fulfilment.TRANSFER,
                Destination(location=end),
                expected_day=day,
            )
            for line_id, (sku, quantity) in zip(LINE_IDS, parts, strict=False)
        )
        return ReserveRequest("", fingerprint, "", "planner", lines, 0, cart_ref=why, is_transfer=True)

    return st.builds(
        made,
        st.lists(st.tuples(skus, st.integers(1, 6)), min_size=1, max_size=3),
        st.sampled_from([("AMS1", "BER1"), ("AMS1", "BER1"), ("BER1", "AMS1"), ("AMS1", "PAR1")]),
        st.integers(today - 1, today + 6),
        fingerprints,
        references,
    )


line_units = st.builds(
    LineUnits,
    st.sampled_from(["1", "1", "1", "2"] * 5 + ["3", "9"]),
    st.sampled_from(["", "", "", *LOCATIONS]),
    st.sampled_from([0, 0, 1, 2, 3, 9]),
)


@cache
def placements(today: int) -> st.SearchStrategy[tuple[LinePlacement, ...]]:
    """What some lines are to have, or where they are to go."""
    one = st.builds(
        LinePlacement,
        st.sampled_from(["1", "1", "2"] * 7 + ["9"]),
        st.integers(0, 9),
        some_candidates,
        st.booleans(),
        st.sampled_from(["", "AMS1"]),
        futures(today),
        st.sampled_from([(), (), (), (1, 0, 0), (-1, 0, 0), (2, -1, 0), (0, 3, -2), (-2, 1, 1)]),
    )
    return st.lists(one, max_size=2, unique_by=lambda placement: placement.line_id).map(tuple)


@cache
def added_lines(today: int) -> st.SearchStrategy[tuple[LineRequest, ...]]:
    """Lines that an amendment adds."""
    ids = st.sampled_from(["", "", "", "2", "x"])
    part = st.tuples(ids, skus, st.integers(1, 6), candidates, ways, futures(today), st.integers(0, 8))

    def line(parts: tuple) -> LineRequest:
        line_id, sku, quantity, places, way, future, how = parts
        made = LineRequest(line_id, sku, quantity, places, *way, quantity % 2 == 0, "AMS1", future)
        decided = placed(made, how)
        return decided if decided.quantity else made

    return st.lists(part.map(line), max_size=2).map(tuple)


@cache
def reservation_changes(today: int, verb: str = "") -> st.SearchStrategy[ReservationChange]:
    """Changes of reservations; only what `verb` reads differs from change to change."""
    head = (ReservationChange, st.just(""), fingerprints, st.just(""), channels, maybe_revisions)
    if verb in ("ship_transfer", "cancel_transfer", "close_transfer"):
        named = st.lists(line_units.map(lambda units: LineUnits(units.line_id, "", units.quantity)), max_size=2)
        return st.builds(
            *head[:4],
            st.just("planner"),
            maybe_revisions,
            lines=named.map(tuple) if verb == "ship_transfer" else st.just(()),
            expected_day=st.sampled_from([0, 0, today + 1, today + 4]) if verb == "ship_transfer" else st.just(0),
        )
    if verb in ("amend", "rebind"):
        return st.builds(
            *head,
            placements=placements(today),
            added=added_lines(today) if verb == "amend" else st.just(()),
            borrows=borrows,
        )
    if verb == "hand_over":
        return st.builds(
            *head,
            time_to_live_seconds=st.sampled_from([0, 0, 1, 10, 40]),
            to_channel=st.sampled_from(["", *CHANNELS]),
            to_customer_ref=references,
            borrows=borrows,
        )
    if verb == "fulfil":
        now = st.builds(*head, st.lists(line_units, max_size=2).map(tuple))
        earlier = st.builds(*head, st.tuples(line_units), left_at_ms=st.integers(-20_000, -1), reason=references)
        return st.one_of(now, now, earlier)
    return st.builds(*head, st.lists(line_units, max_size=2).map(tuple), st.integers(1, 40), references)


_KINDS = [
    *MovementKind,
    *[MovementKind.RECEIPT, MovementKind.SALE, MovementKind.COUNT] * 2,
    *[MovementKind.RING_FENCE] * 4,
    *[MovementKind.STATE_CHANGE] * 4,
]
STATES = ("quarantine", "damaged")
_shelves = st.sampled_from(["", "", "quarantine", "quarantine", "damaged"])
"""Units on hand, or in a state."""
_ways = st.sampled_from(
    [(one, other) for one in ("", *STATES) for other in ("", *STATES, GONE) if one != other] + [("quarantine", "")] * 3
)
"""From where to where a state change takes units."""

_QUANTITIES = {
    MovementKind.ADJUSTMENT: st.integers(-15, 15).filter(bool),
    MovementKind.COUNT: st.integers(0, 25),
    MovementKind.RING_FENCE: st.sampled_from([-9, -3, -1, 1, 2, 4, 7, 12]),
}


feed_marks = st.builds(FeedMark, st.sampled_from(FEEDS), st.integers(1, 120), st.just("erp"), st.text("ab", max_size=2))


@st.composite
def movements(draw: st.DrawFn) -> Movement:
    """One movement."""
    kind = draw(st.sampled_from(_KINDS))
    quantity, channel, way = draw(_QUANTITIES.get(kind, units)), "", ("", "")
    if kind is MovementKind.SALE:
        channel = draw(st.sampled_from(["", *CHANNELS]))
    elif kind is MovementKind.RING_FENCE:
        channel = draw(channels)
    elif kind is MovementKind.STATE_CHANGE:
        way = draw(_ways)
    else:
        way = draw(_shelves), ""
    if kind is not MovementKind.RING_FENCE and draw(st.integers(1, 40)) == 40:
        quantity = draw(st.sampled_from([UNITS_MAX, UNITS_MAX - 1, UNITS_MAX // 2]))
    return Movement(
        draw(sources),
        "",
        draw(offsets_ms),
        kind,
        draw(skus),
        draw(locations),
        quantity,
        "broken" if kind is MovementKind.ADJUSTMENT else "",
        draw(references),
        draw(maybe_revisions),
        channel,
        *way,
        draw(rarely(feed_marks, st.none(), 3)),
    )


counted_skus = st.one_of(
    st.builds(
        CountedSku,
        skus,
        rarely(st.just(NOT_COUNTED), st.integers(0, 25), 5),
        st.sampled_from([(), ("K1",), ("K2", "K1")]),
    ),
    st.builds(CountedSku, skus, st.integers(0, 9), state=st.sampled_from(STATES)),
)
snapshots = st.tuples(
    st.builds(Snapshot, sources, st.just(""), locations, offsets_ms, st.booleans()),
    st.lists(counted_skus, min_size=1, max_size=4, unique_by=lambda row: (row.sku, row.state)),
)
"""A snapshot and some of its rows."""

any_receipt = st.tuples(skus, locations, st.sampled_from(["PO 1", "PO 1", "PO 2"]))


@cache
def incoming_changes(today: int, kind: IncomingKind) -> st.SearchStrategy[IncomingChange]:
    """Events of the schedule, of a receipt that the test names."""
    days, revisions = st.integers(today - 2, today + 6), {"expected_revision": maybe_revisions}
    head = (IncomingChange, sources, st.just(""), st.just(kind), st.just(""), st.just(""), st.just(""))
    if kind is IncomingKind.SET:
        return st.builds(*head, st.integers(1, 15), days, **revisions)
    if kind is IncomingKind.SLIP:
        return st.builds(*head, expected_day=days, **revisions)
    if kind is IncomingKind.CANCEL:
        return st.builds(*head, **revisions)
    arrived = st.one_of(st.tuples(st.integers(1, 12), st.just(False)), st.tuples(st.integers(0, 12), st.just(True)))
    much = rarely(st.just((UNITS_MAX, False)), arrived, 40)
    return st.builds(
        lambda source, units, at, revision: IncomingChange(
            source, "", kind, "", "", "", units[0], 0, units[1], at, revision
        ),
        sources,
        much,
        offsets_ms,
        maybe_revisions,
    )


def fulfilled_of(line: ReservationLine) -> int:
    """Units of a line that left."""
    return sum(leg.fulfilled for leg in line.allocations)


@st.composite
def return_requests(draw: st.DrawFn, reservation: Reservation | None) -> ReturnRequest:
    """What comes back: mostly what left by the reservation, which it names, or its order, or neither."""
    left = [line for line in reservation.lines if fulfilled_of(line)] if reservation else []
    gone = [(line.sku, fulfilled_of(line)) for line in left if not is_capacity(line.sku)]  # no request can name a slot
    lines = []
    for line_id in LINE_IDS[: draw(st.sampled_from([1, 1, 2, 3]))]:
        sku, most = draw(st.sampled_from(gone)) if gone and draw(st.integers(0, 7)) else (draw(skus), 9)
        quantity = draw(st.integers(1, most + 1)) if draw(st.integers(0, 5)) else 1
        lines.append(ReturnLineRequest(line_id, sku, quantity, draw(_shelves), "too small"))
    if draw(st.integers(1, 40)) == 40:
        lines = [replace(lines[0], quantity=UNITS_MAX)]  # alone: sums beyond it are not exact in the functions
    named = reservation.reservation_id if reservation and draw(st.integers(0, 2)) else ""
    order_ref = "" if named else draw(references)
    head = ("", draw(fingerprints), "", draw(channels), draw(locations))
    return ReturnRequest(*head, tuple(lines), named, order_ref, draw(offsets_ms))


_decisions = st.sampled_from(
    [(Disposition.RESTOCK, "")] * 3 + [(Disposition.SCRAP, "")] * 2 + [(Disposition.MOVE, state) for state in STATES]
)


@st.composite
def disposal_requests(draw: st.DrawFn, states: tuple[tuple[str, str], ...]) -> DisposalRequest:
    """What becomes of lines of a return; `states` are (line_id, state) of its lines."""
    lines = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        line_id, state = draw(rarely(st.just(("9", "")), st.sampled_from(states or (("1", ""),)), 12))
        disposition, to_state = draw(_decisions)
        if to_state and to_state == state:
            disposition, to_state = Disposition.RESTOCK, ""
        lines.append(DisposalLine(line_id, draw(st.sampled_from([0, 0, 1, 1, 1, 2, 5])), disposition, to_state, "seen"))
    return DisposalRequest("", draw(fingerprints), "", draw(channels), tuple(lines))
