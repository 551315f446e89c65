"""Availability: bytes in, bytes out, against the definition; refusals; freshness."""

from __future__ import annotations

import asyncio
import datetime as dt
from time import monotonic

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.incoming import SECONDS_OF_DAY, Receipt
from invengine.domain.network import Network
from invengine.domain.orders import (
    Allocation,
    Destination,
    Fulfilment,
    Reservation,
    ReservationLine,
    ReservationState,
)
from invengine.domain.partitions import encode_token, partition_of
from invengine.errors import (
    GroupNotUsable,
    InvalidArgument,
    InventoryError,
    MalformedMessage,
    NetworkMissing,
    ReplicaBehind,
    UnknownChannel,
    UnknownGroup,
    UnknownLocation,
    UnknownSku,
)
from invengine.replica.clock import StoreClock
from invengine.replica.replica import Replica
from invengine.services.availability import Availability
from invengine.services.questions import KEPT_MAX
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2
from tests.kernels import reference
from tests.kernels.reference import Asked
from tests.replica.fakes import PARTITIONS, START_MS, STORE_ID, Entry, fence_row, hold_row, incoming_row, position_row

NETWORK = """
locations:
  AMS1: {kind: warehouse}
  BER: {kind: store, fulfilments: [pickup]}
  CDG: {kind: warehouse, enabled: false}
  DUB: {kind: warehouse}
  XXX: {kind: warehouse}
groups:
  eu: [AMS1, BER, CDG]
  north: [DUB]
  far: [XXX]
channels:
  web: {groups: [eu, north], low_stock_threshold: 5}
  app: {groups: [eu], enabled: false}
  market: {groups: [eu, north], borrow: false}
safety_stock:
  - {sku: LAMP, units: 2}
  - {sku: LAMP, location: BER, percent: 50}
  - {location: DUB, units: 1}
  - {channel: app, units: 3}
"""
SECOND = START_MS // 1000
TODAY = SECOND // SECONDS_OF_DAY


class Networks:
    current: Network | None = None


