"""A mixed load on real servers while faults strike at random, then all oracles.

    python -m tests.soak [--seconds 600] [--seed 1] [--callers 6]

Two sites: two engines on one Redis with proxies between all of them, and one engine with a Redis of its own. Prints a
line a minute and at the end what was done. Ends with 1 when an oracle does not hold. A seed draws the same faults.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.soak.running import Soak


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of load and faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", type=int, default=6, help="shoppers of each site; stockers and readers are half")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inv-soak-", dir="/tmp") as folder:
        wrong = asyncio.run(Soak(Path(folder), given.seed, given.callers).run(given.seconds))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
