"""Rebalancing at the command line: a report, and the transfers that it asks for, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

NETWORK = """\
currency: EUR
calendars:
  daily: {hours: {mon-sun: "00:00-24:00"}}
locations:
  LON1: {kind: store, priority: 10}
  PAR1: {kind: warehouse, priority: 20}
  DC: {kind: warehouse, priority: 30}
groups:
  all: [LON1, PAR1, DC]
channels:
  web: {groups: [all]}
backorders:
  - {sku: LAMP, units: 99}
  - {sku: SOFA, units: 99}
transfer_lanes:
  - {from: PAR1, to: LON1, transit: 1, cost: 10, cost_per_unit: 1}
  - {from: DC, to: LON1, transit: 3, cost: 2, cost_per_unit: 0.5}
"""

NO_FORECAST = ("--forecast-days", "0")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommandLine]:
    """A shop where 3 LAMP and 2 SOFA wait at LON1; DC has 2 of each, PAR1 nine LAMP."""
    server = Server(tmp_path)
    try:
        server.wait()
        line = CommandLine(server.address)
        (tmp_path / "network.yaml").write_text(NETWORK)
        line.run("network", "apply", str(tmp_path / "network.yaml"))
        for sku, location, units in (("LAMP", "PAR1", 9), ("LAMP", "DC", 2), ("SOFA", "DC", 2)):
            line.run("stock", "post", "RECEIPT", sku, location, str(units))
        for sku, units in (("LAMP", 3), ("SOFA", 2)):
            line.run("reserve", sku, f"{units}@LON1", "--channel", "web", "--allow-backorder")
        yield line
    finally:
        assert server.stop() == 0


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_is_shown_is_made_once(shop: CommandLine) -> None:
    report = shop.run("rebalance", *NO_FORECAST)
    header, *rows = cells(report.stdout)
    assert header == [
        *("sku", "from_location", "to_location", "units", "cost", "days", "expected_date", "fills"),
    ]
    assert [[*row[:7], *row[8:]] for row in rows] == [
        ["LAMP", "PAR1", "LON1", "3", "13.00", "EUR", "2", "3", "BACKORDER"],
        ["SOFA", "DC", "LON1", "2", "3.00", "EUR", "4", "2", "BACKORDER"],
    ]
    assert report.stderr == "2 suggestions for 5 units, 0 stay unfilled; 0 transfers made.\n"
    narrow = shop.json("rebalance", "LAMP", *NO_FORECAST, "--from-location", "DC", "--fill", "backorder")
    assert [(one["units"], one["cost"]["units"]) for one in narrow["suggestions"]] == [(2, 3)]
    assert [(one["sku"], one["units"], one["reason"]) for one in narrow["unfilled"]] == [
        ("LAMP", 1, "REASON_NO_SURPLUS")
    ]

    applied = shop.json("rebalance", "--apply", "--request-id", "monday", *NO_FORECAST)
    assert [
        (one["transfer"]["fromLocation"], one["transfer"]["reason"], one["replayed"]) for one in applied["transfers"]
    ] == [("PAR1", "rebalancing", False), ("DC", "rebalancing", False)]
    assert shop.json("stock", "show", "SOFA", "DC")["position"]["reserved"] == 2
    again = shop.run("rebalance", "--apply", "--request-id", "monday", *NO_FORECAST)
    assert again.stderr == "0 suggestions for 0 units, 5 stay unfilled; 0 transfers made.\n"
    assert [(row[0], row[2], row[4], row[5]) for row in cells(again.stdout)[1:]] == [
        ("LAMP", "3", "COMES_SOONER", rows[0][7]),
        ("SOFA", "2", "NO_SURPLUS", rows[1][7]),
    ]
    assert len(shop.json("transfer", "list")["transfers"]) == 2
