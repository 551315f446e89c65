"""Hypothesis strategies in domain words, from worlds so small that everything meets everything."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from invengine.domain.incoming import SECONDS_OF_DAY, IncomingChange, IncomingKind
from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    Future,
    LinePlacement,
    LineRequest,
    LineUnits,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.stock import UNITS_MAX, Movement, MovementKind

SKUS = ("LAMP", "SOFA", "CHAIR/é 2")
NEW_SKU = "RUG"
LOCATIONS = ("AMS1", "BER1", "PAR1")
CHANNELS = ("web", "till", "app")
LINE_IDS = ("1", "2", "3")
RECEIPTS = ("PO 1", "PO 2")

locations = st.sampled_from(LOCATIONS)
channels = st.sampled_from(CHANNELS)
skus = st.sampled_from([*SKUS] * 6 + [NEW_SKU])
units = st.integers(1, 12)
fingerprints = st.sampled_from("AAAAAAAB")
references = st.sampled_from(["", "", "K1", "K2"])
borrows = st.sampled_from([True] * 3 + [False])
destinations = st.sampled_from([Destination(), Destination("NL", "1012 AB"), Destination(location="BER1")])


def rarely(strategy: st.SearchStrategy, otherwise: st.SearchStrategy, one_in: int = 10) -> st.SearchStrategy:
    """`strategy` once in so many draws."""
    return st.integers(1, one_in).flatmap(lambda n: strategy if n == one_in else otherwise)


maybe_revisions = rarely(st.integers(0, 6), st.none())

candidates = st.lists(
    st.builds(Candidate, locations, st.sampled_from([0, 0, 0, 1, 5]), st.sampled_from([0, 0, 0, 333, 2_500])),
    min_size=1,
    max_size=3,
    unique_by=lambda candidate: candidate.location,
).map(tuple)


def today(now_ms: int) -> int:
    """The day since 1970."""
    return now_ms // 1000 // SECONDS_OF_DAY


def futures(now_ms: int) -> st.SearchStrategy[Future | None]:
    """What a line may take that is not on hand: nothing, receipts of the coming days, receipts and backorders."""
    return st.one_of(
        st.none(),
        st.builds(Future, st.integers(-1, 6).map(lambda days: today(now_ms) + days)),
        st.builds(Future, st.just(0), st.sampled_from([0, 2, 5, 20])),
    )


@st.composite
def line_requests(draw: st.DrawFn, now_ms: int) -> tuple[LineRequest, ...]:
    """The lines of one basket; several may want the same SKU."""
    return tuple(
        LineRequest(
            line_id,
            draw(skus),
            draw(units),
            draw(rarely(st.just(()), candidates)),
            draw(st.sampled_from(Fulfilment)),
            draw(destinations),
            draw(st.booleans()),
            future=draw(futures(now_ms)),
        )
        for line_id in LINE_IDS[: draw(st.integers(1, 3))]
    )


def reserve_requests(
    request_ids: st.SearchStrategy[str], reservation_ids: st.SearchStrategy[str], now_ms: int
) -> st.SearchStrategy[ReserveRequest]:
    """Requests to reserve with ids of the test's choice."""
    return st.builds(
        ReserveRequest,
        request_ids,
        fingerprints,
        reservation_ids,
        channels,
        line_requests(now_ms),
        st.integers(1, 40),
        st.booleans(),
        references,
        references,
        references,
        borrows,
    )


line_units = st.builds(
    LineUnits,
    rarely(st.just("9"), st.sampled_from(LINE_IDS)),
    st.one_of(st.just(""), st.just(""), locations),
    st.sampled_from([0, 0, 1, 2, 3, 9]),
)


def placements(now_ms: int) -> st.SearchStrategy[tuple[LinePlacement, ...]]:
    """What some lines are to have, or where they are to go."""
    one = st.builds(
        LinePlacement,
        rarely(st.just("9"), st.sampled_from(LINE_IDS[:2]), 15),
        st.integers(0, 12),
        rarely(st.just(()), candidates),
        st.booleans(),
        st.sampled_from(["", "AMS1"]),
        futures(now_ms),
    )
    return st.lists(one, max_size=2, unique_by=lambda placement: placement.line_id).map(tuple)


def added_lines(now_ms: int) -> st.SearchStrategy[tuple[LineRequest, ...]]:
    """Lines that an amendment adds."""
    one = st.builds(
        LineRequest,
        st.sampled_from(["", "", "", "2", "x"]),
        skus,
        st.integers(1, 6),
        candidates,
        st.sampled_from(Fulfilment),
        destinations,
        st.booleans(),
        st.sampled_from(["", "AMS1"]),
        futures(now_ms),
    )
    return st.lists(one, max_size=2).map(tuple)


