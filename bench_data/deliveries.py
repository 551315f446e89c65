"""Writes past deliveries whose transit follows known distributions: network.yaml, deliveries.csv and known.csv.

Run: python bench_data/deliveries.py FOLDER. Nothing of the engine is used, so that it can be tried by this.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

COLUMNS = ("order_id", "location", "country", "postal_code", "service", "ordered", "shipped", "delivered")
DAYS_MAX = 60
HOLIDAYS = (date(2025, 1, 1), date(2025, 4, 18), date(2025, 4, 21), date(2025, 5, 1), date(2025, 12, 25))
FIRST, LAST = date(2025, 1, 2), date(2025, 12, 30)
SERVICES = {"express": (1.3, 0.30), "standard": (2.8, 0.40), "economy": (9.0, 0.40)}
"""Of each service: the median of its transit in working days, and how wide the logarithm of it is."""

Lane = tuple[str, str, str]


@dataclass(frozen=True)
class World:
    """`known` has of each lane (location, zone, service) the probabilities of 0, 1, 2, ... carrier working days;
    `weights` how often it is used.
    """

    known: Mapping[Lane, Sequence[float]]
    weights: Mapping[Lane, float]

    @property
    def network(self) -> str:
        """The network file: working days Monday to Friday but for holidays, one postal prefix a zone."""
        locations = sorted({lane[0] for lane in self.known})
        zones = sorted({lane[1] for lane in self.known})
        services = sorted({lane[2] for lane in self.known})
        exceptions = ", ".join(f"{day.isoformat()}: closed" for day in HOLIDAYS)
        lines = [
            "currency: EUR",
            "calendars:",
            f'  carrier: {{hours: {{mon-fri: "00:00-24:00"}}, exceptions: {{{exceptions}}}}}',
            "locations:",
            *(f"  {name}: {{kind: warehouse, calendar: carrier, time_zone: Europe/Berlin}}" for name in locations),
            "groups:",
            f"  all: [{', '.join(locations)}]",
            "channels:",
            "  web: {groups: [all]}",
            "services:",
            *(f"  {name}: {{carrier: Parcels, calendar: carrier}}" for name in services),
            "zones:",
            *(f'  {zone}: [{{country: DE, postal_prefixes: ["{_prefix(zone)}"]}}]' for zone in zones),
            "lanes:",
            *(
                f"  - {{from: {location}, zone: {zone}, service: {service}, transit: {_median(self.known[lane])}}}"
                for lane in sorted(self.known)
                for location, zone, service in [lane]
            ),
        ]
        return "\n".join(lines) + "\n"

    def deliveries(self, count: int, seed: int, *, lost: float = 0.0) -> Iterator[tuple[str, ...]]:
        """Rows in the order of COLUMNS. Of what arrives after the last day, or never (a share of `lost`), `delivered`
        is empty.
        """
        draw = random.Random(seed)  # noqa: S311  # made-up data, no secret
        lanes = list(self.known)
        weights = [self.weights[lane] for lane in lanes]
        cumulative = {lane: _cumulative(self.known[lane]) for lane in lanes}
        for number, lane in enumerate(draw.choices(lanes, weights, k=count)):
            ordered = FIRST + timedelta(days=draw.randrange((LAST - FIRST).days))
            shipped = min(LAST, ordered + timedelta(days=draw.choice((0, 0, 1, 1, 2))))
            at = draw.random()
            transit = next(days for days, reached in enumerate(cumulative[lane]) if at < reached)
            delivered = arrival(shipped, transit)
            is_known = delivered <= LAST and draw.random() >= lost
            yield (
                f"o{number}",
                lane[0],
                "DE",
                f"{_prefix(lane[1])}{draw.randrange(1000):03}",
                lane[2],
                ordered.isoformat(),
                shipped.isoformat(),
                delivered.isoformat() if is_known else "",
            )


def arrival(shipped: date, transit: int) -> date:
    """The transit-th working day after the day of shipping; with none, that day or the next working day."""
    day, left = shipped, transit
    while left or not _is_open(day):
        day += timedelta(days=1)
        left -= left > 0 and _is_open(day)
    return day


def make_world(
    *,
    seed: int = 1,
    locations: int = 8,
    zones: int = 6,
    services: Mapping[str, tuple[float, float]] = SERVICES,
    spread: float = 0.15,
) -> World:
    """A world in which zones and lanes differ by about `spread` in their median, and a few lanes carry most parcels."""
    draw = random.Random(seed)  # noqa: S311  # made-up data, no secret
    known: dict[Lane, Sequence[float]] = {}
    weights: dict[Lane, float] = {}
    for service, (median, width) in services.items():
        for zone in range(zones):
            of_zone = draw.gauss(0, spread)
            for location in range(locations):
                lane = (f"DC{location + 1}", f"zone-{zone + 1}", service)
                here = median * math.exp(of_zone + draw.gauss(0, spread / 2))
                known[lane] = _probabilities(here, width * math.exp(draw.gauss(0, spread / 2)))
                weights[lane] = draw.paretovariate(0.9)
    return World(known, weights)


def _is_open(day: date) -> bool:
    return day.weekday() < 5 and day not in HOLIDAYS


def _prefix(zone: str) -> str:
    return f"{int(zone.rpartition('-')[2]):02}"


def _probabilities(median: float, width: float) -> tuple[float, ...]:
    """A lognormal transit, rounded up to whole days."""
    reached = [0.0] + [
        0.5 * (1 + math.erf((math.log(days / median)) / (width * math.sqrt(2)))) for days in range(1, DAYS_MAX + 1)
    ]
    return (0.0, *((one - before) / reached[-1] for before, one in pairwise(reached)))


def _cumulative(probabilities: Sequence[float]) -> list[float]:
    total, found = 0.0, []
    for one in probabilities:
        total += one
        found.append(total)
    return [*found[:-1], 1.0]


def _median(probabilities: Sequence[float]) -> int:
    return next(days for days, reached in enumerate(_cumulative(probabilities)) if reached >= 0.5)


def write(world: World, folder: Path, count: int, seed: int, lost: float) -> None:
    """The three files; `known.csv` has location, zone, service, days, probability."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.yaml").write_text(world.network, encoding="utf-8")
    with (folder / "deliveries.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(world.deliveries(count, seed, lost=lost))
    with (folder / "known.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("location", "zone", "service", "days", "probability"))
        for lane, probabilities in world.known.items():
            rows.writerows((*lane, days, f"{one:.9f}") for days, one in enumerate(probabilities) if one >= 5e-10)


def main(arguments: list[str]) -> int:
    """The command; 0 when the files are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="made if need be; files of these names are replaced")
    parser.add_argument("--deliveries", type=int, default=30_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other lanes and deliveries")
    parser.add_argument("--lost", type=float, default=0.0, help="share of parcels that never arrive")
    given = parser.parse_args(arguments)
    write(make_world(seed=given.seed), given.folder, given.deliveries, given.seed, given.lost)
    print(f"{given.folder}: network.yaml, deliveries.csv ({given.deliveries} rows), known.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
