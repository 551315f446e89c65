"""invengine source, against a server of its own whose network delivers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server
from tests.rpc.promised import NETWORK

PROFILE = """\
name: cheap
costs: {parcel: 1, unit: 0.1, kilometre: 0.001}
rules: {exclude: [BER]}
"""
PLACES = """\
postal_positions:
  - {country: DE, postal_prefix: "81", latitude: 48.1, longitude: 11.6}
"""


@pytest.fixture(scope="module")
def delivering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command line on a server with stock of LAMP and CHAIR at DC and MUC, which lie somewhere."""
    folder = tmp_path_factory.mktemp("source")
    server = Server(folder)
    try:
        server.wait()
        run = CommandLine(server.address)
        document = NETWORK.replace("  MUC: {", "  MUC: {latitude: 48.1, longitude: 11.6, ")
        document = document.replace("  DC: {", "  DC: {latitude: 51.3, longitude: 9.5, ")
        (folder / "network.yaml").write_text(document + PLACES)
        (folder / "cheap.yaml").write_text(PROFILE)
        run.run("network", "apply", str(folder / "network.yaml"))
        run.run("profile", "put", str(folder / "cheap.yaml"))
        for sku, location, units in (("LAMP", "DC", 5), ("LAMP", "MUC", 2), ("CHAIR", "MUC", 3), ("CHAIR", "DC", 1)):
            run.run("stock", "post", "RECEIPT", sku, location, str(units))
        yield run
    finally:
        server.stop()


SOURCE = ("source", "LAMP", "2", "CHAIR", "1", "--to", "DE:81671", "--channel", "web", "--fresh", "latest")


def test_the_plan_its_costs_and_the_runner_up(delivering: CommandLine) -> None:
    done = delivering.run(*SOURCE, "--profile", "cheap", "--explain")
    rows = [re.split(r"\s{2,}", row.strip()) for row in done.stdout.splitlines() if row.strip()]
    assert rows[0] == ["line_id", "sku", "quantity", "location", "available_day", "service", "delivery_day"]
    assert [row[:6] for row in rows[1:3]] == [
        ["1", "LAMP", "2", "MUC", "now", "standard"],
        ["2", "CHAIR", "1", "MUC", "now", "standard"],
    ]
    costs = {row[0]: row[1:] for row in rows[3:9]}
    assert costs["cost"] == ["plan", "runner_up", "runner_up_excess"]
    assert costs["parcel"] == ["1.00 EUR", "1.00 EUR", "0.00 EUR"]
    assert costs["lane"] == ["4.50 EUR", "4.85 EUR", "0.35 EUR"]
    assert costs["distance"][0] == "0.00 EUR"
    assert float(costs["total"][2].split()[0]) == pytest.approx(
        float(costs["total"][1].split()[0]) - float(costs["total"][0].split()[0])
    )
    ruled = [row for row in rows if len(row) == 3 and row[0] in ("1", "2")]
    assert ["1", "EXCLUDED", "BER"] in ruled
    assert ["2", "NO_STOCK", "BARE"] in ruled
    assert "Runner-up: from DC, 1 parcel." in done.stderr
    assert "Profile: cheap@1. Parcels: 1." in done.stderr


def test_without_a_profile_or_another_place(delivering: CommandLine) -> None:
    done = delivering.run(
        "source", "LAMP", "4@DC", "--channel", "web", "--allow-split", "--best-effort", "--max-parcels", "3"
    )
    assert [row.split()[:4] for row in done.stdout.splitlines()[1:2]] == [["1", "LAMP", "4", "DC"]]
    assert "Runner-up: from nowhere, 0 parcels." in done.stderr
    whole = delivering.run("source", "LAMP", "7", "--channel", "web", "--allow-split")
    assert "No plan does without one of these locations." in whole.stderr
    assert "Profile: none, the fewest parcels count." in done.stderr
    short = delivering.run("source", "LAMP", "9", "--channel", "web", "--allow-split", "--best-effort")
    assert [row.split()[2:4] for row in short.stdout.splitlines()[1:4]] == [["5", "DC"], ["2", "MUC"], ["2", "nowhere"]]


def test_json_is_the_answer(delivering: CommandLine) -> None:
    answer = delivering.json(*SOURCE, "--profile", "cheap")
    assert [one["units"][0]["location"] for one in answer["plan"]["lines"]] == ["MUC", "MUC"]
    assert answer["plan"]["costs"]["lane"] == {"currencyCode": "EUR", "units": 4, "nanos": 500_000_000}
    assert answer["proved"] is True
    assert answer["profile"] == "cheap@1"


def test_a_promise_by_a_profile_comes_from_where_the_plan_does(delivering: CommandLine) -> None:
    words = ("promise", "LAMP=2", "CHAIR", "--to", "DE:81671", "--service", "standard", "--channel", "web")
    answer = delivering.json(*words, "--profile", "cheap@1")
    assert answer["profile"] == "cheap@1"
    (option,) = answer["options"]
    planned = delivering.json(*SOURCE, "--profile", "cheap", "--service", "standard")
    assert option["costs"] == planned["plan"]["costs"]
    assert [one["location"] for one in option["lines"]] == ["MUC", "MUC"]
    shown = delivering.run(*words, "--profile", "cheap").stdout.splitlines()
    assert "4.50 EUR" in shown[1]


def test_what_has_no_plan_ends_with_its_refusal(delivering: CommandLine) -> None:
    refused = delivering.run("source", "LAMP", "9", "--channel", "web", "--explain", exit_code=4)
    assert "9 LAMP wanted at all its locations, 5 available to sell" in refused.stderr
    assert "NO_STOCK" in refused.stdout
    unknown = delivering.run("source", "NONE", "1", "--channel", "web", exit_code=3)
    assert "NONE" in unknown.stderr
    delivering.run("source", "LAMP", "1", "--channel", "web", "--profile", "none", exit_code=3)
    delivering.run("source", "LAMP", "--channel", "web", exit_code=2)
    delivering.run("source", "LAMP", "1", "--to", "Berlin", "--channel", "web", exit_code=2)


def test_the_plan_is_drawn_on_a_map(delivering: CommandLine, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    delivering.run(*SOURCE, "--profile", "cheap", "--plot", str(picture))
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") > 900  # pixels across
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    unknown = delivering.run("source", "LAMP", "7", "--allow-split", "--channel", "web", "--plot", str(picture))
    assert "Not on the map" not in unknown.stderr
    assert "--plot" in delivering.run(*SOURCE, "--plot", str(tmp_path / "no" / "p.png"), exit_code=2).stderr


def test_without_matplotlib_a_map_says_what_to_install(
    delivering: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked; tables need nothing."""
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    refused = delivering.run(*SOURCE, "--plot", str(tmp_path / "p.png"), exit_code=2)
    assert "pip install 'invengine[plot]'" in refused.stderr
    assert refused.stdout == ""
    delivering.run(*SOURCE)
