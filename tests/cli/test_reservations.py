"""invengine reserve, and the commands of one reservation."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from tests.cli.servers import NETWORK, CommandLine

ON_HAND = {"receiptId": "", "backordered": False, "fenced": 0, "fenceChannel": ""}


def stock(invengine: CommandLine, sku: str, **units: int) -> None:
    for location, quantity in units.items():
        invengine.run("stock", "post", "RECEIPT", sku, location, str(quantity))


def test_a_hold_goes_from_channel_to_channel_until_it_is_fulfilled(invengine: CommandLine) -> None:
    stock(invengine, "re-a", WH1=5, ST1=2)
    held = invengine.json(
        "reserve", "re-a", "2@ST1", "--channel", "web", "--hold-seconds", "60", "--customer", "ann", "--cart", "c-1"
    )["reservation"]
    assert (held["state"], held["customerRef"], held["cartRef"]) == ("STATE_HELD", "ann", "c-1")
    (line,) = held["lines"]
    assert line["allocations"] == [{"location": "ST1", "quantity": 2, "fulfilled": 0, "released": 0, **ON_HAND}]
    name = held["reservationId"]
    extended = invengine.json("reservation", "extend", name, "--channel", "web", "--hold-seconds", "600")["reservation"]
    assert extended["expireTime"] > held["expireTime"]
    confirmed = invengine.json("reservation", "confirm", name, "--channel", "till", "--order", "o-1")["reservation"]
    assert (confirmed["state"], confirmed["orderRef"]) == ("STATE_CONFIRMED", "o-1")
    fulfilled = invengine.json("reservation", "fulfil", name, "--channel", "till")["reservation"]
    assert fulfilled["state"] == "STATE_FULFILLED"
    assert invengine.json("stock", "show", "re-a", "ST1")["position"]["onHand"] == 0


def test_a_table_shows_a_reservation(invengine: CommandLine) -> None:
    stock(invengine, "re-t", WH1=5)
    shown = invengine.run("reserve", "re-t", "2", "--channel", "web", "--reservation-id", "re-t-1", "--order", "o-t")
    first, *table = shown.stdout.splitlines()
    assert first.startswith("reservation re-t-1  HELD  channel web  expires ")
    assert first.endswith("order o-t")
    assert [line.split() for line in table] == [
        ["line_id", "sku", "location", "quantity", "fulfilled", "released"],
        ["1", "re-t", "WH1", "2", "0", "0"],
    ]
    assert invengine.run("reservation", "show", "re-t-1", "--channel", "till").stdout == shown.stdout


def test_the_same_request_id_does_nothing_twice(invengine: CommandLine) -> None:
    stock(invengine, "re-id", WH1=5)
    arguments = ("reserve", "re-id", "1", "--channel", "web", "--request-id", "re-id-request")
    first = invengine.json(*arguments)
    again = invengine.json(*arguments)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["reservation"] == first["reservation"]
    assert "answered before" in invengine.run(*arguments).stderr
    mismatch = invengine.run("reserve", "re-id", "2", *arguments[3:], exit_code=2)
    assert "used before with other content" in mismatch.stderr


def test_a_shortage_is_told_with_its_numbers_and_ends_with_4(invengine: CommandLine) -> None:
    stock(invengine, "re-short", WH1=3)
    refused = invengine.run("reserve", "re-short", "5", "--location", "WH1", "--channel", "web", exit_code=4)
    assert refused.stdout == ""
    assert refused.stderr == (
        "5 re-short wanted at WH1, 3 available to sell\n"
        "Ask for fewer, name no location to look elsewhere, or reserve what there is with --best-effort.\n"
    )
    told = json.loads(invengine.run("reserve", "re-short", "5", "--channel", "web", "--json", exit_code=4).stderr)
    assert (told["reason"], told["metadata"]["available"]) == ("INSUFFICIENT_STOCK", "3")
    taken = invengine.json("reserve", "re-short", "5", "--best-effort", "--channel", "web")["reservation"]["lines"][0]
    assert (taken["shortQuantity"], taken["allocations"][0]["quantity"]) == (2, 3)


def test_units_of_a_line_are_released_and_fulfilled_in_parts(invengine: CommandLine) -> None:
    stock(invengine, "re-part", WH1=6)
    invengine.run("reserve", "re-part", "6", "--channel", "web", "--reservation-id", "re-part-1")
    invengine.run("reservation", "release", "re-part-1", "--channel", "web", "--line", "1=1")
    invengine.run("reservation", "confirm", "re-part-1", "--channel", "web")
    invengine.run("reservation", "fulfil", "re-part-1", "--channel", "web", "--line", "1=2@WH1")
    line = invengine.json("reservation", "show", "re-part-1", "--channel", "web")["reservation"]["lines"][0]
    assert line["allocations"] == [{"location": "WH1", "quantity": 6, "fulfilled": 2, "released": 1, **ON_HAND}]
    exceeded = invengine.run("reservation", "fulfil", "re-part-1", "--channel", "web", "--line", "1=9", exit_code=4)
    assert "has 3 units open, not 9" in exceeded.stderr
    unknown = invengine.run("reservation", "release", "re-part-1", "--channel", "web", "--line", "7", exit_code=3)
    assert "no line '7'" in unknown.stderr
    invengine.run("reservation", "release", "re-part-1", "--channel", "web", "--line", "1=x", exit_code=2)


def test_reservations_are_listed_by_reference_state_and_channel(invengine: CommandLine) -> None:
    stock(invengine, "re-list", WH1=9, ST1=9)
    for number in range(5):
        invengine.run("reserve", "re-list", "1", "--channel", "web", "--customer", "bob", "--order", f"ol-{number}")
    invengine.run("reserve", "re-list", "1", "--channel", "till", "--customer", "bob")
    everything = invengine.json("reservation", "list", "--customer", "bob")["reservations"]
    assert len(everything) == 6
    assert len(invengine.json("reservation", "list", "--customer", "bob", "--channel", "till")["reservations"]) == 1
    assert len(invengine.json("reservation", "list", "--order", "ol-3", "--state", "held")["reservations"]) == 1
    assert invengine.json("reservation", "list", "--customer", "bob", "--state", "EXPIRED")["reservations"] == []
    few = invengine.run("reservation", "list", "--customer", "bob", "--limit", "2")
    assert len(few.stdout.splitlines()) == 3
    assert "raise --limit" in few.stderr


def test_refusals_of_one_reservation(invengine: CommandLine) -> None:
    invengine.run("reservation", "show", "re-none", "--channel", "web", exit_code=3)
    stock(invengine, "re-ref", WH1=2)
    invengine.run("reserve", "re-ref", "1", "--channel", "web", "--reservation-id", "re-ref-1")
    early = invengine.run("reservation", "fulfil", "re-ref-1", "--channel", "web", exit_code=4)
    assert "Confirm it first" in early.stderr
    revised = invengine.run(
        "reservation", "confirm", "re-ref-1", "--channel", "web", "--expected-revision", "999999", exit_code=4
    )
    assert "not 999999" in revised.stderr
    long = invengine.run("reservation", "extend", "re-ref-1", "--channel", "web", "--hold-seconds", "9999", exit_code=4)
    assert "may hold for 7200 s at most" in long.stderr
    invengine.run("reserve", "re-ref", "1", "--channel", "web", "--reservation-id", "re-ref-1", exit_code=4)
    invengine.run("reserve", "re-ref", "1", "--channel", "closed", exit_code=4)
    invengine.run("reserve", "re-ref", "1@OLD", "--channel", "web", exit_code=4)


def test_items_must_be_pairs_of_sku_and_quantity(invengine: CommandLine) -> None:
    assert "quantity for every SKU" in invengine.run("reserve", "a", "1", "b", "--channel", "web", exit_code=2).stderr
    assert "'x' is not a whole number" in invengine.run("reserve", "a", "x", "--channel", "web", exit_code=2).stderr
    zero = invengine.run("reserve", "a", "0", "--channel", "web", exit_code=2)
    assert "quantity" in zero.stderr


def test_quantities_change_lines_are_added_and_removed(invengine: CommandLine) -> None:
    stock(invengine, "re-am", WH1=5, ST1=4)
    stock(invengine, "re-am-b", WH1=5)
    invengine.run("reserve", "re-am", "2", "re-am-b", "1", "--channel", "web", "--reservation-id", "re-am-1")
    amend = ("reservation", "amend", "re-am-1", "--channel", "web")
    lines = invengine.json(*amend, "--line", "1=3@ST1", "--line", "2=4", "--add", "re-am=1@WH1")["reservation"]["lines"]
    assert [(line["lineId"], line["sku"], line["quantity"]) for line in lines] == [
        ("1", "re-am", 3),
        ("2", "re-am-b", 4),
        ("3", "re-am", 1),
    ]
    assert [(a["location"], a["quantity"]) for a in lines[0]["allocations"]] == [("WH1", 2), ("ST1", 1)]
    shown = invengine.run(*amend, "--line", "1=0", "--line", "2=1")
    assert [line.split() for line in shown.stdout.splitlines()[2:]] == [
        ["1", "re-am", "(removed)", "0", "0", "0"],
        ["2", "re-am-b", "WH1", "1", "0", "0"],
        ["3", "re-am", "WH1", "1", "0", "0"],
    ]
    short = invengine.run(*amend, "--line", "1=99", exit_code=4)
    assert "99 re-am wanted at all its locations" in short.stderr
    invengine.run(*amend, "--line", "9=1", exit_code=3)
    assert "--line 1=QUANTITY" in invengine.run(*amend, "--line", "1", exit_code=2).stderr
    assert "--add re-am=QUANTITY" in invengine.run(*amend, "--add", "re-am", exit_code=2).stderr
    assert "Name what to change" in invengine.run(*amend, exit_code=2).stderr


def test_units_move_to_other_locations(invengine: CommandLine) -> None:
    stock(invengine, "re-bind", WH1=6, ST1=6)
    invengine.run("reserve", "re-bind", "2@WH1", "re-bind", "3@WH1", "--channel", "web", "--reservation-id", "re-b-1")
    rebind = ("reservation", "rebind", "re-b-1", "--channel", "web")

    def places(*arguments: str) -> list[str]:
        lines = invengine.json(*rebind, *arguments)["reservation"]["lines"]
        return [allocation["location"] for line in lines for allocation in line["allocations"]]

    assert places("--line", "2@ST1") == ["WH1", "ST1"]
    assert places("--location", "ST1") == ["ST1", "ST1"]
    assert places("--line", "1@WH1", "--line", "2") == ["WH1", "WH1"]
    assert invengine.json("stock", "show", "re-bind", "ST1")["position"]["reserved"] == 0
    closed = invengine.run(*rebind, "--to-location", "OLD", exit_code=4)
    assert "cannot use location 'OLD'" in closed.stderr
    assert "name the line" in invengine.run(*rebind, "--line", "@ST1", exit_code=2).stderr


def test_a_reservation_goes_to_another_channel_and_customer(invengine: CommandLine) -> None:
    stock(invengine, "re-hand", WH1=2, ST1=2)
    invengine.run("reserve", "re-hand", "1", "--channel", "web", "--reservation-id", "re-h-1", "--customer", "re-ann")
    hand_over = ("reservation", "hand-over", "re-h-1", "--channel", "web")
    given = invengine.json(*hand_over, "--to-channel", "till", "--to-customer", "re-bob", "--hold-seconds", "60")
    assert (given["reservation"]["channel"], given["reservation"]["customerRef"]) == ("till", "re-bob")
    assert invengine.json("reservation", "list", "--customer", "re-ann")["reservations"] == []
    listed = invengine.json("reservation", "list", "--customer", "re-bob", "--channel", "till")["reservations"]
    assert [reservation["reservationId"] for reservation in listed] == ["re-h-1"]
    assert invengine.run(*hand_over, "--to-channel", "till").stdout.startswith("reservation re-h-1  HELD  channel till")
    assert "Name who gets it" in invengine.run(*hand_over, exit_code=2).stderr
    invengine.run(*hand_over, "--to-channel", "nobody", exit_code=3)
    invengine.run(*hand_over, "--to-channel", "closed", exit_code=4)


def rows(text: str) -> list[list[str]]:
    return [line.split(maxsplit=6) for line in text.splitlines()[1:]]


def test_a_line_waits_for_what_is_expected(invengine: CommandLine) -> None:
    stock(invengine, "re-wait", WH1=2)
    invengine.run("incoming", "set", "po-1", "re-wait", "WH1", "4", "2099-12-24")
    reserve = ("reserve", "re-wait", "5", "--channel", "web")
    short = invengine.run(*reserve, exit_code=4)
    assert short.stderr.startswith(
        "5 re-wait wanted at all its locations, 2 available to sell, the rest expected by 2099-12-24\n"
    )
    early = invengine.run(*reserve, "--allow-backorder", "--needed-by", "2099-12-23", exit_code=4)
    assert "2 available to sell, the rest expected by 2099-12-24" in early.stderr
    best = invengine.run(*reserve, "--best-effort", "--request-id", "re-wait-best")
    assert rows(best.stdout)[-1] == ["1", "re-wait", "(short)", "3", "0", "0", "expected by 2099-12-24"]
    name = invengine.json(*reserve, "--best-effort", "--request-id", "re-wait-best")["reservation"]["reservationId"]
    invengine.run("reservation", "release", name, "--channel", "web")
    waits = invengine.run(*reserve, "--allow-backorder", "--reservation-id", "re-wait-1")
    assert rows(waits.stdout) == [
        ["line_id", "sku", "location", "quantity", "fulfilled", "released", "rests_on"],
        ["1", "re-wait", "WH1", "2", "0", "0"],
        ["1", "re-wait", "WH1", "3", "0", "0", "receipt po-1, due 2099-12-24"],
    ]
    more = invengine.json("reservation", "amend", "re-wait-1", "--channel", "web", "--line", "1=6", "--allow-backorder")
    assert receipts(more) == ["", "po-1", "po-1"] or receipts(more) == ["", "po-1"]
    assert "goes with --allow-backorder" in invengine.run(*reserve, "--needed-by", "2099-12-24", exit_code=2).stderr
    bad = invengine.run(*reserve, "--allow-backorder", "--needed-by", "Christmas", exit_code=2)
    assert "--needed-by: 'Christmas' is not a day such as 2026-12-24" in bad.stderr


def receipts(answer: dict[str, Any]) -> list[str]:
    return [allocation["receiptId"] for line in answer["reservation"]["lines"] for allocation in line["allocations"]]


def test_a_reservation_in_few_parcels(invengine: CommandLine) -> None:
    stock(invengine, "re-few", WH1=2, ST1=3)
    reserve = ("reserve", "re-few", "5", "--channel", "web", "--allow-split")
    refused = invengine.run(*reserve, "--max-parcels", "1", exit_code=4)
    assert refused.stderr == (
        "The lines would come from 2 locations, at most 1 are allowed\n"
        "Allow more with --max-parcels, or take what so few have with --best-effort.\n"
    )
    taken = invengine.json(*reserve, "--max-parcels", "1", "--best-effort")["reservation"]["lines"][0]
    assert [(a["location"], a["quantity"]) for a in taken["allocations"]] == [("ST1", 3)]
    invengine.run(*reserve, "--max-parcels", "0", exit_code=2)


def test_a_reservation_by_a_profile(invengine: CommandLine, tmp_path: Path) -> None:
    """It decides where units come from, also when more are taken and when they move; an unknown one is told."""
    stock(invengine, "re-plan", WH1=4, ST1=4)
    file = tmp_path / "elsewhere.yaml"
    file.write_text("name: elsewhere\nrules: {exclude: [WH1]}\n")
    invengine.run("profile", "put", str(file))
    plain = invengine.json("reserve", "re-plan", "1", "--channel", "web")["reservation"]
    assert [a["location"] for a in plain["lines"][0]["allocations"]] == ["WH1"]
    planned = ("--channel", "web", "--profile", "elsewhere@1")
    made = invengine.json("reserve", "re-plan", "1", *planned)["reservation"]
    assert [a["location"] for a in made["lines"][0]["allocations"]] == ["ST1"]
    name = plain["reservationId"]
    more = invengine.json("reservation", "amend", name, "--line", "1=2", "--allow-split", *planned)["reservation"]
    assert [a["location"] for a in more["lines"][0]["allocations"]] == ["WH1", "ST1"]
    moved = invengine.json("reservation", "rebind", name, *planned)["reservation"]
    assert [a["location"] for a in moved["lines"][0]["allocations"]] == ["ST1"]
    unknown = invengine.run("reserve", "re-plan", "1", "--channel", "web", "--profile", "none", exit_code=3)
    assert "There is no sourcing profile 'none'" in unknown.stderr


def test_units_out_of_a_ring_fence_are_shown(invengine: CommandLine) -> None:
    stock(invengine, "re-fence", ST1=4)
    invengine.run("stock", "post", "RING_FENCE", "re-fence", "ST1", "3", "--channel", "till")
    shown = invengine.run("reserve", "re-fence", "4", "--channel", "till")
    assert rows(shown.stdout)[1] == ["1", "re-fence", "ST1", "4", "0", "0", "ring-fence till: 3"]


DELIVERY = """
calendars:
  every-day: {hours: {mon-sun: "00:00-24:00"}}
