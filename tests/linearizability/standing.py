"""Calls that change no stock and no record, each put where its answer holds: at the first such place of its window.

Moving nothing, they harm nobody by standing early; only their own order counts: none stands before another that had
ended when it began, nor before an earlier item of its batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from tests.linearizability.answers import Item, Key, Moved, Refusal
from tests.linearizability.readings import is_shown
from tests.linearizability.shop_model import Shop
from tests.linearizability.shop_stock import Effect

RECORDS = ("GetReservation", "ListReservations")
TIME: Key = ("time",)
STOCK: Key = ("stock",)  # any position


class Standing:
    """The calls whose window is open, by what their answers depend on."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._waiting: dict[Key, set[Item]] = {}
        self._ends: list[tuple[int, int, Item]] = []
        self._count = 0
        self._early: set[Item] = set()  # they wait for others, which had ended before they began

    def open(self, item: Item) -> None:
        """From here on the item may stand."""
        self._count += 1
        heappush(self._ends, (item.call.ended, self._count, item))
        item.keys = keys_of(item)
        for key in item.keys:
            self._waiting.setdefault(key, set()).add(item)

    def settle(self, changed: Iterable[Key], tried: Iterable[Item], *, between_calls: bool) -> None:
        """Puts what holds here and did not before: of `tried`, and of what depends on `changed`.

        Records are read between two calls only, other items stand also between two items of one call.
        """
        items = {item for key in changed for item in self._waiting.get(key, ())}
        items.update(tried, self._early)
        while items:
            placed = [
                item for item in sorted(items, key=_by_begin) if not item.placed and self._try(item, between_calls)
            ]
            if not placed:
                return
            items = {other for item in placed for key in item.keys[:2] for other in self._waiting.get(key, ())}
            items.update([item.after for item in placed if item.after is not None], self._early)

    def close(self, item: Item) -> None:
        """The item has its place."""
        item.placed = True
        self._early.discard(item)
        for key in item.keys:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(item)
                if not waiting:
                    del self._waiting[key]

    def would_miss(self, effect: Effect, calls: set[int]) -> bool:
        """Whether an item of these calls, which only waits for others of its batch, would not be so after this effect.

        Then its batch comes first. Looked at line by line: one of those that are short may be so already.
        """
        keys: set[Key] = {("sku", move.sku) for move in effect.moves}
        for item in {item for key in keys for item in self._waiting.get(key, ())}:
            if not item.is_next and id(item.call) in calls:
                now = self._right_parts(item)
                self._shop.stock.shift(effect.moves, 1)
                then = self._right_parts(item)
                self._shop.stock.shift(effect.moves, -1)
                if any(was and not will for was, will in zip(now, then, strict=True)):
                    return True
        return False

    def _right_parts(self, item: Item) -> list[bool]:
        """Of a movement whether it is as answered; of a refused request for stock the same for each line alone."""
        if not (isinstance(item.answer, Refusal) and item.answer.short_lines):
            return [self._is_answer(item, self._shop.decide(item, 0))]
        told = {line_id: available for line_id, _, _, _, available in item.answer.short_lines}
        return [
            told.get(line_id) == available for line_id, available in self._shop.stock.short_lines(item.request).items()
        ]

    def _try(self, item: Item, between_calls: bool) -> bool:
        if not item.is_next or (item.verb in RECORDS and not between_calls):
            return False
        while self._ends and self._ends[0][2].placed:
            heappop(self._ends)
        if not self._ends or self._ends[0][0] < item.call.began:
            self._early.add(item)
            return False
        if not self._holds(item):
            self._early.discard(item)
            return False
        self.close(item)
        return True

    def _holds(self, item: Item) -> bool:
        """Whether the answer is right here; what has to be remembered of it is."""
        if item.verb in RECORDS:
            return is_shown(self._shop, item)
        decided = self._shop.decide(item, 0)
        if self._is_answer(item, decided):
            if isinstance(decided, Effect):
                self._shop.apply(item, decided, 0)
            return True
        return False

    def _is_answer(self, item: Item, decided: Effect | Refusal) -> bool:
        if not isinstance(decided, Effect):
            return bool(decided == item.answer)
        is_same = not decided.changed and decided.answer == item.answer
        return is_same and item.replayed == self._shop.is_repeat(item)


def keys_of(item: Item) -> list[Key]:
    """What the answer of an item depends on."""
    request, answer = item.request, item.answer
    if item.verb == "PostMovement":
        return [("event", request.source, request.event_id), ("sku", request.sku)]
    if item.verb in RECORDS:
        keys: list[Key] = [("record", request.reservation_id)]
        return keys if isinstance(answer, Refusal) or answer.state != "EXPIRED" else [*keys, TIME]
    keys = [("request", request.channel, request.request_id), ("record", request.reservation_id)]
    if isinstance(answer, Refusal) and answer.reason == "RESERVATION_EXPIRED":
        keys.append(TIME)
    if item.verb == "CreateReservation" and not item.replayed:
        keys += [("sku", sku) for sku in {line.sku for line in request.lines}]
    elif item.verb in ("AmendReservation", "RebindReservation", "FulfilReservation"):
        keys.append(STOCK)
    return keys


def keys_changed(item: Item | None, effect: Effect) -> list[Key]:
    """What an effect may have changed for others."""
    keys: list[Key] = [("sku", sku) for sku in {move.sku for move in effect.moves}]
    if keys:
        keys.append(STOCK)
    if isinstance(effect.answer, Moved):
        if item is not None:
            keys.append(("event", item.request.source, item.request.event_id))
        return keys
    keys.append(("record", effect.answer.reservation_id))
    if item is not None:
        keys.append(("request", item.request.channel, item.request.request_id))
    return keys


def _by_begin(item: Item) -> int:
    return item.call.began
