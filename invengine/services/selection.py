"""What a question about availability asks of each location: worked out once per kind of question, then kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import (
    CAREFUL,
    CHANNEL,
    FLOOR_PARTS,
    FLOOR_UNITS,
    IGNORED_COLUMNS,
    INDEX,
    NOW,
    OWN_ONLY,
    RANK,
    RULE,
    RULE_AGE,
    RULE_FEWER,
    RULE_NEXT,
    RULE_PARTS,
    RULE_UNITS,
    SELECTION_COLUMNS,
    WHY_NOT,
)
from invengine.replica.index import NameIndex
from invengine.services.availability_wire import locations_field
from invengine.v1 import availability_service_pb2

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.stock import ConfidenceRule
    from invengine.replica.index import Channels, Locations

REASON_NUMBERS: Final = {
    name.removeprefix("AVAILABILITY_REASON_"): number
    for name, number in availability_service_pb2.AvailabilityReason.items()
    if number
}


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The locations that a question asks about, as the kernels want them."""

    network: Network
    block: npt.NDArray[np.int64]  # [locations and rules, 10], see kernels/layout.py
    channel: str
    asked: tuple[str, ...]  # by name
    usable: frozenset[str]  # of these
    names: npt.NDArray[np.uint8]  # the names of `asked`, one behind another
    name_ends: npt.NDArray[np.int64]  # [asked]
    nothing_ignored: npt.NDArray[np.int64]  # [asked, 3], zeros
    locations_field: bytes  # `usable`, as a BatchGetAvailabilityResponse lists them
    thresholds: npt.NDArray[np.int64]  # [1 + asked], of SKUs that no rule for low stock names
    threshold: int  # thresholds[0]
    ruled: RuledSkus
    is_timed: bool  # some location has a rule for confidence that looks at the age of counts
    _thresholds: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)  # of SKUs that a rule names

    def at(self, now_ms: int) -> npt.NDArray[np.int64]:
        """The block, for answers that hold at this moment."""
        if self.is_timed:
            self.block[0, NOW] = now_ms
        return self.block

    def thresholds_of(self, sku: str) -> npt.NDArray[np.int64]:
        """Most units of the SKU that are LEVEL_LOW: [0] of all asked about, [1 + rank] at each location."""
        if sku not in self.ruled.places:
            return self.thresholds
        found = self._thresholds.get(sku)
        if found is None:
            found = self._thresholds[sku] = _thresholds(self.network, self.channel, sku, self.asked)
        return found


