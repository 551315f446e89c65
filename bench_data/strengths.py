"""How strongly should a lane be blended with its zone and service? Tried on made-up deliveries that are known.

Run: python bench_data/strengths.py. For each rule it prints, at several confidences, the share of promises that would
be kept in the long run, by how much promises fall short of their confidence in the mean, and the mean days. Rules:
blending with a strength, and as an alternative a minimum of deliveries below which a lane takes those of the wider
level. The oracle knows the distributions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import date
from itertools import accumulate

import deliveries

from invengine.domain.days import day_number
from invengine.domain.network import Network
from invengine.domain.transit import CONFIDENCE_PARTS, LaneName, TransitTimes
from invengine.domain.transit_distribution import Seen, blended, together
from invengine.domain.transit_learning import CarrierDays, Parcel, learn

CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
STRENGTHS = (0, 2, 5, 10, 20, 50)
MINIMA = (10, 20, 50)
Days = Callable[[LaneName, float], int]
Score = tuple[float, float, float]


def learnt(world: deliveries.World, count: int, seed: int) -> Mapping[LaneName, Seen]:
    """What is seen of so many deliveries."""
    network = Network.parse(world.network)
    days = {name: CarrierDays(service.calendar) for name, service in network.delivery.services.items()}
    parcels = []
    for _, location, country, postal_code, service, *texts in world.deliveries(count, seed):
        ordered, shipped, delivered = (day_number(date.fromisoformat(text)) if text else None for text in texts)
        zone = network.delivery.zone_of(country, postal_code)
        parcels.append(Parcel(location, zone, service, ordered or 0, shipped or 0, delivered))
    return learn(parcels, days).lanes


def blending(lanes: Mapping[LaneName, Seen], strength: int) -> Days:
    """The rule in use."""
    times = TransitTimes(lanes, strength=strength)
    return lambda lane, confidence: times.days(*lane, round(confidence * CONFIDENCE_PARTS)) or 0


def with_minimum(lanes: Mapping[LaneName, Seen], minimum: int) -> Days:
    """The alternative: the narrowest level with so many deliveries, as it is."""
    levels: dict[tuple[str, ...], list[Seen]] = {}
    for (location, zone, service), seen in lanes.items():
        for level in ((location, zone, service), (zone, service), (service,)):
            levels.setdefault(level, []).append(seen)
    merged = {level: together(parts) for level, parts in levels.items()}
    enough = {level: blended(seen) for level, seen in merged.items() if seen.deliveries >= minimum}

    def days(lane: LaneName, confidence: float) -> int:
        found = next(enough[level] for level in (lane, lane[1:], lane[2:]) if level in enough)
        return found.reaching(confidence) or 0

    return days


def score(world: deliveries.World, days: Days, confidence: float) -> Score:
    """Share kept, shortfall and mean days, by how often each lane is used."""
    kept = short = mean = 0.0
    total = sum(world.weights.values())
    for lane, chances in world.known.items():
        share, promised = world.weights[lane] / total, days(lane, confidence)
        reached = sum(chances[: promised + 1])
        kept, short, mean = (
            kept + share * reached,
            short + share * max(0.0, confidence - reached),
            mean + share * promised,
        )
    return kept, short, mean


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=5_000, help="how many are learnt from")
    parser.add_argument("--worlds", type=int, default=6, help="how many worlds, of one seed each")
    parser.add_argument("--spread", type=float, default=0.15, help="how much zones and lanes differ")
    given = parser.parse_args(arguments)
    scores: dict[str, dict[float, list[Score]]] = {}
    for seed in range(given.worlds):
        world = deliveries.make_world(seed=seed, spread=given.spread)
        lanes = learnt(world, given.deliveries, seed)
        known = {lane: list(accumulate(chances)) for lane, chances in world.known.items()}

        def oracle(lane: LaneName, confidence: float, known: Mapping[LaneName, list[float]] = known) -> int:
            return next(days for days, reached in enumerate(known[lane]) if reached >= confidence)

        rules: dict[str, Days] = {"oracle": oracle}
        rules |= {f"minimum of {minimum}": with_minimum(lanes, minimum) for minimum in MINIMA}
        rules |= {f"strength {strength}": blending(lanes, strength) for strength in STRENGTHS}
        for name, days in rules.items():
            for confidence in CONFIDENCES:
                scores.setdefault(name, {}).setdefault(confidence, []).append(score(world, days, confidence))
    print(f"| {given.deliveries} deliveries | " + " | ".join(f"{100 * one:g} %" for one in CONFIDENCES) + " |")
    print("|---" * (1 + len(CONFIDENCES)) + "|")
    for name, of_rule in scores.items():
        cells = []
        for confidence in CONFIDENCES:
            kept, short, days = (sum(part) / given.worlds for part in zip(*of_rule[confidence], strict=True))
            cells.append(f"{100 * kept:.1f} kept, {100 * short:.2f} short, {days:.2f} d")
        print(f"| {name} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