class Store:
    """What reads ask of a store; `revision` is where all its partitions are."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.ahead: dict[int, int] = {}
        self.reservations: dict[str, Reservation] = {}
        self.asked = 0

    async def revisions(self) -> list[int]:
        self.asked += 1
        return [self.ahead.get(n, revision) for n, revision in enumerate(self._replica.applied)]

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return self.reservations.get(reservation_id)


class World:
    """The service over a replica that the test writes to."""

    def __init__(self) -> None:
        self.replica = Replica(PARTITIONS, STORE_ID)
        self.clock = StoreClock(lambda: 0.0)
        self.clock.observe(START_MS, 0.0, 0.0)
        self.store = Store(self.replica)
        self.networks = Networks()
        self.use(NETWORK)
        self.availability = Availability(self.replica, self.store, self.clock, self.networks)
        self.replica.caught_up(monotonic())

    def use(self, document: str) -> None:
        self.networks.current = Network.parse(document, 1)
        self.replica.set_network(self.networks.current)

    def write(self, sku: str, rows: str) -> None:
        partition = partition_of(sku, PARTITIONS)
        revision = self.replica.applied[partition] + 1
        self.replica.apply([Entry(partition, revision, START_MS, rows.encode())])

    def stock(self, sku: str, location: str, on_hand: int, reserved: int = 0) -> None:
        self.write(sku, position_row(sku, location, on_hand, reserved))

    def fence(self, sku: str, location: str, channel: str, units: int) -> None:
        self.write(sku, fence_row(sku, location, channel, units))

    def expect(self, sku: str, location: str, receipt_id: str, day: int, quantity: int, pegged: int = 0) -> None:
        self.write(sku, incoming_row(Receipt(sku, location, receipt_id, day, quantity, pegged, 0)))

    async def get(self, **fields: object) -> pb.GetAvailabilityResponse:
        return await self.availability.get(pb.GetAvailabilityRequest(**{"sku": "LAMP", "channel": "web", **fields}))

    async def batch(self, **fields: object) -> pb.BatchGetAvailabilityResponse:
        request = pb.BatchGetAvailabilityRequest(**{"channel": "web", **fields})
        answer = await self.availability.batch(request.SerializeToString())
        response = pb.BatchGetAvailabilityResponse.FromString(answer)
        assert response.SerializeToString(deterministic=True) == answer
        return response


@pytest.fixture
def world() -> World:
    of = World()
    of.stock("LAMP", "DUB", 10, 3)
    of.stock("LAMP", "BER", 9, 0)
    of.stock("LAMP", "AMS1", 4, 1)
    of.stock("LAMP", "CDG", 100)
    of.stock("LAMP", "XXX", 50)
    of.stock("CHAIR", "AMS1", 2, 3)
    return of


def told(positions: object) -> list[tuple[object, ...]]:
    return [(p.location, p.available, p.on_hand, p.reserved, p.safety_stock, list(p.reasons)) for p in positions]  # type: ignore[attr-defined]


SAFETY, SHORT, RESERVED, FENCE, DISABLED, NOT_IN_CHANNEL, CANNOT, CHANNEL_OFF = 4, 5, 6, 8, 1, 2, 3, 7


@pytest.mark.asyncio
async def test_get_tells_every_position_and_why(world: World) -> None:
    answer = await world.get()
    assert told(answer.positions) == [
        ("AMS1", 1, 4, 1, 2, [SAFETY, RESERVED]),
        ("BER", 4, 9, 0, 5, [SAFETY]),
        ("CDG", 0, 100, 0, 2, [DISABLED]),
        ("DUB", 5, 10, 3, 2, [SAFETY, RESERVED]),
    ]
    assert (answer.available, answer.level) == (10, pb.LEVEL_IN_STOCK)
    assert answer.staleness.ToMilliseconds() < 60_000
    partition = partition_of("LAMP", PARTITIONS)
    assert answer.consistency_token == encode_token(STORE_ID, [(partition, world.replica.applied[partition])])


@pytest.mark.asyncio
async def test_more_reserved_than_on_hand_is_a_shortfall(world: World) -> None:
    answer = await world.get(sku="CHAIR")
    assert told(answer.positions) == [("AMS1", 0, 2, 3, 0, [SHORT, RESERVED])]
    assert (answer.available, answer.level) == (0, pb.LEVEL_OUT)


@pytest.mark.asyncio
async def test_levels_follow_the_threshold_of_the_channel(world: World) -> None:
    levels = []
    for units in (0, 1, 5, 6):
        world.stock("NEW", "AMS1", units)
        levels.append((await world.get(sku="NEW")).level)
    assert levels == [pb.LEVEL_OUT, pb.LEVEL_LOW, pb.LEVEL_LOW, pb.LEVEL_IN_STOCK]


@pytest.mark.asyncio
async def test_locations_groups_and_fulfilment_narrow_the_question(world: World) -> None:
    named = await world.get(locations=["XXX", "AMS1", "AMS1"])
    assert told(named.positions) == [("AMS1", 1, 4, 1, 2, [SAFETY, RESERVED]), ("XXX", 0, 50, 0, 2, [NOT_IN_CHANNEL])]
    assert [p.location for p in (await world.get(group="north")).positions] == ["DUB"]
    shipped = await world.get(fulfilment=common_pb2.FULFILMENT_SHIP)
    assert {p.location: list(p.reasons) for p in shipped.positions}["BER"] == [CANNOT]
    assert (await world.get(channel="app")).available == 0
    assert {tuple(p.reasons) for p in (await world.get(channel="app")).positions} == {(CHANNEL_OFF,)}


@pytest.mark.asyncio
async def test_a_position_that_does_not_exist_is_not_listed(world: World) -> None:
    answer = await world.get(sku="CHAIR", group="north")
    assert (told(answer.positions), answer.available, answer.level) == ([], 0, pb.LEVEL_OUT)


@pytest.mark.asyncio
async def test_a_hold_that_is_over_counts_no_more(world: World) -> None:
    world.write("LAMP", position_row("LAMP", "AMS1", 4, 3) + hold_row(1, "LAMP", "AMS1", 2, SECOND))
    world.write("LAMP", position_row("LAMP", "DUB", 10, 3) + hold_row(2, "LAMP", "DUB", 2, SECOND + 1))
    answer = await world.get()
    assert [(p.location, p.reserved) for p in answer.positions if p.reserved] == [("AMS1", 1), ("DUB", 3)]


@pytest.mark.asyncio
async def test_batch_answers_in_columns(world: World) -> None:
    answer = await world.batch(skus=["LAMP", "NOBODY", "CHAIR", "LAMP"])
    assert list(answer.status) == [1, 2, 1, 1]
    assert list(answer.available) == [10, 0, 0, 10]
    assert list(answer.row_counts) == [3, 0, 1, 3]
    assert list(answer.locations) == ["AMS1", "BER", "DUB"]
    rows = [(answer.locations[i], n) for i, n in zip(answer.location_index, answer.location_available, strict=True)]
    assert sorted(rows[:3]) == [("AMS1", 1), ("BER", 4), ("DUB", 5)]
    assert rows[3:4] == [("AMS1", 0)]
    assert answer.consistency_token == world.replica.token()
    totals = await world.batch(skus=["LAMP", "NOBODY", "CHAIR", "LAMP"], totals_only=True)
    assert (list(totals.status), list(totals.available)) == (list(answer.status), list(answer.available))
    assert not [*totals.row_counts, *totals.location_index, *totals.location_available, *totals.locations]


@pytest.mark.asyncio
async def test_batch_of_what_nobody_can_use_has_no_rows(world: World) -> None:
    answer = await world.batch(skus=["LAMP"], channel="app")
    assert (list(answer.available), list(answer.row_counts), list(answer.locations)) == ([0], [0], [])


@pytest.mark.asyncio
async def test_the_largest_batch_is_answered_and_one_more_refused(world: World) -> None:
    answer = await world.batch(skus=["LAMP", "x"] * 5000, totals_only=True)
    assert list(answer.available) == [10, 0] * 5000
    with pytest.raises(InvalidArgument, match="skus: has 10001"):
        await world.batch(skus=["LAMP"] * 10_001)


def refused(error: InventoryError) -> bytes:
    return common_pb2.Refusal(reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")).SerializeToString()


@pytest.mark.asyncio
async def test_a_stream_remembers_its_channel_and_survives_refusals(world: World) -> None:
    step = world.availability.open_stream(refused)

    async def ask(**fields: object) -> pb.StreamAvailabilityResponse:
        return pb.StreamAvailabilityResponse.FromString(
            step(pb.StreamAvailabilityRequest(**fields).SerializeToString())  # type: ignore[arg-type]
        )

    first = await ask(query_id=1, sku="LAMP")
    assert (first.query_id, first.refusal.reason) == (1, common_pb2.ERROR_REASON_INVALID_ARGUMENT)
    answer = await ask(query_id=2, sku="LAMP", channel="web")
    assert answer == pb.StreamAvailabilityResponse(query_id=2, available=10, level=pb.LEVEL_IN_STOCK, status=1)
    assert (await ask(query_id=3, sku="LAMP", group="north")).available == 5
    assert await ask(sku="NOBODY") == pb.StreamAvailabilityResponse(level=pb.LEVEL_OUT, status=2)
    for fields, reason in (
        ({"sku": ""}, common_pb2.ERROR_REASON_INVALID_ARGUMENT),
        ({"sku": "\n"}, common_pb2.ERROR_REASON_INVALID_ARGUMENT),
        ({"sku": "LAMP", "group": "none"}, common_pb2.ERROR_REASON_UNKNOWN_GROUP),
        ({"sku": "LAMP", "channel": "none"}, common_pb2.ERROR_REASON_UNKNOWN_CHANNEL),
    ):
        assert (await ask(**fields)).refusal.reason == reason
    assert (await ask(sku="LAMP", channel="web", query_id=-1)).query_id == -1
    world.stock("FEW", "AMS1", 5)
    assert (await ask(sku="FEW")).level == pb.LEVEL_LOW
    world.stock("FEW", "AMS1", 0)
    assert (await ask(sku="FEW")).level == pb.LEVEL_OUT
    with pytest.raises(MalformedMessage):
        step(b"\xff")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"sku": ""}, InvalidArgument, "sku: is required"),
        ({"sku": "a" * 65}, InvalidArgument, "sku: is 65 bytes"),
        ({"sku": "a\n"}, InvalidArgument, "sku: contains a control"),
        ({"sku": " a"}, InvalidArgument, "sku: begins or ends"),
        ({"channel": ""}, InvalidArgument, "channel: is required"),
        ({"channel": "nobody"}, UnknownChannel, "nobody"),
        ({"locations": ["AMS1", ""]}, InvalidArgument, r"locations\[1\]: is required"),
        ({"locations": ["nowhere"]}, UnknownLocation, "nowhere"),
        ({"locations": ["AMS1"] * 1001}, InvalidArgument, "locations: has 1001"),
        ({"group": "nothing"}, UnknownGroup, "nothing"),
        ({"group": "far"}, GroupNotUsable, "far"),
        ({"group": "\t"}, InvalidArgument, "group"),
        ({"group": "eu", "locations": ["AMS1"]}, InvalidArgument, "not together"),
        ({"fulfilment": 9}, InvalidArgument, "fulfilment"),
        ({"ignore_reservation_id": "x" * 65}, InvalidArgument, "ignore_reservation_id"),
        ({"consistency": common_pb2.Consistency(at_least_as_fresh="?")}, InvalidArgument, "at_least_as_fresh"),
        ({"sku": "NOBODY"}, UnknownSku, "NOBODY"),
    ],
)
async def test_bad_questions_are_refused_by_name(
    world: World, fields: dict[str, object], error: type[InventoryError], match: str
) -> None:
    for _ in range(2):  # kept questions refuse no less
        with pytest.raises(error, match=match):
            await world.get(**fields)
    if "sku" not in fields and "ignore_reservation_id" not in fields:
        with pytest.raises(error, match=match):
            await world.batch(skus=["LAMP"], **fields)


@pytest.mark.asyncio
async def test_a_bad_sku_of_a_batch_is_named_by_its_place(world: World) -> None:
    for sku in ("", "a" * 65, "a\x7f", " a", "\x85"):
        with pytest.raises(InvalidArgument, match=r"skus\[2\]"):
            await world.batch(skus=["LAMP", "caf\u00e9", sku])
    with pytest.raises(InvalidArgument, match="skus: is required"):
        await world.batch()
    world.stock("caf\u00e9", "AMS1", 3)
    assert list((await world.batch(skus=["LAMP", "caf\u00e9"])).available) == [10, 3]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "message", [b"\xff", b"\x0a\x01\xff\x12\x03web", b"\x0a\x04LAMP\x12\x01\xff", b"\x0a\x04LAMP\x12"]
)
async def test_what_is_no_message_is_malformed(world: World, message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        await world.availability.get_bytes(message)
    with pytest.raises(MalformedMessage):
        await world.availability.batch(message)


@pytest.mark.asyncio
async def test_fields_of_later_versions_are_passed_over(world: World) -> None:
    known = pb.GetAvailabilityRequest(sku="LAMP", channel="web").SerializeToString()
    expected = (await world.get()).positions
    for unknown in (b"\xa0\x06\x01", b"\xa3\x06\x08\x01\xa4\x06", b"\xa5\x06abcd", b"\xa1\x06abcdefgh"):
        for message in (known + unknown, unknown + known):
            answer = pb.GetAvailabilityResponse.FromString(await world.availability.get_bytes(message))
            assert answer.positions == expected


@pytest.mark.asyncio
async def test_of_a_sku_that_is_given_twice_the_last_counts(world: World) -> None:
    twice = (
        pb.GetAvailabilityRequest(sku="CHAIR").SerializeToString()
        + pb.GetAvailabilityRequest(sku="LAMP", channel="web").SerializeToString()
    )
    answer = pb.GetAvailabilityResponse.FromString(await world.availability.get_bytes(twice))
    assert answer.available == 10


@pytest.mark.asyncio
async def test_without_a_network_nothing_is_answered(world: World) -> None:
    await world.get()
    world.networks.current = None
    with pytest.raises(NetworkMissing):
        await world.get()
    with pytest.raises(NetworkMissing):
        await world.batch(skus=["LAMP"])


@pytest.mark.asyncio
async def test_a_new_network_counts_for_the_next_question(world: World) -> None:
    step = world.availability.open_stream(refused)
    query = pb.StreamAvailabilityRequest(sku="LAMP", channel="web").SerializeToString()
    assert (await world.get()).available == 10
    assert pb.StreamAvailabilityResponse.FromString(step(query)).available == 10
    world.use(NETWORK.replace("{sku: LAMP, units: 2}", "{sku: LAMP, units: 4}"))
    assert (await world.get()).available == 0 + 4 + 3
    assert list((await world.batch(skus=["LAMP"])).available) == [7]
    assert pb.StreamAvailabilityResponse.FromString(step(query)).available == 7


@pytest.mark.asyncio
async def test_questions_are_kept_up_to_a_limit(world: World) -> None:
    for n in range(KEPT_MAX + 10):
        await world.availability.get_bytes(
            pb.GetAvailabilityRequest(
                sku="LAMP",
                channel="web",
            ).SerializeToString()
            + b"\xa0\x06"
            + bytes([n % 128 | 128, n // 128])
        )
    assert len(world.availability._questions._gets) == KEPT_MAX


@pytest.mark.asyncio
async def test_a_token_is_waited_for(world: World) -> None:
    partition = partition_of("LAMP", PARTITIONS)
    token = encode_token(STORE_ID, [(partition, world.replica.applied[partition] + 1)])
    fresh = common_pb2.Consistency(at_least_as_fresh=token)
    getting = asyncio.create_task(world.get(consistency=fresh))
    batching = asyncio.create_task(world.batch(skus=["LAMP", "CHAIR"], totals_only=True, consistency=fresh))
    other = await world.batch(skus=["CHAIR"] * 50)  # uses the same scratch arrays meanwhile
    assert list(other.available) == [0] * 50
    world.stock("LAMP", "DUB", 110, 3)
    assert (await getting).available == 110
    assert list((await batching).available) == [110, 0]


@pytest.mark.asyncio
async def test_a_token_that_does_not_come_is_refused_in_time(world: World) -> None:
    token = encode_token(STORE_ID, [(0, 99)])
    request = pb.GetAvailabilityRequest(
        sku="LAMP", channel="web", consistency=common_pb2.Consistency(at_least_as_fresh=token)
    )
    with pytest.raises(ReplicaBehind):
        await world.availability.get(request, timeout_seconds=0.001)


@pytest.mark.asyncio
async def test_fully_consistent_asks_the_store_and_waits(world: World) -> None:
    partition = partition_of("LAMP", PARTITIONS)
    world.store.ahead[partition] = world.replica.applied[partition] + 1
    full = common_pb2.Consistency(fully_consistent=True)
    getting = asyncio.create_task(world.get(consistency=full))
    batching = asyncio.create_task(world.batch(skus=["LAMP"], consistency=full))
    while world.store.asked < 2:
        await asyncio.sleep(0)
    world.stock("LAMP", "DUB", 11, 3)
    assert (await getting).available == 11
    assert list((await batching).available) == [11]
    await world.get(consistency=common_pb2.Consistency(fully_consistent=False))
    await world.get(consistency=common_pb2.Consistency(minimize_latency=True))
    assert world.store.asked == 2


def reservation(state: ReservationState, expires_at: int) -> Reservation:
    line = ReservationLine(
        "l1", "LAMP", 4, Fulfilment.ANY, Destination(), (Allocation("DUB", 3, 0, 1), Allocation("XXX", 1))
    )
    other = ReservationLine("l2", "CHAIR", 1, Fulfilment.ANY, Destination(), (Allocation("DUB", 1),))
    return Reservation("r1", state, "web", START_MS, expires_at, 1, (line, other))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("state", "expires_at", "available"),
    [
        (ReservationState.HELD, SECOND + 1, 12),
        (ReservationState.CONFIRMED, 0, 12),
        (ReservationState.HELD, SECOND, 10),
        (ReservationState.RELEASED, 0, 10),
        (None, 0, 10),
    ],
)
async def test_the_askers_own_live_hold_counts_as_free(
    world: World, state: ReservationState | None, expires_at: int, available: int
) -> None:
    if state:
        world.store.reservations["r1"] = reservation(state, expires_at)
    answer = await world.get(ignore_reservation_id="r1")
    assert answer.available == available
    assert {p.location: p.reserved for p in answer.positions}["DUB"] == 3 - (available - 10)
    assert (await world.get()).available == 10


@pytest.mark.asyncio
async def test_an_ignored_hold_is_waited_for(world: World) -> None:
    """It is read from the store, so the replica may not have it yet: its units would be counted as free twice."""
    partition = partition_of("LAMP", PARTITIONS)
    world.store.reservations["r1"] = reservation(ReservationState.CONFIRMED, 0)
    world.store.ahead[partition] = world.replica.applied[partition] + 1
    getting = asyncio.create_task(world.get(ignore_reservation_id="r1"))
    while not world.store.asked:
        await asyncio.sleep(0)
    world.store.ahead.clear()
    world.stock("LAMP", "DUB", 10, 5)
    assert (await getting).available == 10


@pytest.mark.asyncio
async def test_ring_fences_leave_a_channel_its_own_and_what_is_fenced_for_nobody(world: World) -> None:
    """DUB has 7 unreserved units, at least 2 of which stay there."""
    world.fence("LAMP", "DUB", "market", 4)
    world.fence("LAMP", "DUB", "till", 2)
    answer = {p.location: p for p in (await world.get()).positions}["DUB"]
    assert (answer.available, answer.fenced, answer.own_fence) == (1, 6, 0)
    assert list(answer.reasons) == [SAFETY, RESERVED, FENCE]
    answer = {p.location: p for p in (await world.get(channel="market")).positions}["DUB"]
    assert (answer.available, answer.fenced, answer.own_fence) == (4, 2, 4)
    assert list(answer.reasons) == [SAFETY, RESERVED, FENCE]
    assert (await world.get(channel="market")).available == 4
    world.fence("LAMP", "DUB", "market", 6)
    answer = {p.location: p for p in (await world.get(channel="market")).positions}["DUB"]
    assert (answer.available, list(answer.reasons)) == (5, [SAFETY, RESERVED])
    assert list((await world.batch(skus=["LAMP"], channel="market")).available) == [5]
    step = world.availability.open_stream(refused)
    query = pb.StreamAvailabilityRequest(sku="LAMP", channel="market").SerializeToString()
    assert pb.StreamAvailabilityResponse.FromString(step(query)).available == 5


@pytest.mark.asyncio
async def test_fenced_units_of_a_hold_that_is_over_are_kept_for_their_channel(world: World) -> None:
    """Of DUB's 10 units 6 are held, 4 of them out of the ring-fence of market; the hold is over, and not swept."""
    world.write("LAMP", position_row("LAMP", "DUB", 10, 6) + hold_row(1, "LAMP", "DUB", 6, SECOND, 4, "market"))
    of = {p.location: p for p in (await world.get(group="north")).positions}["DUB"]
    assert (of.available, of.reserved, of.fenced) == (6, 0, 4)
    of = {p.location: p for p in (await world.get(group="north", channel="market")).positions}["DUB"]
    assert (of.available, of.own_fence) == (4, 4)


