"""invengine reserve, and the commands of one reservation."""

import json

from tests.cli.servers import CommandLine


def stock(invengine: CommandLine, sku: str, **units: int) -> None:
    for location, quantity in units.items():
        invengine.run("stock", "post", "RECEIPT", sku, location, str(quantity))


def test_a_hold_goes_from_channel_to_channel_until_it_is_fulfilled(invengine: CommandLine) -> None:
    stock(invengine, "re-a", WH1=5, ST1=2)
    held = invengine.json(
        "reserve", "re-a", "2@ST1", "--channel", "web", "--hold-seconds", "60", "--customer", "ann", "--cart", "c-1"
    )["reservation"]
    assert (held["state"], held["customerRef"], held["cartRef"]) == ("STATE_HELD", "ann", "c-1")
    assert held["lines"][0]["allocations"] == [{"location": "ST1", "quantity": 2, "fulfilled": 0, "released": 0}]
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
        ["line", "sku", "location", "quantity", "fulfilled", "released"],
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
        "Ask for fewer, leave out --location to look elsewhere, or take what there is with --best-effort.\n"
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
    assert line["allocations"] == [{"location": "WH1", "quantity": 6, "fulfilled": 2, "released": 1}]
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
    few = invengine.run("reservation", "list", "--customer", "bob", "--most", "2")
    assert len(few.stdout.splitlines()) == 3
    assert "raise --most" in few.stderr


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
