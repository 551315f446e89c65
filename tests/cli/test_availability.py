"""invengine availability."""

from google.protobuf import json_format

from invengine.v1 import availability_service_pb2
from tests.cli.servers import CommandLine


def stock(invengine: CommandLine, sku: str, **units: int) -> None:
    for location, quantity in units.items():
        invengine.run("stock", "post", "RECEIPT", sku, location, str(quantity))


def test_one_sku_shows_every_position_and_the_total(invengine: CommandLine) -> None:
    stock(invengine, "av-one", WH1=5, ST2=3)
    lines = invengine.run("availability", "av-one", "--channel", "web").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["location", "available", "on_hand", "reserved", "safety_stock", "level", "reasons"],
        ["ST2", "2", "3", "0", "1", "LOW", "SAFETY_STOCK"],
        ["WH1", "5", "5", "0", "0", "IN_STOCK"],
        ["total", "7", "8", "0", "1", "IN_STOCK"],
    ]


def test_json_is_proto_json_with_numbers(invengine: CommandLine) -> None:
    stock(invengine, "av-json", WH1=2)
    answer = invengine.json("availability", "av-json", "--channel", "web", "--fresh", "latest")
    assert answer["available"] == 2
    assert answer["level"] == "LEVEL_LOW"
    numbers = {"available": 2, "onHand": 2, "reserved": 0, "safetyStock": 0, "fenced": 0, "ownFence": 0, "uncertain": 0}
    rest = {"reasons": [], "level": "LEVEL_LOW", "limitingComponent": ""}
    assert answer["positions"] == [{"location": "WH1", **numbers, **rest}]
    parsed = json_format.ParseDict(answer, availability_service_pb2.GetAvailabilityResponse())
    assert parsed.positions[0].on_hand == 2


def test_a_channel_sees_the_locations_of_its_groups_only(invengine: CommandLine) -> None:
    stock(invengine, "av-till", WH1=5, ST1=2)
    assert invengine.json("availability", "av-till", "--channel", "till")["available"] == 2
    narrowed = invengine.json("availability", "av-till", "--channel", "web", "--location", "WH1")
    assert [position["location"] for position in narrowed["positions"]] == ["WH1"]
    assert invengine.json("availability", "av-till", "--channel", "web", "--group", "stores")["available"] == 2


def test_several_skus_are_a_table_of_totals(invengine: CommandLine) -> None:
    stock(invengine, "av-a", WH1=1, ST1=2)
    stock(invengine, "av-b", WH1=4)
    lines = invengine.run("availability", "av-a", "av-none", "av-b", "--channel", "web").stdout.splitlines()
    assert [line.split(maxsplit=4) for line in lines] == [
        ["sku", "available", "level", "status", "locations"],
        ["av-a", "3", "IN_STOCK", "KNOWN", "ST1 2, WH1 1"],
        ["av-none", "0", "OUT", "UNKNOWN_SKU"],
        ["av-b", "4", "IN_STOCK", "KNOWN", "WH1 4"],
    ]
    assert invengine.json("availability", "av-a", "av-b", "--channel", "web")["available"] == [3, 4]


def test_an_own_hold_can_be_left_out_of_account(invengine: CommandLine) -> None:
    stock(invengine, "av-own", WH1=3)
    held = invengine.json("reserve", "av-own", "2", "--channel", "web")["reservation"]["reservationId"]
    assert invengine.json("availability", "av-own", "--channel", "web")["available"] == 1
    own = invengine.json("availability", "av-own", "--channel", "web", "--ignore-reservation", held)
    assert own["available"] == 3
    refused = invengine.run(
        "availability", "av-own", "av-x", "--channel", "web", "--ignore-reservation", held, exit_code=2
    )
    assert "one SKU" in refused.stderr


def test_a_token_asks_for_at_least_that_state(invengine: CommandLine) -> None:
    token = invengine.json("stock", "post", "RECEIPT", "av-token", "WH1", "3")["consistencyToken"]
    assert invengine.json("availability", "av-token", "--channel", "web", "--fresh", token)["available"] == 3
    assert "token" in invengine.run("availability", "av-token", "--channel", "web", "--fresh", "x", exit_code=2).stderr


