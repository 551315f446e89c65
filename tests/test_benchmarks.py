"""The figures that the pages show are those that were measured, and the ones that a reader looks for are there."""

from __future__ import annotations

import json

from benchmarks import __main__ as runner
from benchmarks import pages
from benchmarks.figures import RESULTS, Figure

FIGURES = [Figure(**json.loads(line)) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def between_markers(page: str) -> str:
    return page.partition(pages.BEGIN)[2].partition(pages.END)[0]


def test_the_figures_of_the_readme_were_all_measured() -> None:
    assert set(pages.HEADLINES) - {figure.name for figure in FIGURES} == set()


def test_the_pages_show_what_was_measured() -> None:
    readme = between_markers(pages.README.read_text(encoding="utf-8"))
    everything = between_markers(pages.PERFORMANCE.read_text(encoding="utf-8"))
    for figure in FIGURES:
        row = pages.table([figure]).splitlines()[-1]
        assert row in everything
        assert (row in readme) == (figure.name in pages.HEADLINES)


def test_what_is_not_reached_has_its_reason_beside_it() -> None:
    missed = [figure.name for figure in FIGURES if not figure.reached]
    assert [name for name in missed if name not in pages.REASONS] == []


def test_every_figure_is_of_a_script_that_asks_a_question() -> None:
    assert {figure.script for figure in FIGURES} - set(runner.names()) == set()
    assert all(pages.question_of(script).endswith("?") for script in runner.names())
