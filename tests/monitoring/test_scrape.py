"""What a running server exposes is what the dashboard, the alerts and the pages speak of."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from invengine import bootstrap
from tests.monitoring.programs import PAGES, promtool
from tests.redis_servers import RunningRedis
from tests.rpc.engines import settings_for

Series = dict[str, list[dict[str, str]]]


async def page(address: str, path: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


@pytest.fixture(scope="module")
def scrape(redis_of_kind: Callable[[str], RunningRedis]) -> str:
    """The page of a server that was just started and never called."""
    server = redis_of_kind("valkey")
    server.empty()

    async def scraped() -> str:
        async with bootstrap.running(settings_for(server.url, metrics_listen="127.0.0.1:0")) as engine:
            text = await page(engine.metrics_address, "/metrics")
            while b"\ninvengine_redis_up 1.0" not in text:  # the first look at Redis is under way
                text = await page(engine.metrics_address, "/metrics")
            return text.decode()

    return asyncio.run(scraped())


@pytest.fixture(scope="module")
def series(scrape: str) -> Series:
    """The label sets of every name of a sample."""
    found: Series = {"up": [{}]}  # of Prometheus itself
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/monitoring/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", PAGES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expressions() -> list[str]:
    """Of every panel and every rule."""
    model = json.loads((PAGES / "dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in model["panels"] for target in panel.get("targets", [])]
    variables = [variable["definition"] for variable in model["templating"]["list"] if "definition" in variable]
    rules = yaml.safe_load((PAGES / "alerts.yml").read_text(encoding="utf-8"))
    return [*shown, *variables, *(rule["expr"] for group in rules["groups"] for rule in group["rules"])]


def used(expression: str) -> list[tuple[str, dict[str, str], set[str]]]:
    """Metrics that an expression reads: name, labels that must be equal to something, labels that must be there."""
    expression = re.sub(r"invengine:[\w:]+(?:\{[^}]*\})?", "", expression)  # a recorded one
    plain = re.sub(r'"[^"]*"', '""', expression)
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"(?:by|on|group_left)\s*\(([^)]*)\)", plain))))
    found = []
    for name, inside in re.findall(
        r"(?<![\w:$])((?:invengine|grpc|process|python)_\w+|up(?=\{))(?:\{([^}]*)\})?",
        re.sub(r"(?:by|on|group_left)\s*\([^)]*\)", "", expression),
    ):
        matched = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', inside)
        equal = {label: value for label, operator, value in matched if operator == "=" and "$" not in value}
        found.append((name, equal, {label for label, _, _ in matched} | grouped))
    return found


FROM_PROMETHEUS = {"job", "instance"}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_expression_reads_what_is_served_from_the_start(expression: str, series: Series) -> None:
    """Also that it is there with these labels: else a panel stays empty and an alert silent for ever."""
    reads = used(expression)
    assert reads or "invengine:" in expression
    for name, equal, _ in reads:
        assert name in series, name
        wanted = {label: value for label, value in equal.items() if label not in FROM_PROMETHEUS}
        assert any(wanted.items() <= labels.items() for labels in series[name]), (name, wanted)
    labels = {label for name, _, _ in reads for there in series[name] for label in there} | FROM_PROMETHEUS
    for _, _, needed in reads:
        assert needed <= labels, needed - labels


def test_the_recorded_series_that_are_read_are_recorded() -> None:
    rules = yaml.safe_load((PAGES / "alerts.yml").read_text(encoding="utf-8"))
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    read = {name for expression in expressions() for name in re.findall(r"invengine:\w+:\w+", expression)}
    assert read == recorded


def test_the_dashboard_and_the_table_of_metrics_are_as_generated(generate: Any) -> None:
    """`python docs/monitoring/generate.py` writes them."""
    assert generate.DASHBOARD.read_text(encoding="utf-8") == generate.dashboard()
    assert generate.METRICS_PAGE.read_text(encoding="utf-8") == generate.metrics_page()


def test_everything_that_is_served_is_in_the_table_of_metrics(scrape: str) -> None:
    text = (PAGES.parent / "metrics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_]+)`", text))
    served = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(scrape)
        if not family.name.endswith("_created")
    }
    assert served - told == set()


def test_the_panels_do_not_overlap() -> None:
    model = json.loads((PAGES / "dashboard.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])


def test_names_units_and_help_are_as_prometheus_wants_them(scrape: str) -> None:
    checked = promtool("check", "metrics", text=scrape)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_redis_says_of_itself_is_told(scrape: str) -> None:
    told = dict(re.findall(r"^(invengine_redis_\w+) (\S+)$", scrape, flags=re.MULTILINE))
    assert {name: float(told[f"invengine_redis_{name}"]) for name in ("primaries", "aof_ok", "save_ok")} == {
        "primaries": 1,
        "aof_ok": 1,
        "save_ok": 1,
    }
    used_bytes, limit = (
        float(told["invengine_redis_memory_used_bytes"]),
        float(told["invengine_redis_memory_limit_bytes"]),
    )
    assert 0 < used_bytes < limit
    assert float(told["invengine_redis_memory_used_ratio"]) == pytest.approx(used_bytes / limit)
