"""Amendments and rebindings by a sourcing profile: what they take is planned, what they give back is there for it."""

from __future__ import annotations

from typing import Any

import pytest

from invengine.v1 import admin_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.by_profile import NETWORK, activate, basket, open_shop, places, places_of, put, reserved
from tests.rpc.engines import Stubs, refused

pytestmark = pytest.mark.asyncio

FEW = "name: few\ncosts: {parcel: 100}\nweights: {handling: 0}\n"
"""Fewest parcels, whatever they cost."""


async def rebind(stubs: Stubs, name: str, *lines: Any, profile: str = "cheap", of: str = "R") -> pb.Reservation:
    message = pb.RebindReservationRequest(
        request_id=name, reservation_id=of, channel="web", lines=lines or [{}], profile=profile
    )
    return (await stubs.reservations.RebindReservation(message)).reservation


async def amend(stubs: Stubs, name: str, *lines: Any, profile: str = "cheap", **more: Any) -> pb.Reservation:
    message = pb.AmendReservationRequest(
        request_id=name, reservation_id="R", channel="web", lines=lines, profile=profile, **more
    )
    return (await stubs.reservations.AmendReservation(message)).reservation


async def adds_up(stubs: Stubs) -> None:
    assert (await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())).violations_count == 0


async def test_lines_without_a_place_are_sourced_anew(stubs_of_both: Stubs) -> None:
    """Where the profile says that they are best, all together in one parcel; elsewhere they go by priority."""
    stubs = stubs_of_both
    await open_shop(stubs)
    assert await places(stubs, basket("R", ("LAMP", 2), ("CHAIR", 1), profile="")) == [[("A", 2)], [("A", 1)]]
    assert places_of(await rebind(stubs, "1")) == [[("B", 2)], [("B", 1)]]
    assert places_of(await rebind(stubs, "2", {"line_id": "2", "group": "stores"}, profile="far")) == [
        [("B", 2)],
        [("C", 1)],
    ]
    assert places_of(await rebind(stubs, "3", profile="")) == [[("A", 2)], [("A", 1)]]
    assert (await reserved(stubs), await reserved(stubs, "CHAIR")) == ((2, 0, 0), (1, 0, 0))
    await adds_up(stubs)


async def test_units_that_are_given_back_are_there_for_the_new_plan(stubs_of_both: Stubs) -> None:
    """B has no lamp but those of the reservation: it keeps them there, and a line that is elsewhere comes to them."""
    stubs = stubs_of_both
    await open_shop(stubs, {"LAMP": (4, 2, 4), "CHAIR": (4, 4, 0)})
    at = [{"sku": "LAMP", "quantity": 2, "location": "B"}, {"sku": "CHAIR", "quantity": 1, "location": "A"}]
    assert await places(stubs, basket("R", *at, profile="")) == [[("B", 2)], [("A", 1)]]
    assert places_of(await rebind(stubs, "1")) == [[("B", 2)], [("B", 1)]]
    split = {"sku": "LAMP", "quantity": 7, "allow_split": True}
    assert await places(stubs, basket("S", split)) == [[("A", 4), ("C", 3)]]
    whole = await refused(stubs.reservations.CreateReservation(basket("T", ("LAMP", 2))))
    assert whole.metadata["available"] == "1"
    assert places_of(await rebind(stubs, "2", profile="near")) == [[("B", 2)], [("B", 1)]]
    await adds_up(stubs)


async def test_units_that_are_added_are_planned_with_lines_that_are_added(stubs_of_both: Stubs) -> None:
    """What the reservation has stays where it is; the rest comes in as few parcels as it can."""
    stubs = stubs_of_both
    await open_shop(stubs, {"LAMP": (4, 4, 4), "CHAIR": (0, 4, 4)})
    await put(stubs, FEW)
    assert await places(stubs, basket("R", ("LAMP", 3), profile="")) == [[("A", 3)]]
    more = {"line_id": "1", "quantity": 5, "allow_split": True}
    made = await amend(stubs, "1", more, added_lines=[{"sku": "CHAIR", "quantity": 2}], profile="few")
    assert places_of(made) == [[("A", 3), ("B", 2)], [("B", 2)]]
    made = await amend(stubs, "2", {"line_id": "1", "quantity": 4}, profile="few")
    assert places_of(made) == [[("A", 3), ("B", 1)], [("B", 2)]]
    again = await stubs.reservations.AmendReservation(
        pb.AmendReservationRequest(
            request_id="2",
            reservation_id="R",
            channel="web",
            lines=[{"line_id": "1", "quantity": 4}],
            profile="few",
        )
    )
    assert (again.reservation, again.replayed) == (made, True)
    await adds_up(stubs)


async def test_the_active_profile_counts_for_changes_too(stubs: Stubs) -> None:
    await open_shop(stubs)
    assert await places(stubs, basket("R", ("LAMP", 1))) == [[("B", 1)]]
    await activate(stubs, "far")
    assert places_of(await rebind(stubs, "1", profile="")) == [[("C", 1)]]
    assert places_of(await amend(stubs, "2", {"line_id": "1", "quantity": 3}, profile="")) == [[("C", 3)]]


async def test_a_change_that_has_no_plan_is_refused_and_changes_nothing(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await open_shop(stubs)
    made = (await stubs.reservations.CreateReservation(basket("R", ("LAMP", 3)))).reservation
    short = await refused(amend(stubs, "1", {"line_id": "1", "quantity": 9}))
    assert (short.reason, short.metadata["wanted"], short.metadata["available"]) == ("INSUFFICIENT_STOCK", "6", "4")
    unknown = await refused(rebind(stubs, "2", profile="none"))
    assert unknown.reason == "UNKNOWN_PROFILE"
    many = {"line_id": "1", "quantity": 10, "allow_split": True}
    assert (await refused(amend(stubs, "3", many, profile="far"))).reason == "TOO_MANY_PARCELS"
    assert (await refused(rebind(stubs, "4", of="X"))).reason == "RESERVATION_NOT_FOUND"
    found = await stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="R", channel="web"))
    assert found.reservation == made
    assert await reserved(stubs) == (0, 3, 0)


async def test_kits_and_lines_move_together(stubs: Stubs) -> None:
    """A kit comes whole from where it costs least."""
    await open_shop(stubs, {"LAMP": (4, 4, 4), "CHAIR": (4, 3, 4)})
    kits = "kits: {SET: {LAMP: 1, CHAIR: 2}}\n"
    await stubs.apply_network(NETWORK + kits, "kits")
    assert await places(stubs, basket("K", ("SET", 2))) == [[("C", 2)], [("C", 4)]]
    assert await places(stubs, basket("R", ("SET", 1), ("LAMP", 1))) == [[("B", 1)], [("B", 2)], [("B", 1)]]
    assert places_of(await rebind(stubs, "1", profile="near")) == [[("A", 1)], [("A", 2)], [("A", 1)]]
    assert places_of(await rebind(stubs, "2")) == [[("B", 1)], [("B", 2)], [("B", 1)]]
    await adds_up(stubs)
