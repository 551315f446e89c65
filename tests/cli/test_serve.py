"""invengine serve: settings, start, stop."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

NOWHERE = CommandLine("127.0.0.1:1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    try:
        started.wait()
        yield started
    finally:
        started.stop(signal.SIGKILL)


def test_every_setting_is_listed_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENGINE_PARTITIONS", "8")
    monkeypatch.setenv("INVENGINE_REDIS_URL", "redis://:secret@example.org")
    listed = NOWHERE.run("serve", "--list-settings", "--partitions", "16", "--listen", "127.0.0.1:0").stdout
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert lines["INVENGINE_PARTITIONS"].split()[1] == "16"
    assert lines["INVENGINE_LISTEN"].split()[1] == "127.0.0.1:0"
    assert lines["INVENGINE_REDIS_URL"].split()[1] == "(set)"
    assert "secret" not in listed


def test_settings_that_cannot_be_end_with_2_and_name_their_variables() -> None:
    bad = NOWHERE.run("serve", "--listen", "here", "--partitions", "0", exit_code=2)
    assert "INVENGINE_LISTEN: must be HOST:PORT" in bad.stderr
    assert "INVENGINE_PARTITIONS" in bad.stderr


def test_sigterm_and_ctrl_c_end_it_with_0_and_the_data_is_there_again(tmp_path: Path) -> None:
    for round_, signum in enumerate((signal.SIGTERM, signal.SIGINT)):
        server = Server(tmp_path)
        server.wait()
        line = CommandLine(server.address)
        if round_ == 0:
            (tmp_path / "shop.yaml").write_text(
                "locations: {A: {}}\ngroups: {g: [A]}\nchannels: {web: {groups: [g]}}\n"
            )
            line.run("network", "apply", str(tmp_path / "shop.yaml"))
            line.run("stock", "post", "RECEIPT", "LAMP", "A", "7")
        assert line.json("availability", "LAMP", "--channel", "web")["available"] == 7
        assert server.stop(signum) == 0


def test_two_servers_never_share_a_data_folder_or_an_address(server: Server, tmp_path: Path) -> None:
    def second(listen: str, data: Path) -> str:
        command = [sys.executable, "-m", "invengine", "serve", "--listen", listen, "--metrics-listen", ""]
        done = subprocess.run(
            [*command, "--data-dir", str(data)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert str(server.folder / "data") in second(f"unix:{tmp_path}/other.sock", server.folder / "data")
    assert "Traceback" not in second(server.address, tmp_path / "other-data")