class RuledSkus:
    """The SKUs that a rule for low stock names, to be found in a batch by their bytes."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Final = sorted(names)
        self.places: Final = {name: place for place, name in enumerate(self.names)}
        self.index: Final = NameIndex(64, 64)
        used = 0
        for place, name in enumerate(self.names):
            used = self.index.insert(name.encode(), place, used)


NOTHING_RULED: Final = RuledSkus(())


def select(
    network: Network,
    numbers: Locations,
    channels: Channels,
    channel: str,
    *,
    locations: Sequence[str] = (),
    group: str = "",
    fulfilment: Fulfilment = Fulfilment.ANY,
    ruled: RuledSkus = NOTHING_RULED,
) -> Selection:
    """Compiles a question; `ruled` are the SKUs that the network's rules for low stock name.

    UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable; InvalidArgument.
    """
    asker = network.channel(channel)
    asked = network.asked(channel, locations=locations, group=group)
    rows = [numbers.number(name) for name in asked]
    rules = {row: network.confidence(name) for name, row in zip(asked, rows, strict=True)}
    block = np.zeros((len(numbers) + sum(map(len, rules.values())), SELECTION_COLUMNS), np.int64)
    block[:, RANK] = block[:, INDEX] = -1
    block[:, CHANNEL] = channels.number(channel)
    block[:, OWN_ONLY] = not asker.borrows
    _lay_rules(block, len(numbers), rules)
    block[:, CAREFUL] = not asker.borrows or any(rules.values())
    usable: list[str] = []
    for rank, (name, row) in enumerate(zip(asked, rows, strict=True)):
        why_not = network.why_not(channel, name, fulfilment)
        block[row, FLOOR_UNITS], block[row, FLOOR_PARTS] = network.place_safety(channel, name)
        block[row, RANK] = rank
        if why_not:
            block[row, WHY_NOT] = REASON_NUMBERS[why_not]
        else:
            block[row, INDEX] = len(usable)
            usable.append(name)
    encoded = [name.encode() for name in asked]
    thresholds = _thresholds(network, channel, "", asked)
    return Selection(
        network=network,
        block=block,
        channel=channel,
        asked=asked,
        usable=frozenset(usable),
        names=np.frombuffer(b"".join(encoded), np.uint8),
        name_ends=np.cumsum([len(name) for name in encoded], dtype=np.int64),
        nothing_ignored=np.zeros((len(asked), IGNORED_COLUMNS), np.int64),
        locations_field=locations_field(tuple(usable)),
        thresholds=thresholds,
        threshold=int(thresholds[0]),
        ruled=ruled,
        is_timed=any(rule.counted_before_ms for of_location in rules.values() for rule in of_location),
    )


class Floors:
    """What a channel must leave at the locations of a network, at one moment: the block of a selection in which each
    location gets its line when it comes up. Every location of the network is usable; ranks and places are all 0.
    """

    def __init__(
        self, network: Network, numbers: Locations, channels: Channels, channel: str, now_ms: int, *, borrows: bool
    ) -> None:
        self._network = network
        self._numbers = numbers
        self._channel = channel
        self._channel_number = channels.number(channel)
        self._borrows = borrows
        self._now_ms = now_ms
        self._begin()

    def at(self, places: Iterable[int]) -> npt.NDArray[np.int64]:
        """The block, in which at least the locations of these numbers have their lines."""
        if (
            len(self._numbers) > self._places
        ):  # one was first heard of meanwhile, and rules stand where its line belongs
            self._begin()
        for place in places:
            if place not in self._known:
                self._known.add(place)
                self._add(place, self._numbers.names[place])
        return self._block

    def _begin(self) -> None:
        self._places = len(self._numbers)
        self._block = np.zeros((max(1, self._places), SELECTION_COLUMNS), np.int64)
        self._prepare(self._block)
        self._block[0, NOW] = self._now_ms
        self._known: set[int] = set()
        self._chains: dict[tuple[ConfidenceRule, ...], int] = {(): 0}

    def _prepare(self, lines: npt.NDArray[np.int64]) -> None:
        lines[:, RANK] = lines[:, INDEX] = -1
        lines[:, CHANNEL] = self._channel_number
        lines[:, OWN_ONLY] = not self._borrows

    def _add(self, place: int, location: str) -> None:
        network = self._network
        if location not in network.locations:
            return
        rules = network.confidence(location)
        if rules not in self._chains:
            self._lay(rules)
        self._block[place, FLOOR_UNITS], self._block[place, FLOOR_PARTS] = network.place_safety(self._channel, location)
        self._block[place, RANK] = self._block[place, INDEX] = 0
        self._block[place, RULE] = self._chains[rules]

    def _lay(self, rules: tuple[ConfidenceRule, ...]) -> None:
        """Writes rules behind the lines that there are; the first line says where they begin."""
        first = len(self._block)
        more = np.zeros((len(rules), SELECTION_COLUMNS), np.int64)
        self._prepare(more)
        self._block = np.concatenate((self._block, more))
        before = self._block[0, RULE]
        _lay_rules(self._block, first, {0: rules})
        self._block[0, RULE] = before
        self._chains[rules] = first


def _lay_rules(block: npt.NDArray[np.int64], first: int, rules: Mapping[int, Sequence[ConfidenceRule]]) -> None:
    """Writes the rules for confidence of the locations' lines from line `first` on, chained to these lines."""
    line = first
    for row, of_location in rules.items():
        before = row
        for rule in of_location:
            block[before, RULE] = line
            block[line, RULE_UNITS], block[line, RULE_PARTS] = rule.units, rule.parts
            block[line, RULE_AGE], block[line, RULE_FEWER] = rule.counted_before_ms, rule.fewer_than
            block[line, RULE_NEXT] = 0
            before = line
            line += 1


def _thresholds(network: Network, channel: str, sku: str, asked: Sequence[str]) -> npt.NDArray[np.int64]:
    """Of all that is asked about, which goes by the location where there is one only, then of each location."""
    each = [network.low_stock_threshold(channel, sku, location) for location in asked]
    return np.array([each[0] if len(each) == 1 else network.low_stock_threshold(channel, sku), *each], np.int64)
