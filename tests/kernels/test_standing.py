"""Dates of orders that stand: the kernel against their definition, on random networks and instants."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import numpy as np
import pytest

from invengine import kernels
from invengine.kernels.layout import ANSWER_COLUMNS, STANDING_COLUMNS
from tests.kernels.promise_reference import ONE_DAY
from tests.kernels.promise_worlds import WAYS, case
from tests.kernels.standing_reference import Standing, date_standing
from tests.kernels.test_promise import OPTIONS, Compiled, day, minute, steps


@pytest.mark.parametrize("seed", range(400))
def test_the_kernel_agrees_with_the_definition(seed: int) -> None:
    """Every step, by every way, of units that stood before, and of bounds before and behind what the chain gives."""
    asked, random = case(seed), Random(seed)
    compiled = Compiled(asked, holds=False)
    standing = []
    for source in compiled.sources:
        if source.start is not None:
            leaves = source.start.date() + random.randint(-3, 20) * ONE_DAY
            ready = source.start + timedelta(minutes=random.randint(-500, 20_000))
            bounds = random.choice([(None, None), (leaves, ready)])
            standing.append(Standing(source.location, source.start, *bounds))
    block = np.array(
        [
            (
                minute(one.start),
                compiled.routes.line(one.location, OPTIONS, asked.destination, 9500 if asked.confident else 0) + option,
                day(one.leaves),
                minute(one.ready),
            )
            for one in standing
            for option in range(len(OPTIONS))
        ],
        np.int64,
    ).reshape(-1, STANDING_COLUMNS)
    answers = np.full((len(block), 1, ANSWER_COLUMNS), -7, np.int64)
    tables = compiled.tables
    kernels.date_standing(
        asked.first_day, asked.last_day, block, compiled.routes.block, tables.days, tables.spans, answers
    )
    expected = [steps(date_standing(asked.world, one, way, asked.destination)) for one in standing for way in WAYS]
    assert expected == answers[:, 0].tolist()
