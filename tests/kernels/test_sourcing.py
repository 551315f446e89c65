"""Baskets sourced: against every plan there is, in small worlds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.kernels.layout import (
    NO_LIMIT,
    NO_PLAN,
    RULE_CAPACITY,
    RULE_STOCK,
    SOURCED,
    SOURCED_BOUND,
    SOURCED_COST,
    SOURCED_LINE_COST,
    SOURCED_NODES,
    SOURCED_PARCEL_COST,
    SOURCED_PARCELS,
    SOURCED_RANKS,
    SOURCED_SHORT,
    SOURCED_SHORTAGE_COST,
    SOURCED_STATUS,
    SOURCED_UNIT_COST,
    SOURCED_WITHIN,
    TOO_LARGE,
    UNDECIDED,
    WHOLE,
)
from tests.kernels import sourcing_reference as definition
from tests.kernels.sourcing_worlds import Answer, World, broken_rules, cost_of, random_world, sourced


def world_of(wanted: list[int], available: list[list[int]], **other: object) -> World:
    """A world in which everything is allowed and only parcels cost something: 5.0000 each."""
    lines, locations = len(wanted), len(available[0])
    made = World(
        np.array(wanted, np.int64),
        np.arange(lines),
        np.ones(lines, np.int64),
        np.full(lines, WHOLE, np.int64),
        np.array(available, np.int64),
        np.zeros((lines, locations), np.int64),
        np.zeros((lines, locations), np.int64),
        np.full(locations, 50_000, np.int64),
        np.arange(locations),
        np.full(locations, NO_LIMIT, np.int64),
        np.zeros((lines, locations), np.int64),
        0,
    )
    arrays = {name: np.array(value, np.int64) if not isinstance(value, int) else value for name, value in other.items()}
    return replace(made, **arrays)


@st.composite
def small_worlds(draw: st.DrawFn, lines_max: int = 3, locations_max: int = 3) -> World:
    """Few lines, locations and units, and costs that are often equal: ties on every level."""
    lines, locations = draw(st.integers(1, lines_max)), draw(st.integers(1, locations_max))
    skus = draw(st.integers(1, lines))

    def numbers(*shape: int, least: int = 0, most: int = 2) -> np.ndarray:
        count = int(np.prod(shape))
        values = draw(st.lists(st.integers(least, most), min_size=count, max_size=count))
        return np.array(values, np.int64).reshape(shape)

    return World(
        numbers(lines, least=1, most=3),
        numbers(lines, most=skus - 1),
        numbers(lines, most=1),
        numbers(lines, least=WHOLE, most=4),
        numbers(skus, locations, most=3),
        numbers(lines, locations),
        numbers(lines, locations) if draw(st.booleans()) else np.zeros((lines, locations), np.int64),
        numbers(locations, most=3),
        numbers(locations, most=locations - 1),
        numbers(locations, least=NO_LIMIT, most=4) if draw(st.booleans()) else np.full(locations, NO_LIMIT),
        numbers(lines, locations, most=7) // 6 * 5,
        draw(st.integers(0, 2)),
    )


def check_terms(world: World, answer: Answer, place: int) -> None:
    """A plan keeps the rules, costs what it says, term by term, and is counted right."""
    units, out = answer.units[place], answer.out[place]
    assert broken_rules(world, units) == []
    used = units.sum(axis=0) > 0
    missing = world.wanted - units.sum(axis=1)
    assert cost_of(world, units) == out[SOURCED_COST]
    assert (world.parcel_cost * used).sum() == out[SOURCED_PARCEL_COST]
    assert (world.line_cost * (units > 0)).sum() == out[SOURCED_LINE_COST]
    assert (world.unit_cost * units).sum() == out[SOURCED_UNIT_COST]
    assert (np.maximum(world.shortage, 0) * missing).sum() == out[SOURCED_SHORTAGE_COST]
    assert [used.sum(), world.rank[used].sum(), missing.sum()] == out[
        [SOURCED_PARCELS, SOURCED_RANKS, SOURCED_SHORT]
    ].tolist()


def check_against_definition(world: World) -> None:
    """The best plan is the first of the best, the next one is as good as the definition's."""
    answer = sourced(world)
    best, after = definition.source_basket(world)
    assert definition.ruled(world) == answer.ruled.tolist()
    for place, expected in enumerate([best, after]):
        out = answer.out[place]
        if expected is None:
            assert [out[SOURCED_STATUS], abs(answer.units[place]).sum()] == [NO_PLAN, 0]
            continue
        check_terms(world, answer, place)
        assert [SOURCED, out[SOURCED_COST]] == [out[SOURCED_STATUS], out[SOURCED_BOUND]]
        assert definition.order(world, expected)[:3] == definition.order(world, answer.units[place])[:3]
    if best is not None:
        assert best.tolist() == answer.units[0].tolist()


@settings(max_examples=600, deadline=None)
@given(small_worlds())
def test_no_plan_is_better_and_none_that_is_as_good_comes_before(world: World) -> None:
    check_against_definition(world)


@settings(max_examples=300, deadline=None)
@given(small_worlds(lines_max=4, locations_max=4))
def test_lines_that_may_not_split_likewise(world: World) -> None:
    whole = replace(world, may_split=np.zeros_like(world.may_split))
    check_against_definition(whole)


def test_fewer_parcels_then_the_lesser_rank_then_the_first_location_decide_between_equal_costs() -> None:
    free = {"parcel_cost": [0, 0, 0]}
    together = sourced(world_of([1, 1], [[1, 0, 1], [0, 1, 1]], **free))
    assert together.units[0].tolist() == [[0, 0, 1], [0, 0, 1]]
    ranked = sourced(world_of([1], [[1, 1, 1]], **free, rank=[2, 0, 1]))
    assert ranked.units[0].tolist() == [[0, 1, 0]]
    first = sourced(world_of([1], [[1, 1, 1]], **free, rank=[1, 1, 1]))
    assert first.units[0].tolist() == [[1, 0, 0]]


