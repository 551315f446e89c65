"""Writes the made-up retailer into a folder: network.yaml and stock.csv. Run: python bench_data/generate.py FOLDER."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from invengine.cli import sample_data


def main(arguments: list[str]) -> int:
    """The command; 0 when both files are written, 2 for parameters that make no retailer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="made if need be; files of these names are replaced")
    parser.add_argument("--skus", type=int, default=sample_data.SKUS, help="how many SKUs")
    parser.add_argument("--locations", type=int, default=sample_data.LOCATIONS, help="how many locations")
    parser.add_argument("--seed", type=int, default=sample_data.SEED, help="another seed, another retailer")
    given = parser.parse_args(arguments)
    try:
        retailer = sample_data.make_retailer(skus=given.skus, locations=given.locations, seed=given.seed)
    except ValueError as wrong:
        parser.error(str(wrong))
    network, stock = retailer.write(given.folder)
    print(f"{network}: {len(retailer.places)} locations")
    print(f"{stock}: {len(retailer.stock)} positions of {len(retailer.skus)} SKUs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