@pytest.mark.asyncio
async def test_an_ignored_reservation_gives_its_units_back_to_their_ring_fences(world: World) -> None:
    """Pegged and backordered units are not among the reserved ones, so they free nothing."""
    allocations = (
        Allocation("DUB", 3, fenced=2, fence_channel="market"),
        Allocation("DUB", 1, fenced=1, fence_channel="till"),
        Allocation("DUB", 5, receipt_id="PO1", due_day=TODAY),
        Allocation("DUB", 5, backordered=True),
    )
    line = ReservationLine("l1", "LAMP", 14, Fulfilment.ANY, Destination(), allocations)
    world.store.reservations["r1"] = Reservation("r1", ReservationState.CONFIRMED, "market", START_MS, 0, 1, (line,))
    world.stock("LAMP", "DUB", 10, 9)
    world.fence("LAMP", "DUB", "market", 1)
    of = {p.location: p for p in (await world.get(channel="market", ignore_reservation_id="r1")).positions}["DUB"]
    assert (of.available, of.reserved, of.fenced, of.own_fence) == (3, 5, 1, 3)
    of = {p.location: p for p in (await world.get(ignore_reservation_id="r1")).positions}["DUB"]
    assert (of.available, of.reserved, of.fenced, of.own_fence) == (1, 5, 4, 0)
    of = {p.location: p for p in (await world.get(channel="market")).positions}["DUB"]
    assert (of.available, of.reserved, of.fenced, of.own_fence) == (0, 9, 0, 1)


