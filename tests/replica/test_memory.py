"""What a position costs, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from invengine.replica.memory import zeros

_MEASURE = """
import gc, sys
from pathlib import Path
from invengine.replica.columns import Columns
from invengine.replica.index import Locations
import numpy as np

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def row(i):
    sku, place = (i % 40000, i // 40000) if by_location else (i // 10, i % 10)
    return f"P\\tSKU-{sku:07d}\\tLOC{place}\\t5\\t0\\t0\\t5\\t0\\tCOUNT\\t\\t\\t\\t\\t0\\t\\n"

def rows(first, last):
    return "".join(map(row, range(first, last))).encode()

by_location = sys.argv[1] == "by location"
columns = Columns(Locations())
text = rows(0, 1000)
columns.apply(text, np.array([[0, 1, 0, len(text)]], np.int64))
gc.collect()
before = resident()
for first in range(0, 400_000, 1000):
    text = rows(first, first + 1000)
    columns.apply(text, np.array([[0, first, 0, len(text)]], np.int64))
gc.collect()
print((resident() - before) / columns.position_count)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measured where the system tells resident memory")
@pytest.mark.parametrize("order", ["by location", "by SKU"])
def test_a_position_costs_at_most_96_bytes(order: str) -> None:
    """400,000 positions, 10 a SKU, index included, made one by one: holes and spare room are bounded."""
    run = subprocess.run([sys.executable, "-c", _MEASURE, order], capture_output=True, text=True, check=True)
    assert 40 < float(run.stdout) <= 96 + 2 * 2**21 / 400_000  # two arrays may end in the middle of a huge page


@pytest.mark.parametrize("shape", [(10, 7), (100_000, 7), (3_000_000,)])
def test_arrays_are_zero_and_can_be_written(shape: tuple[int, ...]) -> None:
    array = zeros(shape, np.int64)
    assert array.shape == shape
    assert array.flags.c_contiguous
    assert not array.any()
    array[-1] = 5
    assert np.count_nonzero(array) == array[-1].size
