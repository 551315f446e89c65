"""Hypothesis strategies in domain words, from worlds so small that everything meets everything."""

from __future__ import annotations

from hypothesis import strategies as st

from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
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
CHANNELS = ("web", "till")
LINE_IDS = ("1", "2", "3")

locations = st.sampled_from(LOCATIONS)
channels = st.sampled_from(CHANNELS)
skus = st.sampled_from([*SKUS] * 6 + [NEW_SKU])
units = st.integers(1, 12)
fingerprints = st.sampled_from("AAAAAAAB")
references = st.sampled_from(["", "", "K1", "K2"])
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


@st.composite
def line_requests(draw: st.DrawFn) -> tuple[LineRequest, ...]:
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
        )
        for line_id in LINE_IDS[: draw(st.integers(1, 3))]
    )


def reserve_requests(
    request_ids: st.SearchStrategy[str], reservation_ids: st.SearchStrategy[str]
) -> st.SearchStrategy[ReserveRequest]:
    """Requests to reserve with ids of the test's choice."""
    return st.builds(
        ReserveRequest,
        request_ids,
        fingerprints,
        reservation_ids,
        channels,
        line_requests(),
        st.integers(1, 40),
        st.booleans(),
        references,
        references,
        references,
    )


line_units = st.builds(
    LineUnits,
    rarely(st.just("9"), st.sampled_from(LINE_IDS)),
    st.one_of(st.just(""), st.just(""), locations),
    st.sampled_from([0, 0, 1, 2, 3, 9]),
)


placements = st.lists(
    st.builds(
        LinePlacement,
        rarely(st.just("9"), st.sampled_from(LINE_IDS[:2]), 15),
        st.integers(0, 12),
        rarely(st.just(()), candidates),
        st.booleans(),
        st.sampled_from(["", "AMS1"]),
    ),
    max_size=2,
    unique_by=lambda placement: placement.line_id,
).map(tuple)

added_lines = st.lists(
    st.builds(
        LineRequest,
        st.sampled_from(["", "", "", "2", "x"]),
        skus,
        st.integers(1, 6),
        candidates,
        st.sampled_from(Fulfilment),
        destinations,
        st.booleans(),
        st.sampled_from(["", "AMS1"]),
    ),
    max_size=2,
).map(tuple)


def reservation_changes(
    request_ids: st.SearchStrategy[str], reservation_ids: st.SearchStrategy[str], verb: str = ""
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
            placements=placements,
            added=added_lines if verb == "amend" else st.just(()),
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
    kind = draw(st.sampled_from([k for k in MovementKind if k != 'RING_FENCE']))
    quantity = draw(st.integers(1, 20))
    if kind is MovementKind.ADJUSTMENT:
        quantity = draw(st.integers(-15, 15).filter(bool))
    elif kind is MovementKind.COUNT:
        quantity = draw(st.integers(0, 40))
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
    )
