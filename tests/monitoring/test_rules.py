"""The alerts: valid, each tested to fire and not to fire, each with a runbook."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.monitoring.programs import PAGES, promtool

TESTS = ["alerts_test.yml", "alerts_hours_test.yml"]


def loaded(name: str) -> Any:
    return yaml.safe_load((PAGES / name).read_text(encoding="utf-8"))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in loaded("alerts.yml")["groups"] for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("arguments", [("rules", "alerts.yml"), ("config", "prometheus.yml")], ids=lambda a: a[0])
def test_the_files_are_valid(arguments: tuple[str, str]) -> None:
    checked = promtool("check", *arguments)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", TESTS)
def test_the_alerts_fire_when_they_should_and_only_then(name: str) -> None:
    tested = promtool("test", "rules", name)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_both_ways() -> None:
    fires, quiet = set(), set()
    for group in [group for name in TESTS for group in loaded(name)["tests"]]:
        fired = {
            name
            for test in group["promql_expr_test"]
            for sample in test["exp_samples"]
            for name in re.findall(r'alertname="(\w+)"', sample["labels"])
        }
        fires |= fired
        if any(not test["exp_samples"] for test in group["promql_expr_test"]):
            quiet |= fired
    names = [alert["alert"] for alert in alerts()]
    assert len(names) == len(set(names))
    assert fires == set(names)
    assert quiet == set(names)


def test_every_alert_says_what_is_wrong_how_much_and_where_to_read_on() -> None:
    headings = {
        "#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", (PAGES.parent / "monitoring.md").read_text(), flags=re.MULTILINE)
    }
    for alert in alerts():
        annotations = alert["annotations"]
        assert set(annotations) == {"summary", "description", "runbook"}, alert["alert"]
        page, _, anchor = annotations["runbook"].partition("#")
        assert page == "docs/monitoring.md"
        assert f"#{anchor}" in headings, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")
        described = annotations["description"]
        assert "$value" in described or "$labels.instance" in described, alert["alert"]
