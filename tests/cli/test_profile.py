"""invengine profile put, list, show, activate, deactivate, history, diff."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import NETWORK, CommandLine, Server

FAST = """\
name: fast
description: few parcels, soon
costs: {parcel: 4.5, day_waiting: 1}
"""
FASTER = """\
# more for every day
name: fast
costs: {parcel: 4.5, day_waiting: 2.25}
rules: {exclude: [stores]}
"""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line against a server of this test's own, with a network."""
    server = Server(tmp_path)
    try:
        server.wait()
        (tmp_path / "network.yaml").write_text(NETWORK)
        commands = CommandLine(server.address)
        commands.run("network", "apply", str(tmp_path / "network.yaml"))
        yield commands
    finally:
        assert server.stop() == 0


def rows(text: str) -> list[list[str]]:
    """The cells of a plain table: columns are two spaces apart at least."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


@pytest.fixture
def fast(tmp_path: Path) -> str:
    path = tmp_path / "fast.yaml"
    path.write_text(FAST)
    return str(path)


@pytest.fixture
def faster(tmp_path: Path) -> str:
    path = tmp_path / "faster.yaml"
    path.write_text(FASTER)
    return str(path)


def test_a_profile_from_its_file_to_a_channel_and_back(line: CommandLine, fast: str, faster: str) -> None:
    assert "There is no profile yet" in line.run("profile", "list").stderr
    looked = line.run("profile", "put", fast, "--dry-run")
    assert rows(looked.stdout) == [
        ["term", "before", "after"],
        ["description", "few parcels, soon"],
        ["costs.parcel", "0.00", "4.50"],
        ["costs.day_waiting", "0.00", "1.00"],
    ]
    assert looked.stderr == "It would be fast@1.\n"
    done = line.run("profile", "put", fast, "--actor", "ann", "--request-id", "r1")
    assert done.stdout == looked.stdout
    assert done.stderr == "It is fast@1. To source by it: invengine profile activate CHANNEL fast@1.\n"
    assert line.run("profile", "put", fast).stderr == "Nothing is new: it is fast@1.\n"
    listed = line.run("profile", "list")
    assert [row[0] for row in rows(listed.stdout)] == ["profile", "fast@1"]
    assert "No profile is active" in listed.stderr
    active = line.run("profile", "activate", "web", "fast", "--actor", "ann")
    assert active.stderr == "For channel web fast@1 is active now, revision 2.\n"
    line.run("profile", "put", "-", stdin=FASTER)
    line.run("profile", "activate", "till", "fast@2", "--actor", "bob", "--expected-revision", "0")
    again = line.run("profile", "activate", "web", "fast@1")
    assert again.stderr.startswith("Nothing changed: for channel web fast@1 became active at 2")
    assert again.stderr.endswith(", by ann, revision 2.\n")
    listed = line.run("profile", "list")
    profiles, activations = listed.stdout.split("\n\n")
    assert [[row[0], row[2], *row[3:]] for row in rows(profiles)] == [
        ["profile", "actor", "active_channels", "description"],
        ["fast@1", "ann", "web", "few parcels, soon"],
        ["fast@2", getpass.getuser(), "till"],
    ]
    assert [row[:2] + row[3:] for row in rows(activations)] == [
        ["channel", "profile", "actor", "revision"],
        ["till", "fast@2", "bob", "4"],
        ["web", "fast@1", "ann", "2"],
    ]
    looked = line.run("profile", "activate", "web", "fast", "--dry-run")
    assert rows(looked.stdout) == [
        ["term", "fast@1", "fast@2"],
        ["description", "few parcels, soon"],
        ["costs.day_waiting", "1.00", "2.25"],
        ["rules.exclude", "stores"],
    ]
    assert looked.stderr == "For channel web fast@2 would be active in place of fast@1.\n"
    ended = line.run("profile", "deactivate", "web", "--actor", "cyd")
    assert ended.stderr == "For channel web no profile is active now in place of fast@1, revision 5.\n"
    assert "no profile became active at" in line.run("profile", "deactivate", "web").stderr
    history = rows(line.run("profile", "history", "web").stdout)
    assert [row[:2] + row[3:] for row in history] == [
        ["channel", "profile", "actor", "revision"],
        ["web", "none", "cyd", "5"],
        ["web", "fast@1", "ann", "2"],
    ]
    assert "was ever active for channel closed" in line.run("profile", "history", "closed").stderr
    assert "was ever active for channel closed" in line.run("profile", "deactivate", "closed").stderr
    third = line.json("profile", "put", fast, "--actor", "ann")
    assert (third["name"], third["version"], third["isNew"]) == ("fast", 3, True)
    assert len(third["changes"]) == 3
    assert [row[0] for row in rows(line.run("profile", "list").stdout)[:3]] == ["profile", "fast@2", "fast@3"]
    one = rows(line.run("profile", "list", "fast").stdout.split("\n\n")[0])
    assert [row[0] for row in one] == ["profile", "fast@1", "fast@2", "fast@3"]


def test_a_profile_is_shown_with_every_term(line: CommandLine, fast: str) -> None:
    line.run("profile", "put", fast, "--actor", "ann")
    line.run("profile", "activate", "web", "fast")
    shown = line.run("profile", "show", "fast")
    terms = {row[0]: row[1:] for row in rows(shown.stdout)}
    assert len(terms) == 18
    assert terms["costs.parcel"] == ["4.50"]
    assert terms["rules.lateness"] == ["forbidden"]
    assert shown.stderr.startswith("fast@1, put 2")
    assert shown.stderr.endswith(" by ann; active for web.\n")
    assert line.run("profile", "show", "fast@1", "--document").stdout == FAST
    told = line.json("profile", "show", "fast")
    assert (told["profile"]["version"], told["document"]) == (1, FAST)
    assert {"term": "costs.parcel", "value": "4.50"} in told["profile"]["terms"]
    listing = line.json("profile", "list")
    assert [one["profile"] for one in listing["activations"]] == ["fast@1"]
    assert listing["profiles"][0]["activeChannels"] == ["web"]
    assert line.json("profile", "history", "web")["activations"] == listing["activations"]
    told = line.json("profile", "activate", "web", "fast@1")
    assert (told["isNew"], told["activation"]) == (False, listing["activations"][0])
    assert line.json("profile", "deactivate", "web")["activation"]["profile"] == ""


def test_versions_and_files_are_compared_term_by_term(line: CommandLine, fast: str, faster: str) -> None:
    line.run("profile", "put", fast)
    line.run("profile", "put", faster)
    wanted = [
        ["description", "few parcels, soon"],
        ["costs.day_waiting", "1.00", "2.25"],
        ["rules.exclude", "stores"],
    ]
    assert rows(line.run("profile", "diff", "fast@1", "fast").stdout) == [["term", "fast@1", "fast@2"], *wanted]
    assert rows(line.run("profile", "diff", "fast@1", faster).stdout)[1:] == wanted
    assert rows(line.run("profile", "diff", fast, "-", stdin=FASTER).stdout)[1:] == wanted
    assert line.json("profile", "diff", fast, "fast@2") == {
        "before": fast,
        "after": "fast@2",
        "changes": [
            {"term": "description", "before": "few parcels, soon", "after": ""},
            {"term": "costs.day_waiting", "before": "1.00", "after": "2.25"},
            {"term": "rules.exclude", "before": "", "after": "stores"},
        ],
    }
    same = line.run("profile", "diff", "fast@2", "-", stdin=FASTER.replace("name: fast\n", ""))
    assert (same.stdout, same.stderr) == ("", "fast@2 and - have the same terms.\n")
    assert "There is no sourcing profile 'fast@9'" in line.run("profile", "diff", "fast@9", fast, exit_code=3).stderr


def test_faults_and_refusals_end_a_command_with_their_code(line: CommandLine, fast: str) -> None:
    bad = line.run("profile", "put", "-", stdin="nmae: x\ncosts:\n  parcel: dear\n", exit_code=2)
    assert bad.stderr.splitlines() == [
        "Line 1: nmae: not a known field; name is meant?",
        "line 1: document: name is missing",
        "line 3: costs.parcel: 'dear' is not an amount such as 4.95, with at most 4 decimals",
        "Correct the file and put it again; docs/profiles.md names every term.",
    ]
    line.run("profile", "put", "no such file", exit_code=2)
    excludes = "name: a\nrules: {exclude: [MOON]}\n"
    gone = line.run("profile", "put", "-", stdin=excludes, exit_code=2)
    assert "Line 2: rules.exclude[0]: the network has no location or group 'MOON'" in gone.stderr
    line.run("profile", "put", "-", "--allow-unknown-places", stdin=excludes)
    line.run("profile", "activate", "web", "a", exit_code=2)
    line.run("profile", "activate", "web", "a", "--allow-unknown-places")
    line.run("profile", "put", fast, "--expected-version", "1", exit_code=4)
    line.run("profile", "put", fast, "--name", "other", exit_code=2)
    line.run("profile", "put", "-", "--name", "other", stdin="{}")
    line.run("profile", "activate", "web", "other", "--expected-revision", "99", exit_code=4)
    assert "invengine profile list" in line.run("profile", "show", "slow", exit_code=3).stderr
    line.run("profile", "show", "slow@x", exit_code=2)
    line.run("profile", "list", "slow", exit_code=3)
    line.run("profile", "activate", "shop", "other", exit_code=3)
    line.run("profile", "history", "shop", exit_code=3)


def test_a_channel_that_the_network_lost_is_marked(line: CommandLine, fast: str, tmp_path: Path) -> None:
    line.run("profile", "put", fast)
    line.run("profile", "activate", "till", "fast")
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text(NETWORK.replace("  till: {groups: [stores]}\n", ""))
    line.run("network", "apply", str(smaller))
    assert rows(line.run("profile", "list").stdout)[-1][-1] == "not in the network"
    line.run("profile", "activate", "till", "fast@1", exit_code=3)
    line.run("profile", "deactivate", "till")
    assert rows(line.run("profile", "history", "till").stdout)[1][1] == "none"
