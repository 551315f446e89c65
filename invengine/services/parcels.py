"""Few parcels: which locations the lines to be shipped come from, when they may come from at most so many together.

Every line but those that are picked up is one to be shipped. A choice is a set of locations; the lines are then taken
from it as the store takes them, in their order. Of the sets that are small enough the best one is looked for: first
one that has everything on hand, with as few locations as possible, and of equally few those of the best priority; if
there is none, the one of which most is on hand, where lines may wait for what is coming. With best effort, the set that
gives most units, then most of them on hand, then the fewest locations, then the best priority.

The search goes through the sets in that order, leaves out whatever cannot be enough any more, and is exact as long as
it looks at no more than STEPS_MAX pairs of set and line. Beyond that the locations are added one by one, always the
one that adds most, so a choice may then be missed, and the number that TOO_MANY_PARCELS tells is one that would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import Fulfilment
from invengine.errors import InsufficientStock, TooManyParcels
from invengine.services.kit_lines import short_line

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, LineRequest, ReserveRequest
    from invengine.errors import ShortLine
    from invengine.services.shelf import Shelf

STEPS_MAX: Final = 100_000
_LARGEST: Final = 8  # more of them would bound large sets better, and take longer to find


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a set of locations gives; `is_complete` when it is everything. `parcels` are those that are used."""

    units: int
    on_hand: int
    is_complete: bool
    short: tuple[ShortLine, ...]

    @property
    def worth(self) -> tuple[int, int]:
        return self.units, self.on_hand


def choose(request: ReserveRequest, parcels_max: int, network: Network, shelf: Shelf) -> ReserveRequest:
    """The request with the lines to be shipped confined to the best locations, at most `parcels_max` of them.

    TooManyParcels when only more locations would do, InsufficientStock when all of them would not.
    """
    choice = _Choice(request, network, shelf)
    if not choice.is_shipped:
        return request
    best = choice.best(parcels_max)
    if best is not None:
        return choice.confined(best)
    if request.best_effort:  # perhaps there is something for the lines that are picked up
        return choice.confined(())
    everything = choice.outcome(choice.locations)
    if not everything.is_complete:
        raise InsufficientStock(everything.short)
    raise TooManyParcels(parcels_max, choice.fewest(parcels_max + 1))


class _Choice:
    """The sets of locations of one request."""

    def __init__(self, request: ReserveRequest, network: Network, shelf: Shelf) -> None:
        self._request = request
        self._shelf = shelf
        self._shipped = [line for line in request.lines if _is_shipped(line)]
        self.is_shipped = bool(self._shipped)
        self._lines_on_hand = [replace(line, future=None) for line in request.lines]
        named = set()  # where all lines are wanted, a location that one of them names is part of every set
        if not request.best_effort:
            named = {line.named_location for line in self._shipped if line.named_location}
        offers = {
            (line.sku, candidate.location)
            for line in self._shipped
            for candidate in line.candidates
            if shelf.offer(line, candidate) or shelf.future(line.sku, line.future, candidate.location)
        }
        useful = {location for _, location in offers} | named
        order = sorted(useful, key=lambda location: (network.locations[location].priority, location))
        self.named = tuple([location for location in order if location in named])
        self.free = tuple([location for location in order if location not in named])
        self.locations = (*self.named, *self.free)
        self.wanted = sum(line.quantity for line in request.lines)
        self._waits = any(line.future is not None for line in request.lines)

    def best(self, parcels_max: int) -> tuple[str, ...] | None:
        """The best set of at most so many locations, None where none will do."""
        if len(self.named) > parcels_max:
            return None
        sizes = range(max(1, len(self.named)), min(parcels_max, len(self.locations)) + 1)
        if self._waits:
            found = _Search(self, sizes, future=False, best_effort=False).run()
            if found is not None:
                return found
        return _Search(self, sizes, future=True, best_effort=self._request.best_effort).run()

    def fewest(self, least: int) -> int:
        """How many locations are enough, where all of them are and fewer than `least` are not."""
        sizes = range(max(least, len(self.named)), len(self.locations))
        found = _Search(self, sizes, future=True, best_effort=False, any_will_do=True).run()
        return len(self.locations) if found is None else len(found)

    def confined(self, locations: Iterable[str]) -> ReserveRequest:
        """The request with the lines to be shipped confined to these locations."""
        among = frozenset(locations)
        lines = [
            replace(line, candidates=_among(line.candidates, among)) if _is_shipped(line) else line
            for line in self._request.lines
        ]
        return replace(self._request, lines=tuple(lines))

    def outcome(self, locations: Iterable[str], *, future: bool = True) -> _Outcome:
        """What all lines get when those to be shipped are confined to these locations."""
        among, shelf = frozenset(locations), self._shelf
        best_effort = self._request.best_effort
        mark = shelf.mark()
        units = on_hand = 0
        short = []
        for line in self._request.lines if future else self._lines_on_hand:
            candidates = _among(line.candidates, among) if _is_shipped(line) else line.candidates
            taken = shelf.take(line, candidates, best_effort=best_effort)
            units += taken.units
            on_hand += taken.on_hand
            if taken.units < line.quantity:
                short.append(replace(short_line(line, shelf), available=taken.units))
        shelf.undo(mark)
        return _Outcome(units, on_hand, not short, tuple(short))

    def caps(self, *, future: bool) -> list[tuple[LineRequest, dict[str, int]]]:
        """Per line to be shipped what each location alone could give it, all other lines aside."""
        found = []
        for line in self._shipped:
            caps = {}
            for candidate in line.candidates:
                offer = self._shelf.offer(line, candidate)
                if future:
                    offer += self._shelf.future(line.sku, line.future, candidate.location)
                if offer:
                    caps[candidate.location] = min(offer, line.quantity)
            found.append((line, caps))
        return found


