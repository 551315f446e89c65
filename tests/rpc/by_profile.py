"""A shop whose baskets are sourced by profiles, for the tests of reservations by profile."""

from __future__ import annotations

from typing import Any

from invengine.v1 import profile_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs

NETWORK = """\
currency: EUR
locations:
  A: {kind: warehouse, priority: 10, costs: {parcel: 9, unit: 0}}
  B: {kind: store, priority: 20, fulfilments: [ship, pickup], costs: {parcel: 3, unit: 0}}
  C: {kind: store, priority: 30, fulfilments: [ship, pickup], costs: {parcel: 5, unit: 0}}
groups: {all: [A, B, C], stores: [B, C]}
channels:
  web: {groups: [all, stores]}
  app: {groups: [all]}
"""
CHEAP = "name: cheap\n"
"""What locations cost counts: B is better than C, and C than A."""
FAR = "name: far\nrules: {exclude: [B], parcels_max: 1}\n"
NEAR = "name: near\ncosts: {priority: 1}\nweights: {handling: 0}\n"
"""By priority: A is better than B, and B than C."""


async def put(stubs: Stubs, *documents: str) -> None:
    for document in documents:
        await stubs.allocation.PutProfile(
            profile_pb2.PutProfileRequest(request_id=" ".join(document.split())[:60], document=document)
        )


async def activate(stubs: Stubs, profile: str, channel: str = "web", request_id: str = "") -> None:
    request_id = request_id or f"{profile} for {channel}"
    await stubs.allocation.ActivateProfile(
        profile_pb2.ActivateProfileRequest(request_id=request_id, channel=channel, profile=profile)
    )


async def open_shop(stubs: Stubs, stock: dict[str, tuple[int, int, int]] | None = None) -> None:
    """Units of LAMP and CHAIR at A, B and C, and profiles that nobody uses yet."""
    await stubs.apply_network(NETWORK, "three places")
    for sku, units in (stock or {"LAMP": (4, 4, 4), "CHAIR": (4, 4, 4)}).items():
        for location, quantity in zip("ABC", units, strict=True):
            if quantity:
                await stubs.receive(sku, quantity, location)
    await put(stubs, CHEAP, FAR, NEAR)


def basket(name: str, *lines: Any, profile: str = "cheap", **more: Any) -> pb.CreateReservationRequest:
    """Lines as (sku, units), or as all their fields."""
    asked = [line if isinstance(line, dict) else {"sku": line[0], "quantity": line[1]} for line in lines]
    head = {"request_id": name, "reservation_id": name, "channel": "web"}
    return pb.CreateReservationRequest(lines=asked, profile=profile, **(head | more))


def places_of(reservation: pb.Reservation) -> list[list[tuple[str, int]]]:
    return [[(a.location, a.quantity) for a in line.allocations] for line in reservation.lines]


async def places(stubs: Stubs, request: pb.CreateReservationRequest) -> list[list[tuple[str, int]]]:
    return places_of((await stubs.reservations.CreateReservation(request)).reservation)


async def reserved(stubs: Stubs, sku: str = "LAMP") -> tuple[int, ...]:
    """Units of a SKU that are set aside at A, B and C."""
    return tuple([(await stubs.position(sku, place))[1] for place in "ABC"])
