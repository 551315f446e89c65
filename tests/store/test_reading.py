"""What the store answers without changing anything, and what it forgets."""

from __future__ import annotations

import asyncio

import pytest

from invengine import errors
from invengine.domain.orders import ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.stock import LedgerFilter
from invengine.store import keys
from invengine.store.records import LogTrimmed, StoreSettings, Unreadable
from tests.store.making import change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio


async def stocked(world: World, quantity: int = 100) -> None:
    await world.store.post_movements([movement("RECEIPT", quantity, world.clock.now_ms)])


async def test_positions_of_what_was_never_stocked(world: World) -> None:
    assert await world.store.position("LAMP", "AMS1") is None
    assert await world.store.positions("LAMP") == {}
    assert await world.store.reservation("A") is None
    assert await world.store.ledger("LAMP") == ([], 0)
    assert await world.store.network() is None
    assert [chunk async for chunk in world.store.snapshot_positions()] == []
    assert [chunk async for chunk in world.store.snapshot_holds()] == []


async def test_clock_is_that_of_redis(world: World) -> None:
    seconds, microseconds = await world.client.time()
    assert 0 <= await type(world.store).now_ms(world.store) - (seconds * 1000 + microseconds // 1000) < 5_000


async def test_ledger_says_who_when_why_before_and_after(world: World) -> None:
    now_ms = world.clock.now_ms
    await world.store.post_movements(
        [movement("ADJUSTMENT", 5, now_ms - 10, reason="found", reference="doc 1", event_id="E1")]
    )
    await world.store.reserve([request(2, reservation_id="A", order_ref="O1")])
    (reserved, adjusted), end = await world.store.ledger("LAMP", "AMS1")
    assert end == 0
    assert (adjusted.kind, adjusted.actor, adjusted.cause) == ("ADJUSTMENT", "erp", "E1")
    assert (adjusted.reason, adjusted.reference, adjusted.occurred_at_ms) == ("found", "doc 1", now_ms - 10)
    assert (adjusted.on_hand_before, adjusted.on_hand_after, adjusted.recorded_at_ms) == (0, 5, now_ms)
    assert (reserved.kind, reserved.actor, reserved.cause, reserved.reference) == ("RESERVE", "web", "A", "O1")
    assert (reserved.reserved_before, reserved.reserved_after, reserved.on_hand_after) == (0, 2, 5)
    assert (adjusted.revision, reserved.revision) == (1, 2)


@pytest.mark.parametrize("limit", [1, 3, 7, 1_000])
async def test_ledger_comes_in_pages_also_within_one_entry(world: World, limit: int) -> None:
    for size in (1, 4, 250, 2):
        await world.store.post_movements(
            [movement("RECEIPT", 1, world.clock.now_ms, sku=("LAMP", "SOFA")[n % 2 and size > 1]) for n in range(size)]
        )
    pages, before = [], 0
    while True:
        entries, before = await world.store.ledger("LAMP", before=before, limit=limit)
        pages += entries
        assert len(entries) <= limit
        if not before:
            break
    assert [entry.on_hand_after for entry in pages] == list(range(1 + 2 + 125 + 1, 0, -1))


async def test_ledger_of_one_location(world: World) -> None:
    places = ["AMS1", "AMS10", "BER1", "AMS1"]
    await world.store.post_movements([movement("RECEIPT", 1, world.clock.now_ms, location=place) for place in places])
    assert [entry.on_hand_after for entry in (await world.store.ledger("LAMP", "AMS1"))[0]] == [2, 1]


async def test_ledger_of_a_sku_that_seldom_moves_is_found_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invengine.store.ledger.LEDGER_ENTRIES_MAX", 400)
    sku = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 4) == partition_of("LAMP", 4))
    await stocked(world)
    for _ in range(500):
        await world.store.post_movements([movement("RECEIPT", 1, world.clock.now_ms, sku=sku)])
    nothing, before = await world.store.ledger("LAMP")
    assert nothing == []
    found, before = await world.store.ledger("LAMP", before=before)
    assert (len(found), before) == (1, 0)


