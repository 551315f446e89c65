"""The made-up deliveries of bench_data/deliveries.py, whose distributions are known, as parcels of the engine."""

from __future__ import annotations

import importlib.util
import sys
from datetime import date
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from invengine.domain.days import day_number
from invengine.domain.network import Network
from invengine.domain.transit import LaneName
from invengine.domain.transit_learning import CarrierDays, Parcel

SCRIPT = Path(__file__).parent.parent / "bench_data" / "deliveries.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_data_deliveries", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there for its own names
    spec.loader.exec_module(module)
    return module


made: Any = _loaded()


class Known:
    """A made-up world, its network, and what is true of its lanes."""

    def __init__(self, **shape: Any) -> None:
        self.world = made.make_world(**shape)
        self.network = Network.parse(self.world.network)
        self.carrier_days = {
            name: CarrierDays(service.calendar) for name, service in self.network.delivery.services.items()
        }
        self.within = {lane: list(accumulate(chances)) for lane, chances in self.world.known.items()}
        total = sum(self.world.weights.values())
        self.shares = {lane: weight / total for lane, weight in self.world.weights.items()}

    def parcels(self, count: int, seed: int, **more: Any) -> list[Parcel]:
        """So many deliveries."""
        zone_of = self.network.delivery.zone_of
        return [
            Parcel(
                location,
                zone_of(country, postal_code),
                service,
                day(ordered),
                day(shipped),
                day(delivered) if delivered else None,
            )
            for _, location, country, postal_code, service, ordered, shipped, delivered in self.world.deliveries(
                count, seed, **more
            )
        ]

    def kept(self, lane: LaneName, days: int) -> float:
        """The true share of promises of so many days that are kept."""
        return self.within[lane][min(days, len(self.within[lane]) - 1)]

    def oracle(self, lane: LaneName, confidence: float) -> int:
        """The least days that truly reach the confidence."""
        return next(days for days, reached in enumerate(self.within[lane]) if reached >= confidence - 1e-12)


def day(text: str) -> int:
    """The number of an ISO day."""
    return day_number(date.fromisoformat(text))
