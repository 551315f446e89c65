"""ExplainAvailability: its terms add up to what GetAvailability says, and everything that it names is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.domain.orders import Allocation, Destination, Fulfilment, Reservation, ReservationLine, ReservationState
from invengine.domain.partitions import encode_token, partition_of
from invengine.domain.stock import LedgerEntry, Position
from invengine.errors import InvalidArgument, InventoryError, UnknownChannel, UnknownLocation, UnknownSku
from invengine.rpc.convert_explanation import explained_to_proto
from invengine.services import explanations
from invengine.services.explanations import Explained, Explanations
from invengine.store.behind import HeldUnits
from invengine.v1 import availability_service_pb2 as pb
from tests.replica.fakes import PARTITIONS, START_MS, STORE_ID, fence_row, hold_row, position_row
from tests.services.test_availability import NETWORK, SECOND, TODAY, Store, World

HELD, CONFIRMED, EXPIRED = ReservationState.HELD, ReservationState.CONFIRMED, ReservationState.EXPIRED


@dataclass(frozen=True)
class Hold:
    """Units that one line of one reservation has at one place; `expires_at` 0: it is confirmed."""

    reservation_id: str
    location: str
    units: int
    expires_at: int
    fenced: int = 0
    channel: str = "web"
    sku: str = "LAMP"

    @property
    def state(self) -> ReservationState:
        return HELD if self.expires_at else CONFIRMED

    @property
    def is_over(self) -> bool:
        return bool(self.expires_at) and self.expires_at <= SECOND


class ExplainStore(Store):
    """What an explanation asks of a store, told from the replica and a list of holds; `moves` is called by `behind`."""

    def __init__(self, world: World) -> None:
        super().__init__(world.replica)
        self.world = world
        self.holds: list[Hold] = []
        self.complete = True
        self.moves = iter(())
        self.looks = 0

    async def positions(self, sku: str) -> dict[str, Position]:
        columns = self.world.replica.columns
        found = {}
        for at, place, on_hand, reserved, _, revision in columns.all_positions():
            if at == sku:
                found[place] = Position(on_hand, reserved, revision)
        return found

    async def behind(self, reserved: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[list[HeldUnits], bool]]:
        self.looks += 1
        found: dict[str, tuple[list[HeldUnits], bool]] = {sku: ([], self.complete) for sku in reserved}
        for n, h in enumerate(self.holds):
            if h.location in reserved.get(h.sku, ()):
                at = START_MS + n
                held = HeldUnits(h.reservation_id, "web", h.state, at, h.expires_at, "1", h.location, h.units, h.fenced)
                found[h.sku][0].append(held)
        next(self.moves, None)
        return found

    async def last_changes(self, sku: str, revisions: Mapping[str, int]) -> dict[str, LedgerEntry]:
        return {
            place: LedgerEntry(place, "COUNT", "dock", "e1", "", "", START_MS, START_MS, 0, 1, 0, 0, revision, sku, 1)
            for place, revision in revisions.items()
        }


class Explaining:
    """The service over a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = ExplainStore(world)
        world.store = self.store
        world.availability._store = self.store
        networks = SimpleNamespace(
            current=world.networks.current, required=lambda: world.networks.current or pytest.fail("no network")
        )
        self.networks = networks
        self.service = Explanations(world.replica, cast(Any, self.store), world.clock, cast(Any, networks))

    def use(self, document: str) -> None:
        self.world.use(document)
        self.networks.current = self.world.networks.current

    def holds(
        self, sku: str, location: str, on_hand: int, *holds: Hold, fences: Mapping[str, int] | None = None
    ) -> None:
        """A position with all that holds its units, as the log would tell it."""
        rows = position_row(sku, location, on_hand, sum(hold.units for hold in holds))
        rows += "".join(fence_row(sku, location, channel, units) for channel, units in (fences or {}).items())
        for hold in holds:
            if hold.expires_at:
                leg = len(self.store.holds) + 1
                rows += hold_row(leg, sku, location, hold.units, hold.expires_at, hold.fenced, hold.channel)
            self.store.holds.append(hold)
        self.world.write(sku, rows)

    async def explain(self, **fields: Any) -> Explained:
        request = pb.ExplainAvailabilityRequest(**{"sku": "LAMP", "channel": "web", **fields})
        return await self.service.explain(request, None)


