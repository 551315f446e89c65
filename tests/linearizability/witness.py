"""The check: is there one order of all calls in which each answer is right, and no call stands before one that had
ended when it began?

With one partition a write tells the revision that it made, so its place is known; where one revision holds several
items, the ledgers of their SKUs and the order within batches say which came first. What changed nothing (refusals,
repeats, reads of records) stands where its answer holds. Reads of a replica tell the revision that they show.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Mapping

from tests.linearizability.answers import Item, Key, Moved, Record, Refusal, Violation, items_of, revision_of
from tests.linearizability.histories import History
from tests.linearizability.ledgers import Ledgers
from tests.linearizability.readings import is_right_read
from tests.linearizability.shop_model import Shop
from tests.linearizability.shop_stock import Effect
from tests.linearizability.standing import RECORDS, TIME, Standing, keys_changed
from tests.linearizability.windows import Windows

ORDERS = 6
READS = ("GetPosition", "GetAvailability")
MAY_CHANGE_NOTHING = (
    "AmendReservation",
    "RebindReservation",
    "HandOverReservation",
    "ReleaseReservation",
    "FulfilReservation",
)


class Witness:
    """One replay of a history. `orders` are seeds by revision: its calls are tried in another order there."""

    def __init__(self, history: History, orders: Mapping[int, int] | None = None) -> None:
        self._orders = orders or {}
        self.revision = 0  # the running one
        self.calls = 0  # that made it
        items = [item for call in history.calls for item in items_of(call)]
        self.answers = len(items)
        self.shop = Shop()
        self._ledgers = Ledgers(history.ledgers)
        self._standing = Standing(self.shop)
        self._last = max([self._ledgers.last, *(item.answer.revision for item in items if _makes_revision(item))])
        self._writes: dict[int, list[Item]] = {}  # by the revision that they tell
        self._reads: dict[int, list[Item]] = {}  # by the revision that they show
        self._opening: dict[int, list[Item]] = {}  # the others, by the first revision at whose end they may stand
        self._closing: dict[int, list[Item]] = {}  # and the last
        self._changed: set[Key] = set()  # in the running revision
        self._find_windows(items)
        for item in items:
            self._sort(item)

    def run(self) -> None:
        """Every revision in its order, and everything else where it holds. Violation."""
        self._end(0)
        for revision in range(1, self._last + 1):
            self.revision = revision
            self._make(revision)
            self._end(revision)

    def _find_windows(self, items: list[Item]) -> None:
        seen, made = [], []
        for item in items:
            told = _told(item)
            if told is not None:
                revision, wrote, is_fresh = told
                seen.append((item.call.ended, revision))
                if is_fresh:
                    made.append((item.call.began, revision - wrote))
        windows = Windows(seen, made, self._last)
        for item in items:
            item.earliest, item.latest = windows.earliest(item.call.began), windows.latest(item.call.ended)

    def _sort(self, item: Item) -> None:
        if item.verb in READS:
            self._reads.setdefault(self._revision_read(item), []).append(item)
        elif _makes_revision(item):
            self._writes.setdefault(item.answer.revision, []).append(item)
        else:
            self._expect(item)

    def _revision_read(self, item: Item) -> int:
        """The revision that a read of a replica shows; it must be as fresh as was asked, and not of the future.

        What is not there tells none, so it is looked for at the oldest that is fresh enough: what is there never goes.
        """
        consistency, least = item.request.consistency, 0
        if consistency.fully_consistent:
            least = item.earliest
        elif consistency.at_least_as_fresh:
            least = revision_of(consistency.at_least_as_fresh) or 0
        shown = least if isinstance(item.answer, Refusal) else item.token or 0
        if not least <= shown <= item.latest:
            raise Violation(f"it shows revision {shown}, which is not one of {least} to {item.latest}", item)
        return shown

    def _expect(self, item: Item) -> None:
        """Has an item stand where its answer holds, within its window."""
        if item.token is not None and item.verb not in RECORDS:
            item.latest = min(item.latest, item.token)
        if item.earliest > item.latest:
            raise Violation(f"it stands at the end of {item.earliest} at first and of {item.latest} at last", item)
        self._opening.setdefault(item.earliest, []).append(item)
        self._closing.setdefault(item.latest, []).append(item)

    # One revision

    def _make(self, revision: int) -> None:
        """What happened in one revision: what the ledgers tell next, and a batch that was begun before others."""
        items = self._writes.pop(revision, [])
        if not items and not self._ledgers.skus(revision):
            raise Violation(f"revision {revision} was made by nobody")
        self.shop.now = self._ledgers.time_of(revision)
        calls: dict[int, list[Item]] = {}
        for item in items:
            is_here = item.earliest < revision <= item.latest
            if item.verb in MAY_CHANGE_NOTHING:
                self._expect_no_change(item, revision)
            elif not is_here:
                raise Violation(f"revision {revision} is not after {item.earliest} and up to {item.latest}", item)
            if is_here:
                calls.setdefault(id(item.call), []).append(item)
        left = list(calls.values())
        self.calls = len(left)
        if revision in self._orders:
            random.Random(self._orders[revision]).shuffle(left)
        while left and self._make_next(left, revision):
            left = [items for items in left if not items[-1].placed]
        while self._expire_next(revision):
            pass
        for item in items:
            if not item.placed and item.verb not in MAY_CHANGE_NOTHING:
                raise self._nowhere(item, revision)
        if rows := self._ledgers.left(revision):
            raise Violation(f"revision {revision} has changes that no answer explains: {rows}")

    def _make_next(self, calls: list[list[Item]], revision: int) -> bool:
        """Has items of one call happen; of several calls that could be next one that no other has to precede.

        Holds that are over are tidied away only where nothing else can happen: a call that finds stock short does so
        first. Whether anything happened.
        """
        for careful in (True, False):
            for items in calls:
                others = {id(item.call) for other in calls for item in other[:1] if other is not items}
                if self._make_call(items, revision, others if careful else set()):
                    return True
            if self._expire_next(revision):
                return True
        return False

    def _make_call(self, items: list[Item], revision: int, others: set[int]) -> bool:
        """Has items of a call happen, in their order, up to one that cannot or that others precede; whether any did."""
        begun = False
        for item in [item for item in items if not item.placed]:
            while not self._try(item, revision, others):
                if not (begun and self._expire_next(revision)):
                    return begun
            begun = True
        return begun

    def _expire_next(self, revision: int) -> bool:
        """Tidies away the holds that the ledgers tell next; whether there were any."""
        found = False
        for sku in self._ledgers.skus(revision):
            while (row := self._ledgers.next(sku, revision)) is not None and row.kind == "EXPIRE":
                effect = self.shop.expire(row.cause, revision)
                if effect is None:
                    raise Violation(f"a hold is expired that is not over: {self.shop.records.get(row.cause)}, {row}")
                if not self._happens(None, effect, revision):
                    break
                found = True
        return found

    def _expect_no_change(self, item: Item, revision: int) -> None:
        """A success that names this revision may also have found, in it or later, that there was nothing to change."""
        self._closing.setdefault(min(item.latest, item.token or 0), []).append(item)
        if item.earliest < revision:
            self._standing.open(item)
        else:
            self._opening.setdefault(item.earliest, []).append(item)

    def _try(self, item: Item, revision: int, others: set[int]) -> bool:
        """Has a write happen here if it is answered so here, and none of the other calls has to come first."""
        if not item.is_next:
            return False
        effect = self.shop.decide(item, revision)
        if isinstance(effect, Refusal) or not effect.changed or effect.answer != item.answer:
            return False
        if others and self._standing.would_miss(effect, others):
            return False
        return self._happens(item, effect, revision)

    def _happens(self, item: Item | None, effect: Effect, revision: int) -> bool:
        """An effect takes place, if the ledgers tell it next."""
        if not self._ledgers.take(effect, revision, self.shop):
            return False
        if item is not None:
            self._standing.close(item)
        self.shop.apply(item, effect, revision)
        changed = keys_changed(item, effect)
        self._changed.update(changed)
        after = [item.after] if item is not None and item.after is not None else []
        self._standing.settle(changed, after, between_calls=False)
        return True

    def _end(self, revision: int) -> None:
        """What stands between this revision and the next."""
        self.shop.now = self._ledgers.time_after(revision)
        opened = [item for item in self._opening.pop(revision, ()) if not item.placed]
        for item in opened:
            self._standing.open(item)
        self._standing.settle({TIME, *self._changed}, opened, between_calls=True)
        self._changed.clear()
        for item in self._reads.pop(revision, ()):
            if not is_right_read(self.shop, item, self._ledgers.time_after(item.latest)[1]):
                raise Violation(f"revision {revision} has {self.shop.stock.positions.get(item.request.sku)}", item)
        for item in self._closing.pop(revision, ()):
            if not item.placed:
                raise self._nowhere(item, revision)

    def _nowhere(self, item: Item, revision: int) -> Violation:
        """An item that has no place up to a revision, or the one of its batch that keeps it from having one."""
        while item.before is not None and not item.before.placed:
            item = item.before
        if item.verb in RECORDS:
            now: object = self.shop.records.get(getattr(item.request, "reservation_id", ""))
        else:
            now = self.shop.decide(item, revision)
        return Violation(f"so nowhere from {item.earliest} to {revision}, where it would be {now}", item)


def check(history: History) -> Witness:
    """A replay of a history that passes. Violation says what does not fit, and where.

    What the ledgers and batches leave open of the order of several calls in one revision is chosen with care, not for
    certain: where that fails, other orders of these calls are tried.
    """
    gc.disable()  # of what is made here nothing goes before the end
    try:
        orders: dict[int, int] = {}
        for again in range(1, ORDERS + 1):
            witness = Witness(history, orders)
            try:
                return _replayed(witness, history)
            except Violation:
                if witness.calls < 2 or again == ORDERS:
                    raise
                orders[witness.revision] = again
        raise AssertionError("unreachable")
    finally:
        gc.enable()


def _replayed(witness: Witness, history: History) -> Witness:
    witness.run()
    listed = {
        item.answer.reservation_id
        for call in history.calls
        if call.method.endswith("/ListReservations")
        for item in items_of(call)
    }
    if listed != set(witness.shop.records):
        raise Violation(f"not the reservations that there are: {listed ^ set(witness.shop.records)}")
    return witness


def _makes_revision(item: Item) -> bool:
    """Whether the answer names a revision that the item itself made, or may have made."""
    if isinstance(item.answer, Moved):
        return item.answer.result == "APPLIED"
    return isinstance(item.answer, Record) and not item.replayed and item.verb not in RECORDS


def _told(item: Item) -> tuple[int, bool, bool] | None:
    """A revision that the answer tells, whether the item made it, and whether it was the newest when it was asked."""
    if item.verb in RECORDS:
        return (item.answer.revision, False, False) if isinstance(item.answer, Record) else None
    if _makes_revision(item) and item.verb not in MAY_CHANGE_NOTHING:
        return item.answer.revision, True, True
    if item.token is None:
        return None
    return item.token, False, item.verb not in READS or item.request.consistency.fully_consistent