def day(answer: pb.GetAvailabilityResponse) -> tuple[int, int] | None:
    """Days from today and units of the next receipt."""
    if not answer.HasField("next_receipt"):
        return None
    date = answer.next_receipt.date
    since_1970 = dt.date(date.year, date.month, date.day) - dt.date(1970, 1, 1)
    return since_1970.days - TODAY, answer.next_receipt.quantity


@pytest.mark.asyncio
async def test_the_next_receipt_is_the_earliest_day_with_units_that_are_promised_to_nobody(world: World) -> None:
    assert day(await world.get()) is None
    world.expect("LAMP", "DUB", "PO1", TODAY + 9, 5)
    world.expect("LAMP", "AMS1", "PO2", TODAY + 4, 6, 6)  # all promised
    world.expect("LAMP", "AMS1", "PO3", TODAY + 7, 6, 2)
    world.expect("LAMP", "BER", "PO4", TODAY + 7, 3)
    world.expect("LAMP", "XXX", "PO5", TODAY + 1, 50)  # not the channel's
    world.expect("LAMP", "CDG", "PO6", TODAY + 1, 50)  # switched off
    world.expect("LAMP", "DUB", "", 0, 0, 8)  # backordered
    world.expect("CHAIR", "DUB", "PO7", TODAY + 1, 50)
    assert day(await world.get()) == (7, 7)
    assert day(await world.get(group="north")) == (9, 5)
    assert day(await world.get(fulfilment=common_pb2.FULFILMENT_SHIP)) == (7, 4)
    assert day(await world.get(channel="app")) is None