def reservation_changes(
    request_ids: st.SearchStrategy[str], reservation_ids: st.SearchStrategy[str], now_ms: int, verb: str = ""
) -> st.SearchStrategy[ReservationChange]:
    """Changes of reservations with ids of the test's choice; only what `verb` reads differs from change to change."""
    if verb in ("amend", "rebind"):
        return st.builds(
            ReservationChange,
            request_ids,
            fingerprints,
            reservation_ids,
            channels,
            maybe_revisions,
            placements=placements(now_ms),
            added=added_lines(now_ms) if verb == "amend" else st.just(()),
            borrows=borrows,
        )
    if verb == "hand_over":
        return st.builds(
            ReservationChange,
            request_ids,
            fingerprints,
            reservation_ids,
            channels,
            maybe_revisions,
            time_to_live_seconds=st.sampled_from([0, 0, 1, 10, 40]),
            to_channel=st.sampled_from(["", *CHANNELS]),
            to_customer_ref=references,
            borrows=borrows,
        )
    return st.builds(
        ReservationChange,
        request_ids,
        fingerprints,
        reservation_ids,
        channels,
        maybe_revisions,
        st.lists(line_units, max_size=2).map(tuple),
        st.integers(1, 40),
        references,
    )


@st.composite
def movements(draw: st.DrawFn, event_ids: st.SearchStrategy[str], now_ms: int) -> Movement:
    """One movement around `now_ms`: mostly recent, some old, some a little ahead."""
    kind = draw(st.sampled_from([*MovementKind, MovementKind.RING_FENCE]))
    channel = ""
    quantity = draw(st.integers(1, 20))
    if kind is MovementKind.ADJUSTMENT:
        quantity = draw(st.integers(-15, 15).filter(bool))
    elif kind is MovementKind.COUNT:
        quantity = draw(st.integers(0, 25))
    elif kind is MovementKind.SALE:
        channel = draw(st.sampled_from(["", *CHANNELS]))
    elif kind is MovementKind.RING_FENCE:
        channel, quantity = draw(channels), draw(st.sampled_from([-9, -3, -1, 1, 2, 4, 7, 12]))
    if kind is not MovementKind.RING_FENCE:
        quantity = draw(rarely(st.sampled_from([UNITS_MAX, UNITS_MAX - 1, UNITS_MAX // 2]), st.just(quantity), 40))
    return Movement(
        draw(st.sampled_from(["erp", "till 7"])),
        draw(event_ids),
        now_ms + draw(rarely(st.integers(-4_000_000, 60_000), st.integers(-20_000, 0), 5)),
        kind,
        draw(skus),
        draw(locations),
        quantity,
        "broken" if kind is MovementKind.ADJUSTMENT else "",
        draw(references),
        draw(maybe_revisions),
        channel,
    )


@st.composite
def incoming_changes(
    draw: st.DrawFn, request_ids: st.SearchStrategy[str], now_ms: int, known: list[tuple[str, str, str]]
) -> IncomingChange:
    """One event of the schedule, mostly of a receipt that is `known` (SKU, location, receipt_id)."""
    anywhere = st.tuples(skus, locations, st.sampled_from(RECEIPTS))
    sku, location, receipt_id = draw(rarely(anywhere, st.sampled_from(known), 4) if known else anywhere)
    kind = draw(st.sampled_from(IncomingKind)) if known else IncomingKind.SET
    change = IncomingChange(
        draw(st.sampled_from(["erp", "till 7"])), draw(request_ids), kind, sku, location, receipt_id
    )
    day = today(now_ms) + draw(st.integers(-2, 6))
    revision = draw(maybe_revisions)
    if kind is IncomingKind.SET:
        return replace(change, quantity=draw(st.integers(1, 15)), expected_day=day, expected_revision=revision)
    if kind is IncomingKind.SLIP:
        return replace(change, expected_day=day, expected_revision=revision)
    if kind is IncomingKind.CANCEL:
        return replace(change, expected_revision=revision)
    closes = draw(rarely(st.just(True), st.just(False), 4))
    quantity = draw(rarely(st.just(UNITS_MAX), st.integers(0 if closes else 1, 12), 40))
    at = now_ms + draw(rarely(st.integers(-4_000_000, 60_000), st.integers(-20_000, 0), 5))
    return replace(change, quantity=quantity, closes=closes, occurred_at_ms=at, expected_revision=revision)
