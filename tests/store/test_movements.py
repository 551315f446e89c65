"""Movements and counts, rule by rule. `start` is the clock at the start."""

from __future__ import annotations

import pytest

from invengine import errors
from invengine.domain.stock import UNITS_MAX, MovementResult, Position
from tests.store.making import change, movement, request
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

APPLIED, REPEATED, STALE, REFUSED = MovementResult
HOUR = 3_600_000  # the window for counts of these worlds


async def post(world: World, *movements):
    return (await world.store.post_movements(movements)).outcomes


@pytest.fixture
def start(world: World) -> int:
    return world.clock.now_ms


async def test_each_kind_changes_on_hand_as_it_says(world: World, start: int) -> None:
    outcomes = await post(
        world,
        movement("RECEIPT", 10, start),
        movement("SALE", 3, start),
        movement("RETURN", 1, start),
        movement("ADJUSTMENT", -2, start, reason="broken"),
        movement("COUNT", 7, start),
    )
    assert [outcome.on_hand for outcome in outcomes] == [10, 7, 8, 6, 7]
    assert {outcome.result for outcome in outcomes} == {APPLIED}
    assert {outcome.revision for outcome in outcomes} == {1}


async def test_event_of_a_source_counts_once(world: World, start: int) -> None:
    """Also when it is repeated with other content, and in the same batch."""
    event = movement("RECEIPT", 10, start, event_id="E")
    outcomes = await post(world, event, event, movement("RECEIPT", 99, start, sku="SOFA", event_id="E"))
    assert [(o.result, o.on_hand, o.revision) for o in outcomes] == [
        (APPLIED, 10, 1),
        (REPEATED, 10, 1),
        (REPEATED, 0, 0),
    ]
    assert [o.result for o in await post(world, event)] == [REPEATED]
    assert await world.store.position("SOFA", "AMS1") is None


async def test_refused_event_is_judged_anew(world: World, start: int) -> None:
    sale = movement("SALE", 5, start)
    assert [o.result for o in await post(world, sale, movement("RECEIPT", 5, start), sale)] == [
        REFUSED,
        APPLIED,
        APPLIED,
    ]


async def test_sale_never_takes_reserved_units(world: World, start: int) -> None:
    await post(world, movement("RECEIPT", 10, start))
    await world.store.reserve([request(8)])
    (outcome,) = await post(world, movement("SALE", 3, start))
    assert told(outcome.refusal) == (
        "InsufficientStock",
        {"short_lines": (errors.ShortLine("", "LAMP", "AMS1", 3, 2),)},
    )
    assert (outcome.result, outcome.on_hand, outcome.reserved) == (REFUSED, 10, 8)


async def test_adjustment_may_leave_less_than_is_reserved_but_not_less_than_nothing(world: World, start: int) -> None:
    await post(world, movement("RECEIPT", 10, start))
    await world.store.reserve([request(8)])
    lost, more = await post(
        world, movement("ADJUSTMENT", -9, start, reason="fire"), movement("ADJUSTMENT", -2, start, reason="fire")
    )
    assert (lost.result, lost.on_hand, lost.reserved) == (APPLIED, 1, 8)
    assert more.refusal.short_lines == (errors.ShortLine("", "LAMP", "AMS1", 2, 1),)
    (sale,) = await post(world, movement("SALE", 1, start))
    assert sale.refusal.short_lines[0].available == 0  # not -7


async def test_quantities_stay_below_2_to_the_53(world: World, start: int) -> None:
    outcomes = await post(
        world, movement("RECEIPT", UNITS_MAX - 1, start), movement("RETURN", 2, start), movement("RETURN", 1, start)
    )
    expected = {"sku": "LAMP", "location": "AMS1", "on_hand": UNITS_MAX - 1, "quantity": 2}
    assert told(outcomes[1].refusal) == ("QuantityOutOfRange", expected)
    assert outcomes[2].on_hand == UNITS_MAX
    assert await world.store.position("LAMP", "AMS1") == Position(UNITS_MAX, 0, 1)