async def test_reservations_are_listed_by_reference_channel_and_state(world: World) -> None:
    await stocked(world)
    await world.store.reserve(
        [
            request(1, reservation_id="A", customer_ref="C1", order_ref="O1"),
            request(1, reservation_id="B", customer_ref="C1", channel="till"),
            request(1, reservation_id="C", cart_ref="K1", time_to_live_seconds=1),
            request(1, reservation_id="D", customer_ref="C1", order_ref="O1"),
        ]
    )
    await world.store.release([change("D")])
    await world.clock.advance(10_000)

    async def ids(**filters) -> set[str]:
        return {found.reservation_id for found in (await world.store.list_reservations(**filters, limit=10))[0]}

    assert await ids() == {"A", "B", "C", "D"}
    assert await ids(customer_ref="C1") == {"A", "B", "D"}
    assert await ids(customer_ref="C1", order_ref="O1") == {"A", "D"}
    assert await ids(customer_ref="C1", channel="till") == {"B"}
    assert await ids(cart_ref="K1", state=ReservationState.EXPIRED) == {"C"}  # judged now, swept or not
    assert await ids(state=ReservationState.HELD) == {"A", "B"}
    assert await ids(state=ReservationState.RELEASED) == {"D"}
    assert await ids(order_ref="O9") == set()


@pytest.mark.parametrize("filters", [{}, {"customer_ref": "C1"}])
async def test_pages_of_reservations_hold_each_once(world: World, filters: dict[str, str]) -> None:
    await stocked(world)
    await world.store.reserve([request(1, reservation_id=f"R{n}", customer_ref="C1") for n in range(25)])
    found, after = [], ""
    while True:
        page, after = await world.store.list_reservations(after=after, limit=4, **filters)
        found += [reservation.reservation_id for reservation in page]
        if not after:
            break
        assert len(page) == 4
    assert sorted(found) == sorted(f"R{n}" for n in range(25))


@pytest.mark.parametrize("token", ["x", "99:A", ":", "²:A", "-1:A"])
async def test_foreign_page_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        await world.store.list_reservations(after=token, limit=4)


async def test_log_is_read_from_where_one_was(world: World) -> None:
    await stocked(world)
    (receipt,) = await world.store.read_log([0, 0, 0, 0], 0)
    after = await world.store.revisions()
    written = await world.store.reserve([request(1)])
    assert sorted(await world.store.read_log(after, 0), key=lambda entry: entry.partition) == sorted(
        written.entries, key=lambda entry: entry.partition
    )
    assert receipt.rows.startswith(b"P\tLAMP\tAMS1\t100\t0\t0\t100\t0\tRECEIPT\terp\t")


async def test_waiting_for_the_log_ends_with_the_first_entry(world: World) -> None:
    waiting = asyncio.create_task(world.store.read_log([0, 0, 0, 0], 10_000))
    while not (await world.client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0)
    await stocked(world)
    assert len(await asyncio.wait_for(waiting, 5)) == 1


async def test_waiting_for_the_log_ends_when_the_time_is_over(world: World) -> None:
    assert await world.store.read_log([0, 0, 0, 0], 10) == []


async def test_trimmed_log_is_noticed(open_world) -> None:
    world = await open_world(settings=StoreSettings(log_length_max=10), partitions=1)
    for _ in range(400):
        await stocked(world, 1)
    assert await world.store.log_length() < 400
    with pytest.raises(LogTrimmed) as trimmed:
        await world.store.read_log([5], 0)
    assert trimmed.value.partition == 0
    assert [entry.revision for entry in await world.store.read_log([398], 0)] == [399, 400]


async def test_snapshot_has_every_position_and_hold(world: World) -> None:
    now_ms = world.clock.now_ms
    await world.store.post_movements([movement("RECEIPT", n + 1, now_ms, sku=f"S{n}") for n in range(2_500)])
    await world.store.reserve([request(line(1, sku=f"S{n}"), reservation_id=f"R{n}") for n in range(50)])
    await world.store.confirm([change("R7")])
    found = dict([pair async for chunk in world.store.snapshot_positions() for pair in chunk])
    assert len(found) == 2_500
    assert found["S9"] == {b"AMS1": b"10,1,%d,0" % (await world.store.position("S9", "AMS1")).revision}
    rows = [
        row async for chunk in world.store.snapshot_holds() for entry in chunk for row in entry.rows.split(b"\n")[:-1]
    ]
    assert len(rows) == 49
    assert {row.split(b"\t")[2] for row in rows} == {b"S%d" % n for n in range(50)} - {b"S7"}


