"""Four feeds at once, two servers on one Redis, and anything may be told: each row of each ledger follows from the rows
before it, by the rules; every event that was answered APPLIED is there once, and no other.
"""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given

from tests.feeds.engines import Engines, Feed
from tests.feeds.shelves import Shelf
from tests.feeds.test_feeds import FEEDS, SEEDS, engines  # noqa: F401  # a fixture
from tests.feeds.worlds import PLACES, Counted, History, Moved, Place, Snapped, wild_histories


class Ledgers:
    """The ledgers of a history, read against its facts."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        history = feed.history
        self._facts = {
            (fact.snapshot_id if isinstance(fact, Snapped) else fact.event_id): fact
            for fact in (*history.opening, *history.told)
        }
        self._orders = {feed.reservations[order.ref]: order for order in history.orders}
        self.applied: Counter[str] = Counter()

    async def follow(self, place: Place) -> list[Shelf]:
        """Every row of a place, from nothing: what it may have come to, which differs only in when units left.

        A snapshot that contains an order says so of what left already before it counts anything there, and that is no
        row: so with every row, what left may have been told to have left earlier.
        """
        known = [Shelf()]
        told = [fact for fact in self._facts.values() if isinstance(fact, Snapped) and fact.location == place[1]]
        for entry in await self._feed.ledger(place):
            found: list[Shelf] = []
            against = []
            for shelf in (one for before in known for one in before.told_of_earlier(told)):
                try:
                    self._apply(shelf, place, entry)
                    assert shelf.same_as(entry), entry
                except AssertionError as impossible:
                    against.append(impossible)
                    continue
                if shelf not in found:
                    found.append(shelf)
            if not found:
                raise against[0]
            known = found
            self.applied[entry.cause.partition(" ")[2]] += 1
        return known

    def _apply(self, shelf: Shelf, place: Place, entry: object) -> None:
        kind, cause, reason = entry.kind, entry.cause, entry.reason
        if cause in self._orders:
            order = self._orders[cause]
            units = abs(entry.reserved_after - entry.reserved_before)
            if kind == "FULFIL" and reason:
                shelf.fulfil(units, order.ref, self._fact(reason.removeprefix("snapshot ")).at)
            elif kind == "FULFIL" and entry.reserved_after > entry.reserved_before:
                shelf.take_back(units, order.ref)
            elif kind == "FULFIL":
                shelf.fulfil(units, order.ref)
            else:
                {"RESERVE": shelf.reserve, "RELEASE": shelf.release}[kind](units)
            return
        fact = self._fact(cause)
        if isinstance(fact, Snapped):
            assert (kind, entry.actor) == ("COUNT", "erp")
            assert fact.speaks_of(place)
            shelf.snap(fact.units(place), fact, set(fact.order_refs))
            return
        assert fact.place == place
        if isinstance(fact, Counted):
            shelf.count(fact)
        else:
            assert isinstance(fact, Moved)
            assert kind == fact.kind
            shelf.move(fact)

    def _fact(self, cause: str) -> Moved | Counted | Snapped:
        number, _, name = cause.partition(" ")
        assert int(number) == self._feed.number
        return self._facts[name]


def test_what_is_recorded_follows_from_what_was_recorded_before(engines: Engines) -> None:  # noqa: F811
    tally: Counter[str] = Counter()

    @FEEDS
    @given(history=wild_histories(), seed=SEEDS)
    def holds(history: History, seed: int) -> None:
        async def run() -> None:
            feed = engines.feed(history)
            await feed.deliver(random.Random(seed), at_once=4, rounds_max=2)
            ledgers = Ledgers(feed)
            for place in PLACES:
                shelf, *_ = await ledgers.follow(place)  # all are as the last row says
                assert await feed.position(place) == (shelf.on_hand, shelf.reserved)
                assert shelf.reserved == await open_units(feed, place)
            for event_id, results in feed.results.items():
                assert results.count("APPLIED") == ledgers.applied[event_id] <= 1
                assert ("REPEATED" in results) <= ("APPLIED" in results or "STALE" in results)
            tally.update(feed.tally)

        engines.run(run())

    holds()
    print(tally)
    words = {"APPLIED", "REPEATED", "STALE", "REFUSED", "snapshot fulfilled", "snapshot ignored"}
    assert words <= set(+tally)  # each of these happened


async def open_units(feed: Feed, place: Place) -> int:
    """Units that the reservations of the orders still have of a place."""
    units = 0
    for order in feed.history.orders:
        for line in (await feed.reservation(order)).lines:
            if line.sku == feed.sku(place[0]):
                for its in line.allocations:
                    if its.location == feed.location(place[1]):
                        units += its.quantity - its.fulfilled - its.released
    return units
