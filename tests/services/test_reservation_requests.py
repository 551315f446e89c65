"""From messages to what the store takes: defaults, fingerprints, candidates, times to live."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.network import Network
from invengine.domain.orders import (
    Allocation,
    Candidate,
    Destination,
    Fulfilment,
    Future,
    Reservation,
    ReservationLine,
    ReservationState,
)
from invengine.errors import InvalidArgument, LocationNotUsable, TimeToLiveTooLong
from invengine.services import validation
from invengine.services.reservation_amendments import (
    check_amend,
    check_hand_over,
    check_rebind,
    resolve_amend,
    resolve_hand_over,
    resolve_rebind,
)
from invengine.services.reservation_ids import ANYWHERE
from invengine.services.reservation_requests import (
    check_change,
    check_create,
    impossible,
    resolve,
)
from invengine.services.reservations import STATES
from invengine.services.sourcing import Sourcing
from invengine.services.stock import KINDS
from invengine.v1 import common_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import NETWORK, create


class Untouched:
    """What sourcing by priority does not look at."""


untouched: Any = Untouched()
sourcing = Sourcing(untouched, untouched)
network = Network.parse(NETWORK + "safety_stock:\n  - {sku: LAMP, units: 3}\n  - {location: LON, percent: 10}\n")


def test_what_is_left_out_gets_its_default() -> None:
    request = resolve(check_create(create("r")), network, sourcing)
    assert request.reservation_id == ANYWHERE.derived("web", "r", "LAMP")
    assert request.time_to_live_seconds == 15 * 60
    assert not request.best_effort
    (line,) = request.lines
    assert (line.line_id, line.fulfilment, line.destination) == ("1", Fulfilment.ANY, Destination())
    assert line.candidates == (Candidate("DC", 3, 0), Candidate("LON", 3, 1000))
    assert line.named_location == ""


def test_a_named_location_is_the_only_candidate_and_is_repeated_by_refusals() -> None:
    (line,) = resolve(check_create(create("r", line={"location": "LON"})), network, sourcing).lines
    assert [candidate.location for candidate in line.candidates] == ["LON"]
    assert line.named_location == "LON"


def test_ship_to_store_takes_from_who_ships_and_goes_where_pickup_is() -> None:
    to_store = {
        "fulfilment": common_pb2.FULFILMENT_SHIP_TO_STORE,
        "destination": common_pb2.Destination(location="LON", country="GB", postal_code="N1 9GU"),
    }
    (line,) = resolve(check_create(create("r", line=to_store)), network, sourcing).lines
    assert line.destination == Destination("GB", "N1 9GU", "LON")
    to_store["destination"] = common_pb2.Destination(location="DC")
    checked = check_create(create("r", line=to_store))
    with pytest.raises(LocationNotUsable, match="CANNOT_FULFIL"):
        resolve(checked, network, sourcing)


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"), [(1, 0, 1), (0, 1, 1), (1, 1, 2), (7200, 0, 7200), (7199, 999_999_999, 7200)]
)
def test_a_time_to_live_is_rounded_up(seconds: int, nanos: int, expected: int) -> None:
    request = create("r", time_to_live=Duration(seconds=seconds, nanos=nanos))
    assert resolve(check_create(request), network, sourcing).time_to_live_seconds == expected


def test_a_time_to_live_beyond_the_channels_longest_is_refused() -> None:
    checked = check_create(create("r", time_to_live=Duration(seconds=7200, nanos=1)))
    with pytest.raises(TimeToLiveTooLong, match="7200 s at most, not 7201 s"):
        resolve(checked, network, sourcing)


def test_an_impossible_request_keeps_what_a_repeat_is_known_by_and_has_no_candidates() -> None:
    checked = check_create(create("r", quantity=3))
    asked, real = impossible(checked), resolve(checked, network, sourcing)
    assert (asked.request_id, asked.fingerprint, asked.channel) == (real.request_id, real.fingerprint, real.channel)
    assert [line.candidates for line in asked.lines] == [()]


DAY = common_pb2.Date(year=2030, month=2, day=1)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"reservation_id": "x"},
    {"quantity": 2},
    {"sku": "SOFA"},
    {"policy": 2},
    {"time_to_live": Duration(seconds=900)},
    {"customer_ref": "x"},
    {"order_ref": "x"},
    {"cart_ref": "x"},
    {"line": {"line_id": "x"}},
    {"line": {"location": "x"}},
    {"line": {"group": "x"}},
    {"line": {"fulfilment": 1}},
    {"line": {"allow_split": True}},
    {"line": {"allow_backorder": True}},
    {"line": {"allow_backorder": True, "needed_by": DAY}},
    {"line": {"allow_backorder": True, "needed_by": common_pb2.Date(year=2030, month=2, day=2)}},
    {"max_parcels": 1},
    {"line": {"destination": common_pb2.Destination(country="GB")}},
    {"line": {"destination": common_pb2.Destination(postal_code="GB")}},
    {"line": {"destination": common_pb2.Destination(location="GB")}},
]


def fingerprint(**given: Any) -> str:
    return check_create(create("r", **given)).fingerprint


def test_every_part_of_the_content_is_in_the_fingerprint() -> None:
    assert len({fingerprint(**variant) for variant in VARIANTS}) == len(VARIANTS)
    two = create("r")
    two.lines.append(pb.ReservationLineRequest(sku="LAMP", quantity=1))
    assert check_create(two).fingerprint != fingerprint()


def test_what_means_the_same_has_the_same_fingerprint() -> None:
    same = [
        {},
        {"policy": 1},
        {"line": {"line_id": "1"}},
        {"line": {"destination": common_pb2.Destination()}},
    ]
    assert len({fingerprint(**variant) for variant in same}) == 1
    assert check_create(create("other")).fingerprint == fingerprint()


def test_verbs_have_fingerprints_of_their_own() -> None:
    whole = {"request_id": "r", "reservation_id": "res", "channel": "web"}
    made = {
        check_change(kind(**whole), verb).fingerprint
        for verb, kind in (
            ("confirm", pb.ConfirmReservationRequest),
            ("extend", pb.ExtendReservationRequest),
            ("release", pb.ReleaseReservationRequest),
            ("fulfil", pb.FulfilReservationRequest),
        )
    }
    made |= {
        check_change(pb.ReleaseReservationRequest(**whole, expected_revision=0), "release").fingerprint,
        check_change(pb.ReleaseReservationRequest(**whole, lines=[pb.LineUnits(line_id="1")]), "release").fingerprint,
    }
    assert len(made) == 6


AMENDMENT: dict[str, Any] = {"line_id": "1", "quantity": 2}
ADDED: dict[str, Any] = {"line_id": "2", "sku": "LAMP", "quantity": 2}


def test_every_part_of_an_amendment_is_in_its_fingerprint() -> None:
    whole = {"request_id": "r", "reservation_id": "res", "channel": "web"}
    more: tuple[dict[str, Any], ...] = (
        {},
        {"line_id": "x"},
        {"location": "x"},
        {"group": "x"},
        {"allow_split": True},
        {"allow_backorder": True},
        {"allow_backorder": True, "needed_by": DAY},
    )
    amendments = [
        pb.AmendReservationRequest(**whole, lines=[pb.LineAmendment(**AMENDMENT | given)])
        for given in (*more, {"quantity": 3})
    ]
    amendments += [
        pb.AmendReservationRequest(**whole, expected_revision=1, lines=[pb.LineAmendment(**AMENDMENT)]),
        pb.AmendReservationRequest(**whole, added_lines=[pb.ReservationLineRequest(**ADDED)]),
        pb.AmendReservationRequest(**whole, added_lines=[pb.ReservationLineRequest(**ADDED | {"line_id": ""})]),
        pb.AmendReservationRequest(
            **whole, lines=[pb.LineAmendment(**AMENDMENT)], added_lines=[pb.ReservationLineRequest(**ADDED)]
        ),
    ]
    rebindings = [
        pb.RebindReservationRequest(**whole, lines=[pb.LineRebinding(**{"line_id": "1"} | given)]) for given in more
    ]
    hand_overs = [
        pb.HandOverReservationRequest(**whole, **given)
        for given in (
            {"to_channel": "x"},
            {"to_customer_ref": "x"},
            {"to_channel": "x", "to_customer_ref": "x"},
            {"to_channel": "x", "time_to_live": Duration(seconds=1)},
            {"to_channel": "x", "expected_revision": 1},
        )
    ]
    made = [check_amend(message).fingerprint for message in amendments]
    made += [check_rebind(message).fingerprint for message in rebindings]
    made += [check_hand_over(message).fingerprint for message in hand_overs]
    assert len(set(made)) == len(amendments) + len(rebindings) + len(hand_overs)


def reservation(*lines: ReservationLine) -> Reservation:
    return Reservation("res", ReservationState.HELD, "web", 0, 60, 7, lines)


def lamp(line_id: str, *allocations: Allocation, fulfilment: Fulfilment = Fulfilment.ANY) -> ReservationLine:
    return ReservationLine(line_id, "LAMP", 4, fulfilment, Destination(), allocations)


def test_an_amendment_is_resolved_for_the_revision_that_was_seen() -> None:
    """Only a line that is raised is given candidates; with nothing seen, it is for a revision that never is."""
    message = pb.AmendReservationRequest(request_id="r", reservation_id="res", channel="web")
    for line_id, quantity in (("more", 5), ("less", 3), ("fulfilled", 4), ("unknown", 9)):
        message.lines.add(line_id=line_id, quantity=quantity)
    checked = check_amend(message)
    gone = lamp("fulfilled", Allocation("DC", 4, fulfilled=4))
    seen = reservation(lamp("more", Allocation("DC", 4)), lamp("less", Allocation("DC", 4)), gone)
    change = resolve_amend(checked, seen, network, sourcing)
    assert change.expected_revision == 7
    assert [bool(placement.candidates) for placement in change.placements] == [True, False, False, False]
    assert resolve_amend(checked, None, network, sourcing).expected_revision == 0


def test_rebinding_without_a_line_is_of_every_line_with_open_units() -> None:
    message = pb.RebindReservationRequest(request_id="r", reservation_id="res", channel="web")
    message.lines.add(location="LON")
    gone = lamp("fulfilled", Allocation("DC", 4, fulfilled=4), fulfilment=Fulfilment.PICKUP)
    seen = reservation(lamp("a", Allocation("DC", 4)), gone, lamp("b", Allocation("DC", 4, released=3)))
    placements = resolve_rebind(check_rebind(message), seen, network, sourcing).placements
    assert [placement.line_id for placement in placements] == ["a", "b"]
    assert {placement.candidates for placement in placements} == {(Candidate("LON", 3, 1000),)}


ALLOWANCES = Network.parse(
    NETWORK.replace("groups: [stores], enabled", "groups: [stores], borrow: false, enabled")
    + "backorders:\n  - {sku: LAMP, units: 5}\n  - {sku: LAMP, channel: web, units: 8}\n"
)


def test_a_line_that_may_wait_gets_the_allowance_of_its_channel_unless_it_has_a_day() -> None:
    """A backorder has no day, so a line that is needed by one cannot be backordered."""

    def future(**line: Any) -> Future | None:
        return resolve(check_create(create("r", line=line)), ALLOWANCES, sourcing).lines[0].future

    assert future() is None
    assert future(allow_backorder=True) == Future(0, 8)
    assert future(allow_backorder=True, needed_by=DAY) == Future(21946, 0)
    other = check_create(create("r", sku="SOFA", line={"allow_backorder": True}))
    assert resolve(other, ALLOWANCES, sourcing).lines[0].future == Future(0, 0)


def test_what_an_amendment_and_a_rebinding_take_may_wait_as_they_say() -> None:
    """What the line was reserved with does not matter."""
    waiting = replace(lamp("1", Allocation("DC", 4)), future=Future())
    seen = reservation(waiting, lamp("2", Allocation("DC", 4)))
    whole = {"request_id": "r", "reservation_id": "res", "channel": "web"}
    amendment = pb.AmendReservationRequest(**whole)
    amendment.lines.add(line_id="1", quantity=9)
    amendment.lines.add(line_id="2", quantity=9, allow_backorder=True)
    amendment.added_lines.add(sku="LAMP", quantity=1, allow_backorder=True, needed_by=DAY)
    change = resolve_amend(check_amend(amendment), seen, ALLOWANCES, sourcing)
    assert [placement.future for placement in change.placements] == [None, Future(0, 8)]
    assert [line.future for line in change.added] == [Future(21946, 0)]
    rebinding = pb.RebindReservationRequest(**whole)
    rebinding.lines.add(allow_backorder=True, needed_by=DAY)
    change = resolve_rebind(check_rebind(rebinding), seen, ALLOWANCES, sourcing)
    assert [placement.future for placement in change.placements] == [Future(21946, 0)] * 2


def test_whether_a_channel_borrows_comes_from_the_network() -> None:
    ours = Network.parse(ALLOWANCES.document.replace("borrow: false, enabled: false", "borrow: false"))
    assert resolve(check_create(create("r")), ours, sourcing).borrows
    assert not resolve(check_create(create("r", channel="closed")), ours, sourcing).borrows
    whole = {"request_id": "r", "reservation_id": "res"}
    given_to = {"web": "closed", "closed": "web"}
    hand_overs = [
        resolve_hand_over(check_hand_over(pb.HandOverReservationRequest(**whole, channel=one, to_channel=other)), ours)
        for one, other in given_to.items()
    ]
    assert [change.borrows for change in hand_overs] == [False, True]
    for channel, borrows in (("web", True), ("closed", False)):
        amendment = pb.AmendReservationRequest(**whole, channel=channel, lines=[pb.LineAmendment(line_id="1")])
        assert resolve_amend(check_amend(amendment), None, ours, sourcing).borrows is borrows


@given(st.text(max_size=70))
def test_the_quick_look_at_an_id_never_contradicts_the_slow_one(text: str) -> None:
    if text and validation.is_plain(text):
        assert validation.problem_of_text(text) == ""


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3), st.text(min_size=1, max_size=50))
def test_a_page_token_opens_with_its_own_filter_only(one: list[str], other: list[str], cursor: str) -> None:
    token = validation.page_token(tuple(one), cursor)
    assert validation.cursor_of("page_token", token, tuple(one)) == cursor
    if one != other:
        with pytest.raises(InvalidArgument):
            validation.cursor_of("page_token", token, tuple(other))


def test_numbers_of_the_contract_mean_what_the_tables_say() -> None:
    states = pb.Reservation.State.items()
    assert {name.removeprefix("STATE_"): number for name, number in states if number} == {
        str(state): number for number, state in enumerate(STATES) if state
    }
    kinds = stock_service_pb2.Movement.Kind.items()
    assert {name.removeprefix("KIND_"): number for name, number in kinds if number} == {
        str(kind): number for number, kind in enumerate(KINDS) if kind
    }
