"""invengine stock post, show."""

from tests.cli.servers import CommandLine


def test_a_movement_shows_the_position_after_it(invengine: CommandLine) -> None:
    posted = invengine.run("stock", "post", "receipt", "st-a", "WH1", "10")
    header, row = (line.split() for line in posted.stdout.splitlines())
    assert header == ["result", "sku", "location", "on_hand", "reserved", "revision"]
    assert row[:5] == ["APPLIED", "st-a", "WH1", "10", "0"]
    lost = invengine.json("stock", "post", "ADJUSTMENT", "st-a", "WH1", "-3", "--reason", "damaged")
    assert lost["outcomes"][0]["onHand"] == 7
    assert invengine.json("stock", "post", "COUNT", "st-a", "WH1", "6")["outcomes"][0]["onHand"] == 6


def test_the_same_event_changes_nothing_twice(invengine: CommandLine) -> None:
    arguments = ("stock", "post", "RECEIPT", "st-again", "WH1", "4", "--source", "erp", "--event-id", "note-1")
    assert invengine.json(*arguments)["outcomes"][0]["result"] == "RESULT_APPLIED"
    assert invengine.json(*arguments)["outcomes"][0] | {"revision": 0} == {
        "result": "RESULT_REPEATED",
        "onHand": 4,
        "reserved": 0,
        "revision": 0,
        "states": [],
    }


def test_a_sale_of_more_than_there_is_ends_with_4(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "st-sale", "WH1", "1")
    refused = invengine.run("stock", "post", "SALE", "st-sale", "WH1", "2", exit_code=4)
    assert refused.stdout == ""
    assert refused.stderr == (
        "2 st-sale wanted at WH1, 1 available to sell\nSee what holds the rest: invengine stock show SKU LOCATION.\n"
    )
    as_json = invengine.run("stock", "post", "SALE", "st-sale", "WH1", "2", "--json", exit_code=4)
    assert '"RESULT_REFUSED"' in as_json.stdout
    assert '"INSUFFICIENT_STOCK"' in as_json.stderr


def test_an_older_count_changes_nothing_and_says_so(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "COUNT", "st-count", "WH1", "5")
    stale = invengine.run(
        "stock", "post", "COUNT", "st-count", "WH1", "9", "--occurred-at", "2026-01-01T00:00:00Z", exit_code=4
    )
    assert "count" in stale.stderr
    assert invengine.json("stock", "show", "st-count", "WH1")["position"]["onHand"] == 5


def test_compare_and_set(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "st-cas", "WH1", "5", "--expected-revision", "0")
    refused = invengine.run("stock", "post", "COUNT", "st-cas", "WH1", "4", "--expected-revision", "0", exit_code=4)
    assert "Read it again" in refused.stderr


def test_a_position_is_shown(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "st-show", "ST2", "5")
    lines = [
        line.split()
        for line in invengine.run("stock", "show", "st-show", "ST2", "--fresh", "latest").stdout.splitlines()
    ]
    columns = ["sku", "location", "on_hand", "reserved", "safety_stock", "shortfall", "backordered", "revision"]
    assert lines[0] == columns
    assert lines[1][:7] == ["st-show", "ST2", "5", "0", "1", "0", "0"]
    assert len(lines) == 2
    invengine.run("stock", "show", "st-show", "WH1", exit_code=3)
    invengine.run("stock", "show", "st-show", "MARS", exit_code=3)


def test_a_position_shows_ring_fences_and_what_is_expected(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "st-f", "ST1", "5")
    posted = invengine.run("stock", "post", "ring_fence", "st-f", "ST1", "3", "--channel", "till")
    assert posted.stdout.splitlines()[1].split()[:5] == ["APPLIED", "st-f", "ST1", "5", "0"]
    invengine.run("stock", "post", "RING_FENCE", "st-f", "ST1", "-1", "--channel", "till")
    invengine.run("incoming", "set", "po-1", "st-f", "ST1", "7", "2099-12-24")
    lines = [line.split() for line in invengine.run("stock", "show", "st-f", "ST1").stdout.splitlines()]
    assert lines[2:5] == [[], ["ring_fence", "quantity"], ["till", "2"]]
    assert lines[7][:6] == ["po-1", "st-f", "ST1", "2099-12-24", "7", "0"]
    nobody = invengine.run("stock", "post", "RING_FENCE", "st-f", "ST1", "1", exit_code=2)
    assert "Name the channel" in nobody.stderr
    more = invengine.run("stock", "post", "RING_FENCE", "st-f", "ST1", "9", "--channel", "web", exit_code=4)
    assert "9 st-f wanted at ST1, 3 available" in more.stderr


def test_a_sale_may_say_whose_it_is(invengine: CommandLine) -> None:
    """The channel of the environment is nothing to other kinds."""
    invengine.run("stock", "post", "RECEIPT", "st-w", "ST1", "5", "--channel", "till")
    invengine.run("stock", "post", "RING_FENCE", "st-w", "ST1", "5", "--channel", "till")
    invengine.run("stock", "post", "SALE", "st-w", "ST1", "1", exit_code=4)
    invengine.run("stock", "post", "SALE", "st-w", "ST1", "1", "--channel", "till")
    fences = invengine.json("stock", "show", "st-w", "ST1")["position"]["ringFences"]
    assert fences == [{"channel": "till", "quantity": 4}]


def test_what_cannot_be_sent_ends_with_2(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "GIFT", "st-x", "WH1", "1", exit_code=2)
    invengine.run("stock", "post", "RECEIPT", "st-x", "WH1", "many", exit_code=2)
    bad = invengine.run("stock", "post", "RECEIPT", "st-x", "WH1", "1", "--occurred-at", "yesterday", exit_code=2)
    assert "2026-01-31T09:30:00Z" in bad.stderr
    nameless = invengine.run("stock", "post", "ADJUSTMENT", "st-x", "WH1", "1", exit_code=2)
    assert "reason" in nameless.stderr
    unknown = invengine.run("stock", "post", "RECEIPT", "st-x", "MARS", "1", exit_code=3)
    assert "invengine network show" in unknown.stderr


def test_units_in_states_are_posted_and_shown(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "st-u", "WH1", "5")
    posted = invengine.run("stock", "post", "receipt", "st-u", "WH1", "4", "--state", "quarantine")
    assert [line.split() for line in posted.stdout.splitlines()][1:] == [
        ["APPLIED", "st-u", "WH1", "5", "0", posted.stdout.splitlines()[1].split()[-1]],
        [],
        ["state", "quantity"],
        ["quarantine", "4"],
    ]
    change = ("stock", "post", "STATE_CHANGE", "st-u", "WH1")
    invengine.run(*change, "3", "--state", "quarantine", "--to-state", "on_hand")
    refused = invengine.run(*change, "2", "--state", "quarantine", "--to-state", "gone", exit_code=4)
    assert refused.stderr.startswith("2 st-u wanted at WH1, 1 available")
    shown = [line.split() for line in invengine.run("stock", "show", "st-u", "WH1").stdout.splitlines()]
    assert (shown[1][2], shown[4]) == ("8", ["quarantine", "1"])
    history = invengine.run("stock", "history", "st-u").stdout.splitlines()
    assert "states" in history[0]
    assert "quarantine 4 -> 1" in history[3]
    unknown = invengine.run("stock", "post", "RECEIPT", "st-u", "WH1", "1", "--state", "lost", exit_code=3)
    assert "invengine network show" in unknown.stderr
    invengine.run(*change, "1", "--state", "quarantine", exit_code=2)