@pytest.mark.asyncio
async def test_a_receipt_is_expected_today_until_the_day_is_over_and_then_tomorrow(world: World) -> None:
    world.expect("LAMP", "DUB", "PO1", TODAY, 5)
    assert day(await world.get()) == (0, 5)
    world.expect("LAMP", "DUB", "PO1", TODAY - 1, 5)
    world.expect("LAMP", "DUB", "PO2", TODAY - 900, 2)
    world.expect("LAMP", "DUB", "PO3", TODAY + 1, 1)
    assert day(await world.get()) == (1, 8)


@pytest.mark.asyncio
async def test_a_sku_that_is_only_expected_is_known(world: World) -> None:
    world.expect("SOON", "DUB", "PO1", TODAY + 3, 5)
    answer = await world.get(sku="SOON")
    assert (answer.available, answer.level, len(answer.positions), day(answer)) == (0, pb.LEVEL_OUT, 0, (3, 5))
    partition = partition_of("SOON", PARTITIONS)
    assert answer.consistency_token == encode_token(STORE_ID, [(partition, world.replica.applied[partition])])
    for totals_only in (False, True):
        batch = await world.batch(skus=["NOBODY", "SOON", "LAMP"], totals_only=totals_only)
        assert (list(batch.status), list(batch.available)) == ([2, 1, 1], [0, 0, 10])
    step = world.availability.open_stream(refused)
    query = pb.StreamAvailabilityRequest(sku="SOON", channel="web").SerializeToString()
    assert pb.StreamAvailabilityResponse.FromString(step(query)) == pb.StreamAvailabilityResponse(
        level=pb.LEVEL_OUT, status=1
    )
    world.expect("SOON", "DUB", "PO1", 0, 0)
    with pytest.raises(UnknownSku):
        await world.get(sku="SOON")