def test_what_does_not_exist_ends_with_3(invengine: CommandLine) -> None:
    unknown = invengine.run("availability", "av-nothing", "--channel", "web", exit_code=3)
    assert unknown.stdout == ""
    assert unknown.stderr.startswith("SKU 'av-nothing' is not known\nRecord its first stock")
    assert "channel 'nobody'" in invengine.run("availability", "x", "--channel", "nobody", exit_code=3).stderr.lower()
    invengine.run("availability", "x", "--channel", "web", "--group", "nowhere", exit_code=3)


def test_a_channel_must_be_named(invengine: CommandLine) -> None:
    assert "INVENGINE_CHANNEL" in invengine.run("availability", "x", exit_code=2).stderr


def test_ring_fences_and_what_is_expected_are_shown_where_there_are_any(invengine: CommandLine) -> None:
    stock(invengine, "av-fence", ST1=5)
    invengine.run("stock", "post", "RING_FENCE", "av-fence", "ST1", "2", "--channel", "till")
    invengine.run("incoming", "set", "po-1", "av-fence", "ST2", "40", "2099-12-24")
    web = invengine.run("availability", "av-fence", "--channel", "web")
    assert [line.split() for line in web.stdout.splitlines()] == [
        ["location", "available", "on_hand", "reserved", "safety_stock", "fenced", "level", "reasons"],
        ["ST1", "3", "5", "0", "0", "2", "IN_STOCK", "RING_FENCE"],
        ["total", "3", "5", "0", "0", "2", "IN_STOCK"],
    ]
    assert web.stderr == "Expected next: 40 on 2099-12-24.\n"
    till = invengine.run("availability", "av-fence", "--channel", "till").stdout.splitlines()
    columns = ["location", "available", "on_hand", "reserved", "safety_stock", "own_fence", "level", "reasons"]
    assert till[0].split() == columns
    assert till[1].split() == ["ST1", "5", "5", "0", "0", "2", "IN_STOCK"]


def test_a_kit_says_what_it_is_made_of_and_what_limits_it(invengine: CommandLine) -> None:
    stock(invengine, "av-sofa", WH1=2, ST2=9)
    stock(invengine, "av-cushion", WH1=20)
    shown = invengine.run("availability", "av-set", "--channel", "web")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["location", "available", "on_hand", "level", "limited_by", "reasons"],
        ["ST2", "0", "0", "OUT", "av-cushion"],
        ["WH1", "2", "2", "LOW", "av-sofa"],
        ["total", "2", "2", "LOW"],
    ]
    assert shown.stderr == "A kit of 1 av-sofa (10 available), 4 av-cushion (20 available).\n"
    made = invengine.run("reserve", "av-set", "2", "--channel", "web").stdout.splitlines()
    assert made[1] == "line 1: 2 of kit av-set, as its components"
    assert [line.split()[:4] for line in made[3:]] == [
        ["1/av-sofa", "av-sofa", "WH1", "2"],
        ["1/av-cushion", "av-cushion", "WH1", "8"],
    ]
    refused = invengine.run("reserve", "av-set", "1", "--channel", "web", exit_code=4)
    assert "av-set" in refused.stderr
    assert "av-sofa" in refused.stderr
    invengine.run("reservation", "release", made[0].split()[1], "--line", "1=1", "--channel", "web")
    assert invengine.json("availability", "av-set", "--channel", "web")["available"] == 1


def test_units_that_are_not_trusted_are_shown(invengine: CommandLine) -> None:
    stock(invengine, "av-few", ST3=2)
    shown = invengine.run("availability", "av-few", "--channel", "web").stdout
    assert [line.split() for line in shown.splitlines()] == [
        ["location", "available", "on_hand", "reserved", "safety_stock", "uncertain", "level", "reasons"],
        ["ST3", "1", "2", "0", "0", "1", "LOW", "CONFIDENCE"],
        ["total", "1", "2", "0", "0", "1", "LOW"],
    ]
