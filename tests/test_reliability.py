"""The page of faults names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall((ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 40
    for file in {file for file, _ in named}:
        tree = ast.parse((ROOT / "tests" / file).read_text())
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert {test for its, test in named if its == file} <= there


def test_every_row_of_the_page_names_a_test() -> None:
    rows = [row for row in (ROOT / "docs" / "reliability.md").read_text().splitlines() if row.startswith("| ")]
    headings = [row for row in rows if row.startswith(("| Fault |", "| What |"))]
    assert len(headings) == 2
    assert all(NAMED.search(row) for row in rows if row not in headings)
