"""Few parcels: the best small set of locations, compared with looking at every set there is."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.network import Network
from invengine.domain.orders import Candidate, Fulfilment, Future, LineRequest, ReserveRequest
from invengine.errors import InsufficientStock, TooManyParcels
from invengine.services import parcels
from tests.services.shelves import FakeReplica

PLACES = ("A", "B", "C", "D", "E")
NETWORK = Network.parse(
    "locations:\n"
    + "".join(f"  {name}: {{kind: store, priority: {10 * place}}}\n" for place, name in enumerate(PLACES))
    + "groups: {all: [A, B, C, D, E]}\nchannels: {web: {groups: [all]}}\n"
)


def line(number: int, sku: str, quantity: int, places: str = "ABCDE", **more: Any) -> LineRequest:
    return LineRequest(str(number), sku, quantity, tuple(Candidate(place) for place in places), **more)


def request(*lines: LineRequest, best_effort: bool = False) -> ReserveRequest:
    return ReserveRequest("r", "f", "id", "web", lines, 60, best_effort)


def stock(**units: dict[str, int]) -> FakeReplica:
    replica = FakeReplica()
    for sku, places in units.items():
        for place, quantity in places.items():
            replica.position(sku, place, quantity)
    return replica


def chosen(replica: FakeReplica, wanted: ReserveRequest, parcels_max: int) -> list[list[str]]:
    made = parcels.choose(wanted, parcels_max, NETWORK, replica.shelf())
    return [[candidate.location for candidate in line.candidates] for line in made.lines]


def test_one_place_that_has_everything_beats_two_of_better_priority() -> None:
    replica = stock(LAMP={"A": 2, "C": 2}, CHAIR={"B": 1, "C": 1})
    basket = request(line(1, "LAMP", 2), line(2, "CHAIR", 1))
    assert chosen(replica, basket, 1) == [["C"], ["C"]]
    assert chosen(replica, basket, 2) == [["C"], ["C"]]


def test_of_equally_few_places_those_of_the_best_priority_are_taken() -> None:
    replica = stock(LAMP={"B": 1, "C": 1, "D": 1}, CHAIR={"C": 0, "D": 1, "E": 1})
    assert chosen(replica, request(line(1, "LAMP", 1), line(2, "CHAIR", 1)), 2) == [["D"], ["D"]]
    replica = stock(LAMP={"B": 1, "C": 1}, CHAIR={"D": 1, "E": 1})
    assert chosen(replica, request(line(1, "LAMP", 1), line(2, "CHAIR", 1)), 3) == [["B", "D"], ["B", "D"]]


def test_too_many_parcels_tells_how_many_it_would_take() -> None:
    replica = stock(LAMP=dict.fromkeys("ABCD", 2))
    with pytest.raises(TooManyParcels) as refused:
        chosen(replica, request(line(1, "LAMP", 7, allow_split=True)), 2)
    assert (refused.value.parcels_max, refused.value.parcels) == (2, 4)
    with pytest.raises(TooManyParcels) as refused:
        chosen(replica, request(line(1, "LAMP", 5, allow_split=True)), 2)
    assert refused.value.parcels == 3


def test_what_no_number_of_places_has_is_insufficient_stock() -> None:
    replica = stock(LAMP={"A": 2, "B": 2}, CHAIR={"A": 1})
    with pytest.raises(InsufficientStock) as refused:
        chosen(replica, request(line(1, "LAMP", 5, allow_split=True), line(2, "CHAIR", 1)), 5)
    (short,) = refused.value.short_lines
    assert (short.line_id, short.wanted, short.available) == ("1", 5, 4)


def test_lines_that_are_picked_up_count_for_nothing_but_take_their_units() -> None:
    replica = stock(LAMP={"A": 2, "B": 2})
    collected = line(1, "LAMP", 1, "A", fulfilment=Fulfilment.PICKUP, named_location="A")
    assert chosen(replica, request(collected, line(2, "LAMP", 2)), 1) == [["A"], ["B"]]
    assert chosen(replica, request(collected), 1) == [["A"]]


def test_named_locations_count() -> None:
    replica = stock(LAMP={"A": 9, "B": 9, "C": 9})
    at = {name: line(place, "LAMP", 1, name, named_location=name) for place, name in enumerate("AB")}
    anywhere = line(7, "LAMP", 1)
    assert chosen(replica, request(*at.values(), anywhere), 2) == [["A"], ["B"], ["A", "B"]]
    with pytest.raises(TooManyParcels) as refused:
        chosen(replica, request(*at.values(), anywhere), 1)
    assert refused.value.parcels == 2


def test_two_lines_never_count_on_the_same_unit() -> None:
    replica = stock(LAMP={"A": 1, "B": 1})
    with pytest.raises(TooManyParcels):
        chosen(replica, request(line(1, "LAMP", 1), line(2, "LAMP", 1)), 1)


def test_on_hand_in_more_places_beats_waiting_at_one() -> None:
    replica = stock(LAMP={"A": 1, "B": 2, "C": 2})
    replica.receipt("LAMP", "A", "po", 3, 9)
    waits = line(1, "LAMP", 4, allow_split=True, future=Future())
    assert chosen(replica, request(waits), 2) == [["B", "C"]]
    assert chosen(replica, request(waits), 1) == [["A"]]


def test_with_best_effort_the_set_that_gives_most_is_taken() -> None:
    replica = stock(LAMP={"A": 1, "B": 3, "C": 4}, CHAIR={"A": 5})
    basket = request(line(1, "LAMP", 9, allow_split=True), line(2, "CHAIR", 2), best_effort=True)
    assert chosen(replica, basket, 1) == [["C"], ["C"]]
    assert chosen(replica, basket, 2) == [["A", "C"], ["A", "C"]]  # seven units, as B and C would give
    assert chosen(replica, basket, 3) == [["A", "B", "C"], ["A", "B", "C"]]
    nothing = request(line(1, "SOFA", 1), best_effort=True)
    assert chosen(replica, nothing, 1) == [[]]


def test_beyond_the_bound_places_are_added_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "STEPS_MAX", 3)
    replica = stock(LAMP={"A": 1, "B": 3, "C": 4, "D": 2})
    assert chosen(replica, request(line(1, "LAMP", 7, allow_split=True)), 2) == [["B", "C"]]
    with pytest.raises(TooManyParcels) as refused:
        chosen(replica, request(line(1, "LAMP", 9, allow_split=True)), 2)
    assert refused.value.parcels == 3


units = st.integers(0, 4)
worlds = st.dictionaries(st.sampled_from(["S1", "S2"]), st.dictionaries(st.sampled_from(PLACES), units), min_size=2)
lines_of = st.lists(
    st.tuples(st.sampled_from(["S1", "S2"]), st.integers(1, 6), st.booleans(), st.booleans()), min_size=1, max_size=3
)


@given(worlds, lines_of, st.integers(1, 4), st.booleans(), st.dictionaries(st.sampled_from(PLACES), units))
def test_the_choice_is_that_of_looking_at_every_set(
    world: dict[str, dict[str, int]],
    wanted: list[tuple[str, int, bool, bool]],
    parcels_max: int,
    best_effort: bool,
    coming: dict[str, int],
) -> None:
    """As many units, as many of them on hand, and as few places, of the same priority, as the best of all sets has."""
    replica = stock(**world)
    for place, quantity in coming.items():
        if quantity:
            replica.receipt("S1", place, "po", 1, quantity)
    basket = request(
        *(
            line(number, sku, quantity, allow_split=split, future=Future() if waits else None)
            for number, (sku, quantity, split, waits) in enumerate(wanted, 1)
        ),
        best_effort=best_effort,
    )
    total = sum(line.quantity for line in basket.lines)

    def worth(places: tuple[str, ...]) -> tuple[int, int]:
        shelf = replica.shelf()
        taken = [shelf.take(*confined(one, places), best_effort=best_effort) for one in basket.lines]
        complete = all(got.units == one.quantity for got, one in zip(taken, basket.lines, strict=True))
        if not complete and not best_effort:
            return 0, 0
        return sum(got.units for got in taken), sum(got.on_hand for got in taken)

    best: tuple[str, ...] | None = None
    for size in range(1, parcels_max + 1):
        for places in combinations(PLACES, size):
            if worth(places) > (worth(best) if best else (0, 0)):
                best = places
    made = chosen_or_refused(basket, parcels_max, replica)
    if isinstance(made, TooManyParcels):
        fewest = min(size for size in range(1, 6) for places in combinations(PLACES, size) if worth(places)[0] == total)
        assert (best, made.parcels) == (None, fewest)
    elif isinstance(made, InsufficientStock):
        assert best is None
        assert worth(PLACES) == (0, 0)
    else:
        used = tuple(sorted({candidate.location for one in made.lines for candidate in one.candidates}))
        assert len(used) <= parcels_max
        assert used == (best or ())


def chosen_or_refused(
    basket: ReserveRequest, parcels_max: int, replica: FakeReplica
) -> ReserveRequest | TooManyParcels | InsufficientStock:
    try:
        return parcels.choose(basket, parcels_max, NETWORK, replica.shelf())
    except (TooManyParcels, InsufficientStock) as refusal:
        return refusal


def confined(one: LineRequest, places: tuple[str, ...]) -> tuple[LineRequest, tuple[Candidate, ...]]:
    return one, tuple(candidate for candidate in one.candidates if candidate.location in places)


def test_a_thousand_places_are_decided_within_the_bound() -> None:
    """What is looked at is bounded, however many sets there are."""
    names = [f"L{number:03}" for number in range(300)]
    network = Network.parse(
        "locations: {" + ", ".join(f"{name}: {{kind: store}}" for name in names) + "}\n"
        f"groups: {{all: [{', '.join(names)}]}}\nchannels: {{web: {{groups: [all]}}}}\n"
    )
    replica = stock(LAMP=dict.fromkeys(names, 1), CHAIR=dict.fromkeys(names, 1))
    candidates = tuple(Candidate(name) for name in names)
    lines = [line(1, "LAMP", 20, allow_split=True), line(2, "CHAIR", 3, allow_split=True)]
    basket = request(*(replace(one, candidates=candidates) for one in lines))
    with pytest.raises(TooManyParcels) as refused:
        parcels.choose(basket, 19, network, replica.shelf())
    assert refused.value.parcels == 20