services:
  standard: {carrier: DHL}
zones:
  de: [{country: DE}]
lanes:
  - {from: WH1, zone: de, service: standard, transit: 2}
"""


def test_dates_are_promised_and_shown_with_the_capacity_they_take(invengine: CommandLine, tmp_path: Path) -> None:
    with_calendar = "WH1: {kind: warehouse, priority: 10, calendar: every-day, ship: {capacity: {units: 50}}}"
    document = NETWORK.replace("WH1: {kind: warehouse, priority: 10}", with_calendar) + DELIVERY
    files = {"with": document, "without": NETWORK}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    invengine.run("network", "apply", str(tmp_path / "with"))
    try:
        stock(invengine, "re-d", WH1=9)
        told = ("--channel", "web", "--to", "DE:10115")
        shown = invengine.run("reserve", "re-d", "2", *told, "--promise", "--confidence", "90%").stdout.splitlines()
        head = ["line_id", "sku", "location", "ship_date", "delivery_date", "service", "confidence"]
        place = next(n for n, line in enumerate(shown) if line.split() == head)
        row = shown[place + 1].split()
        assert (row[:3], row[5:]) == (["1", "re-d", "WH1"], ["standard", "90.00%"])
        left, arrives = (date.fromisoformat(text) for text in row[3:5])
        assert (arrives - left).days == 2
        assert shown[place + 2] == f"capacity: 2 units on {left} at WH1, SHIP"
        late = invengine.run(
            "reserve", "re-d", "1", *told, "--service", "standard", "--needed-by", str(left), exit_code=4
        )
        assert f"can be there on {arrives}, not by {left}" in late.stderr
        invengine.run("reserve", "re-d", "1", *told, "--promise", "--confidence", "2", exit_code=2)
        invengine.run("reserve", "re-d", "1", "--channel", "web", "--to", "Germany", exit_code=2)
    finally:
        invengine.run("network", "apply", str(tmp_path / "without"))
