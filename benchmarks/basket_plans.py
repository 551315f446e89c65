"""How long does it take to plan a basket, from a question in words to an answer in words, beside its kernel?"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from benchmarks.figures import Figure, say
from invengine import kernels
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import BasketLine
from invengine.services import sourcing_parcels
from tests.services.sourcing_counter import Counter
from tests.services.sourcing_shops import HERE, SERVICES, Place, Shop

LINES, LOCATIONS = 5, 50
PROFILE = Profile("bench", 1, parcel_cost=30_000, kilometre_cost=20, waiting_day_cost=5_000, late_day_cost=30_000)
GOAL_SECONDS = 1e-3
"""For a basket that is dated by two services: what stands around its kernel is to stay below a millisecond."""


def open_shop(seed: int = 5) -> Counter:
    """50 locations with most of the 5 SKUs, a lane by each service from all of them, and costs that differ."""
    draw = random.Random(seed)
    names = [f"L{number}" for number in range(LOCATIONS)]

    def position() -> tuple[float, float]:
        return 45 + draw.randint(0, 80) / 10, 5 + draw.randint(0, 90) / 10

    places = {name: Place(draw.randint(1, 9), draw.choice((1_000, 5_000)), 300, position()) for name in names}
    on_hand = {
        (f"S{item}", name): draw.randint(0, 20) for item in range(LINES) for name in names if draw.random() < 0.8
    }
    lanes = {
        (name, zone, service): (draw.randint(1, 4), draw.randint(30_000, 90_000), draw.randint(0, 900))
        for name in names
        for zone in ("north", "south")
        for service in SERVICES
    }
    return Counter(Shop(places, on_hand, lanes))


def baskets() -> dict[str, tuple[list[BasketLine], dict[str, Any]]]:
    """The questions: dated by two services, with the rules told, without dates, with lines that may split."""
    to = {"fulfilment": Fulfilment.SHIP, "destination": HERE}
    dated = [BasketLine(str(item), f"S{item}", 3, **to) for item in range(LINES)]  # type: ignore[arg-type]
    undated = [line._replace(fulfilment=Fulfilment.ANY, destination=Destination()) for line in dated]
    split = [line._replace(allow_split=True) for line in dated]
    bare = {"explain": False}
    return {
        "two services": (dated, bare),
        "two services, explained": (dated, {}),
        "no dates": (undated, bare),
        "lines that may split": (split, bare),
    }


def run(*, quick: bool) -> list[Figure]:
    """CPU seconds of one basket, medians."""
    counter = open_shop()
    rounds = 7 if quick else 25
    found = {}
    for name, (lines, how) in baskets().items():
        check(counter, lines)
        inside = _kernel_seconds(counter, lines, how, rounds)
        found[name] = _seconds(lambda lines=lines, how=how: counter.source(lines, PROFILE, **how), rounds)  # type: ignore[misc]
        say(f"one basket, {name}", "below 1 ms", f"{found[name] * 1e6:.0f} us, {inside * 1e6:.0f} us of it the kernel")
    setup = f"{LINES} lines, {LOCATIONS} locations, 2 services tried; gathered, dated, sourced, told; CPU time"
    return [Figure("planning one basket", found["two services"], "s", "lower", GOAL_SECONDS, setup)]


def check(counter: Counter, lines: list[BasketLine]) -> None:
    """The plan is proved, and costs what its parcels cost by the definition."""
    sourced = counter.source(lines, PROFILE)
    assert sourced.best is not None
    assert sourced.is_proved
    assert sourced.best.costs == counter.costs(lines, PROFILE, list(sourced.best.units), priced=False)


def _kernel_seconds(counter: Counter, lines: list[BasketLine], how: dict[str, Any], rounds: int) -> float:
    """What the calls of the kernel take of it, each made again with the same arrays."""
    calls: list[tuple[Any, ...]] = []

    class Listening:
        """The kernel, and what it was called with."""

        @staticmethod
        def source_basket(*arguments: Any) -> None:
            calls.append(arguments)
            kernels.source_basket(*arguments)

    sourcing_parcels.kernels = Listening  # type: ignore[assignment]
    try:
        counter.source(lines, PROFILE, **how)
    finally:
        sourcing_parcels.kernels = kernels
    return sum(_seconds(lambda call=call: kernels.source_basket(*call), rounds) for call in calls)  # type: ignore[misc]


def _seconds(call: Any, rounds: int) -> float:
    """CPU seconds of one call: the median of some rounds of 40, after one that is not counted."""
    taken = []
    for number in range(rounds + 1):
        began = time.process_time()
        for _ in range(40):
            call()
        if number:
            taken.append((time.process_time() - began) / 40)
    return statistics.median(taken)
