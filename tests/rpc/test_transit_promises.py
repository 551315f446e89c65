"""Promises at a confidence: dated by what was learnt of the lane, on every server, and they say what that rests on."""

from __future__ import annotations

import asyncio

import pytest

from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_document import write_document
from invengine.v1 import network_service_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.rpc.engines import Stubs, engine
from tests.rpc.promised import NETWORK, basket, day_of, line

pytestmark = pytest.mark.asyncio

LANE = ("DC", "de-south", "standard")
"""Its stated transit is 2 days, and it works every day."""
DOCUMENT = write_document({LANE: Seen({1: 60, 2: 25, 3: 8, 6: 7})}, None)


async def learn(stubs: Stubs, document: str = DOCUMENT) -> None:
    await stubs.network.ApplyTransitTimes(
        network_service_pb2.ApplyTransitTimesRequest(request_id="t", document=document)
    )


async def promised(stubs: Stubs, **more: object) -> pb.GetPromiseResponse:
    """The answer for a lamp by the service `standard`."""
    return await stubs.promises.GetPromise(basket(line("LAMP"), services=["standard"], **more))


def transit(answer: pb.GetPromiseResponse) -> int:
    """Days from the day of shipping to that of delivery."""
    (part,) = answer.options[0].lines[0].allocations
    return (day_of(part.delivery_day) - day_of(part.ship_day)).days


async def test_a_confidence_picks_the_days_that_were_learnt(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        await stubs.receive("LAMP", 5)
        assert transit(await promised(stubs, confidence=0.95)) == 2  # nothing learnt yet: as it is stated
        await learn(stubs)
        answers = {one: transit(await promised(stubs, confidence=one)) for one in (0.5, 0.9, 0.95)}
        assert answers == {0.5: 1, 0.9: 3, 0.95: 6}
        assert transit(await promised(stubs)) == 2
        await learn(stubs, '{"version": 1, "lanes": {}}')
        assert transit(await promised(stubs, confidence=0.95)) == 2


async def test_every_server_promises_the_same(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        await stubs.receive("LAMP", 5)
        async with engine(redis_url) as (_, other):
            assert transit(await promised(other, confidence=0.95)) == 2
            await learn(stubs)
            async with asyncio.timeout(20):
                while transit(await promised(other, confidence=0.95)) != 6:
                    await asyncio.sleep(0.02)


async def test_a_promise_says_what_its_transit_rests_on(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        await stubs.receive("LAMP", 5)
        await learn(stubs)

        async def rule(**more: object) -> str:
            answer = await promised(stubs, explain=True, **more)
            steps = answer.options[0].lines[0].allocations[0].steps
            (arrived,) = [step for step in steps if step.kind == pb.ChainStep.KIND_ARRIVED]
            return arrived.rule

        assert await rule() == "2 days of transit"
        assert await rule(confidence=0.9) == (
            "3 days of transit; 93 % arrive within that, by 100 deliveries of the lane; stated are 2"
        )
        learnt_of_zone = write_document({("BER", *LANE[1:]): Seen({1: 100, 2: 100})}, None)
        await learn(stubs, learnt_of_zone)
        assert await rule(confidence=0.9) == (
            "2 days of transit; 100 % arrive within that, by 200 deliveries to the zone; stated are 2"
        )
