"""A PostgreSQL of the benchmarks' own: in a temporary folder, on a private unix socket, driven by pgbench."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = ("initdb", "postgres", "psql", "pgbench")
DATABASE = USER = "postgres"
SCHEMA = Path(__file__).with_name("postgres.sql")
START_SECONDS_MAX = STOP_SECONDS_MAX = 30.0
SETTINGS = {
    # Every acknowledged transaction is on disk, as the engine's.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # What an administrator would give it on a machine of some GB: all data in memory, no checkpoint in the middle.
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "min_wal_size": "1GB",
    "checkpoint_timeout": "1h",
    "wal_buffers": "64MB",
    "wal_compression": "lz4",
    "wal_level": "minimal",  # nobody replicates from it: less to write
    "max_wal_senders": "0",
    "max_connections": "200",
    "random_page_cost": "1.1",
    "jit": "off",  # every statement is short
    "huge_pages": "try",
    # Reachable by nothing but its socket.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
}


class PostgresFailedError(RuntimeError):
    """A program of PostgreSQL failed; its output is the message."""


def find_programs() -> Path | None:
    """The folder of the newest PostgreSQL: Debian's packages go first, since they put wrappers on PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -_version(folder.parent.name))
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if all((folder / name).exists() for name in PROGRAMS)), None)


def _version(text: str) -> int:
    return int(text) if text.isdigit() else 0


MISSING = "PostgreSQL (Debian package postgresql) is not installed: skipped"


@dataclass(frozen=True)
class Load:
    """What pgbench saw: transactions that were answered, a second, without the time to connect; its own CPU."""

    transactions: int
    per_second: float
    latency_ms: float
    client_cpu_seconds: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.transactions / self.per_second


@dataclass(frozen=True)
class Postgres:
    """A running server with the schema of postgres.sql."""

    programs: Path
    folder: Path
    pid: int
    version: str

    def execute(self, sql: str) -> str:
        """Run statements, each in its own transaction; the rows of the last one, columns apart by |."""
        command = [str(self.programs / "psql"), *self._where, "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        return _run(command, sql).strip()

    def fill(self, skus: int, locations: int, units: int) -> None:
        """Give every SKU `units` at every location, named as `engine.sku` and `engine.location` do; ANALYZE it."""
        self.execute(
            f"""INSERT INTO positions (sku, location, on_hand)
                  SELECT 'SKU-' || lpad(s::text, 8, '0'), 'L' || lpad(l::text, 3, '0'), {units}
                  FROM generate_series(0, {skus - 1}) AS s, generate_series(0, {locations - 1}) AS l;
                VACUUM ANALYZE;
                CHECKPOINT;"""
        )

    def load(self, script: str, clients: int, *, seconds: int = 0, transactions_each: int = 0) -> Load:
        """Run a pgbench script with prepared statements and so many connections, for a time or a number of times."""
        length = ["-T", str(seconds)] if seconds else ["-t", str(transactions_each)]
        file = self.folder / "script.sql"
        file.write_text(script, encoding="ascii")
        command = [str(self.programs / "pgbench"), *self._where, "-n", "-M", "prepared", "-c", str(clients)]
        before = os.times()
        out = _run([*command, "-j", str(min(clients, os.cpu_count() or 1)), *length, "-f", str(file)])
        after = os.times()
        done = re.search(r"number of transactions actually processed: (\d+)", out)
        rate = re.search(r"tps = ([0-9.]+) \(without initial connection time\)", out)
        latency = re.search(r"latency average = ([0-9.]+) ms", out)
        if not (done and rate and latency) or "number of failed transactions: 0 " not in out:
            raise PostgresFailedError(out)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Load(int(done[1]), float(rate[1]), float(latency[1]), cpu)

    @property
    def dsn(self) -> str:
        """What asyncpg connects to."""
        return f"postgresql://{USER}@/{DATABASE}?host={self.folder}"

    @property
    def _where(self) -> list[str]:
        return ["-h", str(self.folder), "-U", USER, DATABASE]


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Make a cluster with the schema, run it, and stop it by its own process id whatever happens."""
    programs = find_programs()
    if programs is None:
        raise PostgresFailedError(MISSING)
    with tempfile.TemporaryDirectory(prefix="pg-bench-") as name:
        folder, owner = Path(name), _owner()
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-U", USER, "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        _run(initdb, owner=owner, cwd=folder)
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        process = _start([str(programs / "postgres"), "-D", data, "-k", str(folder), *options], folder, owner)
        try:
            version = _run([str(programs / "postgres"), "--version"]).split()[2]
            server = Postgres(programs, folder, process.pid, version)
            _wait_until_ready(server, process)
            server.execute(SCHEMA.read_text(encoding="utf-8"))
            yield server
        finally:
            _stop(process)


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses to run as root. None: whoever runs this."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresFailedError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _as(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _start(command: list[str], folder: Path, owner: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv")  # of util-linux: the server ends when the benchmark is killed outright
    if setpriv:
        command = [setpriv, "--pdeathsig", "INT", *command]
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **_as(owner))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Have the server disconnect everybody and end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)  # at once; its children end with it, which SIGKILL would not assure
        process.wait(STOP_SECONDS_MAX)


def _wait_until_ready(server: Postgres, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(PostgresFailedError):  # not listening yet
            server.execute("SELECT 1")
            return
        time.sleep(0.02)
    raise PostgresFailedError((server.folder / "server.log").read_text()[-4000:])


def _run(
    command: list[str], stdin: str | None = None, *, owner: pwd.struct_passwd | None = None, cwd: Path | None = None
) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=cwd, check=False, **_as(owner))
    if done.returncode:
        raise PostgresFailedError(f"{command[0]}: {done.stderr[-4000:]}")
    return done.stdout