async def test_expected_revision_is_compared(world: World, start: int) -> None:
    first, second, third = await post(
        world,
        movement("RECEIPT", 1, start, expected_revision=0),
        movement("RECEIPT", 1, start, expected_revision=0),
        movement("RECEIPT", 1, start, expected_revision=1),
    )
    assert (first.result, third.result) == (APPLIED, APPLIED)
    assert told(second.refusal) == ("RevisionMismatch", {"expected_revision": 0, "revision": 1})


async def test_count_is_a_fact_as_of_its_time(world: World, start: int) -> None:
    """What happened after it stays on top, whatever was recorded first; what happened before is contained."""
    await post(
        world,
        movement("RECEIPT", 100, start - 50_000),
        movement("SALE", 2, start - 10_000),
        movement("SALE", 1, start - 30_000),
    )
    await post(
        world, movement("SALE", 9, start - 5_000, location="BER1"), movement("RECEIPT", 9, start, location="BER1")
    )
    (count,) = await post(world, movement("COUNT", 40, start - 20_000))
    assert count.on_hand == 38
    late, later = await post(world, movement("SALE", 4, start - 20_000), movement("SALE", 3, start - 19_999))
    assert told(late.refusal) == (
        "CoveredByCount",
        {"sku": "LAMP", "location": "AMS1", "counted_at_ms": start - 20_000},
    )
    assert (late.result, later.result, later.on_hand) == (STALE, APPLIED, 35)


async def test_units_fulfilled_after_a_count_stay_on_top(world: World, start: int) -> None:
    await post(world, movement("RECEIPT", 10, start))
    await world.store.reserve([request(4, reservation_id="A")])
    await world.store.confirm([change("A")])
    await world.clock.advance(1_000)
    await world.store.fulfil([change("A")])
    (count,) = await post(world, movement("COUNT", 12, start + 500))
    assert (count.on_hand, count.reserved) == (8, 0)


async def test_older_count_is_stale_and_an_equal_one_corrects(world: World, start: int) -> None:
    await post(world, movement("COUNT", 10, start - 1_000))
    older, equal = await post(world, movement("COUNT", 99, start - 1_001), movement("COUNT", 11, start - 1_000))
    assert told(older.refusal) == ("OlderCount", {"sku": "LAMP", "location": "AMS1", "counted_at_ms": start - 1_000})
    assert (older.result, equal.result, equal.on_hand) == (STALE, APPLIED, 11)


async def test_stale_event_is_remembered(world: World, start: int) -> None:
    stale = movement("SALE", 1, start - 2_000)
    outcomes = await post(world, movement("COUNT", 10, start - 1_000), stale, stale)
    assert [outcome.result for outcome in outcomes] == [APPLIED, STALE, REPEATED]
    assert [outcome.result for outcome in await post(world, stale)] == [REPEATED]


async def test_count_beyond_the_window_is_refused_unless_it_is_the_first_word(world: World, start: int) -> None:
    (first,) = await post(world, movement("COUNT", 10, start - 10 * HOUR))
    assert (first.result, first.on_hand) == (APPLIED, 10)
    (again,) = await post(world, movement("COUNT", 5, start - HOUR - 1))
    expected = {"sku": "LAMP", "location": "AMS1", "occurred_at_ms": start - HOUR - 1, "oldest_ms": start - HOUR}
    assert told(again.refusal) == ("CountTooOld", expected)
    assert [o.result for o in await post(world, movement("COUNT", 5, start - HOUR))] == [APPLIED]


async def test_count_that_contradicts_later_sales_is_refused(world: World, start: int) -> None:
    await post(world, movement("RECEIPT", 10, start - 5_000), movement("SALE", 8, start))
    (count,) = await post(world, movement("COUNT", 3, start - 1_000))
    expected = {"sku": "LAMP", "location": "AMS1", "on_hand": 3, "quantity": -8}
    assert told(count.refusal) == ("QuantityOutOfRange", expected)


