"""A short soak: the program that `make soak` runs for minutes, one engine site, a few faults, all oracles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.running import Soak

SEED = 4
SECONDS = 4.0


@pytest.mark.soak
@pytest.mark.asyncio
@pytest.mark.timeout(900)
async def test_a_few_faults_under_a_mixed_load_and_all_oracles(tmp_path_factory: pytest.TempPathFactory) -> None:
    soak = Soak(Path(tmp_path_factory.mktemp("soak")), SEED, callers=2, engines=(2,))
    wrong = await soak.run(SECONDS)
    assert not wrong, "\n".join(wrong)
    (site,) = soak.sites
    assert site.schedule.struck
    assert len(site.journal.told) > 10


@pytest.mark.soak
@pytest.mark.asyncio
@pytest.mark.timeout(900)
async def test_a_write_that_was_lost_would_be_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without faults, and with an answer in the journal that nobody gave."""
    soak = Soak(Path(tmp_path_factory.mktemp("soak")), SEED, callers=1, engines=(0,))
    (site,) = soak.sites
    site.journal.moved["SKU-0", "DC"] += 1
    wrong = await soak.run(0.0)
    assert [fault for fault in wrong if "('SKU-0', 'DC')" in fault]