def test_a_line_that_may_not_split_waits_for_a_place_that_has_all_of_it() -> None:
    stock = [[2, 2, 0]]
    assert sourced(world_of([3], stock)).units[0].tolist() == [[2, 1, 0]]
    whole = sourced(world_of([3], stock, may_split=[0]))
    assert whole.out[0, SOURCED_STATUS] == NO_PLAN
    assert whole.ruled.tolist() == [[RULE_STOCK] * 3]
    short = sourced(world_of([3], stock, may_split=[0], shortage=[30_000]))
    assert short.units[0].tolist() == [[2, 0, 0]]
    assert short.out[0, [SOURCED_SHORT, SOURCED_SHORTAGE_COST]].tolist() == [1, 30_000]


def test_units_that_cost_more_than_to_miss_them_are_missed() -> None:
    cheap = sourced(world_of([2], [[9]], shortage=[24_999]))
    assert cheap.out[0, [SOURCED_SHORT, SOURCED_COST]].tolist() == [2, 49_998]
    dear = sourced(world_of([2], [[9]], shortage=[25_001]))
    assert dear.out[0, [SOURCED_SHORT, SOURCED_COST]].tolist() == [0, 50_000]


def test_capacity_and_rules_say_why_a_location_is_out() -> None:
    answer = sourced(
        world_of([2], [[9, 9, 1, 9]], may_split=[0], capacity=[NO_LIMIT, 1, 9, 9], forbidden=[[7, 0, 0, 0]])
    )
    assert answer.ruled.tolist() == [[7, RULE_CAPACITY, RULE_STOCK, 0]]
    assert answer.units[0].tolist() == [[0, 0, 0, 2]]


def test_the_next_plan_does_without_a_location_and_says_what_it_lost_on() -> None:
    world = world_of([1, 1], [[1, 1, 0], [1, 0, 1]], unit_cost=[[0, 1_000, 0], [0, 0, 2_000]])
    answer = sourced(world)
    assert answer.units[0].tolist() == [[1, 0, 0], [1, 0, 0]]
    assert answer.units[1].tolist() == [[0, 1, 0], [1, 0, 0]] or answer.units[1].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert answer.out[1, SOURCED_PARCEL_COST] - answer.out[0, SOURCED_PARCEL_COST] == 50_000


def test_a_search_that_may_not_go_on_says_how_far_off_it_can_be() -> None:
    """With few nodes the plans keep every rule and the bound stays below the best cost."""
    seen = set()
    for seed in range(60):
        world = random_world(seed, lines_max=4, locations_max=12)
        full, cut = sourced(world), sourced(world, nodes_max=2)
        seen.add(int(cut.out[0, SOURCED_STATUS]))
        if cut.out[0, SOURCED_STATUS] in {SOURCED, SOURCED_WITHIN}:
            check_terms(world, cut, 0)
            assert cut.out[0, SOURCED_BOUND] <= full.out[0, SOURCED_COST] <= cut.out[0, SOURCED_COST]
        elif cut.out[0, SOURCED_STATUS] == NO_PLAN:
            assert full.out[0, SOURCED_STATUS] == NO_PLAN
        else:
            assert cut.out[0, SOURCED_STATUS] == UNDECIDED
        assert cut.out[0, SOURCED_NODES] <= 2 + 4 * 60
    assert {SOURCED, SOURCED_WITHIN, NO_PLAN} <= seen


@pytest.mark.parametrize("seed", [862, 1865, 3555, 12186, 18748])
def test_a_search_ends_by_its_work_however_large_its_nodes_are(seed: int) -> None:
    """Dozens of parcels, lines that share what is scarce: baskets that need thousands of nodes to be proved."""
    world = random_world(seed)
    answer = sourced(world, nodes_max=300)
    assert answer.out[:, SOURCED_STATUS].tolist() == [SOURCED_WITHIN] * 2
    for place in range(2):
        check_terms(world, answer, place)
        assert 300 <= answer.out[place, SOURCED_NODES] <= 1_000  # each search makes a plan or two, whatever is left
    best = sourced(world, nodes_max=100_000, wants_next=False).out[0]
    assert best[SOURCED_STATUS] == SOURCED
    assert answer.out[0, SOURCED_BOUND] < best[SOURCED_COST] <= answer.out[0, SOURCED_COST]


@pytest.mark.parametrize("lines", [13, 40])
def test_beyond_twelve_lines_a_plan_comes_with_its_bound(lines: int) -> None:
    draw = np.random.default_rng(lines)
    world = world_of(
        [1] * lines,
        (draw.random((lines, 20)) < 0.5).astype(int).tolist(),
        may_split=[0] * lines,
        unit_cost=draw.integers(0, 30_000, (lines, 20)),
        parcel_cost=draw.integers(20_000, 90_000, 20),
    )
    answer = sourced(world, nodes_max=3_000, wants_next=False)
    check_terms(world, answer, 0)
    assert answer.out[0, SOURCED_BOUND] <= answer.out[0, SOURCED_COST] <= 1.02 * answer.out[0, SOURCED_BOUND]


def test_numbers_that_could_leave_int64_are_not_looked_at() -> None:
    huge = sourced(world_of([2**45], [[2**46]], unit_cost=[[2**30]]))
    assert huge.out[:, SOURCED_STATUS].tolist() == [TOO_LARGE, NO_PLAN]
    assert huge.units.sum() == 0
