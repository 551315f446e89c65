"""What a benchmark reports, and how two things are measured against each other."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).parent / "results.jsonl"


@dataclass(frozen=True)
class Figure:
    """One measured figure: a ratio unless `unit` says otherwise; `goal` is what it should reach."""

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    goal: float
    setup: str
    script: str = ""  # which measured it; the runner fills it in

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def to_json(self) -> str:
        """One line for results.jsonl."""
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class Ratio:
    """A over B, round by round."""

    median: float
    lowest: float
    highest: float
    a: float
    b: float

    def __str__(self) -> str:
        return (
            f"{self.median:.3g} (rounds {self.lowest:.3g} to {self.highest:.3g}; medians {self.a:.4g} and {self.b:.4g})"
        )


def compare(a: Callable[[], float], b: Callable[[], float], rounds: int = 5) -> Ratio:
    """Measure `a` and `b` in turn, `rounds` times after one that is not counted; the median of the rounds' ratios."""
    return ratio(*in_turn(a, b, rounds=rounds))


def in_turn(*things: Callable[[], float], rounds: int = 5) -> list[list[float]]:
    """Measure each thing once a round, forwards and backwards by turns; the figures of each.

    A round before them is not counted. Taken round by round, a machine whose speed drifts drifts out of ratios.
    """
    for thing in things:
        thing()
    measured: list[list[float]] = [[] for _ in things]
    for turn in range(rounds):
        places = range(len(things)) if turn % 2 else reversed(range(len(things)))
        for place in places:
            measured[place].append(things[place]())
    return measured


def ratio(a: list[float], b: list[float]) -> Ratio:
    """A over B, round by round."""
    ratios = [first / second for first, second in zip(a, b, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), statistics.median(a), statistics.median(b))


def say(question: str, estimate: str, measured: str) -> None:
    """Print what was asked, what was expected beforehand and what came out."""
    print(f"  {question}\n    estimated {estimate}\n    measured  {measured}", flush=True)
