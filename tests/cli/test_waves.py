"""`invengine wave`: orders of a file and reservations that wait, planned, shown, committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invengine.cli.wave_file import WaveFileFault, read_orders
from invengine.cli.wave_text import money
from tests.cli.servers import CommandLine

HEADER = "order_id,channel,class,sku,quantity,worth,split,all_or_nothing\n"


def stocked(invengine: CommandLine, **units: int) -> None:
    for sku, quantity in units.items():
        invengine.run("stock", "post", "receipt", f"wv-{sku}", "WH1", str(quantity))


def planned(invengine: CommandLine, path: Path, text: str, *options: str) -> str:
    """The id of the plan for a file of orders."""
    path.write_text(text)
    plan_id = invengine.json("wave", "plan", str(path), *options)["planId"]
    assert isinstance(plan_id, str)
    return plan_id


def test_a_file_of_orders_is_planned_shown_and_committed(invengine: CommandLine, tmp_path: Path) -> None:
    stocked(invengine, lamp=5, rug=1)
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "wv-1,web,0,wv-lamp,4,,,\nwv-1,web,0,wv-rug,1,,,\nwv-2,,1,wv-lamp,3,9.50,yes,no\n")
    told = invengine.run("wave", "plan", str(path), "--channel", "web")
    assert "wv-2" in told.output
    assert "Carry it out: invengine wave commit" in told.output
    plan_id = told.output.rsplit(" ", 1)[1].strip()
    fills = [line.split() for line in told.stdout.splitlines() if line.split()[1:2] == ["web"]]
    assert fills == [["0", "web", "1", "1", "5", "5", "100.0%"], ["1", "web", "1", "0", "3", "0", "0.0%"]]
    short = invengine.json("wave", "show", plan_id, "--short")
    assert [(one["orderId"], one["lines"][0]["missing"]) for one in short["orders"]] == [("wv-2", "MISSING_TAKEN")]
    done = invengine.json("wave", "commit", plan_id)
    assert (done["plan"]["state"], done["plan"]["committedQuantity"]) == ("STATE_COMMITTED", 5)
    again = invengine.run("wave", "commit", plan_id)
    assert "committed before" in again.stderr
    everything = invengine.run("wave", "show", plan_id)
    assert "4 from WH1" in everything.stdout


def test_lines_that_were_refused_are_named_and_the_command_ends_with_4(invengine: CommandLine, tmp_path: Path) -> None:
    stocked(invengine, sofa=5)
    plan_id = planned(invengine, tmp_path / "o.csv", HEADER + "wv-3,web,0,wv-sofa,4,,,\n")
    invengine.run("stock", "post", "sale", "wv-sofa", "WH1", "3")
    done = invengine.run("wave", "commit", plan_id, exit_code=4)
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("wv-3")]
    assert row == ["wv-3", "web", "1", "wv-sofa", "4", "2", "INSUFFICIENT_STOCK"]
    refused = invengine.run("wave", "show", plan_id, "--refused")
    assert "wv-3" in refused.stdout


def test_orders_may_be_json_and_held(invengine: CommandLine, tmp_path: Path) -> None:
    stocked(invengine, vase=2)
    order = {"orderId": "wv-4", "channel": "web", "lines": [{"sku": "wv-vase", "quantity": 2}]}
    plan_id = planned(invengine, tmp_path / "o.json", json.dumps({"orders": [order]}), "--share", "web=50%")
    invengine.run("wave", "commit", plan_id, "--hold-seconds", "60")
    (found,) = invengine.json("reservation", "list", "--order", "wv-4")["reservations"]
    assert found["state"] == "STATE_HELD"


def test_what_is_waiting_is_planned_without_a_file(invengine: CommandLine) -> None:
    told = invengine.json("wave", "plan", "--waiting-sku", "wv-nothing")
    assert (told["orders"], told["state"]) == (0, "STATE_PLANNED")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("order_id,sku\n", "quantity missing"),
        ("order_id,sku,quantity,colour\n", "colour not understood"),
        ("order_id,sku,quantity\na,b\n", "row 2: 2 columns, the header has 3"),
        ("order_id,sku,quantity\na,b,many\n", "row 2: quantity: 'many' is not a whole number"),
        ("order_id,sku,quantity,class\na,b,1,0\na,c,1,2\n", "row 3: order a says another"),
        ("order_id,sku,quantity,worth\na,b,1,1.23456\n", "row 2: worth: '1.23456' is not an amount"),
        ("order_id,sku,quantity,needed_by\na,b,1,soon\n", "row 2: needed_by: 'soon' is not a day"),
        ("order_id,sku,quantity,split\na,b,1,maybe\n", "row 2: split: 'maybe' is neither yes nor no"),
        ("order_id,sku,quantity,fulfilment\na,b,1,pigeon\n", "row 2: fulfilment: 'pigeon' is none of"),
        ("order_id,sku,quantity\n", "there is no order in it"),
        ('{"lines": 3}', "neither a list of orders"),
        ('[{"orderID": "a"}]', "order 1: "),
        ("[", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "orders"
    path.write_text(text)
    with pytest.raises(WaveFileFault, match="orders: ") as raised:
        read_orders(str(path), "web")
    assert fault in str(raised.value)


def test_an_order_without_a_channel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("order_id,sku,quantity\na,b,1\n")
    with pytest.raises(WaveFileFault, match="names no channel"):
        read_orders(str(path), "")


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "order_id,channel,class,all_or_nothing,customer,line_id,sku,quantity,worth,fulfilment,country,postal_code,"
        "needed_by,service,partial\n"
        "a,web,2,yes,ada,x,LAMP,3,12.5,ship,DE,10115,2026-12-24,express,no\n"
    )
    (order,) = read_orders(str(path), "")
    (line,) = order.lines
    assert (order.channel, order.priority_class, order.all_or_nothing, order.customer_ref) == ("web", 2, True, "ada")
    assert (line.line_id, line.sku, line.quantity, line.unit_worth) == ("x", "LAMP", 3, 125_000)
    assert (line.fulfilment, line.destination.country, line.destination.postal_code) == (1, "DE", "10115")
    assert (line.needed_by.year, line.needed_by.month, line.needed_by.day) == (2026, 12, 24)
    assert (line.service, line.allow_split, line.allow_partial) == ("express", False, False)


@pytest.mark.parametrize(("parts", "text"), [(0, "0.00"), (125_000, "12.50"), (-1, "-0.0001"), (123_456, "12.3456")])
def test_money_is_shown_with_two_digits_or_as_many_as_it_has(parts: int, text: str) -> None:
    assert money(parts) == text
