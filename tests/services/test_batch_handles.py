"""Batches by handle, and streams of many queries in a message: the same answers as one by one, by name."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given

from invengine.errors import HandlesUnknown, InvalidArgument, MalformedMessage
from invengine.replica.columns import Columns
from invengine.replica.state import State
from invengine.services.availability_stream import QUERIES_MAX
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2
from tests.replica.fakes import PARTITIONS, position_row
from tests.services.test_availability import NETWORK, World, changes, questions, refused

KITS = """
kits:
  SET: {LAMP: 1, CHAIR: 2}
low_stock_thresholds:
  - {sku: CHAIR, units: 50}
  - {sku: SET, units: 50}
  - {sku: LATER, units: 50}
"""
SKUS = ["LAMP", "NOBODY", "CHAIR", "SET", "LAMP"]


@pytest.fixture
def world() -> World:
    of = World()
    of.use(NETWORK + KITS)
    of.stock("LAMP", "DUB", 10, 3)
    of.stock("LAMP", "AMS1", 9)
    of.stock("CHAIR", "AMS1", 20)
    return of


async def handles_of(world: World, skus: list[str]) -> pb.BatchGetAvailabilityResponse:
    return await world.batch(skus=skus, want_handles=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("totals_only", [False, True])
async def test_handles_ask_for_the_same_as_names(world: World, totals_only: bool) -> None:
    """Kits and SKUs without stock have none; their names stand where the handles are 0."""
    named = await world.batch(skus=SKUS, totals_only=totals_only)
    told = await handles_of(world, SKUS)
    assert [bool(handle) for handle in told.handles] == [True, False, True, False, True]
    assert told.handles[0] == told.handles[4] != told.handles[2]
    again = await world.batch(
        skus=["NOBODY", "SET"], handles=told.handles, handle_epoch=told.handle_epoch, totals_only=totals_only
    )
    assert again.available[3] > 0
    assert list(again.level)[2:4] == [pb.LEVEL_LOW, pb.LEVEL_LOW]
    for answer in (named, again):
        answer.ClearField("staleness")
    assert again == named


@pytest.mark.asyncio
async def test_handles_that_were_told_stay_while_others_come(world: World) -> None:
    told = await handles_of(world, ["LAMP"])
    for n in range(500):
        world.stock(f"NEW-{n}", "BER", 1)
    world.stock("LAMP", "DUB", 4)
    world.stock("LATER", "DUB", 5)
    by_handle = {"handles": told.handles, "handle_epoch": told.handle_epoch}
    assert list((await world.batch(**by_handle)).available) == [3 - 1 + 9 - 2]
    later = await handles_of(world, ["LATER"])
    assert later.handle_epoch == told.handle_epoch
    answer = await world.batch(handles=[*told.handles, *later.handles], handle_epoch=told.handle_epoch)
    assert (list(answer.available), list(answer.level)) == ([9, 4], [pb.LEVEL_IN_STOCK, pb.LEVEL_LOW])


@pytest.mark.asyncio
async def test_handles_of_others_are_refused_as_unknown(world: World) -> None:
    """Of another epoch; from before the stock was loaded anew, also while a call waits; of a SKU that became a kit."""
    told = await handles_of(world, ["LAMP"])
    by_handle = {"handles": list(told.handles), "handle_epoch": told.handle_epoch}
    for epoch in (0, 1, told.handle_epoch ^ 2):
        with pytest.raises(HandlesUnknown):
            await world.batch(**{**by_handle, "handle_epoch": epoch})
    chair = await handles_of(world, ["CHAIR"])
    world.use(NETWORK + "kits:\n  CHAIR: {LAMP: 1}\n")
    with pytest.raises(HandlesUnknown):
        await world.batch(handles=[*told.handles, *chair.handles], handle_epoch=told.handle_epoch)
    assert list((await handles_of(world, ["LAMP", "CHAIR"])).handles) == [*told.handles, 0]
    world.use(NETWORK)
    world.store.ahead[0] = 1
    fresh = common_pb2.Consistency(fully_consistent=True)
    waiting = asyncio.create_task(world.batch(**by_handle, consistency=fresh))
    while not world.store.asked:
        await asyncio.sleep(0)
    columns = Columns(world.replica.locations, world.replica.channels)
    world.replica.become(State(columns, [99] * PARTITIONS))
    with pytest.raises(HandlesUnknown):
        await waiting


@pytest.mark.asyncio
async def test_handles_that_cannot_be_are_named_by_their_place(world: World) -> None:
    told = await handles_of(world, ["LAMP"])
    (handle,), epoch = told.handles, told.handle_epoch
    for handles, skus, match in (
        ([handle, 3], [], r"handles\[1\]: is no handle"),
        ([2**32 - 1], [], r"handles\[0\]"),
        ([0], [], "handles: 1 are 0, for 0 skus"),
        ([handle], ["LAMP"], "handles: 0 are 0, for 1 skus"),
        ([handle] * 10_001, [], "handles: has 10001"),
        ([0], [" a"], r"skus\[0\]"),
    ):
        with pytest.raises(InvalidArgument, match=match):
            await world.batch(handles=handles, skus=skus, handle_epoch=epoch)
    assert list((await world.batch(handles=[handle] * 10_000, handle_epoch=epoch)).available) == [12] * 10_000


@pytest.mark.asyncio
async def test_handles_are_read_however_they_are_written(world: World) -> None:
    """Packed or one by one, in pieces, before other fields: protobuf takes them all, and so does the server."""
    told = await handles_of(world, ["LAMP", "CHAIR"])
    rest = pb.BatchGetAvailabilityRequest(channel="web", handle_epoch=told.handle_epoch).SerializeToString()
    one, two = ((handle).to_bytes(4, "little") for handle in told.handles)
    for pieces in (b"\x52\x08" + one + two, b"\x55" + one + b"\x55" + two, b"\x52\x04" + one + b"\x55" + two):
        for message in (rest + pieces, pieces + rest):
            answer = pb.BatchGetAvailabilityResponse.FromString(await world.availability.batch(message))
            assert list(answer.available) == [12, 20]
    with pytest.raises(MalformedMessage):
        await world.availability.batch(rest + b"\x52\x03" + one[:3])


@given(changes, questions)
def test_what_is_answered_at_once_is_answered_the_same_with_more_care(
    written: list[tuple[str, str, int, int, dict[str, int]]], question: dict[str, object]
) -> None:
    """Every byte, of every SKU that is in stock somewhere and of no other."""
    world = World()
    for sku, location, on_hand, reserved, _ in written:
        world.write(sku, position_row(sku, location, on_hand, reserved))
    world.availability._single._replica.staleness_ms = lambda: 7  # type: ignore[method-assign]

    async def check() -> None:
        for sku in ("LAMP", "CHAIR", "DESK"):
            fields = {"channel": "web", **question}
            request = pb.GetAvailabilityRequest(sku=sku, **fields).SerializeToString()  # type: ignore[arg-type]
            assert world.availability.get_at_once(request) is None or sku != "LAMP"  # nobody has asked this yet
            is_known = any(sku == name for name, *_ in written)
            if not is_known:
                assert world.availability.get_at_once(request) is None
                continue
            careful, _ = await world.availability._get_waiting(request, None, 0.0)
            assert world.availability.get_at_once(request) == careful

    asyncio.run(check())


@pytest.mark.asyncio
async def test_a_message_of_many_queries_is_answered_in_their_order(world: World) -> None:
    step = world.availability.open_stream(refused)

    def ask(*queries: dict[str, object], **fields: object) -> pb.StreamAvailabilityResponse:
        many = [pb.AvailabilityQuery(**query) for query in queries]  # type: ignore[arg-type]
        request = pb.StreamAvailabilityRequest(queries=many, **fields)  # type: ignore[arg-type]
        return pb.StreamAvailabilityResponse.FromString(step(request.SerializeToString()))

    invalid = common_pb2.ERROR_REASON_INVALID_ARGUMENT
    first = ask({"query_id": 1, "sku": "LAMP"}, {"query_id": 2, "sku": "LAMP", "channel": "web"}, {"sku": "CHAIR"})
    assert [answer.refusal.reason for answer in first.answers] == [invalid, 0, 0]
    assert [answer.query_id for answer in first.answers] == [1, 2, 0]
    for _ in range(2):
        answers = ask(*[{"query_id": n, "sku": sku} for n, sku in enumerate(SKUS)]).answers
        assert [answer.available for answer in answers] == [12, 0, 20, 7, 12]
        assert [answer.status for answer in answers] == [1, 2, 1, 1, 1]
        assert [answer.query_id for answer in answers] == [0, 1, 2, 3, 4]
    plain = [{"query_id": n, "sku": sku} for n, sku in enumerate(["LAMP", "LAMP"])]
    assert [answer.available for answer in ask(*plain).answers] == [12, 12]
    mixed = ask({"sku": "LAMP", "group": "north"}, {"sku": "LAMP", "channel": "app"}, {"sku": "", "channel": "web"})
    assert [(answer.available, answer.refusal.reason) for answer in mixed.answers] == [(5, 0), (0, 0), (0, invalid)]
    assert ask({"sku": "LAMP"}).answers[0].available == 12
    assert [ask({"sku": "LAMP"}, channel=channel).answers[0].available for channel in ("app", "", "web")] == [0, 0, 12]
    assert ask({"sku": "LAMP"}, sku="LAMP").refusal.reason == invalid
    assert not ask({"sku": "LAMP"}, sku="LAMP").answers
    assert len(ask(*[{"sku": "LAMP"}] * QUERIES_MAX).answers) == QUERIES_MAX
    assert ask(*[{"sku": "LAMP"}] * (QUERIES_MAX + 1)).refusal.reason == invalid