@pytest.mark.parametrize("name", ["network", "transit"])
async def test_a_document_is_kept_with_its_revision(world: World, name: str) -> None:
    """The network and the transit times; neither knows of the other."""
    apply, read = getattr(world.store, f"apply_{name}"), getattr(world.store, name)
    subscription = world.client.pubsub()
    await subscription.subscribe(f"invengine:{name}")
    assert await read() is None
    assert await apply("locations: {}", 0) == 1
    assert await apply("locations: {}", 0) == 1  # equal to what is there: a repeat
    with pytest.raises(errors.RevisionMismatch):
        await apply("locations: {A: {}}", 0)
    assert await apply("locations: {A: {}}", 1) == 2
    assert await apply("locations: {}", None) == 3
    assert await read() == ("locations: {}", 3)
    assert int(await world.client.hget(f"invengine:{name}", "applied_at_ms")) > 0
    assert [await world.store.network(), await world.store.transit()].count(None) == 1
    heard = [message["data"] async for message in _messages(subscription, 3)]
    assert heard == [b"1", b"2", b"3"]
    await subscription.aclose()


async def _messages(subscription, count: int):
    while count:
        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=5)
        if message:
            count -= 1
            yield message


async def test_what_is_past_retention_is_forgotten(open_world) -> None:
    """After one to two retentions: requests, events, closed reservations and their references. Live ones stay."""
    world = await open_world(settings=StoreSettings(retention_seconds=600), partitions=2, FORGET_MAX="7")
    await stocked(world)
    await world.store.reserve([request(1, reservation_id=f"R{n}", customer_ref="C1") for n in range(30)])
    await world.store.release([change(f"R{n}") for n in range(29)])
    await world.store.confirm([change("R29")])
    await world.clock.advance(600_000)
    assert [await world.store.forget_old(partition) for partition in range(2)] == [0, 0]
    assert len(await world.client.keys("*:closed:*")) == 2
    await world.clock.advance(1_200_000)
    assert sum([await world.store.forget_old(partition) for partition in range(2)]) == 29
    left = {key.decode().split(":", 1)[1] for key in await world.client.keys("{p*}:*")}
    assert left - {"log", "revision", "states", "forgotten"} == {
        "customer:C1",
        "reservations",
        "stock:LAMP",
        "trail:LAMP",
    } | {key for key in left if key.startswith("expiry")}
    assert await world.client.smembers(f"{{p{partition_of('R29', 2)}}}:customer:C1") == {b"R29"}
    assert await world.store.reservation("R1") is None
    assert (await world.store.position("LAMP", "AMS1")).reserved == 1
    again = request(1, reservation_id="R1")
    assert (await world.store.reserve([again])).outcomes[0].reservation.reservation_id == "R1"


async def test_damaged_values_are_told_as_such(world: World) -> None:
    await stocked(world)
    await world.client.hset(f"{{p{partition_of('LAMP', 4)}}}:stock:LAMP", "AMS1", "many")
    await world.client.hset(f"{{p{partition_of('A', 4)}}}:reservations", "A", "HELD\tweb")
    with pytest.raises(Unreadable):
        await world.store.position("LAMP", "AMS1")
    with pytest.raises(Unreadable):
        await world.store.reservation("A")
    with pytest.raises(Unreadable):
        _ = [chunk async for chunk in world.store.snapshot_holds()]