async def test_long_trail_is_searched_to_its_start(world: World, start: int) -> None:
    """More entries than are read at once, recorded long after they happened."""
    await post(world, movement("RECEIPT", 5_000, start - 30_000))
    await post(world, *(movement("SALE", 1, start - 10_000 + n) for n in range(1_700)))
    (count,) = await post(world, movement("COUNT", 4_000, start - 9_000))
    assert count.on_hand == 4_000 - 699


async def test_movement_that_was_ahead_of_the_clock_stays_on_a_later_count(world: World, start: int) -> None:
    await post(world, movement("RECEIPT", 100, start - 10_000), movement("SALE", 7, start + 60_000))
    await world.clock.advance(1_000)
    await post(world, movement("SALE", 1, start + 1_000))
    await world.clock.advance(60_000)
    (count,) = await post(world, movement("COUNT", 50, start + 30_000))
    assert count.on_hand == 43


async def test_trail_forgets_what_no_count_may_ask_for(world: World, start: int) -> None:
    """Not with every entry: at every sixteenth it drops more than were added since."""
    await post(world, *(movement("RECEIPT", 1, start) for _ in range(20)))
    await world.clock.advance(2 * HOUR)
    for _ in range(40):
        await post(world, movement("RECEIPT", 1, world.clock.now_ms))
    (trail,) = await world.client.keys("{p*}:trail:*")
    assert await world.client.llen(trail) == 40
    await post(world, movement("RECEIPT", 1, start))
    assert await world.client.llen(trail) == 40  # already out of reach when it was recorded


async def test_a_trail_lives_on_while_it_is_used(world: World, start: int) -> None:
    """Redis's own clock ends a trail, at the earliest when its newest entry is older than any count may be."""
    await post(world, movement("RECEIPT", 1, start))
    (trail,) = await world.client.keys("{p*}:trail:*")
    whole = HOUR + 1_200_000
    assert whole - 60_000 < await world.client.pttl(trail) <= whole
    await world.client.pexpire(trail, HOUR + 700_000)
    await post(world, movement("RECEIPT", 1, start))
    assert await world.client.pttl(trail) <= HOUR + 700_000  # long enough for that entry
    await world.client.pexpire(trail, HOUR + 500_000)
    await post(world, movement("RECEIPT", 1, start))
    assert whole - 60_000 < await world.client.pttl(trail) <= whole
    await world.client.persist(trail)
    await post(world, movement("RECEIPT", 1, start))
    assert 0 < await world.client.pttl(trail) <= whole


@pytest.mark.parametrize(
    "damage", ["1,2,3", "01,0,1,0", "1,0,1,0x1", "1.0,0,1,0", "9007199254740992,0,1,0", "-1,0,1,0", " 1,0,1,0"]
)
async def test_damaged_position_is_never_read_as_a_number(world: World, start: int, damage: str) -> None:
    """And nothing of the batch is written."""
    await post(world, movement("RECEIPT", 10, start))
    (key,) = await world.client.keys("{p*}:stock:LAMP")
    await world.client.hset(key, "AMS1", damage)
    before = await world.store.revisions()
    with pytest.raises(Exception, match="not a position at LAMP AMS1"):
        await post(world, movement("RECEIPT", 1, start, sku="SOFA"), movement("RECEIPT", 1, start))
    assert await world.store.revisions() == before
    assert await world.store.position("SOFA", "AMS1") is None


async def test_large_batches_are_done_in_parts(world: World, start: int) -> None:
    outcomes = await post(world, *(movement("RECEIPT", 1, start, sku=f"S{n % 50}") for n in range(1_200)))
    assert len(outcomes) == 1_200
    assert {outcome.on_hand for outcome in outcomes[-50:]} == {24}
