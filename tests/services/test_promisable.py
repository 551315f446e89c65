"""What can be promised, by day, from a replica."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from invengine.domain.days import day_number
from invengine.domain.incoming import Receipt
from invengine.domain.network import Network
from invengine.domain.orders import Candidate
from invengine.domain.partitions import partition_of
from invengine.replica.replica import Replica
from invengine.services.arrivals import HORIZON_DAYS
from invengine.services.promisable import Promisable, day_of, units_by
from tests.replica.fakes import START_MS, Entry, fence_row, hold_row, incoming_row, position_row

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
TODAY = day_number(NOW.date())
NETWORK = """\
locations:
  DC: {kind: warehouse, time_zone: Europe/Berlin}
  LON1: {kind: store, fulfilments: [ship, pickup], time_zone: Europe/London}
  AKL: {kind: store, time_zone: Pacific/Auckland}
  HNL: {kind: store, time_zone: Pacific/Honolulu}
groups: {all: [DC, LON1, AKL, HNL]}
channels:
  web: {groups: [all]}
  app: {groups: [all], borrow: false}
"""


class Shop:
    """A replica that says what a test wants."""

    def __init__(self, network: str = NETWORK) -> None:
        self.network = Network.parse(network)
        self.replica = Replica(1, b"12345678")
        self.replica.set_network(self.network)
        self._revision = 0

    def rows(self, *rows: str) -> None:
        self._revision += 1
        entry = Entry(partition_of("LAMP", 1), self._revision, START_MS, "".join(rows).encode())
        self.replica.apply([entry])
        assert self.replica.fault is None

    def receipt(
        self, name: str, days: int, units: int, pegged: int = 0, location: str = "DC", sku: str = "LAMP"
    ) -> None:
        self.rows(incoming_row(Receipt(sku, location, name, TODAY + days, units, pegged, 0)))

    def backorder(self, units: int, location: str = "DC") -> None:
        self.rows(f"I\tLAMP\t{location}\t\t0\t0\t{units}\tSET\terp\te1\t\n")

    def promisable(self, channel: str = "web", now: datetime = NOW, *, borrows: bool = True) -> Promisable:
        return Promisable(self.replica, self.network, channel, int(now.timestamp() * 1000), borrows)

    def days(self, location: str = "DC", channel: str = "web", *, borrows: bool = True) -> list[tuple[int, int]]:
        """(days from today, units) of LAMP."""
        found = self.promisable(channel, borrows=borrows).days("LAMP", Candidate(location))
        return [(day - TODAY, units) for day, units in found]


def test_what_is_not_promised_of_receipts_adds_up_day_by_day() -> None:
    shop = Shop()
    shop.rows(position_row("LAMP", "DC", 10, 4))
    shop.receipt("po-2", 9, 5)
    shop.receipt("po-1", 3, 8, pegged=6)
    shop.receipt("po-3", 9, 2, pegged=1)
    shop.receipt("po-4", 12, 7, pegged=7)
    assert shop.days() == [(0, 6), (3, 8), (9, 14)]
    promisable = shop.promisable()
    days = {units: promisable.day_of("LAMP", Candidate("DC"), units) for units in (0, 1, 6, 7, 8, 9, 14, 15)}
    assert days == {
        **dict.fromkeys((0, 1, 6), TODAY),
        **dict.fromkeys((7, 8), TODAY + 3),
        **dict.fromkeys((9, 14), TODAY + 9),
        15: None,
    }


def test_nothing_is_promised_where_there_is_nothing() -> None:
    shop = Shop()
    shop.rows(position_row("LAMP", "DC", 10, 0))
    promisable = shop.promisable()
    assert promisable.days("LAMP", Candidate("LON1")) == promisable.days("SOFA", Candidate("DC")) == [(TODAY, 0)]
    assert promisable.day_of("SOFA", Candidate("DC"), 1) is None


def test_what_is_expected_where_nothing_ever_was_keeps_the_safety_stock_of_the_sku() -> None:
    shop = Shop(NETWORK + "safety_stock: [{sku: LAMP, units: 2}, {location: LON1, units: 1}]\n")
    shop.receipt("po-1", 3, 8, location="LON1")
    assert shop.days("LON1") == [(0, 0), (3, 6)]
    shop.rows(position_row("LAMP", "DC", 5, 0))
    assert shop.days("LON1") == [(0, 0), (3, 6)]
    assert shop.days("DC") == [(0, 3)]


def test_a_shortfall_and_backorders_are_made_up_first() -> None:
    shop = Shop()
    shop.rows(position_row("LAMP", "DC", 2, 5))
    shop.backorder(4)
    shop.receipt("po-1", 1, 3)
    shop.receipt("po-2", 2, 3)
    shop.receipt("po-3", 3, 3)
    assert shop.days() == [(0, 0), (3, 2)]


def test_a_percentage_is_kept_of_what_is_there_when_promised_units_have_left() -> None:
    shop = Shop(NETWORK + "safety_stock: [{location: DC, percent: 10}]\n")
    shop.rows(position_row("LAMP", "DC", 10, 0))
    shop.receipt("po-1", 3, 20, pegged=15)
    assert shop.days() == [(0, 9), (3, 13)]


def test_what_comes_is_kept_for_nobody() -> None:
    """A channel that takes from its own ring-fence only gains nothing by a receipt; the others do."""
    shop = Shop()
    shop.rows(position_row("LAMP", "DC", 5, 0), fence_row("LAMP", "DC", "app", 4))
    shop.receipt("po-1", 3, 10)
    assert shop.days() == [(0, 1), (3, 11)]
    assert shop.days(channel="app", borrows=False) == [(0, 4)]
    assert shop.days(channel="app") == [(0, 5), (3, 15)]


def test_holds_that_are_over_do_not_count() -> None:
    shop = Shop()
    second = int(NOW.timestamp())
    shop.rows(position_row("LAMP", "DC", 5, 3), hold_row(1, "LAMP", "DC", 3, second))
    assert shop.days() == [(0, 5)]


def test_what_is_overdue_counts_tomorrow_or_stops() -> None:
    shop = Shop()
    shop.receipt("po-1", -9, 5)
    shop.receipt("po-2", 1, 1)
    assert shop.days() == [(0, 0), (1, 6)]
    stopping = Shop(NETWORK + "incoming: {overdue: stop}\n")
    stopping.receipt("po-1", -9, 5)
    stopping.receipt("po-2", 1, 1)
    assert stopping.days() == [(0, 0), (1, 1)]


def test_what_comes_today_is_there_by_the_end_of_today() -> None:
    shop = Shop()
    shop.rows(position_row("LAMP", "DC", 2, 0))
    shop.receipt("po-1", 0, 5)
    assert shop.days() == [(0, 7)]
    found = shop.promisable().at("LAMP", "DC")
    assert (found.now, found.steps) == (2, [(TODAY, 7)])


def test_beyond_two_years_nothing_is_promised() -> None:
    shop = Shop()
    shop.receipt("po-1", HORIZON_DAYS, 5)
    shop.receipt("po-2", HORIZON_DAYS + 1, 5)
    assert shop.days() == [(0, 0), (HORIZON_DAYS, 5)]


@pytest.mark.parametrize(("location", "hour", "today"), [("AKL", 14, 1), ("AKL", 1, 0), ("HNL", 9, -1), ("HNL", 11, 0)])
def test_today_is_the_local_day_of_the_location(location: str, hour: int, today: int) -> None:
    """No day that is over there is promised; receipts are overdue by the UTC day, as for whoever pegs to them."""
    shop = Shop()
    shop.rows(position_row("LAMP", location, 2, 0))
    shop.receipt("po-1", 0, 5, location=location)
    shop.receipt("po-2", -1, 1, location=location)
    promisable = shop.promisable(now=NOW.replace(hour=hour))
    found = [(day - TODAY, units) for day, units in promisable.days("LAMP", Candidate(location))]
    if (
        today == 1
    ):  # what was expected yesterday there is not overdue by UTC yet, what is counts as UTC's tomorrow: today
        assert found == [(1, 8)]
    elif today == 0:
        assert found == [(0, 7), (1, 8)]
    else:
        assert found == [(-1, 2), (0, 7), (1, 8)]


def test_old_counts_keep_units_back_of_what_comes_too() -> None:
    shop = Shop(NETWORK + "confidence: [{location: DC, counted_before: 1h, percent: 50}]\n")
    shop.rows(position_row("LAMP", "DC", 10, 0), position_row("LAMP", "LON1", 10, 0))
    shop.receipt("po-1", 3, 10)
    assert shop.days() == [(0, 5), (3, 10)]
    assert shop.days("LON1") == [(0, 10)]


def test_a_location_that_is_first_heard_of_meanwhile_disturbs_nothing() -> None:
    shop = Shop(NETWORK + "confidence: [{counted_before: 1h, percent: 50}]\n")
    shop.rows(position_row("LAMP", "DC", 10, 0))
    promisable = shop.promisable()
    assert promisable.days("LAMP", Candidate("DC")) == [(TODAY, 5)]
    shop.rows(position_row("SOFA", "CLOSED", 7, 0), position_row("SOFA", "LON1", 4, 0))
    assert promisable.days("SOFA", Candidate("LON1")) == [(TODAY, 2)]
    assert promisable.at("SOFA", "LON1").now == 2


def test_a_kit_comes_together_as_the_part_of_which_there_is_the_least() -> None:
    shop = Shop()
    shop.rows(position_row("SOFA", "DC", 3, 0), position_row("CUSHION", "DC", 9, 0))
    shop.receipt("po-1", 2, 3, sku="CUSHION")
    shop.receipt("po-2", 5, 40, sku="CUSHION")
    shop.receipt("po-3", 7, 1, sku="SOFA")
    found = shop.promisable().kit_at((("SOFA", 1), ("CUSHION", 4)), "DC")
    assert found.now == 2
    assert [(day - TODAY, kits) for day, kits in found.steps] == [(0, 2), (2, 3), (7, 4)]


def test_steps_are_read_by_units_and_by_day() -> None:
    steps = ((5, 2), (8, 6))
    assert [day_of(steps, units) for units in (0, 2, 3, 6, 7)] == [5, 5, 8, 8, None]
    assert [units_by(steps, day) for day in (4, 5, 7, 8, 9)] == [0, 2, 2, 6, 6]
