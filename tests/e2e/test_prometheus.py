"""A real Prometheus with the files of docs/monitoring scrapes a real server and evaluates the alerts."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.monitoring.programs import PAGES, program

SECONDS_MAX = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(port: int, path: str) -> Any:
    """The data of an answer of Prometheus's API; None while it does not listen or is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]
    except (urllib.error.URLError, ConnectionError):
        return None


def value(port: int, query: str) -> float | None:
    """The single value of a query, None where there is none."""
    found = asked(port, "query?" + urllib.parse.urlencode({"query": query}))
    return float(found["result"][0]["value"][1]) if found and found["result"] else None


def until(is_so: Callable[[], Any], what: str) -> Any:
    """What it answers as soon as that is true."""
    deadline = time.monotonic() + SECONDS_MAX
    while not (answer := is_so()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return answer


@contextmanager
def process(*command: str, folder: Path, log: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the block is left."""
    with (folder / log).open("wb") as out:
        started = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(timeout=30)


def test_prometheus_scrapes_a_server_and_knows_the_alerts(tmp_path: Path) -> None:
    prometheus, metrics_port, port = program("prometheus"), free_port(), free_port()
    shutil.copy(PAGES / "alerts.yml", tmp_path)
    config = (PAGES / "prometheus.yml").read_text().replace("127.0.0.1:9464", f"127.0.0.1:{metrics_port}")
    (tmp_path / "prometheus.yml").write_text(config.replace("15s", "200ms"))
    serve = (sys.executable, "-m", "invengine", "serve", "--listen", f"unix:{tmp_path}/engine.sock")
    with (
        process(
            prometheus,
            "--config.file=prometheus.yml",
            f"--web.listen-address=127.0.0.1:{port}",
            "--storage.tsdb.path=data",
            folder=tmp_path,
            log="prometheus.log",
        ),
        process(
            *serve,
            f"--metrics-listen=127.0.0.1:{metrics_port}",
            f"--data-dir={tmp_path}/engine",
            folder=tmp_path,
            log="server.log",
        ),
    ):
        until(lambda: value(port, 'up{job="invengine"}') == 1, "the server is never up")
        until(lambda: value(port, "invengine_redis_up") == 1, "Redis is never up")
        until(lambda: value(port, "invengine_data_disk_free_bytes"), "the disk is never looked at")
        rules = {
            rule["name"]: rule
            for group in until(lambda: asked(port, "rules"), "there are no rules")["groups"]
            for rule in group["rules"]
        }
        assert {rule["health"] for rule in rules.values()} <= {"ok", "unknown"}, rules
        evaluated = until(
            lambda: [
                rule
                for group in asked(port, "rules")["groups"]
                for rule in group["rules"]
                if rule["name"] == "InvengineIntegrityViolated" and rule["health"] == "ok"
            ],
            "the alert is never evaluated",
        )
        assert evaluated[0]["state"] == "inactive"
        assert value(port, "sum(invengine_integrity_violations)") == 0
