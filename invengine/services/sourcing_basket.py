"""One basket as columns: what each line could have from each location, and by which rule it cannot come from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import SourcingRule
from invengine.domain.stock import UNITS_MAX
from invengine.errors import InvalidArgument, UnknownService
from invengine.services.sourcing_ground import NUMBERS

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Destination
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import BasketLine
    from invengine.services.sourcing_ground import Ground
    from invengine.services.sourcing_offers import Offers

Block = npt.NDArray[np.int64]

_NO_STOCK = NUMBERS[SourcingRule.NO_STOCK]
_EXCLUDED = NUMBERS[SourcingRule.EXCLUDED]


class Prices(Protocol):
    """What a unit of scarce stock is worth where it lies."""

    def prices(self, skus: Sequence[str], locations: Sequence[str], now_ms: int) -> Block:
        """int64 [SKUs, locations]: ten-thousandths of the currency for a unit; 0 where nothing is known."""


class Demand(NamedTuple):
    """What a line takes: itself, or the components of its kit, (SKU, units of it in one). `each`: units that leave a
    location for one, `units` for all of it.
    """

    parts: tuple[tuple[str, int], ...]
    each: int
    units: int


class Question(NamedTuple):
    """Who asks for what, under which profile, when. `confidence_parts`: ten-thousandths, 0 for the stated transit."""

    lines: Sequence[BasketLine]
    channel: str
    profile: Profile
    now_ms: int
    best_effort: bool = False
    parcels_max: int = 0
    confidence_parts: int = 0

    @property
    def limit(self) -> int:
        """Most parcels, by the question and by the profile; 0 for any number."""
        limits = [limit for limit in (self.parcels_max, self.profile.parcels_max) if limit]
        return min(limits, default=0)


@dataclass(slots=True)
class Basket:
    """The columns of a basket, L lines and N locations (those of the ground).

    `skus`     that the lines take, components in place of kits    `on_hand`  int64 [SKUs, N]
    `parts`    of each line: (place in `skus`, units of it in one)
    `units`    int64 [L, N]: what the line could have, as if it were alone
    `days`     int64 [L, N]: from which day on that is there, 0: now. None where no line waits
    `limits`   int64 [SKUs, N]: units that all lines together may take; `on_hand` where no line waits
    `price`    int64 [L, N]: what one of the line is worth there by the profile, None: nothing
    `rules`    int64 [L, N]: the rule by which the line cannot come from there, 0 or NOT_ASKED
    """

    question: Question
    ground: Ground
    demands: Sequence[Demand]
    skus: Sequence[str]
    parts: Sequence[Sequence[tuple[int, int]]]
    on_hand: Block
    limits: Block
    units: Block
    days: Block | None
    price: Block | None
    rules: Block

    def destination_of(self, line: int) -> tuple[Fulfilment, Destination]:
        """How a line gets where."""
        asked = self.question.lines[line]
        return asked.fulfilment, asked.destination


def lay_out(question: Question, ground: Ground, offers: Offers, prices: Prices | None) -> Basket:
    """The basket with what is on hand. Refuses as `Ground.scope`; UnknownService; InvalidArgument for too many kits."""
    for asked in question.lines:
        if asked.service and asked.service not in ground.network.delivery.services:
            raise UnknownService(asked.service)
    demands = demands_of(question.lines, ground.network)
    places: dict[str, int] = {}
    parts = [[(places.setdefault(sku, len(places)), each) for sku, each in demand.parts] for demand in demands]
    skus = list(places)
    on_hand = offers.on_hand(skus)
    price = None
    percent = question.profile.opportunity_percent
    if prices is not None and percent:
        worth = (prices.prices(skus, ground.names, question.now_ms) * percent + 50) // 100
        price = np.array([sum(worth[place] * each for place, each in of_line) for of_line in parts], np.int64)
    units = np.empty((len(demands), len(ground.names)), np.int64)
    for line, of_line in enumerate(parts):
        units[line] = in_lines(on_hand, of_line)
    rules = np.empty_like(units)
    excluded = ground.excluded(question.profile)
    for line, asked in enumerate(question.lines):
        rules[line] = ground.scope(question.channel, asked)
        if excluded is not None:
            rules[line, (rules[line] == 0) & (excluded == 1)] = _EXCLUDED
    rules[(rules == 0) & (units == 0)] = _NO_STOCK
    return Basket(question, ground, demands, skus, parts, on_hand, on_hand, units, None, price, rules)


def in_lines(units: Block, parts: Sequence[tuple[int, int]]) -> Block:
    """int64 [N]: how many of a line the units of its SKUs make."""
    (first, each), *others = parts
    found: Block = units[first] if each == 1 else units[first] // each
    for place, each in others:
        found = np.minimum(found, units[place] // each)
    return found


def demands_of(lines: Sequence[BasketLine], network: Network) -> list[Demand]:
    """What each line takes. InvalidArgument where a kit's components would be too many to be counted."""
    found = []
    for place, line in enumerate(lines):
        kit = network.kits.get(line.sku)
        parts = ((line.sku, 1),) if kit is None else tuple([(part.sku, part.units) for part in kit])
        for sku, units in parts if kit else ():
            if units * line.quantity > UNITS_MAX:
                raise InvalidArgument(f"lines[{place}].quantity", f"takes more than {UNITS_MAX} units of {sku!r}")
        each = sum([units for _, units in parts])
        found.append(Demand(parts, each, each * line.quantity))
    return found