class _Search:
    """One walk through the sets of some sizes, in the order in which they are preferred."""

    def __init__(
        self, choice: _Choice, sizes: Sequence[int], *, future: bool, best_effort: bool, any_will_do: bool = False
    ) -> None:
        self._choice = choice
        self._sizes = sizes
        self._future = future
        self._best_effort = best_effort
        self._any_will_do = any_will_do
        self._bounds = [_Bound(line, caps, choice.free) for line, caps in choice.caps(future=future)]
        self._steps = 0
        self._best: tuple[str, ...] | None = None
        self._worth = (0, 0)

    def run(self) -> tuple[str, ...] | None:
        """The best set, None where none will do."""
        for size in self._sizes:
            if self._extend(self._choice.named, 0, size - len(self._choice.named)):
                return self._best
            if self._steps >= STEPS_MAX:
                self._greedy()
                break
        return self._best

    def _extend(self, chosen: tuple[str, ...], first: int, more: int) -> bool:
        """Looks at the sets of `chosen` and `more` of the free locations from `first` on; True to look no further."""
        self._steps += len(self._bounds)
        if self._steps >= STEPS_MAX:
            return False
        if not self._can_be_enough(chosen, first, more):
            return False
        if not more:
            return self._judge(chosen)
        free = self._choice.free
        return any(
            self._extend((*chosen, free[place]), place + 1, more - 1) for place in range(first, len(free) - more + 1)
        )

    def _can_be_enough(self, chosen: tuple[str, ...], first: int, more: int) -> bool:
        """Whether such sets can be enough, or better than the best one; what lines take from each other aside."""
        if not self._best_effort:
            return all(bound.most(chosen, first, more) == bound.wanted for bound in self._bounds)
        most = sum([bound.most(chosen, first, more) for bound in self._bounds])
        return most > 0 and (self._best is None or most + self._not_shipped() >= self._worth[0])

    def _not_shipped(self) -> int:
        """Units wanted by lines that are not to be shipped: an upper bound of what they get."""
        return self._choice.wanted - sum([bound.wanted for bound in self._bounds])

    def _judge(self, chosen: tuple[str, ...]) -> bool:
        outcome = self._choice.outcome(chosen, future=self._future)
        if not outcome.is_complete and not self._best_effort:
            return False
        if outcome.worth > self._worth:
            self._best, self._worth = chosen, outcome.worth
        return outcome.on_hand == self._choice.wanted or (self._any_will_do and outcome.is_complete)

    def _greedy(self) -> None:
        """The set that grows by the location which adds most, up to the largest size."""
        chosen = self._choice.named
        left = list(self._choice.free)
        while len(chosen) < self._sizes[-1] and left:
            gains = [sum([bound.most((*chosen, place), len(left), 0) for bound in self._bounds]) for place in left]
            chosen = (*chosen, left.pop(gains.index(max(gains))))
            if self._judge(chosen):
                return


class _Bound:
    """The most that a line can get from sets of locations."""

    def __init__(self, line: LineRequest, caps: dict[str, int], free: tuple[str, ...]) -> None:
        self.wanted = line.quantity
        self._is_split = line.allow_split
        self._caps = caps
        self._from: list[list[int]] = [[]]  # the largest caps of the free locations from each place on, largest first
        for location in reversed(free):
            self._from.append(sorted([*self._from[-1], caps.get(location, 0)], reverse=True)[:_LARGEST])
        self._from.reverse()

    def most(self, chosen: Sequence[str], first: int, more: int) -> int:
        """From `chosen` and the best `more` of the free locations from `first` on."""
        caps = [self._caps.get(location, 0) for location in chosen]
        if more:
            largest = self._from[first]
            caps += largest[:more]
            if more > len(largest):
                caps += largest[-1:] * (more - len(largest))
        if self._is_split:
            return min(self.wanted, sum(caps))
        return max(caps, default=0)


def _is_shipped(line: LineRequest) -> bool:
    return line.fulfilment is not Fulfilment.PICKUP


def _among(candidates: Sequence[Candidate], locations: frozenset[str]) -> tuple[Candidate, ...]:
    return tuple([candidate for candidate in candidates if candidate.location in locations])
