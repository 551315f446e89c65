"""invengine network apply, show, check."""

import json
from pathlib import Path

from tests.cli.servers import NETWORK, CommandLine

FAULTY = NETWORK.replace("groups: [stores]}", "groups: [shops]}", 1)


def test_the_document_in_force_is_shown_as_it_was_applied(invengine: CommandLine) -> None:
    shown = invengine.run("network", "show")
    assert shown.stdout == NETWORK
    assert shown.stderr.startswith("Revision ")
    assert invengine.json("network", "show")["document"] == NETWORK


def test_applying_it_again_changes_nothing(invengine: CommandLine, network_file: Path) -> None:
    again = invengine.json("network", "apply", str(network_file))
    assert again["changes"] == []
    assert "Nothing changed" in invengine.run("network", "apply", str(network_file)).stderr


def test_a_dry_run_says_what_would_change(invengine: CommandLine, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(NETWORK.replace("priority: 60", "priority: 70"))
    dry = invengine.run("network", "apply", str(changed), "--dry-run")
    assert [line.split() for line in dry.stdout.splitlines()[1:]] == [["changed", "locations.ST2.priority", "60", "70"]]
    assert "1 would change" in dry.stderr
    assert invengine.run("network", "show").stdout == NETWORK


def test_a_revision_that_was_passed_over_ends_with_4(invengine: CommandLine, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(NETWORK.replace("priority: 60", "priority: 70"))
    lost = invengine.run("network", "apply", str(changed), "--expected-revision", "0", exit_code=4)
    assert "Read it again" in lost.stderr


def test_faults_are_named_with_their_lines_on_the_server_and_without(invengine: CommandLine, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(FAULTY)
    line = FAULTY.splitlines().index("  till: {groups: [shops]}") + 1
    checked = invengine.run("network", "check", str(faulty), exit_code=2)
    assert checked.stderr.lower().startswith(f"line {line}: ")
    assert invengine.run("network", "apply", str(faulty), exit_code=2).stderr == checked.stderr
    told = json.loads(invengine.run("network", "check", str(faulty), "--json", exit_code=2).stdout)
    assert told["faults"][0]["line"] == line


def test_check_needs_no_server_and_reads_stdin(network_file: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    assert (
        nowhere.run("network", "check", str(network_file)).stdout == "No faults: 5 locations, 2 groups, 3 channels.\n"
    )
    assert nowhere.run("network", "check", "-", stdin=NETWORK).exit_code == 0
    assert "No such file" in nowhere.run("network", "check", "/nowhere/x.yaml", exit_code=2).stderr
