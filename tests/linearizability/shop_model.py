"""The shop as one client after another would see it: what each question is answered, and what it changes.

A question is decided without changing anything, so that the check can try it at several places of the order; the effect
is then applied where it belongs. Time is known between two bounds; where they leave it open whether a hold is over, the
answer itself decides.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from tests.linearizability import shop
from tests.linearizability.answers import Allocation, Item, Line, Record, Refusal
from tests.linearizability.shop_changes import CHANGES, closed_if_done, opened
from tests.linearizability.shop_stock import Effect, Move, Stock, repeated, wants_of


class Shop:
    """Positions, reservations, and what was answered."""

    def __init__(self) -> None:
        self.now = (0, 0)  # milliseconds: not before, not after
        self.stock = Stock(self._is_due)
        self.records: dict[str, Record] = {}
        self.holds: dict[str, set[str]] = {}  # SKU -> HELD reservations with units of it
        self.answers: dict[tuple[str, str], tuple[str, bytes, Record]] = {}  # by channel and request_id
        self.events: set[tuple[str, str]] = set()
        self._ends: list[tuple[int, str]] = []  # seconds when holds end, past ones of the same holds among them
        self._over: set[str] = set()  # holds that are or were over, and not tidied away

    # Deciding

    def decide(self, item: Item, revision: int) -> Effect | Refusal:
        """What a write is answered here, if it makes `revision`."""
        if item.verb == "PostMovement":
            if self.is_repeat(item):
                return repeated(self.stock.position(item.request.sku, item.request.location))
            return self.stock.move(item, revision)
        request = item.request
        earlier = self.answers.get((request.channel, request.request_id))
        if earlier is not None:
            verb, content, answer = earlier
            if verb == item.verb and content == item.content:
                return Effect(answer, [], changed=False)
            return Refusal("REQUEST_MISMATCH", {"request_id": request.request_id})
        if (impossible := _impossible(item)) is not None:
            return impossible
        return self._create(item, revision) if item.verb == "CreateReservation" else self._change(item, revision)

    def is_repeat(self, item: Item) -> bool:
        """Whether the same was asked before and done."""
        if item.verb == "PostMovement":
            return (item.request.source, item.request.event_id) in self.events
        return (item.request.channel, item.request.request_id) in self.answers

    def expire(self, reservation_id: str, revision: int) -> Effect | None:
        """A hold that is over is tidied away; None where there is none that is."""
        record = self.records.get(reservation_id)
        if record is None or record.state != "HELD" or record.expires_at * 1000 > self.now[1]:
            return None
        moves = [Move(line.sku, a.location, 0, -a.open) for line, a in opened(record.lines)]
        lines = tuple(
            line._replace(allocations=tuple([a._replace(released=a.released + a.open) for a in line.allocations]))
            for line in record.lines
        )
        after = record._replace(state="EXPIRED", revision=revision, lines=lines)
        return Effect(after, moves, True, "EXPIRE", record.channel, reservation_id)

    def is_over(self, record: Record, told: bool) -> bool:
        """Whether a hold is over; where time leaves it open, as was told."""
        if record.state != "HELD":
            return record.state == "EXPIRED"
        at_ms = record.expires_at * 1000
        return at_ms <= self.now[0] or (told and at_ms <= self.now[1])

    def expired_units(self, sku: str, location: str, now_ms: int) -> int:
        """Units that a position still counts for holds that are over at `now_ms`."""
        units = 0
        for reservation_id in self.holds.get(sku, ()):
            record = self.records[reservation_id]
            if record.expires_at * 1000 <= now_ms:
                units += sum([a.open for line, a in opened(record.lines) if (line.sku, a.location) == (sku, location)])
        return units

    # Applying

    def apply(self, item: Item | None, effect: Effect, revision: int) -> None:
        """Has an effect happen; `item` is None for a hold that is tidied away."""
        occurred_at_ms = self.now[0]
        if item is not None and item.verb == "PostMovement":
            occurred_at_ms = item.request.occurred_at.ToMilliseconds()
        self.stock.apply(effect, revision, occurred_at_ms)
        if isinstance(effect.answer, Record):
            if effect.changed:
                self._keep(effect.answer)
            if item is not None:
                self.answers[item.request.channel, item.request.request_id] = item.verb, item.content, effect.answer
        elif item is not None and effect.answer.result != "REFUSED":
            self.events.add((item.request.source, item.request.event_id))

    def _keep(self, record: Record) -> None:
        self.records[record.reservation_id] = record
        self._over.discard(record.reservation_id)
        if record.state == "HELD":
            heappush(self._ends, (record.expires_at, record.reservation_id))
        held = {line.sku for line, _ in opened(record.lines)} if record.state == "HELD" else set()
        for line in record.lines:
            holds = self.holds.setdefault(line.sku, set())
            if line.sku in held:
                holds.add(record.reservation_id)
            else:
                holds.discard(record.reservation_id)

    # Reservations

    def _create(self, item: Item, revision: int) -> Effect | Refusal:
        request = item.request
        told = item.answer
        name = request.reservation_id or (told.reservation_id if isinstance(told, Record) else "")
        if name in self.records:
            return Refusal("RESERVATION_EXISTS", {"reservation_id": name})
        wants = wants_of(request)
        taken = self.stock.take(request.channel, wants, {}, best_effort=request.policy == 2)
        if isinstance(taken, Refusal):
            return taken
        lines: list[Line] = []
        moves: list[Move] = []
        for want, takes in zip(wants, taken, strict=True):
            allocations = tuple([Allocation(location, units, 0, 0) for location, units in takes])
            lines.append(Line(want.line_id, want.sku, want.units, allocations))
            moves += [Move(want.sku, location, 0, units) for location, units in takes]
        seconds = request.time_to_live.seconds or shop.SECONDS_DEFAULT[request.channel]
        record = Record(
            name,
            "HELD",
            request.channel,
            self.now[0],
            self._expiry(seconds, told),
            revision,
            request.customer_ref,
            request.order_ref,
            tuple(lines),
        )
        return Effect(record, moves, True, "RESERVE", request.channel, name)

    def _change(self, item: Item, revision: int) -> Effect | Refusal:
        request, told = item.request, item.answer
        record = self.records.get(request.reservation_id)
        if (refused := self._refused_by_state(record, item)) is not None:
            return refused
        assert record is not None
        change = CHANGES[item.verb](record, request)
        if isinstance(change, Refusal):
            return change
        if (missing := self.stock.missing(change.leaves)) is not None:
            return missing
        taken: list[list[tuple[str, int]]] = []
        if change.wants:
            result = self.stock.take(request.channel, change.wants, change.given_back(), best_effort=False)
            if isinstance(result, Refusal):
                return result
            taken = result
        moves = change.settle(taken)
        after = change.record  # as it is with them
        if change.seconds:
            after = after._replace(expires_at=self._expiry(change.seconds, told))
        elif after == record:
            return Effect(record, [], changed=False)
        after = closed_if_done(after)._replace(revision=revision)
        return Effect(after, moves, True, change.kind, request.channel, record.reservation_id)

    def _refused_by_state(self, record: Record | None, item: Item) -> Refusal | None:
        request, told = item.request, item.answer
        name = {"reservation_id": request.reservation_id}
        if record is None:
            return Refusal("RESERVATION_NOT_FOUND", name)
        if self.is_over(record, isinstance(told, Refusal) and told.reason == "RESERVATION_EXPIRED"):
            return Refusal("RESERVATION_EXPIRED", {**name, "expired_at": str(record.expires_at)})
        if record.state in ("RELEASED", "FULFILLED"):
            return Refusal("RESERVATION_CLOSED", {**name, "state": record.state})
        if request.HasField("expected_revision") and request.expected_revision != record.revision:
            facts = {"expected_revision": str(request.expected_revision), "revision": str(record.revision)}
            return Refusal("REVISION_MISMATCH", facts)
        return None

    def _expiry(self, seconds: int, told: Any) -> int:
        """The second when a hold of so many seconds ends: as told where time allows it."""
        first, last = (-(-now // 1000) + seconds for now in self.now)
        if isinstance(told, Record) and first <= told.expires_at <= last:
            return told.expires_at
        return first

    def _is_due(self, sku: str) -> bool:
        """Whether a hold that is surely over still takes units of the SKU."""
        while self._ends and self._ends[0][0] * 1000 <= self.now[0]:
            second, name = heappop(self._ends)
            record = self.records[name]
            if (record.state, record.expires_at) == ("HELD", second):  # and not extended or closed since
                self._over.add(name)
        return not self._over.isdisjoint(self.holds.get(sku, ()))


def _impossible(item: Item) -> Refusal | None:
    """What the network alone refuses, whatever the stock."""
    request = item.request
    channel = request.channel
    if item.verb == "CreateReservation":
        of_channel = shop.GROUPS[shop.CHANNELS[channel]]
        for line in request.lines:
            if line.location and line.location not in of_channel:
                facts = {"location": line.location, "channel": channel, "problem": "NOT_IN_CHANNEL"}
                return Refusal("LOCATION_NOT_USABLE", facts)
            if line.group and not set(shop.GROUPS[line.group]) <= set(of_channel):
                return Refusal("GROUP_NOT_USABLE", {"group": line.group, "channel": channel})
    if item.verb in ("CreateReservation", "ExtendReservation"):
        seconds = request.time_to_live.seconds
        if seconds > shop.SECONDS_MAX:
            facts = {"channel": channel, "wanted_seconds": str(seconds), "seconds_max": str(shop.SECONDS_MAX)}
            return Refusal("TIME_TO_LIVE_TOO_LONG", facts)
    return None
