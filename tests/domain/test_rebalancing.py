"""Transfers of one SKU: as much filled as can be, at least cost, compared with every way there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.domain.rebalancing import Fill, Need, Search, Suggestion, Supply, Way, needs_of


def searched(supplies: Sequence[Supply], needs: Sequence[Need], ways: Sequence[Way], nodes_max: int = 500) -> Search:
    search = Search(supplies, needs, ways, nodes_max)
    while not search.is_done:
        search.step()
    return search


def worth(units: dict[tuple[int, int], int], needs: Sequence[Need], ways: Sequence[Way]) -> tuple[int, ...]:
    """What a plan is worth: units filled by tier, then what it costs; the larger the better."""
    filled = [sum(n for (_, need), n in units.items() if needs[need].fill.tier == tier) for tier in range(3)]
    cost = sum(n * ways[way].cost_per_unit for (way, _), n in units.items())
    return *filled, -cost - sum(ways[way].cost for way in {way for (way, _), n in units.items() if n})


def every_plan(
    supplies: Sequence[Supply], needs: Sequence[Need], ways: Sequence[Way]
) -> Iterator[dict[tuple[int, int], int]]:
    """All plans: units by (way, need), tried one after the other."""
    pairs = [
        (way, need)
        for way, its in enumerate(ways)
        for need, one in enumerate(needs)
        if its.to_location == one.location and (not one.cover_day or its.day < one.cover_day)
    ]

    def below(number: int, have: dict[str, int], left: list[int]) -> Iterator[dict[tuple[int, int], int]]:
        if number == len(pairs):
            yield {}
            return
        way, need = pairs[number]
        place = ways[way].from_location
        for units in range(min(have.get(place, 0), left[need]) + 1):
            after = {**have, place: have.get(place, 0) - units}
            rest = [n - units * (at == need) for at, n in enumerate(left)]
            for plan in below(number + 1, after, rest):
                yield {**plan, (way, need): units} if units else plan

    yield from below(0, {one.location: one.units for one in supplies}, [one.units for one in needs])


small = st.integers(1, 3)
costs = st.integers(0, 7)
fills = st.sampled_from(list(Fill))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Supply], list[Need], list[Way]]:
    sources, sinks = ["A", "B", "C"][: draw(small)], ["X", "Y"][: draw(st.integers(1, 2))]
    supplies = [Supply(name, draw(small)) for name in sources]
    needs = [
        Need(draw(st.sampled_from(sinks)), draw(small), draw(fills), draw(st.sampled_from([0, 0, 3, 6])))
        for _ in range(draw(st.integers(1, 3)))
    ]
    ways = [
        Way(start, end, draw(costs), draw(costs), draw(st.integers(1, 6)))
        for start in sources
        for end in sinks
        if draw(st.integers(0, 4))
    ]
    return supplies, needs, ways


@settings(max_examples=150)
@given(worlds())
def test_no_other_plan_fills_more_or_costs_less(world: tuple[list[Supply], list[Need], list[Way]]) -> None:
    supplies, needs, ways = world
    search = searched(supplies, needs, ways, 10_000)
    assert search.is_proved
    best = max((worth(plan, needs, ways) for plan in every_plan(supplies, needs, ways)), default=(0, 0, 0, 0))
    found = search.suggestions()
    filled = [sum(n for one in found for fill, n in one.fills if fill.tier == tier) for tier in range(3)]
    assert (*filled, -sum(one.cost for one in found)) == best
    for supply in supplies:
        assert sum(one.units for one in found if one.way.from_location == supply.location) <= supply.units
    left = {}
    for need in search.unfilled():
        left[need.fill] = left.get(need.fill, 0) + need.units
    for fill in Fill:
        wanted = sum(need.units for need in needs if need.fill is fill)
        assert wanted == left.get(fill, 0) + sum(n for one in found for its, n in one.fills if its is fill)


def test_one_lane_that_is_dear_once_beats_two_that_are_not() -> None:
    """A lane's cost counts once; shares of it per unit would choose otherwise."""
    supplies = [Supply("A", 2), Supply("B", 1), Supply("C", 1)]
    ways = [Way("A", "X", 50, 1, 1), Way("B", "X", 30, 0, 1), Way("C", "X", 30, 0, 1)]
    needs = [Need("X", 2, Fill.BACKORDER)]
    assert searched(supplies, needs, ways).suggestions() == [Suggestion(ways[0], 2, ((Fill.BACKORDER, 2),))]
    only_one = [Need("X", 1, Fill.BACKORDER)]
    assert searched(supplies, only_one, ways).suggestions() == [Suggestion(ways[1], 1, ((Fill.BACKORDER, 1),))]


def test_what_waits_comes_before_what_may_be_sold() -> None:
    """Whatever it costs."""
    supplies, needs = [Supply("A", 1)], [Need("X", 1, Fill.FORECAST), Need("Y", 1, Fill.SHORTFALL)]
    ways = [Way("A", "X", 0, 0, 1), Way("A", "Y", 10_000_000, 0, 1)]
    search = searched(supplies, needs, ways)
    assert [one.way for one in search.suggestions()] == [ways[1]]
    assert search.unfilled() == [needs[0]]


def test_nothing_goes_that_would_come_too_late_or_has_no_way() -> None:
    supplies = [Supply("A", 9)]
    needs = [Need("X", 2, Fill.BACKORDER, 5), Need("X", 1, Fill.BACKORDER), Need("Z", 1, Fill.SHORTFALL)]
    search = searched(supplies, needs, [Way("A", "X", 1, 1, 5)])
    assert [(one.units, one.cost) for one in search.suggestions()] == [(1, 2)]
    assert search.unfilled() == [needs[0], needs[2]]
    assert searched(supplies, needs, []).unfilled() == needs


def test_a_search_that_is_cut_short_says_so_and_fills_as_much() -> None:
    supplies = [Supply(name, 3) for name in "ABCDE"]
    ways = [Way(name, place, 7 + at, 1, 1) for at, name in enumerate("ABCDE") for place in "XYZ"]
    needs = [Need(place, 4, Fill.BACKORDER) for place in "XYZ"]
    short = searched(supplies, needs, ways, 1)
    whole = searched(supplies, needs, ways, 100_000)
    assert (short.is_proved, whole.is_proved, short.unfilled(), whole.unfilled()) == (False, True, [], [])
    assert sum(one.cost for one in whole.suggestions()) <= sum(one.cost for one in short.suggestions())


def test_what_comes_covers_who_waits_in_turn() -> None:
    found, left = needs_of("X", [(Fill.SHORTFALL, 2), (Fill.BACKORDER, 3)], [(9, 4), (7, 1)])
    assert found == [
        Need("X", 1, Fill.SHORTFALL, 7),
        Need("X", 1, Fill.SHORTFALL, 9),
        Need("X", 3, Fill.BACKORDER, 9),
    ]
    assert left == []
    assert needs_of("X", [(Fill.BACKORDER, 3)], [(7, 1), (9, 4)]) == (
        [Need("X", 1, Fill.BACKORDER, 7), Need("X", 2, Fill.BACKORDER, 9)],
        [(9, 2)],
    )
    assert needs_of("X", [(Fill.BACKORDER, 3)], [(7, 1)])[0][1:] == [Need("X", 2, Fill.BACKORDER)]
    assert needs_of("X", [], [(7, 1)]) == ([], [(7, 1)])
