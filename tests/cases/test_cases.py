"""Every case of every file of this folder, through the public API of a whole engine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.adapters import ADAPTERS
from tests.rpc.engines import engine

FOLDER = Path(__file__).parent
FILES = {path: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.rglob("*.yaml"))}
CASES = [(path, file["kind"], case) for path, file in FILES.items() for case in file["cases"]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "case"),
    [pytest.param(kind, case, id=f"{path.stem}: {case['title']}") for path, kind, case in CASES],
)
async def test_case(redis_url: str, kind: str, case: dict[str, Any]) -> None:
    async with engine(redis_url) as (_, stubs):
        await ADAPTERS[kind](stubs, case)


def test_every_case_file_is_run() -> None:
    """What the test above is given is every case of every file: none is overlooked by its name, place or kind."""
    (given,) = [mark for mark in test_case.pytestmark if mark.name == "parametrize"]
    run = Counter(parameters.id for parameters in given.args[1])
    wanted: Counter[str] = Counter()
    for path in FOLDER.rglob("*"):
        if path.is_dir() or path.suffix in {".py", ".pyc"} or path.name == "README.md":
            continue
        assert path.suffix == ".yaml", f"{path.name} is no case file that is read"
        file = yaml.safe_load(path.read_text())
        assert set(file) == {"kind", "cases"}, path.name
        assert file["kind"] in ADAPTERS, path.name
        assert file["cases"], f"{path.name} has no cases"
        wanted.update(f"{path.stem}: {case['title']}" for case in file["cases"])
    assert run == wanted
    assert max(wanted.values()) == 1, "two cases have one title"


def test_every_adapter_has_cases_and_is_a_module_of_its_own() -> None:
    assert {file["kind"] for file in FILES.values()} == set(ADAPTERS)
    modules = {path.stem for path in (FOLDER / "adapters").glob("*.py")} - {"__init__", "calls"}
    assert modules == set(ADAPTERS)
    for kind, run in ADAPTERS.items():
        assert run.__module__ == f"tests.cases.adapters.{kind}"


def test_every_kind_is_told_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [kind for kind in ADAPTERS if f"| `{kind}` |" not in text] == []
