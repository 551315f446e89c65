"""Kinds of series that the library has not: histograms of plain numbers, figures of which the newest is right."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from time import monotonic

from prometheus_client import Gauge, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class NewestGauge(Gauge):
    """A figure that one worker finds for all: of several, the one that was set last is right."""

    set_at = 0.0
    """By the clock that processes of a machine share."""

    def set(self, value: float) -> None:
        """Takes over what was found now."""
        super().set(value)
        self.set_at = monotonic()


class Distribution:
    """Counts of observations up to each of `bounds`, and their sum: a histogram of one event loop, without locks."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: tuple[str, ...]) -> None:
        """Adds itself to what is exposed."""
        totals = accumulate(self._counts)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, totals, strict=True)), self._sum)


class Distributions(Collector):
    """The distributions of one name, by the values of its one label."""

    def __init__(self, name: str, help_: str, label: str, values: Iterable[str], bounds: tuple[float, ...]) -> None:
        self._name = name
        self._help = help_
        self._label = label
        self.of = {value: Distribution(bounds) for value in values}

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        family = HistogramMetricFamily(self._name, self._help, labels=[self._label])
        for value, distribution in self.of.items():
            distribution.add_to(family, (value,))
        yield family