async def test_ledger_is_narrowed_by_time_kind_and_actor(world: World) -> None:
    begin = world.clock.now_ms
    for seconds, (kind, quantity) in enumerate([("RECEIPT", 9), ("SALE", 1), ("ADJUSTMENT", -2), ("SALE", 3)]):
        await world.clock.set(begin + 1000 * seconds)
        await world.store.post_movements([movement(kind, quantity, world.clock.now_ms)])
    await world.store.reserve([request(1, reservation_id="A")])

    async def told(limit: int = 100, **which: object) -> list[int]:
        entries, before = await world.store.ledger("LAMP", limit=limit, which=LedgerFilter(**which))
        while before:
            more, before = await world.store.ledger("LAMP", before=before, limit=limit, which=LedgerFilter(**which))
            assert len(more) <= limit
            entries += more
        return [entry.revision for entry in entries]

    for limit in (1, 100):
        assert await told(limit) == [5, 4, 3, 2, 1]
        assert await told(limit, since_ms=begin + 1000) == [5, 4, 3, 2]
        assert await told(limit, until_ms=begin + 1000) == [1]
        assert await told(limit, since_ms=begin + 1, until_ms=begin + 2001) == [3, 2]
        assert await told(limit, kinds=frozenset({"SALE", "RECEIPT"})) == [4, 2, 1]
        assert await told(limit, actor="web") == [5]
        assert await told(limit, actor="web", kinds=frozenset({"SALE"})) == []
        assert await told(limit, location="BER1") == []


async def test_entries_are_named_by_sku_revision_and_place(world: World) -> None:
    now_ms = world.clock.now_ms
    sku = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 4) == partition_of("LAMP", 4))
    await world.store.post_movements(
        [
            movement("RECEIPT", 1, now_ms),
            movement("RECEIPT", 2, now_ms, sku=sku),
            movement("RECEIPT", 3, now_ms, location="BER1"),
            movement("RECEIPT", 4, now_ms),
        ]
    )
    entries, _ = await world.store.ledger("LAMP")
    assert [(e.sku, e.location, e.on_hand_after, e.revision, e.place) for e in entries] == [
        ("LAMP", "AMS1", 5, 1, 3),
        ("LAMP", "BER1", 3, 1, 2),
        ("LAMP", "AMS1", 1, 1, 1),
    ]
    assert [(e.location, e.place) for e in (await world.store.ledger("LAMP", "AMS1"))[0]] == [("AMS1", 3), ("AMS1", 1)]
    page, before = await world.store.ledger("LAMP", "AMS1", limit=1)
    assert [e.place for e in (await world.store.ledger("LAMP", "AMS1", before=before))[0]] == [1]
    assert len(page) == 1


async def test_the_ledger_says_where_it_begins(world: World) -> None:
    assert await world.store.ledger_start("LAMP") == (0, 0)
    for _ in range(5):
        await stocked(world)
    assert await world.store.ledger_start("LAMP") == (1, world.clock.now_ms)
    await world.client.xtrim(keys.log(partition_of("LAMP", 4)), maxlen=2, approximate=False)
    assert await world.store.ledger_start("LAMP") == (4, world.clock.now_ms)
    assert [e.on_hand_before for e in (await world.store.ledger("LAMP"))[0]] == [400, 300]


async def test_the_last_change_of_a_position_is_that_of_its_revision(world: World) -> None:
    now_ms = world.clock.now_ms
    await world.store.post_movements([movement("RECEIPT", 5, now_ms, location="BER1", event_id="old")])
    await world.store.post_movements([movement("RECEIPT", n, now_ms, event_id=f"E{n}") for n in (1, 2)])
    changes = await world.store.last_changes("LAMP", {"AMS1": 2, "BER1": 1, "PAR1": 0})
    assert {place: (entry.cause, entry.on_hand_after) for place, entry in changes.items()} == {
        "AMS1": ("E2", 3),
        "BER1": ("old", 5),
    }
    await world.client.xtrim(keys.log(partition_of("LAMP", 4)), maxlen=1, approximate=False)
    assert set(await world.store.last_changes("LAMP", {"AMS1": 2, "BER1": 1})) == {"AMS1"}
    assert await world.store.last_changes("LAMP", {}) == {}


async def test_a_network_that_is_known_is_not_fetched_again(world: World) -> None:
    """It may be megabytes, and every server looks every second."""
    await world.store.apply_network("locations: {A: {}}", 0)
    assert await world.store.network() == ("locations: {A: {}}", 1)
    await world.client.hset(keys.NETWORK, "document", "written past the engine")
    assert await world.store.network() == ("locations: {A: {}}", 1)
    await world.client.delete(keys.NETWORK)
    assert await world.store.network() is None
    await world.clock.advance(1000)
    await world.store.apply_network("locations: {B: {}}", 0)
    assert await world.store.network() == ("locations: {B: {}}", 1), "the same revision of an emptied store"
