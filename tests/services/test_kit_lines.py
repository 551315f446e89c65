"""Where kits come together, by a shelf that says what the test wants: whole, counted once, and told in kits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.kits import KitLine
from invengine.domain.orders import Candidate, ComponentRequest, KitRequest, LineRequest, PlacedRequest, ReserveRequest
from invengine.errors import InsufficientStock, ShortLine, UnknownSku
from invengine.services.kit_lines import kit_day, placed, told_in_kits
from tests.services.shelves import NOW_DAY, FakeReplica

PLACES = ("A", "B", "C")
KITS = {"SET": {"SOFA": 1, "CUSHION": 4}, "PAIR": {"CUSHION": 2}, "TRIO": {"CUSHION": 1, "RUG": 1, "SOFA": 1}}
SKUS = ("SOFA", "CUSHION", "RUG")


def line(
    line_id: str, sku: str, quantity: int, places: tuple[str, ...] = PLACES, *, split: bool = False
) -> LineRequest:
    candidates = tuple(map(Candidate, places))
    if sku not in KITS:
        return LineRequest(line_id, sku, quantity, candidates, allow_split=split)
    floors = {place: Candidate(place) for place in places}
    parts = tuple(ComponentRequest(part, units, floors) for part, units in KITS[sku].items())
    return KitRequest(line_id, sku, quantity, candidates, allow_split=split, components=parts)


def request(*lines: LineRequest, best_effort: bool = False) -> ReserveRequest:
    return ReserveRequest("q", "f", "r", "web", lines, 60, best_effort)


def stocked(stock: dict[tuple[str, str], int]) -> FakeReplica:
    replica = FakeReplica()
    for (sku, place), units in stock.items():
        replica.position(sku, place, units)
    return replica


stocks = st.fixed_dictionaries({(sku, place): st.integers(0, 12) for sku in SKUS for place in PLACES})
baskets = st.lists(
    st.tuples(
        st.sampled_from((*KITS, "CUSHION", "SOFA")),
        st.integers(1, 5),
        st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True).map(tuple),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@given(stocks, baskets, st.booleans())
def test_every_kit_is_whole_and_no_unit_is_used_twice(
    stock: dict[tuple[str, str], int], basket: list[tuple[str, int, tuple[str, ...], bool]], best_effort: bool
) -> None:
    lines = [
        line(str(n), sku, quantity, places, split=split) for n, (sku, quantity, places, split) in enumerate(basket, 1)
    ]
    shelf = stocked(stock).shelf()
    chosen, refusal = None, InsufficientStock(())
    try:
        chosen = placed(request(*lines, best_effort=best_effort), shelf)
    except InsufficientStock as short:
        refusal = short
    if chosen is None:
        assert refusal.short_lines
        assert all(short.available < short.wanted for short in refusal.short_lines)
        assert all(bool(short.component) == (short.sku in KITS) for short in refusal.short_lines)
        return
    assert not chosen.best_effort
    used: Counter[tuple[str, str]] = Counter()
    kits_at: dict[str, set[tuple[tuple[str, int], ...]]] = {}
    for got in chosen.lines:
        if isinstance(got, PlacedRequest) and got.kit:
            places = tuple(candidate.location for candidate in got.candidates)
            assert sum(got.units_at) == got.quantity <= got.asked
            assert all(units % got.kit.units == 0 for units in got.units_at)
            used.update({(got.sku, place): units for place, units in zip(places, got.units_at, strict=True)})
            whole = tuple((place, units // got.kit.units) for place, units in zip(places, got.units_at, strict=True))
            kits_at.setdefault(got.kit.line_id, set()).add(whole)
    assert all(len(placements) == 1 for placements in kits_at.values())  # of all components of a kit alike
    assert all(used[place] <= stock[place] for place in used)
    for asked in lines:
        if isinstance(asked, KitRequest):
            (where,) = kits_at[asked.line_id]
            assert asked.allow_split or len(where) <= 1
            assert {place for place, _ in where} <= {candidate.location for candidate in asked.candidates}
            assert best_effort or sum(kits for _, kits in where) == asked.quantity


def test_units_that_other_lines_take_are_gone() -> None:
    shelf = stocked({("CUSHION", "A"): 9, ("SOFA", "A"): 3}).shelf()
    with pytest.raises(InsufficientStock) as refused:
        placed(request(line("1", "CUSHION", 6), line("2", "SET", 1), line("3", "PAIR", 1)), shelf)
    assert refused.value.short_lines == (ShortLine("2", "SET", "", 1, 0, component="CUSHION"),)


def test_a_sku_that_nobody_knows_is_told_before_what_is_short() -> None:
    with pytest.raises(UnknownSku):
        placed(request(line("1", "NONE", 1), line("2", "SET", 1)), stocked({}).shelf())


def test_the_day_by_which_kits_come_together() -> None:
    replica = stocked({("CUSHION", "A"): 2, ("SOFA", "A"): 1, ("SOFA", "B"): 9})
    replica.receipt("CUSHION", "A", "po 1", 3, 6)
    replica.receipt("SOFA", "A", "po 2", 5, 1)
    replica.receipt("CUSHION", "B", "po 3", 4, 4)
    replica.backorder("CUSHION", "A", 1)  # gets the first that comes
    shelf = replica.shelf()
    whole, split = line("1", "SET", 2), line("1", "SET", 2, split=True)
    assert isinstance(whole, KitRequest)
    assert isinstance(split, KitRequest)
    assert [kit_day(shelf, whole, kits) for kits in (1, 2)] == [NOW_DAY + 3, 0]
    assert [kit_day(shelf, split, kits) for kits in (1, 2, 3)] == [NOW_DAY + 3, NOW_DAY + 4, 0]


def test_refusals_of_the_store_are_told_by_the_scarcest_component() -> None:
    kits = [("1/SOFA", KitLine("1", "SET", 1)), ("1/CUSHION", KitLine("1", "SET", 4))]
    short = (
        ShortLine("1/SOFA", "SOFA", "A", 3, 2),
        ShortLine("2", "RUG", "", 5, 1),
        ShortLine("1/CUSHION", "CUSHION", "A", 12, 7),
    )
    assert told_in_kits(InsufficientStock(short), kits).short_lines == (
        ShortLine("1", "SET", "A", 3, 1, component="CUSHION"),
        ShortLine("2", "RUG", "", 5, 1),
    )
