"""The figures of several workers as those of one server: counted up, or joined as the table of each gauge says.

What a worker says is a list of families, as the registry of its metrics has them, with what was noted of when gauges
were set. The last that was heard of a worker that is gone stays in the sums, so that no counter goes down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from invengine.metric_rules import OF_PROCESSES, OF_WORKERS

SUPERVISOR: Final = "supervisor"
"""The label `worker` of its own process."""

Sample = tuple[str, dict[str, str], float, float]
"""Name, labels, value, and when it was set, for gauges of which the newest counts; 0 for all others."""

Family = tuple[str, str, str, Sequence[Sample]]
"""Name, help, type, samples: so it travels as JSON."""


def told(registry: CollectorRegistry, set_at: Mapping[tuple[str, ...], float] | None = None) -> list[Family]:
    """What a process tells of its series; `set_at` by name and values of labels."""
    set_at = set_at or {}
    return [
        (
            family.name,
            family.documentation,
            family.type,
            [
                (one.name, one.labels, one.value, set_at.get((one.name, *one.labels.values()), 0.0))
                for one in family.samples
            ],
        )
        for family in registry.collect()
    ]


class Joined(Collector):
    """Series of all workers, joined. `of`: the newest that each running worker said, by its number."""

    def __init__(self) -> None:
        self.of: dict[int, Sequence[Family]] = {}
        self.own: Sequence[Family] = ()
        self._gone: Sequence[Family] = ()

    def lose(self, worker: int) -> None:
        """A worker is gone: what it counted stays, and what it found last; what it had open does not."""
        if worker in self.of:
            self._gone = _joined([self._gone, list(map(_lasting, self.of.pop(worker)))])

    def page(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        said = [_named(families, str(worker)) for worker, families in sorted(self.of.items())]
        for name, documentation, type_, samples in _joined([self._gone, *said, _named(self.own, SUPERVISOR)]):
            metric = Metric(name, documentation, type_)
            for series, labels, value, _ in samples:
                metric.add_sample(series, labels, value)
            yield metric


def _named(families: Iterable[Family], worker: str) -> list[Family]:
    """The same; series of a process say whose they are."""
    return [
        (
            name,
            documentation,
            type_,
            [(series, {**labels, "worker": worker}, value, at) for series, labels, value, at in samples],
        )
        if _is_apart(name, type_)
        else (name, documentation, type_, samples)
        for name, documentation, type_, samples in families
    ]


def _is_apart(name: str, type_: str) -> bool:
    """Whether a family is told for each worker: of its process, or a gauge that nobody said how to join."""
    return name.startswith(OF_PROCESSES) or (type_ == "gauge" and name not in OF_WORKERS)


def _rule(name: str, type_: str) -> str:
    return OF_WORKERS.get(name, "newest" if type_ == "gauge" else "sum")


def _lasting(family: Family) -> Family:
    """What of a family is true without its worker: counts, and figures of which the newest counts."""
    name, documentation, type_, samples = family
    stays = (type_ != "gauge" or _rule(name, type_) in ("latest", "newest")) and not _is_apart(name, type_)
    return name, documentation, type_, samples if stays else []


def _joined(sources: Iterable[Sequence[Family]]) -> list[Family]:
    """Families of several sources, those of one name as one."""
    families: dict[str, tuple[str, str, dict[Any, Sample]]] = {}
    for name, documentation, type_, samples in (family for source in sources for family in source):
        found = families.setdefault(name, (documentation, type_, {}))[2]
        rule = _rule(name, type_)
        for sample in samples:
            key = (sample[0], *sorted(sample[1].items()))
            found[key] = _both(found[key], sample, rule) if key in found else sample
    return [(name, help_, type_, list(found.values())) for name, (help_, type_, found) in families.items()]


def _both(one: Sample, other: Sample, rule: str) -> Sample:
    """Two samples of a series as one."""
    series, labels, value, at = one
    _, _, other_value, other_at = other
    if series.endswith("_created"):  # since when a series is counted
        value = min(value, other_value)
    elif rule == "sum":
        value += other_value
    elif rule in ("max", "latest"):
        value = max(value, other_value)
    elif other_at >= at:
        value = other_value
    return series, labels, value, max(at, other_at)
