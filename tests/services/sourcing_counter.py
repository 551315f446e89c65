"""A shop with its service open; and what plans cost there and which there are, by the definition in plain Python.

The definition goes by the data of the shop; the day on which units would be there is asked one pair of line and
location at a time, as it has its own definition in promising_worlds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

from invengine.domain.incoming import Receipt
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import BasketLine, CostTerms, PlannedUnits
from invengine.domain.transit import NOTHING_LEARNT
from invengine.kernels.layout import ANSWER_DAY, ANSWER_STATUS, DATED
from invengine.replica.replica import Replica
from invengine.services.dates import DatedLine
from invengine.services.dating import Dating
from invengine.services.sourcing_plans import SourcingPlans
from tests.replica.fakes import START_MS, Entry, incoming_row, position_row
from tests.services.sourcing_shops import KITS, NOW_DAY, NOW_MS, SERVICES, Shop, percent


class Counter:
    """The shop, open: the service over a replica that has its stock."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.network = shop.network()
        replica = Replica(1, b"12345678")
        replica.set_network(self.network)
        rows = [position_row(sku, name, units, 0) for (sku, name), units in shop.on_hand.items()]
        for number, (sku, name, day, units) in enumerate(shop.receipts):
            rows.append(incoming_row(Receipt(sku, name, f"po-{number}", day, units, 0, 0)))
        replica.apply([Entry(0, 1, START_MS, "".join(rows).encode())])
        assert replica.fault is None
        clock: Any = SimpleNamespace(now_ms=lambda: NOW_MS)
        self.replica = replica
        self.dating = Dating(self.network, NOTHING_LEARNT, replica, clock)
        prices: Any = SimpleNamespace(prices=self._prices) if shop.prices else None
        self.plans = SourcingPlans(replica, lambda _: self.dating, prices)

    def source(self, lines: list[BasketLine], profile: Profile, **more: Any):
        return self.plans.source(lines, channel="web", network=self.network, now_ms=NOW_MS, profile=profile, **more)

    def _prices(self, skus, locations, now_ms):
        import numpy as np

        assert now_ms == NOW_MS
        return np.array([[self.shop.prices.get((sku, name), 0) for name in locations] for sku in skus], np.int64)

    def reserve(self, sku: str, location: str, units: int) -> None:
        """Units of a position are set aside."""
        row = position_row(sku, location, self.shop.on_hand[sku, location], units)
        self.replica.apply([Entry(0, 2, START_MS, row.encode())])

    def place(self, location: str) -> tuple[int, str]:
        """What orders locations."""
        return self.shop.places[location].priority, location

    # The definition

    def steps(self, sku: str, location: str) -> list[tuple[int, int]]:
        """(day, units) by the end of which day so many are there; day 0: now."""
        there = self.shop.on_hand.get((sku, location), 0)
        found = [(0, there)]
        for _, _, day, units in sorted(
            [one for one in self.shop.receipts if one[:2] == (sku, location)], key=lambda one: one[2]
        ):
            there += units
            found.append((day, there))
        return found

    def day(self, line: BasketLine, location: str, service: str, since: int = 0) -> int:
        """The day of delivery, 0 where there is none."""
        services = (service,) if service else ()
        dates = self.dating.options(
            [DatedLine(1, {location: since})], line.destination, (line.fulfilment,), services, at_ms=NOW_MS
        )
        answer = dates.answers[0, 0, 0]
        return int(answer[ANSWER_DAY]) if answer[ANSWER_STATUS] == DATED else 0

    def costs(self, lines: list[BasketLine], profile: Profile, units: list[PlannedUnits], priced: bool) -> CostTerms:
        """What a plan costs, parcel by parcel and line by line."""
        terms = dict.fromkeys(CostTerms._fields, 0)
        opened = {
            (one.location, lines[one.line].fulfilment, lines[one.line].destination, one.service, bool(one.delivery_day))
            for one in units
        }
        for location, fulfilment, destination, service, is_dated in opened:
            place = self.shop.places[location]
            is_sent = fulfilment is not Fulfilment.PICKUP
            terms["parcel"] += profile.parcel_cost if is_sent else 0
            terms["handling"] += percent(place.parcel, profile.handling_percent)
            terms["priority"] += profile.priority_cost * place.priority
            if is_sent and fulfilment is not Fulfilment.ANY:
                terms["distance"] += profile.kilometre_cost * (self.network.distance_km(location, destination) or 0)
            if is_dated:
                terms["lane"] += percent(self.lane(location, fulfilment, destination, service)[1], profile.lane_percent)
        for one in units:
            line, place = lines[one.line], self.shop.places[one.location]
            parts = KITS.get(line.sku, {line.sku: 1})
            count = one.quantity * sum(parts.values())
            terms["handling"] += count * (percent(place.unit, profile.handling_percent) + profile.unit_cost)
            lane = self.lane(one.location, line.fulfilment, line.destination, one.service)
            terms["lane"] += count * percent(lane[2], profile.lane_percent) if one.delivery_day else 0
            worth = sum(
                each * percent(self.shop.prices.get((sku, one.location), 0), profile.opportunity_percent)
                for sku, each in parts.items()
            )
            terms["opportunity"] += one.quantity * worth
        for number, location, day in {(one.line, one.location, one.delivery_day) for one in units}:
            if day:
                needed = lines[number].needed_by
                terms["waiting"] += max(0, day - NOW_DAY) * profile.waiting_day_cost
                terms["late"] += max(0, day - needed) * profile.late_day_cost if needed else 0
                terms["early"] += max(0, needed - day) * profile.early_day_cost if needed else 0
            del location
        if priced and profile.shortage_cost is not None:
            missing = sum(line.quantity for line in lines) - sum(one.quantity for one in units)
            terms["shortage"] = missing * profile.shortage_cost
        return CostTerms(**terms)

    def lane(self, location: str, fulfilment: Fulfilment, to: Destination, service: str) -> tuple[int, int, int]:
        if fulfilment is Fulfilment.SHIP:
            zone = "north" if to.postal_code.startswith("1") else "south"
            return self.shop.lanes.get((location, zone, service), (0, 0, 0))
        if fulfilment is Fulfilment.SHIP_TO_STORE:
            return self.shop.transfers.get(location, (0, 0, 0)) if location != to.location else (0, 0, 0)
        return 0, 0, 0

    def may(self, line: BasketLine, location: str, profile: Profile) -> bool:
        """Whether the line may come from there at all."""
        place, seen = self.shop.places[location], self.shop.seen or tuple(self.shop.places)
        way = {"SHIP": "ship", "SHIP_TO_STORE": "ship", "PICKUP": "pickup"}.get(line.fulfilment.value)
        if line.fulfilment is Fulfilment.SHIP_TO_STORE and location == line.destination.location:
            way = "pickup" if way not in place.fulfilments else way
        excluded = profile.excluded_locations(self.network)
        named = line.location in ("", location)
        there = line.fulfilment is not Fulfilment.PICKUP or line.destination.location in ("", location)
        return (
            place.enabled and location in seen and (way is None or way in place.fulfilments)
            and location not in excluded and named and there
        )  # fmt: skip

    def plans_by_hand(
        self, lines: list[BasketLine], profile: Profile, limit: int, whole: bool
    ) -> Iterator[list[PlannedUnits]]:
        """Every plan that keeps the rules, of units on hand. One service for all lines that name none."""
        frees = list({line.destination for line in lines if line.fulfilment is Fulfilment.SHIP and not line.service})
        for services in product(SERVICES, repeat=len(frees)):
            by = dict(zip(frees, services, strict=True))
            ways = [
                list(self._placed(number, line, profile, by if self._is_dated(lines, line, profile) else None, whole))
                for number, line in enumerate(lines)
            ]
            for combination in product(*ways):
                units = [one for of_line in combination for one in of_line]
                if self._fits(lines, units, limit):
                    yield units

    def has(self, line: BasketLine, location: str) -> int:
        """How many of a line there are."""
        parts = KITS.get(line.sku, {line.sku: 1}).items()
        return min(self.shop.on_hand.get((sku, location), 0) // each for sku, each in parts)

    def _is_dated(self, lines: list[BasketLine], one: BasketLine, profile: Profile) -> bool:
        """Whether lines that go this way have dates: one must have, or the network can date one of them."""
        if one.fulfilment is Fulfilment.ANY:
            return False
        way = [line for line in lines if (line.fulfilment, line.destination) == (one.fulfilment, one.destination)]
        places = {
            name for line in way for name in self.shop.places if self.has(line, name) and self.may(line, name, profile)
        }
        services = SERVICES if one.fulfilment is Fulfilment.SHIP else ("",)
        if any(line.needed_by or line.service for line in way):
            return True
        return any(self.day(one, name, service) for name in places for service in services)

    def _placed(self, number, line, profile, by, whole):
        service = ""
        if line.fulfilment is Fulfilment.SHIP and by is not None:
            service = line.service or by[line.destination]
        usable = []
        for location in self.shop.places:
            most = self.has(line, location)
            day = self.day(line, location, service) if by is not None else 0
            is_late = line.needed_by and day > line.needed_by and not profile.may_be_late
            if most and self.may(line, location, profile) and (day or by is None) and not is_late:
                usable.append((location, most, day))
        for counts in product(*(range(min(most, line.quantity) + 1) for _, most, _ in usable)):
            total, opened = sum(counts), sum(1 for count in counts if count)
            if total > line.quantity or (whole and total < line.quantity):
                continue
            if opened > 1 and not (line.allow_split and profile.may_split):
                continue
            yield [
                PlannedUnits(number, location, count, 0, service, day)
                for (location, _, day), count in zip(usable, counts, strict=True)
                if count
            ]

    def _fits(self, lines, units, limit) -> bool:
        taken: dict[tuple[str, str], int] = {}
        for one in units:
            for sku, each in KITS.get(lines[one.line].sku, {lines[one.line].sku: 1}).items():
                key = sku, one.location
                taken[key] = taken.get(key, 0) + each * one.quantity
                if taken[key] > self.shop.on_hand.get(key, 0):
                    return False
        sent = {
            (one.location, lines[one.line].fulfilment, lines[one.line].destination, one.service)
            for one in units
            if lines[one.line].fulfilment is not Fulfilment.PICKUP
        }
        return not limit or len(sent) <= limit
