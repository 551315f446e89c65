"""Why a basket has no plan, as the refusal that says most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine.domain.sourcing import SourcingRule
from invengine.errors import (
    CapacityExhausted,
    InsufficientStock,
    NoPlan,
    PromiseTooLate,
    PromiseUnknown,
    ShortLine,
    TooManyParcels,
    UnknownSku,
)
from invengine.kernels.layout import WHOLE
from invengine.services.sourcing_choice import Chooser
from invengine.services.sourcing_ground import NUMBERS, RULES
from invengine.services.sourcing_steps import steps_of

if TYPE_CHECKING:
    from invengine.errors import InventoryError
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_choice import Group
    from invengine.services.sourcing_dates import Journeys
    from invengine.services.sourcing_offers import Offers
    from invengine.services.sourcing_together import Planned

Block = npt.NDArray[np.int64]


class Problems:
    """Why the lines of a basket cannot be had; `rules` as `ruled_out` has them."""

    def __init__(self, basket: Basket, ways: Sequence[Journeys], rules: Block, offers: Offers) -> None:
        self._basket = basket
        self._ways = ways
        self._rules = rules
        self._offers = offers

    def of(self, groups: Sequence[Group], planned: Planned) -> InventoryError:
        """The refusal: a line that cannot be had, units that are missing, days that are too late, too many parcels."""
        basket, lines = self._basket, self._basket.question.lines
        for line in lines:
            if line.sku not in basket.ground.network.kits and not self._offers.knows(line.sku):
                return UnknownSku(line.sku)
        places = range(len(lines))
        short = [self._short_line(line) for line in places if not self._is_enough(line, basket.rules == 0)]
        if short:
            return InsufficientStock(tuple(short))
        not_dated = next((line for line in places if not self._is_enough(line, self._rules == 0)), None)
        if not_dated is not None:
            return self._not_dated(not_dated)
        together = self._together()
        return InsufficientStock(tuple(together)) if together else self._of_all(groups, planned)

    def _of_all(self, groups: Sequence[Group], planned: Planned) -> InventoryError:
        """Why lines that could each be had cannot be had together."""
        limit = self._basket.question.limit
        if planned.is_too_large:
            return NoPlan("TOO_LARGE", planned.nodes)
        if limit and planned.bound is None:
            free = Chooser(groups, WHOLE, {}, 0).best()
            if free is not None:
                return TooManyParcels(limit, self._fewest(groups, limit))
        return NoPlan("TOGETHER" if planned.bound is None else "UNDECIDED", planned.nodes)

    def _may_split(self, line: int) -> bool:
        question = self._basket.question
        return question.lines[line].allow_split and question.profile.may_split

    def _units(self, line: int, usable: npt.NDArray[np.bool_]) -> int:
        """The most of a line that there is at the locations that can be used."""
        units = np.where(usable[line], self._basket.units[line], 0)
        return int(units.sum() if self._may_split(line) else units.max(initial=0))

    def _is_enough(self, line: int, usable: npt.NDArray[np.bool_]) -> bool:
        return self._units(line, usable) >= self._basket.question.lines[line].quantity

    def _short_line(self, line: int, taken: int = 0) -> ShortLine:
        basket = self._basket
        asked = basket.question.lines[line]
        available = max(0, self._units(line, basket.rules == 0) - taken)
        component = ""
        if asked.sku in basket.ground.network.kits:
            best = int(np.where(basket.rules[line] == 0, basket.units[line], -1).argmax())
            place, _ = min(basket.parts[line], key=lambda part: int(basket.on_hand[part[0], best]) // part[1])
            component = basket.skus[place]
        return ShortLine(
            asked.line_id, asked.sku, asked.location, asked.quantity, available, self._next_day(line), component
        )

    def _next_day(self, line: int) -> int:
        """The day by which what is expected makes up what is missing, 0 for never."""
        basket = self._basket
        no_stock = NUMBERS[SourcingRule.NO_STOCK]
        columns = np.flatnonzero((basket.rules[line] == 0) | (basket.rules[line] == no_stock)).tolist()
        every = [steps_of(self._offers, basket.demands[line], basket.ground.names[column]) for column in columns]
        wanted = basket.question.lines[line].quantity
        for day in sorted({day for steps in every for day, _ in steps}):
            there = [max((units for since, units in steps if since <= day), default=0) for steps in every]
            if (sum(there) if self._may_split(line) else max(there)) >= wanted:
                return day
        return 0

    def _not_dated(self, line: int) -> InventoryError:
        basket = self._basket
        asked = basket.question.lines[line]
        rules = self._rules[line]
        if (rules == NUMBERS[SourcingRule.TOO_LATE]).any():
            return PromiseTooLate(asked.line_id, asked.sku, asked.needed_by, self._earliest(line))
        full = np.flatnonzero(rules == NUMBERS[SourcingRule.NO_CAPACITY])
        if full.size:
            return CapacityExhausted(asked.line_id, asked.sku, basket.ground.names[int(full[0])])
        usable = np.flatnonzero((basket.rules[line] == 0) & (rules != 0)).tolist()
        said = dict.fromkeys(f"{basket.ground.names[column]}: {RULES[rules[column]]}" for column in usable)
        return PromiseUnknown(asked.line_id, asked.sku, "; ".join(said))

    def _earliest(self, line: int) -> int:
        """The first day by which the line could be there by any of the services."""
        way = next(way for way in self._ways if line in way.lines)
        row = way.lines.index(line)
        late = NUMBERS[SourcingRule.TOO_LATE]
        reached = (way.rules[row] == 0) | (way.rules[row] == late)
        wanted, units = self._basket.question.lines[line].quantity, self._basket.units[line][way.columns]
        for day in sorted({int(day) for day in way.days[row][reached]}):
            there = np.where(reached & (way.days[row] <= day), units[:, np.newaxis], 0)
            if (there.sum(axis=0) if self._may_split(line) else there.max(axis=0)).max() >= wanted:
                return day
        return 0

    def _together(self) -> list[ShortLine]:
        """Lines of one SKU that want more together than there is, the last of them."""
        basket = self._basket
        found = []
        taken: dict[str, int] = {}
        for line, asked in enumerate(basket.question.lines):
            before = taken.get(asked.sku, 0)
            usable = basket.rules[line] == 0
            if int(np.where(usable, basket.units[line], 0).sum()) < before + asked.quantity:
                found.append(self._short_line(line, before))
            taken[asked.sku] = before + asked.quantity
        return found

    def _fewest(self, groups: Sequence[Group], limit: int) -> int:
        """The smallest number of parcels for which there is a plan."""
        parcels = limit + 1
        while Chooser(groups, WHOLE, {}, parcels).best() is None:
            parcels += 1
        return parcels