@pytest.mark.asyncio
async def test_more_receipts_than_int64_holds_are_told_as_the_most(world: World) -> None:
    for n in range(600):
        world.expect("LAMP", "DUB", f"PO{n}", TODAY, 2**53 - 1)
    assert day(await world.get()) == (0, 2**62)


names = st.sampled_from(["AMS1", "BER", "CDG", "DUB", "XXX"])
counts = st.integers(0, 12)
fences = st.dictionaries(st.sampled_from(["web", "market", "till"]), st.integers(0, 6), max_size=3)
changes = st.lists(st.tuples(st.sampled_from(["LAMP", "CHAIR", "DESK"]), names, counts, counts, fences), max_size=25)
questions = st.fixed_dictionaries(
    {},
    optional={
        "locations": st.lists(names, max_size=4),
        "fulfilment": st.integers(0, 3),
        "channel": st.sampled_from(["web", "market", "app"]),
    },
)


@given(changes, questions)
def test_every_answer_agrees_with_the_definition(
    written: list[tuple[str, str, int, int, dict[str, int]]], question: dict[str, object]
) -> None:
    """Over network, rules and replica: get, batch and stream tell the same, which is what semantics say."""
    world, state = World(), reference.State()
    for sku, location, on_hand, reserved, fenced in written:
        rows = position_row(sku, location, on_hand, reserved)
        rows += "".join(fence_row(sku, location, name, units) for name, units in fenced.items())
        world.write(sku, rows)
        reference.apply_rows(state, 0, 1, rows)
    network = world.networks.current
    assert network is not None
    for (sku, location), (units, parts) in network.position_safety.items():
        if sku in state.skus:
            reference.raise_safety(state, sku, location, units, parts)
    for sku, (units, parts) in network.sku_safety.items():
        if sku in state.skus:
            reference.raise_safety(state, sku, None, units, parts)
    channel = str(question.get("channel", "web"))
    asker = reference.Asker(channel, network.channel(channel).borrows)
    fulfilment = list(Fulfilment)[int(str(question.get("fulfilment", 0)))]
    numbers = {"LOCATION_DISABLED": DISABLED, "NOT_IN_CHANNEL": NOT_IN_CHANNEL, "CANNOT_FULFIL": CANNOT}
    numbers["CHANNEL_DISABLED"] = CHANNEL_OFF
    selection = {
        name: Asked(*network.place_safety(channel, name), numbers.get(network.why_not(channel, name, fulfilment), 0))
        for name in network.asked(channel, locations=question.get("locations", ()))  # type: ignore[arg-type]
    }

    thresholds = dict.fromkeys(("", *selection), network.channel(channel).low_stock_threshold)

    async def check() -> None:
        batch = await world.batch(skus=["LAMP", "CHAIR", "DESK"], **question)
        at = 0
        for i, sku in enumerate(("LAMP", "CHAIR", "DESK")):
            rows = {
                batch.locations[batch.location_index[n]]: batch.location_available[n]
                for n in range(at, at + batch.row_counts[i])
            }
            at += batch.row_counts[i]
            assert reference.available_rows(state, [sku], selection, asker) == [rows]
            assert reference.available_totals(state, [sku], selection, asker) == [(batch.status[i], batch.available[i])]
            if sku in state.skus:
                message: Message = reference.answer_availability(state, sku, selection, thresholds, None, asker)
                answer = await world.get(sku=sku, **question)
                answer.ClearField("consistency_token")
                answer.ClearField("staleness")
                assert message == answer

    asyncio.run(check())
