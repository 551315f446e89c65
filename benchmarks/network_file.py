"""What does a network file of many lanes cost to read, checked and compiled, against PyYAML's own C loader alone?"""

from __future__ import annotations

from time import process_time

import yaml

from benchmarks.figures import Figure, compare, say
from invengine.domain.network import Network

SERVICES = 4
ZONES = 250


def document(lanes: int) -> str:
    """A network of that many lanes, each written for itself with all that a lane can say."""
    locations = [f"DC-{number}" for number in range(lanes // (SERVICES * ZONES))]
    zones = [f"zone-{number}" for number in range(ZONES)]
    services = [f"service-{number}" for number in range(SERVICES)]
    lines = ["currency: EUR", "calendars: {days: {hours: {mon-fri: open}}}", "services:"]
    lines += [f"  {service}: {{carrier: Parcelway, calendar: days}}" for service in services]
    lines += ["zones:"]
    lines += [
        f'  {zone}: [{{country: DE, postal_prefixes: ["{10_000 + number}"]}}]' for number, zone in enumerate(zones)
    ]
    lines += ["locations:"]
    lines += [f"  {location}: {{time_zone: Europe/Berlin, calendar: days}}" for location in locations]
    lines += ["lanes:"]
    lines += [
        f"  - {{from: {location}, zone: {zone}, service: {service}, transit: {1 + number % 5}, pickups: days, "
        f'cost: "4.95", cost_per_unit: "0.30"}}'
        for number, (location, zone, service) in enumerate(
            (location, zone, service) for location in locations for zone in zones for service in services
        )
    ]
    return "\n".join(lines) + "\n"


def run(*, quick: bool) -> list[Figure]:
    """One figure: processor time of the loader over that of the engine."""
    lanes = 5_000 if quick else 100_000
    text = document(lanes)
    plain = yaml.load(text, Loader=yaml.CSafeLoader)["lanes"]
    network = Network.parse(text)
    assert len(network.delivery.lanes) == len(plain) == lanes
    for entry in plain[:: lanes // 100]:
        lane = network.delivery.lanes[entry["from"], entry["zone"], entry["service"]]
        assert (lane.transit_days, lane.pickups.name, lane.cost) == (entry["transit"], entry["pickups"], 49_500)

    def loaded() -> float:
        started = process_time()
        yaml.load(text, Loader=yaml.CSafeLoader)
        return process_time() - started

    def read() -> float:
        started = process_time()
        Network.parse(text)
        return process_time() - started

    result = compare(loaded, read, rounds=5)
    say(
        f"a network file of {lanes:,} lanes ({len(text) / 1e6:.1f} MB): PyYAML over the engine, processor time",
        "1.5: the loader spends its time on nodes and tags that the engine does without, all checks included",
        str(result),
    )
    setup = f"{lanes:,} lanes, {len(text) / 1e6:.1f} MB; the engine: {result.b:.2f} s"
    return [
        Figure("network file read: PyYAML's C loader over the engine", result.median, "ratio", "higher", 1.0, setup)
    ]
