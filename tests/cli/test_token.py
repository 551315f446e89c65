"""Commands of tokens, and how commands bring one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from invengine.cli.app import app
from invengine.cli.exits import ExitCode
from tests.cli.test_help import COMMANDS
from tests.rpc.tokens import guarded


class Served:
    """A server that asks who calls, in a thread of its own, and commands against it."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self.admin = folder / "admin.token"
        self._environment = {"INVENGINE_SERVER": address, "INVENGINE_CHANNEL": None, "INVENGINE_TOKEN": None}

    def run(self, *arguments: str, token_file: Path | None = None, **environment: str) -> Result:
        """A command, as the administrator unless said otherwise."""
        bring = ["--token-file", str(token_file)] if token_file else []
        return CliRunner().invoke(app, [*arguments, *bring], env={**self._environment, **environment})

    def as_admin(self, *arguments: str) -> Result:
        """A command that succeeds."""
        done = self.run(*arguments, token_file=self.admin)
        assert done.exit_code == 0, done.output
        return done


@pytest.fixture
def served(redis_url: str, tmp_path: Path) -> Iterator[Served]:
    started, ended = threading.Event(), threading.Event()
    addresses: list[str] = []

    async def serve() -> None:
        async with guarded(redis_url, tmp_path) as server:
            addresses.append(server.address)
            started.set()
            await asyncio.to_thread(ended.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    yield Served(addresses[0], tmp_path)
    ended.set()
    thread.join()


def test_a_token_is_issued_used_listed_and_revoked(served: Served) -> None:
    out = served.folder / "web.token"
    issued = served.as_admin(
        "token", "issue", "web-shop", "--role", "reserve", "--for-channel", "web", "--out", str(out)
    )
    assert issued.stdout == ""
    assert out.stat().st_mode & 0o777 == 0o600
    token_id, _, secret = out.read_text().strip().partition(".")
    assert token_id in issued.stderr
    assert secret not in issued.output
    printed = served.as_admin("token", "issue", "agent", "--role", "read", "--role", "feed", "--rate", "5")
    assert printed.stdout.count(".") == 1
    assert served.run("stock", "feeds", token_file=out).exit_code == 0
    assert served.run("stock", "feeds", INVENGINE_TOKEN=printed.stdout.strip()).exit_code == 0
    assert served.run("stock", "feeds", INVENGINE_TOKEN_FILE=str(out)).exit_code == 0
    listed = json.loads(served.as_admin("token", "list", "--json").stdout)
    assert [(one["name"], one["channel"], one["roles"]) for one in listed["tokens"]] == [
        ("agent", "", ["ROLE_READ", "ROLE_FEED"]),
        ("first-admin", "", ["ROLE_ADMIN"]),
        ("web-shop", "web", ["ROLE_RESERVE"]),
    ]
    table = served.as_admin("token", "list").stdout
    assert "web-shop" in table
    assert secret not in table
    revoked = served.as_admin("token", "revoke", token_id)
    assert "is revoked" in revoked.stderr
    assert "was revoked" in served.as_admin("token", "revoke", token_id).stderr
    ended = served.as_admin("token", "list", "--ended").stdout
    assert "revoked 2" in ended
    refused = served.run("stock", "feeds", token_file=out)
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        ExitCode.NOT_ALLOWED,
        "No valid token came with the call",
    )


def test_what_a_person_may_get_wrong_is_said(served: Served) -> None:
    out = served.folder / "there"
    out.write_text("kept")
    for arguments, told in (
        (("token", "issue", "shop", "--role", "read", "--out", str(out)), "is there already"),
        (("token", "revoke", "0123.secret"), "what is behind it is secret"),
        (("token", "list", "--tls-certificate", str(out)), "go together"),
        (("token", "list", "--tls-ca", str(served.folder / "none")), "Cannot read"),
        (("token", "list", "--server", "stock.example:1"), "unencrypted"),
    ):
        done = served.run(*arguments, token_file=served.admin)
        assert (done.exit_code, told in done.stderr) == (ExitCode.USAGE, True), done.stderr
    assert out.read_text() == "kept"
    nobody = served.run("token", "list")
    assert nobody.exit_code == ExitCode.NOT_ALLOWED
    assert "--token-file" in nobody.stderr
    again = [served.as_admin("token", "issue", "shop", "--role", "read", "--request-id", "r") for _ in range(2)]
    assert [len(done.stdout.splitlines()) for done in again] == [1, 0]
    assert "cannot be told again" in again[1].stderr


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """What stands on a command line is seen by everybody on the machine."""
    options = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    assert {"--token-file", "--tls-ca", "--tls-certificate", "--tls-key"} <= options
    assert {option for option in options if "token" in option or "secret" in option or "password" in option} == {
        "--token-file",
        "token_id",
        "--after-token",  # of consistency
        "--resume-token",  # of a watch
    }


def test_the_settings_that_are_listed_have_no_password() -> None:
    done = CliRunner().invoke(
        app, ["serve", "--list-settings"], env={"INVENGINE_REDIS_URL": "redis://ann:hush-hush@stock:6379"}
    )
    assert (done.exit_code, "hush-hush" in done.output, "(set)" in done.output) == (0, False, True)
