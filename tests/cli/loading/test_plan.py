"""The plan of a load: nothing is lost, nothing is done out of order where order counts."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from invengine.cli.formats import EventKind, HistoryEvent
from invengine.cli.loading.plan import (
    ORDER_LINES_MAX,
    Move,
    Order,
    Step,
    location_names,
    make_plan,
    network_document,
    scaled,
    size,
    spans,
    waves,
)
from invengine.domain.network import Network


class Form:
    name = "made-up"
    channels = ("web", "counter")
    order_channels = frozenset({"web"})

    def events(self, path: Path) -> Iterator[HistoryEvent]:
        raise NotImplementedError


@st.composite
def histories(draw: st.DrawFn) -> list[HistoryEvent]:
    """Documents of a few lines each, over few SKUs and customers, so that positions meet often."""
    events: list[HistoryEvent] = []
    for document in range(draw(st.integers(0, 12))):
        channel = draw(st.sampled_from(("web", "counter")))
        customer = draw(st.sampled_from(("ann", "bob", "eve")))
        for _ in range(draw(st.integers(1, 6))):
            kind = draw(st.sampled_from(EventKind))
            sku = draw(st.sampled_from("ABC"))
            units = draw(st.integers(1, 9))
            events.append(HistoryEvent(len(events) + 1, f"d{document}", document, kind, sku, units, channel, customer))
    return events


def happenings(steps: list[Step]) -> Iterator[tuple[str, HistoryEvent]]:
    for step in steps:
        for event in step.events if isinstance(step, Order) else (step.event,):
            yield step.location, event


def by_position(steps: list[Step]) -> dict[tuple[str, str], list[int]]:
    rows = defaultdict(list)
    for location, event in happenings(steps):
        rows[event.sku, location].append(event.row)
    return rows


@given(histories(), st.integers(1, 5), st.integers(1, 3))
def test_every_event_is_in_one_lane_and_every_position_in_order(
    events: list[HistoryEvent], locations: int, lanes: int
) -> None:
    plan = make_plan(Form(), events, locations=locations, lanes=lanes)
    assert sorted(e.row for lane in plan.lanes for _, e in happenings(lane)) == [e.row for e in events]
    where = Counter(location for lane in plan.lanes for location in {name for name, _ in happenings(lane)})
    assert all(count == 1 for count in where.values())
    for lane in plan.lanes:
        assert all(rows == sorted(rows) for rows in by_position(lane).values())


@given(histories(), st.integers(1, 3))
def test_waves_keep_the_order_at_every_position(events: list[HistoryEvent], locations: int) -> None:
    plan = make_plan(Form(), events, locations=locations, lanes=1)
    done: list[Step] = []
    for wave in waves(plan.lanes[0]):
        assert wave.moves or wave.orders
        done += [*wave.moves, *wave.orders]
    assert Counter(map(id, done)) == Counter(map(id, plan.lanes[0]))
    assert all(rows == sorted(rows) for rows in by_position(done).values())


@given(histories(), st.integers(1, 3))
def test_the_opening_is_the_least_that_never_goes_negative(events: list[HistoryEvent], locations: int) -> None:
    plan = make_plan(Form(), events, locations=locations, lanes=1)
    stock = {position: opening.units for position, opening in plan.openings.items()}
    lowest = dict(stock)
    for location, event in sorted(happenings(plan.lanes[0]), key=lambda found: found[1].row):
        rises = event.kind in (EventKind.RETURN, EventKind.FOUND)
        stock[event.sku, location] += event.quantity if rises else -event.quantity
        lowest[event.sku, location] = min(lowest[event.sku, location], stock[event.sku, location])
    for position, least in lowest.items():
        assert least == 0 or (least > 0 and plan.openings[position].units == 0)
        assert least >= 0


@given(histories(), st.integers(1, 5), st.integers(1, 10))
def test_spans_are_the_steps_cut_at_their_limits(events: list[HistoryEvent], count: int, milliseconds: int) -> None:
    steps = make_plan(Form(), events, locations=1, lanes=1).lanes[0]
    cut = list(spans(steps, events_max=count, milliseconds_max=milliseconds))
    assert [step for span in cut for step in span] == steps
    for span in cut:
        assert len(span) == 1 or sum(size(step) for step in span) <= count
        moments = [event.occurred_at_ms for _, event in happenings(span)]
        assert moments[-1] - moments[0] <= milliseconds


def sale(row: int, document: str = "d", channel: str = "web") -> HistoryEvent:
    return HistoryEvent(row, document, 0, EventKind.SALE, f"S{row}", 1, channel, "ann")


def test_an_order_is_what_one_document_sells_in_a_row() -> None:
    events = [sale(1), sale(2), sale(3, "e"), sale(4, "e", "counter"), sale(5, "e")]
    events.insert(4, HistoryEvent(6, "e", 0, EventKind.RETURN, "S9", 1, "web", "ann"))
    steps = make_plan(Form(), events, locations=1, lanes=1).lanes[0]
    assert [(type(step), size(step)) for step in steps] == [(Order, 2), (Order, 1), (Move, 1), (Move, 1), (Order, 1)]
    assert [step.name for step in steps if isinstance(step, Order)] == ["d/1", "e/3", "e/5"]


def test_an_order_of_more_lines_than_a_reservation_takes_is_cut() -> None:
    steps = make_plan(Form(), [sale(row) for row in range(1, 402)], locations=1, lanes=1).lanes[0]
    assert [size(step) for step in steps] == [ORDER_LINES_MAX, ORDER_LINES_MAX, 1]


def test_units_are_scaled_exactly_and_rounded_down() -> None:
    assert [scaled(units, Decimal("0.7")) for units in (0, 1, 2, 10, 99)] == [0, 0, 1, 7, 69]
    assert scaled(10**15 + 1, Decimal(1)) == 10**15 + 1


def test_the_network_of_a_plan_has_no_faults() -> None:
    names = location_names(5)
    assert names == ("WH1", "WH2", "ST001", "ST002", "ST003")
    network = Network.parse(network_document(names, ("web", "counter")))
    assert set(network.locations) == set(names)
    assert set(network.channels) == {"web", "counter"}
    assert set(network.visible("counter")) == set(names)
