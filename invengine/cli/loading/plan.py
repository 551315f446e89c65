"""From a history to steps: where each event happens, what stock it needs at the start, and what may run side by side.

The rules, stated once:

- The network has `locations` places: warehouses WH1 and WH2 (the first two), then stores ST001, ST002, ...
- Events with one home key (a customer, else an invoice) happen at place number CRC-32(key as UTF-8) modulo `locations`.
- Each position opens with the least stock that never goes negative when the history is replayed in the order of the
  file; times `scale`, rounded down. A SKU that opens with nothing anywhere is made known all the same, by a receipt
  of one unit that is taken back at once.
- Consecutive sales of one document in a channel that takes orders are one order, cut after 200 lines; it takes what
  there is. Every other event is a movement; a sale, or shrink, of more than there is, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple
from zlib import crc32

from invengine.cli.formats.history import EventKind, HistoryEvent, HistoryFormat

ORDER_LINES_MAX: Final = 200  # of one reservation
WAREHOUSES: Final = 2
_RISES: Final = frozenset({EventKind.RETURN, EventKind.FOUND})

Position = tuple[str, str]
"""SKU and location."""


class Move(NamedTuple):
    """One event that is posted as a movement."""

    location: str
    event: HistoryEvent


class Order(NamedTuple):
    """Lines of one document that are reserved, confirmed and fulfilled together."""

    location: str
    events: tuple[HistoryEvent, ...]

    @property
    def name(self) -> str:
        """The same in every run: the document and its first row."""
        return f"{self.events[0].document}/{self.events[0].row}"


Step = Move | Order


class Opening(NamedTuple):
    """The stock that a position starts with, before `scale`."""

    units: int
    occurred_at_ms: int


@dataclass
class Plan:
    """A history, ready to be replayed.

    Each lane keeps the order of the file, and everything that happens at one location is in one lane: so lanes may run
    side by side and still no position sees its events out of order.
    """

    locations: tuple[str, ...]
    lanes: list[list[Step]]
    openings: dict[Position, Opening] = field(default_factory=dict)
    """Of every position of the history, also those that open with nothing."""
    events: int = 0
    last_row: int = 0
    first_ms: int = 0
    last_ms: int = 0


def location_names(count: int) -> tuple[str, ...]:
    """The names of so many places."""
    return tuple(f"WH{n + 1}" if n < WAREHOUSES else f"ST{n - WAREHOUSES + 1:03}" for n in range(count))


def network_document(locations: Sequence[str], channels: Iterable[str]) -> str:
    """A network of these places, all of them open to all channels."""
    lines = ["locations:"]
    for name in locations:
        kind, priority = ("warehouse", 10) if name.startswith("WH") else ("store", 50)
        lines.append(f"  {name}: {{kind: {kind}, priority: {priority}, fulfilments: [ship, pickup]}}")
    lines += ["groups:", f"  everywhere: [{', '.join(locations)}]", "channels:"]
    lines += [
        f"  {name}: {{groups: [everywhere], time_to_live: {{default: 1h, maximum: 2h}}}}" for name in sorted(channels)
    ]
    return "\n".join(lines) + "\n"


def make_plan(form: HistoryFormat, events: Iterable[HistoryEvent], *, locations: int, lanes: int) -> Plan:
    """Read a whole history into a plan."""
    names = location_names(locations)
    lane_of = {name: number % lanes for number, name in enumerate(names)}
    plan = Plan(names, [[] for _ in range(lanes)])
    homes: dict[str, str] = {}
    lowest: dict[Position, list[int]] = {}  # balance so far, lowest balance, time of the first event
    collected: list[HistoryEvent] = []  # sales of the order that is being read

    def close_order() -> None:
        if collected:
            location = homes[collected[0].home_key]
            plan.lanes[lane_of[location]].append(Order(location, tuple(collected)))
            collected.clear()

    for event in events:
        location = homes.get(event.home_key) or homes.setdefault(
            event.home_key, names[crc32(event.home_key.encode()) % locations]
        )
        _follow(lowest, event, location)
        plan.events += 1
        plan.last_row = event.row
        plan.first_ms = plan.first_ms or event.occurred_at_ms
        plan.last_ms = event.occurred_at_ms
        if collected and (len(collected) == ORDER_LINES_MAX or not _continues(collected[-1], event)):
            close_order()
        if event.kind is EventKind.SALE and event.channel in form.order_channels:
            collected.append(event)
        else:
            plan.lanes[lane_of[location]].append(Move(location, event))
    close_order()
    plan.openings = {position: Opening(-least, first_ms) for position, (_, least, first_ms) in lowest.items()}
    return plan


def _continues(last: HistoryEvent, event: HistoryEvent) -> bool:
    return event.kind is EventKind.SALE and event.document == last.document and event.channel == last.channel


def _follow(lowest: dict[Position, list[int]], event: HistoryEvent, location: str) -> None:
    """Keep the balance of the event's position and the lowest that it ever was, as if it began with nothing."""
    track = lowest.get((event.sku, location))
    if track is None:
        track = lowest[event.sku, location] = [0, 0, event.occurred_at_ms]
    track[0] += event.quantity if event.kind in _RISES else -event.quantity
    track[1] = min(track[1], track[0])


def scaled(units: int, scale: Decimal) -> int:
    """Units times `scale`, rounded down; exact, since `scale` is a decimal number."""
    return int(units * scale)


def first_row(step: Step) -> int:
    """The first row of the file that the step comes from."""
    return step.events[0].row if isinstance(step, Order) else step.event.row


def size(step: Step) -> int:
    """How many events the step is."""
    return len(step.events) if isinstance(step, Order) else 1


def happened_ms(step: Step) -> int:
    """When the step, or its first event, happened."""
    return step.events[0].occurred_at_ms if isinstance(step, Order) else step.event.occurred_at_ms


def spans(steps: Iterable[Step], *, events_max: int, milliseconds_max: float) -> Iterator[list[Step]]:
    """Cut steps, in order, into spans of about `events_max` events that lie within `milliseconds_max` of each other."""
    span: list[Step] = []
    count = 0
    for step in steps:
        if span and (count + size(step) > events_max or happened_ms(step) - happened_ms(span[0]) > milliseconds_max):
            yield span
            span, count = [], 0
        span.append(step)
        count += size(step)
    if span:
        yield span


class Wave(NamedTuple):
    """Movements to post, and after them orders to serve."""

    moves: list[Move]
    orders: list[Order]


def waves(steps: Sequence[Step]) -> Iterator[Wave]:
    """Put steps into few waves without changing the order of events at any position.

    A wave posts its movements first. So a movement must wait for the next wave when an order of this one, earlier in
    the file, takes from the same position; and whatever touches a position where something waits, waits too.
    """
    waiting = list(steps)
    while waiting:
        wave = Wave([], [])
        later: list[Step] = []
        ordered: set[Position] = set()
        blocked: set[Position] = set()
        for step in waiting:
            if isinstance(step, Move):
                position = (step.event.sku, step.location)
                if position in ordered or position in blocked:
                    later.append(step)
                    blocked.add(position)
                else:
                    wave.moves.append(step)
                continue
            positions = {(event.sku, step.location) for event in step.events}
            if blocked.isdisjoint(positions):
                wave.orders.append(step)
                ordered |= positions
            else:
                later.append(step)
                blocked |= positions
        yield wave
        waiting = later
