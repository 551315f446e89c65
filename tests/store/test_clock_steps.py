"""Redis's clock is set by an hour: holds go on by the time that the servers say, and so does all that is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from invengine.domain.orders import ReservationState
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import InsufficientStock, ReservationExpired
from invengine.store import keys
from invengine.store.redis_store import Atomicity
from tests.store.making import change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

HOUR_MS = 3_600_000
STEPS = pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS], ids=["back", "forward"])
SKUS = ("LAMP", "SOFA", "BED")  # three partitions


class Stepping:
    """A store whose servers say the time while Redis's clock is set. `says` is the time as a call says it."""

    def __init__(self, world: World) -> None:
        self.world, self.store, self.clock = world, world.store, world.clock
        self.says = 0
        self.store.go_by(lambda: self.says)

    async def pass_by(self, milliseconds: int) -> None:
        """Time passes, for the servers and for Redis."""
        self.says += milliseconds
        await self.clock.advance(milliseconds)

    async def step(self, step_ms: int) -> None:
        """Redis's clock is set, and the servers go on as before."""
        self.says = self.clock.now_ms
        await self.clock.advance(step_ms)

    async def hold(self, seconds: int = 60) -> ReservationAnswer:
        """All ten units of each SKU."""
        lines = [line(10, sku=sku, line_id=str(n)) for n, sku in enumerate(SKUS, 1)]
        (answer,) = (
            await self.store.reserve([request(*lines, reservation_id="R", time_to_live_seconds=seconds)])
        ).outcomes
        assert isinstance(answer, ReservationAnswer), answer
        return answer

    async def sweep(self) -> list[str]:
        """What a round of the sweeper expires."""
        found = []
        for partition in range(self.store.partitions):
            written, more = await self.store.expire_due(partition)
            assert not more
            found += written.outcomes
        return found

    async def reserve_one(self) -> Any:
        return (await self.store.reserve([request(line(1, sku="SOFA"))])).outcomes[0]

    async def confirm(self) -> Any:
        return (await self.store.confirm([change("R")])).outcomes[0]

    async def newest_log(self, partition: int) -> int:
        ((_, fields),) = await self.world.client.xrevrange(keys.log(partition), count=1)
        return int(fields[b"at"])


@pytest_asyncio.fixture(params=list(Atomicity), ids=lambda atomicity: atomicity.name.lower())
async def stepping(open_world: Callable[..., Awaitable[World]], request: pytest.FixtureRequest) -> Stepping:
    """10 units of each SKU; the time is known to the servers."""
    world = await open_world(atomicity=request.param)
    made = Stepping(world)
    await made.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms, sku=sku) for sku in SKUS])
    made.says = world.clock.now_ms
    return made


@STEPS
async def test_a_hold_lives_as_long_as_it_was_given_when_redis_is_set(stepping: Stepping, step_ms: int) -> None:
    await stepping.hold()
    await stepping.step(step_ms)
    await stepping.pass_by(59_000)
    assert await stepping.sweep() == []
    assert isinstance(await stepping.reserve_one(), InsufficientStock)
    confirmed = await stepping.confirm()
    assert confirmed.reservation.state is ReservationState.CONFIRMED


@STEPS
async def test_a_hold_ends_in_its_time_when_redis_is_set(stepping: Stepping, step_ms: int) -> None:
    made = await stepping.hold()
    await stepping.step(step_ms)
    await stepping.pass_by(61_000)
    refused = await stepping.confirm()
    assert isinstance(refused, ReservationExpired)
    assert refused.expired_at == made.reservation.expires_at
    assert isinstance(await stepping.reserve_one(), ReservationAnswer)
    assert (await stepping.store.reservation("R")).state is ReservationState.EXPIRED


@STEPS
async def test_the_sweeper_ends_a_hold_in_its_time_when_redis_is_set(stepping: Stepping, step_ms: int) -> None:
    await stepping.hold()
    await stepping.step(step_ms)
    await stepping.pass_by(61_000)
    assert await stepping.sweep() == ["R"]


