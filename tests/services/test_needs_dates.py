"""Which requests leave the short way because they may take slots: those that a limit can bear on, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from invengine.domain.network import Network
from invengine.services.dated_requests import needs_dates
from invengine.services.reservation_requests import check_create
from invengine.v1 import common_pb2
from tests.rpc.engines import create

SHIP, PICKUP = common_pb2.FULFILMENT_SHIP, common_pb2.FULFILMENT_PICKUP
TO_B = {"fulfilment": common_pb2.FULFILMENT_SHIP_TO_STORE, "destination": common_pb2.Destination(location="B")}
LIMIT = "{capacity: {units: 5}}"


def network(limited: str = "", **fulfilments: str) -> Network:
    """Locations A and B; `limited` says of one of them, such as `A.ship`, that it has a limit."""
    place, _, way = limited.partition(".")
    entries = []
    for name in ("A", "B"):
        limit = f", {way}: {LIMIT}" if name == place else ""
        entries.append(f"{name}: {{fulfilments: {fulfilments.get(name, '[ship, pickup]')}{limit}}}")
    places = f"locations: {{{', '.join(entries)}}}\n"
    return Network.parse(places + "groups: {all: [A, B]}\nchannels: {web: {groups: [all]}}\n")


@pytest.mark.parametrize(
    ("limited", "line", "expected"),
    [
        ("", {"fulfilment": SHIP}, False),
        ("A.ship", {"fulfilment": SHIP}, True),
        ("A.ship", {"fulfilment": SHIP, "location": "A"}, True),
        ("A.ship", {"fulfilment": SHIP, "location": "B"}, False),
        ("A.ship", TO_B, True),  # what is not said of ship-to-store is as of ship
        ("A.ship", {}, False),  # any way at all: nothing is prepared
        ("A.ship_to_store", {"fulfilment": SHIP}, False),
        ("A.ship_to_store", TO_B, True),
        ("B.pickup", TO_B, True),  # units may be in the store already
        ("B.pickup", {"fulfilment": PICKUP, "location": "B"}, True),
        ("B.pickup", {"fulfilment": PICKUP, "location": "A"}, False),
    ],
)
def test_lines_that_a_limit_may_bear_on(limited: str, line: dict[str, Any], expected: bool) -> None:
    assert needs_dates(check_create(create("r", line=line)), network(limited)) is expected


def test_a_limit_of_what_a_location_does_not_do_bears_on_nobody() -> None:
    found = network("A.ship", A="[pickup]")
    assert found.limited_ways == frozenset()
    assert not needs_dates(check_create(create("r", line={"fulfilment": SHIP})), found)


def test_who_asks_for_dates_gets_them_in_any_network() -> None:
    to = common_pb2.Destination(country="DE", postal_code="80331")
    line = {"fulfilment": SHIP, "destination": to}
    assert needs_dates(check_create(create("r", promise_dates=True, line=line)), network())
