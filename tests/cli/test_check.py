"""invengine check."""

from tests.cli.servers import CommandLine


def test_a_sound_store_ends_with_0(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ch-a", "WH1", "3")
    invengine.run("reserve", "ch-a", "1", "--channel", "web")
    checked = invengine.run("check")
    assert checked.stdout == ""
    assert checked.stderr.endswith("live reservations checked: no violations.\n")
    told = invengine.json("check", "--most", "5")
    assert told["positionsChecked"] >= 1
    assert told["reservationsChecked"] >= 1
    assert (told["violationsCount"], told["violations"]) == (0, [])