@STEPS
async def test_what_is_recorded_and_answered_goes_by_the_same_time(stepping: Stepping, step_ms: int) -> None:
    await stepping.step(step_ms)
    made = (await stepping.hold()).reservation
    assert made.created_at_ms == stepping.says
    assert made.expires_at == -(-stepping.says // 1000) + 60
    written = await stepping.store.confirm([change("R")])
    assert written.now_ms == stepping.says
    for partition in written.revisions:
        assert await stepping.newest_log(partition) == stepping.says
    entries, _ = await stepping.store.ledger("LAMP")
    assert (entries[0].recorded_at_ms, entries[0].occurred_at_ms) == (stepping.says, stepping.says)


@STEPS
async def test_a_listing_tells_the_state_by_the_same_time(stepping: Stepping, step_ms: int) -> None:
    await stepping.hold()
    await stepping.step(step_ms)
    for passed, held in ((59_000, ["R"]), (2_000, [])):
        await stepping.pass_by(passed)
        found, _ = await stepping.store.list_reservations(state=ReservationState.HELD, limit=9)
        assert [reservation.reservation_id for reservation in found] == held


async def test_nothing_is_forgotten_when_redis_is_set_years_ahead(stepping: Stepping) -> None:
    await stepping.hold()
    await stepping.store.release([again := change("R")])
    await stepping.step(1000 * 24 * HOUR_MS)
    for partition in range(stepping.store.partitions):
        assert await stepping.store.forget_old(partition) == 0
    assert (await stepping.store.reservation("R")).state is ReservationState.RELEASED
    (repeated,) = (await stepping.store.release([again])).outcomes
    assert repeated.replayed


@pytest.mark.parametrize("difference_ms", [-60_000, 60_000])
async def test_up_to_a_minute_redis_is_right(stepping: Stepping, difference_ms: int) -> None:
    stepping.says = stepping.clock.now_ms + difference_ms
    assert (await stepping.hold(600)).reservation.created_at_ms == stepping.clock.now_ms
    stepping.says += difference_ms // 60_000
    assert (await stepping.store.confirm([change("R")])).now_ms == stepping.says


async def test_while_the_servers_lead_the_time_it_goes_before_redis_however_near(stepping: Stepping) -> None:
    now_ms = stepping.clock.now_ms + 30_000
    stepping.says = -now_ms
    assert (await stepping.hold()).reservation.created_at_ms == now_ms
    found, _ = await stepping.store.list_reservations(state=ReservationState.HELD, limit=9)
    assert len(found) == 1


async def test_servers_that_know_no_time_go_by_redis(stepping: Stepping) -> None:
    stepping.says = 0
    await stepping.clock.advance(HOUR_MS)
    assert (await stepping.hold()).reservation.created_at_ms == stepping.clock.now_ms


@STEPS
async def test_a_count_keeps_what_happened_after_it_by_the_clock_that_is_ahead(
    stepping: Stepping, step_ms: int
) -> None:
    """Feeds go by the right time, which may be the new one: what they say an hour ahead is found again."""
    await stepping.step(step_ms)
    latest = max(stepping.says, stepping.clock.now_ms)
    await stepping.store.post_movements([movement("RECEIPT", 3, latest + 1_000), movement("RECEIPT", 4, latest)])
    await stepping.pass_by(2_000)
    (counted,) = (await stepping.store.post_movements([movement("COUNT", 20, latest + 500)])).outcomes
    assert counted.on_hand == 23


@pytest.mark.parametrize("wrong", [b"", b"soon", b"1.5"])
async def test_a_time_that_is_none_is_refused(stepping: Stepping, wrong: bytes) -> None:
    await stepping.hold()
    _, message = stepping.store._packer.change([change("R")])
    with pytest.raises(ResponseError, match="not a time"):
        await stepping.world.client.fcall("invengine_confirm", 1, keys.log(0), message, wrong)


@STEPS
async def test_a_network_is_applied_at_the_same_time(stepping: Stepping, step_ms: int) -> None:
    await stepping.step(step_ms)
    await stepping.store.apply_network("document", None)
    assert int(await stepping.world.client.hget(keys.NETWORK, "applied_at_ms")) == stepping.says


@STEPS
async def test_profiles_are_put_and_made_active_at_the_same_time(stepping: Stepping, step_ms: int) -> None:
    await stepping.step(step_ms)
    profiles = stepping.store.profiles
    await profiles.put("web", "name: web", "print", actor="", request_id="r")
    activation, _ = await profiles.activate("web", ("web", 1), asked="web", actor="", request_id="r")
    (version,) = await profiles.versions([("web", 1)])
    assert (version.created_at_ms, activation.at_ms) == (stepping.says, stepping.says)
