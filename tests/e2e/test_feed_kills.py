"""A year of movements through servers that are killed: every position right to the unit, every movement told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.history import write_history
from tests.e2e.feed_kills import fed, history, synthetic_year

pytestmark = pytest.mark.asyncio
SEED = 20_261_122


async def test_a_year_is_right_to_the_unit_whoever_is_killed(tmp_path: Path) -> None:
    story = synthetic_year(SEED, 40_000)
    told = await fed(story, tmp_path, 0.7, ("server", "redis"), SEED)
    assert told.kills.total() >= 1  # more, the slower the machine
    assert (told.acknowledged, told.is_in_order, told.feed_position) == (40_000, True, 40_000)
    assert set(told.results) <= {"APPLIED", "REPEATED"}
    assert (told.differences, told.violations) == ([], 0)


async def test_a_history_of_sales_is_right_to_the_unit(tmp_path: Path) -> None:
    """As the script does it with a larger file."""
    story = history(write_history(tmp_path / "history.csv.gz", invoices=250), 6)
    told = await fed(story, tmp_path, 0.4, ("server",), SEED)
    assert told.acknowledged == told.feed_position == len(story.movements)
    assert (told.differences, told.violations) == ([], 0)


async def test_a_wrong_position_would_be_seen(tmp_path: Path) -> None:
    """Otherwise the tests before this one would prove nothing."""
    story = synthetic_year(SEED, 300)
    first = next(iter(story.on_hand))
    story.on_hand[first] += 1
    told = await fed(story, tmp_path, 60.0, ("server",), SEED)
    assert len(told.differences) == 1