@pytest.fixture
def engine() -> Explaining:
    return Explaining(World())


# --- the sums -------------------------------------------------------------------------------------------------------

PLACES = ("AMS1", "BER", "CDG", "DUB")
CHANNELS = ("web", "app", "off")
few = st.integers(0, 12)
safety = st.one_of(
    st.fixed_dictionaries({"units": few}),
    st.fixed_dictionaries({"percent": st.sampled_from([0, 12.5, 33.33, 100])}),
    st.fixed_dictionaries({"units": few, "percent": st.sampled_from([10, 50])}),
)
scopes = st.sampled_from(
    [
        *({"sku": "LAMP", "location": place} for place in PLACES),
        {"sku": "LAMP"},
        {"sku": "SOFA"},
        *({"location": place} for place in PLACES),
        *({"channel": channel} for channel in CHANNELS),
    ]
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    """YAML is JSON and more."""
    locations = {
        place: {
            "kind": draw(st.sampled_from(["warehouse", "store"])),
            "enabled": draw(st.integers(0, 5)) > 0,
            "fulfilments": draw(st.sampled_from([["ship"], ["pickup"], ["ship", "pickup"], []])),
        }
        for place in PLACES
    }
    members = st.lists(st.sampled_from(PLACES), min_size=1, unique=True)
    groups = {"g1": draw(members), "g2": draw(members)}
    channels = {
        name: {
            "groups": draw(st.sampled_from([["g1"], ["g2"], ["g1", "g2"]])),
            "borrow": draw(st.booleans()),
            "enabled": name != "off",
            "low_stock_threshold": draw(few),
        }
        for name in CHANNELS
    }
    rules = draw(st.lists(st.tuples(scopes, safety), max_size=6, unique_by=lambda rule: json.dumps(rule[0])))
    return json.dumps(
        {
            "locations": locations,
            "groups": groups,
            "channels": channels,
            "safety_stock": [scope | amount for scope, amount in rules],
        }
    )


@st.composite
def stocks(draw: st.DrawFn) -> dict[str, tuple[int, list[Hold], dict[str, int]]]:
    """By location: on hand, what holds units, ring-fences."""
    found = {}
    expiries = st.sampled_from([0, SECOND - 5, SECOND, SECOND + 5])
    expires_of_r1 = draw(expiries)  # a reservation is over as a whole
    for place in draw(st.lists(st.sampled_from(PLACES), unique=True)):
        holds = []
        for n in range(draw(st.integers(0, 4))):
            units = draw(st.integers(1, 5))
            fenced = draw(st.integers(0, units))
            name = draw(st.sampled_from(["R1", f"{place}-{n}"]))
            expires = expires_of_r1 if name == "R1" else draw(expiries)
            holds.append(Hold(name, place, units, expires, fenced, draw(st.sampled_from(CHANNELS)) if fenced else ""))
        fences = draw(st.dictionaries(st.sampled_from(CHANNELS), st.integers(1, 9), max_size=3))
        found[place] = (draw(st.integers(0, 30)), holds, fences)
    return found


def live(holds: list[Hold], but: str = "") -> int:
    return sum(hold.units for hold in holds if not hold.is_over and hold.reservation_id != but)


@settings(max_examples=150)
@given(
    networks(),
    stocks(),
    st.sampled_from(CHANNELS),
    st.sampled_from([0, 1, 2, 3]),
    st.one_of(st.just([]), st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)),
    st.booleans(),
)
def test_terms_add_up_to_what_get_availability_says(
    document: str,
    stock: dict[str, tuple[int, list[Hold], dict[str, int]]],
    channel: str,
    fulfilment: int,
    named: list[str],
    ignores: bool,
) -> None:
    """And to the plain formula, from the fields of the answer alone."""
    world = World()
    world.use(document)
    world.stock("LAMP", "XXX", 1)  # so that the SKU is known
    engine = Explaining(world)
    for place, (on_hand, holds, fences) in stock.items():
        engine.holds("LAMP", place, on_hand, *holds, fences=fences)
    r1 = [hold for hold in engine.store.holds if hold.reservation_id == "R1"]
    if r1:
        state, expires_at = r1[0].state, r1[0].expires_at
        ours = tuple(Allocation(h.location, h.units, fenced=h.fenced, fence_channel=h.channel) for h in r1)
        line = ReservationLine("1", "LAMP", 9, Fulfilment.ANY, Destination(), ours)
        engine.store.reservations["R1"] = Reservation("R1", state, "web", START_MS, expires_at, 1, (line,))
    fields = {"channel": channel, "fulfilment": fulfilment, "locations": named}
    if ignores:
        fields["ignore_reservation_id"] = "R1"

    async def both() -> tuple[pb.ExplainAvailabilityResponse, pb.GetAvailabilityResponse]:
        return explained_to_proto(await engine.explain(**fields)), await world.get(**fields)

    explained, got = asyncio.run(both())
    assert (explained.available, explained.level) == (got.available, got.level)
    assert explained.settled
    told = {position.location: position for position in explained.positions}
    assert set(told) == {position.location for position in got.positions} | set(named)
    for its in got.positions:
        position = told[its.location]
        assert sum(term.quantity for term in position.terms) == position.available == its.available
        assert (position.on_hand, position.safety_stock) == (its.on_hand, its.safety_stock)
        assert list(position.reasons) == list(its.reasons)
        assert position.own_fence == its.own_fence
        assert sum(fence.quantity for fence in position.ring_fences) == its.fenced + its.own_fence
        assert formula(position) == its.available
        assert position.usable == (not set(position.reasons) & {1, 2, 3, 7})
    for place, (_, holds, _) in stock.items():
        if place in told:
            assert told[place].reserved == live(holds)
            assert sum(r.quantity for r in told[place].reservations if r.state != 5) == live(holds)


