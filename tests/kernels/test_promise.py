"""Dates: kernels and tables against the chain as it is defined, on random networks, baskets and instants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import (
    ANSWER_COLUMNS,
    ASKED_COLUMNS,
    BASKET_COLUMNS,
    DATED,
    LINE_COLUMNS,
    NEVER,
    PROMISE_COLUMNS,
    SOURCE_COLUMNS,
)
from invengine.services.promise_routes import Option, PromiseRoutes
from invengine.services.promise_tables import PromiseTables, Window
from tests.kernels import promise_reference as reference
from tests.kernels.promise_reference import ONE_DAY, ONE_MINUTE, Answer, Promise, Source
from tests.kernels.promise_worlds import DAYS_BEFORE, HORIZON, STORE, WAYS, Case, case

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPTIONS = tuple(Option(*way) for way in WAYS)


def minute(moment: datetime | None) -> int:
    """Whole minutes since 1970; 0 for none."""
    return 0 if moment is None else (moment - EPOCH) // ONE_MINUTE


def day(found: date | None) -> int:
    """Days since 1970; 0 for none."""
    return 0 if found is None else reference.number(found)


def steps(answer: Answer) -> list[int]:
    """As the kernel writes them."""
    return [
        answer.status,
        day(answer.day),
        minute(answer.ready),
        day(answer.ship),
        day(answer.slot),
        minute(answer.begin),
        minute(answer.done),
        day(answer.arrival),
        minute(answer.store_begin),
        minute(answer.store_done),
    ]


class Learnt:
    """The learnt transit of a case."""

    def __init__(self, asked: Case) -> None:
        self._days = asked.world.learnt

    def days(self, location: str, zone: str, service: str, confidence_parts: int) -> int | None:
        assert confidence_parts == 9500
        return self._days.get((location, zone, service))


class Compiled:
    """A case in arrays, each source with its slot only when `holds`."""

    def __init__(self, asked: Case, *, holds: bool, tables: PromiseTables | None = None) -> None:
        self.case = asked
        self.sources: list[Source] = [source for line in asked.lines for source in line]
        self.tables = tables or PromiseTables(Window(asked.first_day, DAYS_BEFORE + HORIZON + 6))
        network: Any = SimpleNamespace(locations=asked.world.locations, delivery=asked.world.delivery)
        self.routes = PromiseRoutes(network, Learnt(asked), self.tables)
        parts = 9500 if asked.confident else 0
        firsts = {
            source.location: self.routes.line(source.location, OPTIONS, asked.destination, parts)
            for source in self.sources
        }
        self.block = np.array(
            [
                (
                    NEVER if source.start is None else minute(source.start),
                    source.units,
                    firsts[source.location],
                    day(source.held) if holds else 0,
                )
                for source in self.sources
            ],
            np.int64,
        ).reshape(-1, SOURCE_COLUMNS)
        self._fill_slots()
        self.answers = np.full((len(self.sources), len(OPTIONS), ANSWER_COLUMNS), -7, np.int64)

    def _fill_slots(self) -> None:
        world, window = self.case.world, self.tables.window
        for rule in self.routes.slot_rules.values():
            location, way = next(
                (name, way)
                for name in world.locations
                for way in (Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
                if self.tables.slots(name, way.value) == rule.line
            )
            for place in range(window.size):
                when = date(1970, 1, 1) + (window.first_day + place) * ONE_DAY
                self.tables.days[rule.line, place] = world.room.get((location, way, when), rule.capacity)

    def date_sources(self) -> list[list[list[int]]]:
        kernels.date_sources(
            self.case.first_day,
            self.case.last_day,
            self.block,
            self.routes.block,
            self.tables.days,
            self.tables.spans,
            self.answers,
        )
        return self.answers.tolist()

    def date_baskets(self) -> tuple[list[list[int]], list[list[int]]]:
        """Sources chosen, and promises by option."""
        ends = np.cumsum([len(line) for line in self.case.lines])
        lines = np.array([(end - len(line), len(line)) for end, line in zip(ends, self.case.lines, strict=True)])
        baskets = np.array([(0, len(lines))], np.int64).reshape(-1, BASKET_COLUMNS)
        chosen = np.full((len(lines), len(OPTIONS)), -7, np.int64)
        promises = np.full((1, len(OPTIONS), PROMISE_COLUMNS), -7, np.int64)
        kernels.date_baskets(
            self.case.first_day,
            self.case.last_day,
            baskets,
            lines.reshape(-1, LINE_COLUMNS),
            self.block,
            self.routes.block,
            self.tables.days,
            self.tables.spans,
            self.answers,
            chosen,
            promises,
        )
        places = np.where(chosen >= 0, chosen - lines[:, :1], -1)
        return places.T.tolist(), promises[0].tolist()

    def latest_orders(self, asked: Sequence[tuple[int, int, int]]) -> list[int]:
        """The first minutes that are too late."""
        out = np.full(len(asked), -7, np.int64)
        kernels.latest_orders(
            self.case.first_day,
            np.array(asked, np.int64).reshape(-1, ASKED_COLUMNS),
            self.block,
            self.routes.block,
            self.tables.days,
            self.tables.spans,
            out,
        )
        return out.tolist()


def check_chains(asked: Case) -> PromiseTables:
    """Every step of every chain, with the slots that orders hold; the tables that it made."""
    compiled = Compiled(asked, holds=True)
    expected = [
        [steps(reference.date_sources(asked.world, source, way, asked.destination)) for way in WAYS]
        for source in compiled.sources
    ]
    assert expected == compiled.date_sources()
    return compiled.tables


def expected_promise(asked: Case, way: reference.Way) -> Promise:
    """What the basket can be promised, but for the last minute to order."""
    dated: list[tuple[int, Answer]] = []
    statuses: list[int] = []
    for line in asked.lines:
        found = [reference.chain(asked.world, source, way, asked.destination) for source in line]
        best = min(
            (place for place, answer in enumerate(found) if answer.status == DATED),
            key=lambda place: (found[place].day, found[place].ready or 0),
            default=-1,
        )
        dated.append((best, found[best]))
        statuses.append(DATED if best >= 0 else min(answer.status for answer in found))
    chosen = tuple(place for place, _ in dated)
    failed = [status for status in statuses if status != DATED]
    if failed:
        return Promise(failed[0], chosen=chosen)
    readies = [answer.ready for _, answer in dated if answer.ready is not None]
    return Promise(DATED, max(a.day for _, a in dated if a.day), max(readies, default=None), None, chosen)


def check_promises(asked: Case, tables: PromiseTables | None = None) -> None:
    """The date, the choice, and that it is kept up to the last minute and not a minute longer."""
    free = [tuple(Source(one.location, one.start, one.units) for one in line) for line in asked.lines]
    asked = Case(asked.world, tuple(free), asked.destination, asked.at, asked.first_day, asked.confident)
    compiled = Compiled(asked, holds=False, tables=tables)
    chosen, promises = compiled.date_baskets()
    for way, places, (status, promised, latest, before) in zip(WAYS, chosen, promises, strict=True):
        expected = expected_promise(asked, way)
        assert [expected.status, day(expected.day), minute(expected.ready)] == [status, promised, latest]
        assert list(expected.chosen) == places
        if status != DATED:
            assert before == 0
            continue
        chosen_sources = [line[place] for line, place in zip(asked.lines, places, strict=True)]
        assert expected.day is not None
        assert kept(asked, chosen_sources, way, expected.day, before - 1)
        assert not kept(asked, chosen_sources, way, expected.day, before)


def kept(asked: Case, sources: Sequence[Source], way: reference.Way, promised: date, at: int) -> bool:
    """Whether all come by that day when they are ordered at a minute, and are there by then."""
    found = []
    for source in sources:
        assert source.start is not None
        later = Source(source.location, max(source.start, EPOCH + at * ONE_MINUTE), source.units)
        found.append(reference.chain(asked.world, later, way, asked.destination).day)
    return all(one is not None and one <= promised for one in found)


def test_chains_are_what_their_definition_says() -> None:
    for seed in range(2_000):
        check_chains(case(seed))


def test_promises_are_as_late_as_their_latest_line_and_kept_to_the_last_minute() -> None:
    for seed in range(2_000, 4_000):
        check_promises(case(seed))


def test_the_last_minute_to_order_is_the_one_that_is_found_by_looking() -> None:
    """For later days than the first possible one too."""
    looked = 0
    for seed in range(4_000, 4_150):
        asked = case(seed)
        compiled = Compiled(asked, holds=False)
        wanted, expected = [], []
        for number, source in enumerate(compiled.sources):
            free = Source(source.location, source.start, source.units)
            for option, way in enumerate(WAYS):
                first = reference.chain(asked.world, free, way, asked.destination).day
                later = (first or asked.world.last_day) + (seed % 3) * ONE_DAY
                if first is None or later > asked.world.last_day:
                    continue
                wanted.append((number, option, day(later)))
                expected.append(minute(reference.latest_orders(asked.world, free, way, asked.destination, later)))
        assert expected == compiled.latest_orders(wanted)
        looked += len(expected)
    assert looked > 300


def test_a_basket_of_the_definition_is_the_basket_of_the_kernel() -> None:
    for seed in range(5_000, 5_060):
        asked = case(seed)
        free = [[Source(one.location, one.start, one.units) for one in line] for line in asked.lines]
        _, promises = Compiled(asked, holds=False).date_baskets()
        expected = [reference.date_baskets(asked.world, free, way, asked.destination) for way in WAYS]
        assert [[one.status, day(one.day), minute(one.ready), minute(one.order_before)] for one in expected] == promises


def test_random_cases_meet_what_is_hard() -> None:
    """Else the tests above would prove little: every outcome and way, waiting for slots, nights of changing clocks."""
    statuses: dict[int, int] = {}
    waited = overnight = stores = 0
    for seed in range(400):
        asked = case(seed)
        answers = np.array(Compiled(asked, holds=True).date_sources())
        for status in answers[..., 0].ravel().tolist():
            statuses[status] = statuses.get(status, 0) + 1
        waited += int((answers[..., 4] > answers[..., 6] // 1440 + 1).sum())
        stores += int((answers[..., 9] > 0).sum())
        zone = asked.world.locations[STORE]
        nights = [reference.wall(asked.at.date() + n * ONE_DAY, 0, zone) for n in range(3)]
        overnight += nights[1] - nights[0] != nights[2] - nights[1]
    assert set(statuses) >= set(range(1, 11))
    assert statuses[DATED] > 1_000
    assert min(waited, stores) > 100
    assert overnight > 20


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_networks_baskets_and_instants(part: int) -> None:
    for seed in range(10_000 + part * 10_000, 10_000 + (part + 1) * 10_000):
        asked = case(seed)
        check_promises(asked, check_chains(asked))
