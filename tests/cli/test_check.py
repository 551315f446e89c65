"""invengine check."""

from tests.cli.servers import CommandLine


def test_a_sound_store_ends_with_0(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ch-a", "WH1", "3")
    invengine.run("reserve", "ch-a", "1", "--channel", "web")
    checked = invengine.run("check")
    assert checked.stdout == ""
    assert checked.stderr.endswith("live reservations checked: no violations.\n")
    told = invengine.json("check", "--limit", "5")
    assert told["positionsChecked"] >= 1
    assert told["reservationsChecked"] >= 1
    assert (told["violationsCount"], told["violations"]) == (0, [])


def test_the_log_is_replayed_when_asked(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ch-b", "WH1", "3")
    invengine.run("reserve", "ch-b", "1", "--channel", "web")
    said = invengine.run("check", "--replay").stderr.splitlines()
    assert said[-2].endswith("live reservations checked: no violations.")
    told = invengine.json("check", "--replay")
    assert told["violationsCount"] == 0
    replay = told["replay"]
    assert min(replay["entries"], replay["positionsCovered"], replay["reservationsCovered"]) >= 1
    assert (replay["positionsNotCovered"], replay["reservationsNotCovered"]) == (0, 0)
    positions, reservations = replay["positionsCovered"], replay["reservationsCovered"]
    promises = replay["promisesCovered"]
    assert said[-1] == (
        f"{replay['entries']} log entries replayed: they cover {positions} of {positions} positions and "
        f"{reservations} of {reservations} live reservations, {promises} of {promises} receipts, backorders, holds "
        "and broken promises."
    )
    assert "replay" not in invengine.json("check")
