"""invengine promise, against a server of its own whose network delivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server
from tests.rpc.promised import NETWORK


@pytest.fixture(scope="module")
def delivering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command line on a server with stock of LAMP at DC and MUC, of CHAIR at MUC."""
    folder = tmp_path_factory.mktemp("promise")
    server = Server(folder)
    try:
        server.wait()
        run = CommandLine(server.address)
        (folder / "network.yaml").write_text(NETWORK.replace("  MUC: {", "  MUC: {latitude: 48.1, longitude: 11.6, "))
        run.run("network", "apply", str(folder / "network.yaml"))
        for sku, location, units in (("LAMP", "DC", 5), ("LAMP", "MUC", 2), ("CHAIR", "MUC", 3), ("CHAIR", "BARE", 1)):
            run.run("stock", "post", "RECEIPT", sku, location, str(units))
        yield run
    finally:
        server.stop()


def test_all_ways_are_a_table(delivering: CommandLine) -> None:
    done = delivering.run(
        "promise", "LAMP=2", "CHAIR", "--to", "DE:81671", "--pickup", "MUC", "--channel", "web", "--fresh", "latest"
    )
    lines = [row.split() for row in done.stdout.splitlines()]
    assert lines[0][:4] == ["fulfilment", "service", "location", "delivery_day"]
    assert [row[0] for row in lines[1:]] == ["ship", "ship", "pickup", "ship-to-store"]
    assert [row[1] for row in lines[1:3]] == ["express", "standard"]
    assert "6.00 EUR" in done.stdout
    assert "4.50 EUR" in done.stdout
    assert "Gap: location BARE has no calendar." in done.stderr


def test_steps_are_shown_on_request(delivering: CommandLine) -> None:
    done = delivering.run(
        "promise", "LAMP", "--to", "de:81671", "--service", "standard", "--explain", "--channel", "web"
    )
    steps = [row.split()[0] for row in done.stdout.splitlines()[3:]]
    assert steps == ["available", "accepted", "handled", "shipped", "arrived"]
    assert "standard: 1 LAMP from DC" in done.stderr
    assert "2 days of transit" in done.stdout


def test_json_is_the_answer(delivering: CommandLine) -> None:
    answer = delivering.json("promise", "LAMP", "--to", "DE:81671", "--confidence", "95%", "--channel", "web")
    assert [option["service"] for option in answer["options"]] == ["express", "standard"]
    assert answer["options"][1]["lines"][0]["allocations"][0]["quantity"] == 1
    assert answer["options"][1]["cost"] == {"currencyCode": "EUR", "units": 4, "nanos": 250_000_000}


def test_what_cannot_be_had_says_why(delivering: CommandLine) -> None:
    done = delivering.run("promise", "LAMP=9", "NONE", "--to", "DE:81671", "--service", "standard", "--channel", "web")
    assert done.stdout.splitlines()[1].split() == ["ship", "standard", "never"]
    assert "ship standard: 9 LAMP are wanted, 5 can be promised." in done.stderr
    assert "SKU NONE is not known." in done.stderr
    anywhere = delivering.run("promise", "CHAIR", "--pickup", "any", "--channel", "web")
    assert [row.split()[:2] for row in anywhere.stdout.splitlines()[1:]] == [["pickup", "MUC"]]


def test_the_nearest_locations_to_collect_at(delivering: CommandLine) -> None:
    """MUC lies where the test says; the others have no position."""
    done = delivering.run("promise", "LAMP", "--near", "48.14,11.58", "--channel", "web")
    assert [row.split()[:3] for row in done.stdout.splitlines()[1:]] == [["pickup", "MUC", "4.7"]]
    far = delivering.run("promise", "LAMP", "--near", "48.14,11.58", "--within-km", "4", "--channel", "web")
    assert [row.split() for row in far.stdout.splitlines()[1:]] == [["pickup", "never"]]
    assert "pickup: no location can be used for LAMP." in far.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["LAMP", "--near", "Munich"], 2, "--near: 'Munich' is not LATITUDE,LONGITUDE in degrees"),
        (["LAMP", "--near", "48,11", "--pickup", "MUC"], 2, "not together with --pickup LOCATION"),
        (["LAMP", "--to", "DE:1", "--within-km", "5"], 2, "--within-km goes with --near"),
        (["LAMP", "--near", "91,0"], 2, "Near.latitude: is 91"),
        (["LAMP"], 2, "Say where it goes: --to COUNTRY:POSTAL_CODE"),
        (["LAMP=x", "--to", "DE:1"], 2, "'LAMP=x' is not SKU=UNITS"),
        (["LAMP=0", "--to", "DE:1"], 2, "Lines[0].quantity: is 0"),
        (["LAMP", "--to", "Germany"], 2, "--to: 'Germany' is not a country of two letters"),
        (["LAMP", "--to", "DE:1", "--confidence", "sure"], 2, "--confidence: 'sure' is not a share"),
        (["LAMP", "--to", "DE:1", "--confidence", "100%"], 2, "--confidence: '100%' is not between 0% and 100%"),
        (["LAMP", "--to", "DE:1", "--service", "rocket"], 3, "Service 'rocket' is not in the network"),
        (["LAMP", "--pickup", "NOWHERE"], 3, "Location 'NOWHERE' is not in the network"),
        (["LAMP", "--pickup", "DC"], 4, "DC"),
    ],
)
def test_what_is_wrong_is_told(delivering: CommandLine, arguments: list[str], code: int, told: str) -> None:
    done = delivering.run("promise", *arguments, "--channel", "web", exit_code=code)
    assert told in done.stderr


def test_a_refusal_is_json_where_that_is_wanted(delivering: CommandLine) -> None:
    done = delivering.run(
        "promise", "LAMP", "--to", "DE:1", "--service", "x", "--channel", "web", "--json", exit_code=3
    )
    told = json.loads(done.stderr)
    assert (told["reason"], told["metadata"]) == ("UNKNOWN_SERVICE", {"service": "x"})
    assert told["advice"] == "See what there is: invengine network show."


def test_the_page_shows_the_command() -> None:
    assert "invengine promise" in (Path(__file__).parents[2] / "docs" / "promises.md").read_text()
