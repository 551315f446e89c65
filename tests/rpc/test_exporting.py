"""ListMovements with filters, ListPositions and ExportMovements through a real server and a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from invengine.domain.partitions import encode_token, partition_of
from invengine.store import keys
from invengine.v1 import stock_service_pb2 as pb
from tests.redis_clusters import RedisCluster
from tests.redis_servers import RunningRedis
from tests.rpc.engines import NETWORK, Stubs, create, engine, refused
from tests.rpc.expected import FRESH

pytestmark = pytest.mark.asyncio

_counter = itertools.count()
SKUS = [f"LAMP-{n:02}" for n in range(30)] + ["CHAIR"]
ZONES = NETWORK.replace("DC: {kind: warehouse,", "DC: {kind: warehouse, time_zone: Asia/Tokyo,")


@pytest_asyncio.fixture(params=["one Redis", "Cluster"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Stubs]:
    """Units of 31 SKUs at DC, of every third at LON too; one is held."""
    if request.param == "Cluster":
        cluster: RedisCluster = request.getfixturevalue("valkey_cluster")
        url = cluster.url
    else:
        url = request.getfixturevalue("redis_url")
    async with engine(url) as (_, stubs):
        await stubs.apply_network(ZONES)
        await post(stubs, *(receipt(sku, "DC", n + 1) for n, sku in enumerate(SKUS)))
        await post(stubs, *(receipt(sku, "LON", 2) for sku in SKUS[::3]))
        await stubs.reservations.CreateReservation(create("hold", "LAMP-07", 2, reservation_id="H"))
        yield stubs


def receipt(sku: str, location: str, quantity: int) -> pb.Movement:
    kind = pb.Movement.KIND_RECEIPT
    return pb.Movement(source="erp", kind=kind, sku=sku, location=location, quantity=quantity, reference="po 1")


async def post(stubs: Stubs, *movements: pb.Movement) -> None:
    request = pb.PostMovementsRequest(request_id=f"post {next(_counter)}", movements=movements)
    assert {outcome.result for outcome in (await stubs.stock.PostMovements(request)).outcomes} == {1}


async def positions(stubs: Stubs, **fields: Any) -> list[pb.Position]:
    """All pages."""
    found: list[pb.Position] = []
    token = ""
    while True:
        request = pb.ListPositionsRequest(page_token=token, consistency=FRESH, **fields)
        page = await stubs.stock.ListPositions(request)
        assert len(page.positions) <= (fields.get("page_size") or 1000)
        found += page.positions
        token = page.next_page_token
        if not token:
            return found


async def exported(
    stubs: Stubs, after: str = "", **fields: Any
) -> tuple[list[pb.LedgerEntry], str, list[pb.LedgerGap]]:
    """All parts, and the token that goes on from there."""
    entries: list[pb.LedgerEntry] = []
    gaps: list[pb.LedgerGap] = []
    until = ""
    while True:
        request = pb.ExportMovementsRequest(after_token=after, until_token=until, **fields)
        part = await stubs.stock.ExportMovements(request)
        entries += part.entries
        gaps += part.gaps
        after, until = part.consistency_token, part.until_token
        if part.done:
            assert after == until
            return entries, after, gaps


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_every_position_is_listed_once_by_partition_sku_and_location(shop: Stubs, size: int) -> None:
    found = await positions(shop, page_size=size)
    places = [(partition_of(p.sku, 64), p.sku, p.location) for p in found]
    assert places == sorted(places)
    assert {(p.sku, p.location): p.on_hand for p in found} == {
        **{(sku, "DC"): n + 1 for n, sku in enumerate(SKUS)},
        **{(sku, "LON"): 2 for sku in SKUS[::3]},
    }
    for position in found[::5]:
        request = pb.GetPositionRequest(sku=position.sku, location=position.location)
        assert (await shop.stock.GetPosition(request)).position == position
    assert {(p.sku, p.location, p.reserved) for p in found if p.reserved} == {("LAMP-07", "DC", 2)}


@pytest.mark.parametrize("size", [0, 1, 4])
async def test_positions_are_narrowed_by_sku_and_location(shop: Stubs, size: int) -> None:
    at_lon = await positions(shop, page_size=size, location="LON")
    assert {p.sku for p in at_lon} == set(SKUS[::3])
    teens = await positions(shop, page_size=size, sku_prefix="LAMP-1", location="DC")
    assert {p.sku for p in teens} == {f"LAMP-1{n}" for n in range(10)}
    assert await positions(shop, sku_prefix="SOFA") == []


async def test_what_is_new_between_two_pages_spoils_nothing(shop: Stubs) -> None:
    first = await shop.stock.ListPositions(pb.ListPositionsRequest(page_size=10, consistency=FRESH))
    await post(shop, *(receipt(f"NEW-{n}", "DC", 1) for n in range(40)))
    token, found = first.next_page_token, list(first.positions)
    while token:
        request = pb.ListPositionsRequest(page_size=10, page_token=token, consistency=FRESH)
        page = await shop.stock.ListPositions(request)
        token = page.next_page_token
        found += page.positions
    listed = [(p.sku, p.location) for p in found]
    assert len(listed) == len(set(listed))
    assert {(sku, "DC") for sku in SKUS} <= set(listed)


async def test_the_ledger_of_all_skus_is_that_of_each(shop: Stubs) -> None:
    for size in (0, 1, 10):
        entries, _, gaps = await exported(shop, page_size=size)
        assert gaps == []
        assert len({(e.sku, e.revision, e.place) for e in entries}) == len(entries) == len(SKUS) + 11 + 1
        for sku in SKUS:
            page = await shop.stock.ListMovements(pb.ListMovementsRequest(sku=sku))
            assert [e for e in entries if e.sku == sku] == list(reversed(page.entries))
    totals = {(p.sku, p.location): (p.on_hand, p.reserved) for p in await positions(shop)}
    last = {(e.sku, e.location): (e.on_hand_after, e.reserved_after) for e in entries}
    assert last == totals


async def test_an_export_goes_on_where_the_last_one_ended(shop: Stubs) -> None:
    before, token, _ = await exported(shop, page_size=5)
    assert (await exported(shop, token))[0] == []
    await post(shop, receipt("LAMP-01", "LON", 5), receipt("TABLE", "DC", 1))
    after, token, _ = await exported(shop, token)
    assert sorted((e.sku, e.location, e.on_hand_after) for e in after) == [("LAMP-01", "LON", 5), ("TABLE", "DC", 1)]
    everything, again, _ = await exported(shop)
    assert sorted(map(repr, before + after)) == sorted(map(repr, everything))
    assert again == token
    assert [e.sku for e in (await exported(shop, location="LON", sku_prefix="LAMP-0"))[0] if e.sku == "LAMP-01"] == [
        "LAMP-01"
    ]


async def test_what_comes_while_an_export_goes_on_is_in_the_next(shop: Stubs) -> None:
    part = await shop.stock.ExportMovements(pb.ExportMovementsRequest(page_size=1))
    await post(shop, *(receipt(sku, "LON", 1) for sku in SKUS[1::3]))
    token, found = part.consistency_token, list(part.entries)
    while not part.done:
        request = pb.ExportMovementsRequest(after_token=token, until_token=part.until_token, page_size=3)
        part = await shop.stock.ExportMovements(request)
        token = part.consistency_token
        found += part.entries
    assert len(found) == len(SKUS) + 11 + 1
    rest, _, _ = await exported(shop, token)
    assert {(e.sku, e.location) for e in rest} == {(sku, "LON") for sku in SKUS[1::3]}


async def test_tokens_of_other_things_are_refused(shop: Stubs) -> None:
    request = pb.ListPositionsRequest(page_size=1)
    page = await shop.stock.ListPositions(request)
    other = pb.ListPositionsRequest(page_size=1, location="DC", page_token=page.next_page_token)
    assert (await refused(shop.stock.ListPositions(other))).fields == ["page_token"]
    for token in ("?", page.consistency_token, encode_token(b"12345678", [(n, 1) for n in range(64)])):
        for name in ("after_token", "until_token"):
            why = await refused(shop.stock.ExportMovements(pb.ExportMovementsRequest(**{name: token})))
            assert why.fields == [name]


async def test_a_ledger_is_narrowed_and_says_where_it_begins(shop: Stubs) -> None:
    async def kinds(**fields: Any) -> list[str]:
        request = pb.ListMovementsRequest(sku="LAMP-07", **fields)
        return [entry.kind for entry in (await shop.stock.ListMovements(request)).entries]

    assert await kinds() == ["RESERVE", "RECEIPT"]
    assert await kinds(kinds=["RECEIPT", "SALE"]) == ["RECEIPT"]
    assert await kinds(actor="web") == ["RESERVE"]
    page = await shop.stock.ListMovements(pb.ListMovementsRequest(sku="LAMP-07"))
    newest = page.entries[0].record_time
    assert await kinds(since=newest) == ["RESERVE"]
    assert await kinds(until=newest) == ["RECEIPT"]
    assert (page.start.revision, dict(page.time_zones)) == (1, {"DC": "Asia/Tokyo"})
    assert (await refused(kinds(kinds=["RESERVE", "GIFT"]))).fields == ["kinds[1]"]
    assert (await refused(kinds(kinds=["SALE"] * 21))).fields == ["kinds"]
    assert (await refused(kinds(since={"seconds": -1}))).fields == ["since"]


async def test_what_was_trimmed_is_told(redis_of_kind: Any) -> None:
    server: RunningRedis = redis_of_kind("valkey")
    server.empty()
    async with engine(server.url, partitions=2) as (_, stubs):
        await stubs.apply_network()
        for n in range(6):
            await post(stubs, receipt("LAMP", "DC", n + 1))
        _, token, _ = await exported(stubs)
        for n in range(10, 16):
            await post(stubs, *(receipt("LAMP", "DC", n + 1) for _ in range(n)))
        partition = partition_of("LAMP", 2)
        with server.client() as client:
            client.xtrim(keys.log(partition), maxlen=4, approximate=False)
        entries, _, gaps = await exported(stubs)
        assert [(gap.partition, gap.after_revision, gap.next_revision) for gap in gaps] == [(partition, 0, 9)]
        assert {entry.revision for entry in entries} == {9, 10, 11, 12}
        entries, reached, gaps = await exported(stubs, token)
        assert [(gap.after_revision, gap.next_revision) for gap in gaps] == [(6, 9)]
        page = await stubs.stock.ListMovements(pb.ListMovementsRequest(sku="LAMP"))
        assert (page.start.revision, page.start.record_time) == (9, page.entries[-1].record_time)
        with server.client() as client:
            client.xtrim(keys.log(partition), maxlen=0, approximate=False)
        entries, again, gaps = await exported(stubs, token)
        assert (entries, again) == ([], reached)
        assert [(gap.after_revision, gap.next_revision) for gap in gaps] == [(6, 13)]