def formula(position: pb.PositionExplanation) -> int:
    """The number, worked out anew from what the answer shows."""
    if not position.usable:
        return 0
    counted = sum(one.quantity for one in position.reservations if one.counts)
    unreserved = position.on_hand - counted
    keeps = max([rule.keeps for rule in position.safety_rules if rule.wins], default=0)
    assert keeps == max([rule.keeps for rule in position.safety_rules], default=0)
    assert position.pool == unreserved - sum(fence.quantity for fence in position.ring_fences)
    limit = position.own_fence + (max(0, position.pool) if position.borrows else 0)
    return max(0, min(unreserved - keeps, limit))


# --- kits -----------------------------------------------------------------------------------------------------------

PARTS = ("LAMP", "CHAIR", "NEVER")


@settings(max_examples=100)
@given(
    networks(),
    st.dictionaries(st.sampled_from(PARTS), st.integers(1, 4), min_size=1),
    st.tuples(stocks(), stocks()),
    st.sampled_from(CHANNELS),
    st.sampled_from([0, 1, 2, 3]),
    st.one_of(st.just([]), st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)),
    st.booleans(),
)
def test_the_number_of_a_kit_follows_from_the_terms_of_its_components(
    document: str,
    kit: dict[str, int],
    stock: tuple[dict[str, tuple[int, list[Hold], dict[str, int]]], ...],
    channel: str,
    fulfilment: int,
    named: list[str],
    ignores: bool,
) -> None:
    """It is what GetAvailability says, whatever stands in the way of each component."""
    world = World()
    world.use(json.dumps(json.loads(document) | {"kits": {"SET": kit}}))
    engine = Explaining(world)
    for sku, of_sku in zip(PARTS, stock, strict=False):  # of NEVER there is nothing
        for place, (on_hand, holds, fences) in of_sku.items():
            engine.holds(sku, place, on_hand, *(replace(hold, sku=sku) for hold in holds), fences=fences)
    r1 = [hold for hold in engine.store.holds if hold.reservation_id == "R1" and not hold.is_over]
    lines = tuple(
        ReservationLine(
            str(n),
            hold.sku,
            hold.units,
            Fulfilment.ANY,
            Destination(),
            (Allocation(hold.location, hold.units, fenced=hold.fenced, fence_channel=hold.channel),),
        )
        for n, hold in enumerate(r1)
    )
    engine.store.reservations["R1"] = Reservation("R1", CONFIRMED, "web", START_MS, 0, 1, lines)
    fields = {"sku": "SET", "channel": channel, "fulfilment": fulfilment, "locations": named}
    if ignores:
        fields["ignore_reservation_id"] = "R1"

    async def both() -> tuple[pb.ExplainAvailabilityResponse, pb.GetAvailabilityResponse]:
        return explained_to_proto(await engine.explain(**fields)), await world.get(**fields)

    explained, got = asyncio.run(both())
    assert (explained.available, explained.level, explained.settled) == (got.available, got.level, True)
    assert list(explained.components) == list(got.components)
    told = {position.location: position for position in explained.positions}
    assert set(told) == {position.location for position in got.positions} | set(named)
    for position in told.values():
        assert [(its.sku, its.units) for its in position.components] == list(kit.items())
        for its in position.components:
            assert its.position.location == position.location
            assert formula(its.position) == sum(term.quantity for term in its.position.terms) == its.position.available
        whole = [formula(its.position) // its.units for its in position.components]
        assert [its.kits for its in position.components] == whole
        assert position.available == min(whole) == sum(term.quantity for term in position.terms)
        limiting = position.components[whole.index(min(whole))]
        assert (position.limiting_component, position.usable) == (limiting.sku, limiting.position.usable)
    for its in got.positions:
        position = told[its.location]
        assert (position.available, position.on_hand) == (its.available, its.on_hand)
        assert (position.limiting_component, list(position.reasons)) == (its.limiting_component, list(its.reasons))
    assert sum(position.available for position in explained.positions) == explained.available


@pytest.mark.asyncio
async def test_a_kit_is_explained_where_a_component_is_or_is_expected_and_where_it_is_asked(engine: Explaining) -> None:
    engine.use(NETWORK + "kits: {SET: {LAMP: 2, CHAIR: 1}}\nlow_stock_thresholds: [{sku: SET, units: 1}]\n")
    engine.world.stock("LAMP", "AMS1", 9)
    engine.world.stock("CHAIR", "AMS1", 2)
    engine.world.expect("CHAIR", "DUB", "PO1", TODAY + 1, 5)
    told = explained_to_proto(await engine.explain(sku="SET"))
    assert [(p.location, p.available, p.limiting_component) for p in told.positions] == [
        ("AMS1", 2, "CHAIR"),
        ("DUB", 0, "LAMP"),
    ]
    assert (told.level, told.low_stock_threshold) == (pb.LEVEL_IN_STOCK, 1)
    (term,) = told.positions[0].terms
    assert (term.name, term.quantity, term.rule) == ("limiting_component", 2, "2 CHAIR can be taken, 1 for each kit")
    expected = told.positions[1].components[1].position.incoming
    assert [(receipt.receipt_id, receipt.quantity) for receipt in expected] == [("PO1", 5)]
    (named,) = explained_to_proto(await engine.explain(sku="SET", locations=["BER"])).positions
    assert (named.location, named.available, len(named.components)) == ("BER", 0, 2)
    homes = sorted({partition_of(sku, PARTITIONS) for sku in ("LAMP", "CHAIR")})
    assert told.consistency_token == encode_token(STORE_ID, [(n, engine.world.replica.applied[n]) for n in homes])


@pytest.mark.asyncio
async def test_all_components_of_a_kit_are_told_as_they_are_at_one_moment(engine: Explaining) -> None:
    engine.use(NETWORK + "kits: {SET: {LAMP: 1, CHAIR: 1}}\n")
    engine.world.stock("LAMP", "AMS1", 9)
    engine.world.stock("CHAIR", "AMS1", 9)

    def moves() -> Any:
        engine.holds("CHAIR", "AMS1", 9, Hold("A", "AMS1", 4, 0, sku="CHAIR"))
        yield
        while True:
            engine.world.stock("LAMP", "AMS1", 9)
            yield

    engine.store.moves = iter((None,))
    assert (await engine.explain(sku="SET")).settled
    engine.store.moves, engine.store.looks = moves(), 0
    explained = await engine.explain(sku="SET")
    assert (engine.store.looks, explained.settled) == (explanations.ROUNDS_MAX, False)
    chair = explained.kits[0].positions[1]
    assert [(held.held.reservation_id, held.held.units) for held in chair.holders] == [("A", 4)]
    assert (explained.available, chair.available) == (5, 5)


@pytest.mark.asyncio
async def test_the_positions_of_a_kit_are_bounded_with_all_its_components(
    engine: Explaining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "EXPLAINED_MAX", 3)
    engine.use(NETWORK + "kits: {SET: {LAMP: 1, CHAIR: 2}}\n")
    for sku in ("LAMP", "CHAIR"):
        engine.world.stock(sku, "AMS1", 8)
        engine.world.stock(sku, "DUB", 5)
    told = explained_to_proto(await engine.explain(sku="SET"))
    assert [(position.location, position.available) for position in told.positions] == [("AMS1", 4)]
    assert (told.positions_left_out, told.available_left_out, told.available) == (1, 2, 6)
    assert [(part.sku, part.available) for part in told.components] == [("LAMP", 6 + 3), ("CHAIR", 8 + 4)]


# --- what stands beside the sums ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_hold_that_is_over_is_shown_and_does_not_count(engine: Explaining) -> None:
    engine.holds(
        "LAMP",
        "DUB",
        10,
        Hold("over", "DUB", 3, SECOND, 2, "app"),
        Hold("live", "DUB", 2, SECOND + 1),
        Hold("sure", "DUB", 1, 0),
    )
    (position,) = (await engine.explain(locations=["DUB"])).positions
    assert [(h.held.reservation_id, h.state, h.counts) for h in position.holders] == [
        ("sure", CONFIRMED, True),
        ("live", HELD, True),
        ("over", EXPIRED, False),
    ]
    assert (position.known.reserved, position.known.expired) == (3, 3)
    assert {term.name: term.quantity for term in position.terms}["expired_holds"] == 3
    assert position.ring_fences == (("app", 2),)  # what it took out is back


@pytest.mark.asyncio
async def test_the_list_of_reservations_is_bounded_and_says_how_many_more(engine: Explaining) -> None:
    engine.holds("LAMP", "DUB", 100, *(Hold(f"R{n:02}", "DUB", n + 1, 0) for n in range(30)))
    explained = await engine.explain(locations=["DUB"], reservations_max=3)
    (position,) = explained.positions
    assert [holder.held.reservation_id for holder in position.holders] == ["R29", "R28", "R27"]  # the newest
    assert (position.unlisted_lines, position.unlisted_units) == (27, sum(range(1, 28)))
    assert len((await engine.explain(locations=["DUB"])).positions[0].holders) == 20
    assert explained.complete
    engine.store.complete = False
    assert not (await engine.explain()).complete


@pytest.mark.asyncio
async def test_units_that_nobody_accounts_for_are_told(engine: Explaining) -> None:
    engine.world.stock("LAMP", "DUB", 10, 4)
    (position,) = (await engine.explain(locations=["DUB"])).positions
    assert (position.holders, position.unlisted_lines, position.unlisted_units) == ((), 0, 4)


@pytest.mark.asyncio
async def test_what_moves_while_it_is_looked_at_is_looked_at_again(engine: Explaining) -> None:
    engine.holds("LAMP", "DUB", 10, Hold("A", "DUB", 1, 0))

    def moves() -> Any:
        engine.holds("LAMP", "DUB", 10, Hold("B", "DUB", 2, 0))
        engine.world.stock("LAMP", "DUB", 10, 3)
        yield

    engine.store.moves = moves()
    explained = await engine.explain(locations=["DUB"])
    assert explained.settled
    assert engine.store.looks == 2
    assert sum(holder.held.units for holder in explained.positions[0].holders) == 3


@pytest.mark.asyncio
async def test_what_never_stands_still_is_told_as_such(engine: Explaining) -> None:
    engine.world.stock("LAMP", "DUB", 10)

    def moves() -> Any:
        while True:
            engine.world.stock("LAMP", "DUB", 10)
            yield

    engine.store.moves = moves()
    explained = await engine.explain(locations=["DUB"])
    assert not explained.settled
    assert (engine.store.looks, explained.available) == (explanations.ROUNDS_MAX, 8)  # 10 less safety of 2


@pytest.mark.asyncio
async def test_named_locations_and_those_where_units_are_expected_are_explained(engine: Explaining) -> None:
    engine.world.stock("LAMP", "AMS1", 4)
    engine.world.expect("LAMP", "DUB", "PO1", TODAY - 1, 5, 2)
    engine.world.expect("LAMP", "BER", "", 0, 0, 3)
    told = explained_to_proto(await engine.explain())
    assert [(p.location, p.revision > 0, p.backordered) for p in told.positions] == [
        ("AMS1", True, 0),
        ("BER", False, 3),
        ("DUB", False, 0),
    ]
    (receipt,) = told.positions[2].incoming
    assert (receipt.receipt_id, receipt.quantity, receipt.pegged, receipt.overdue) == ("PO1", 5, 2, True)
    (named,) = (await engine.explain(locations=["CDG"])).positions
    assert (named.known.location, named.why_not, named.available) == ("CDG", "LOCATION_DISABLED", 0)


@pytest.mark.asyncio
async def test_only_so_many_positions_are_explained_and_all_are_counted(
    engine: Explaining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "EXPLAINED_MAX", 1)
    engine.world.stock("LAMP", "AMS1", 4)
    engine.world.stock("LAMP", "DUB", 10)
    explained = await engine.explain()
    assert [position.known.location for position in explained.positions] == ["AMS1"]
    assert (explained.left_out, explained.available_left_out, explained.available) == (1, 8, 10)


@pytest.mark.asyncio
async def test_the_last_change_is_told_while_the_log_has_it(engine: Explaining) -> None:
    engine.world.stock("LAMP", "DUB", 10)
    position = explained_to_proto(await engine.explain(locations=["DUB"])).positions[0]
    assert (position.last_change.actor, position.last_change.revision) == ("dock", position.revision)

    async def trimmed(sku: str, revisions: Mapping[str, int]) -> dict[str, LedgerEntry]:
        return {}

    engine.store.last_changes = trimmed  # type: ignore[method-assign]
    position = explained_to_proto(await engine.explain(locations=["DUB"])).positions[0]
    assert not position.HasField("last_change")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"sku": ""}, InvalidArgument, "sku"),
        ({"sku": "NOBODY"}, UnknownSku, "NOBODY"),
        ({"channel": ""}, InvalidArgument, "channel"),
        ({"channel": "nobody"}, UnknownChannel, "nobody"),
        ({"locations": ["MARS"]}, UnknownLocation, "MARS"),
        ({"group": "eu", "locations": ["AMS1"]}, InvalidArgument, "not together"),
        ({"fulfilment": 9}, InvalidArgument, "fulfilment"),
        ({"reservations_max": 101}, InvalidArgument, "reservations_max"),
        ({"reservations_max": -1}, InvalidArgument, "reservations_max"),
    ],
)
async def test_bad_questions_are_refused_by_name(
    engine: Explaining, fields: dict[str, Any], error: type[InventoryError], match: str
) -> None:
    engine.world.stock("LAMP", "DUB", 10)
    with pytest.raises(error, match=match):
        await engine.explain(**fields)
