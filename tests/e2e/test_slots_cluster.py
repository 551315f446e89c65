"""Dates and daily capacity on a Cluster of three masters: two servers, many clients, one day's slots."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest

from invengine.store import keys
from invengine.v1 import network_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import Stubs, engine, taken_apart
from tests.rpc.slots import NETWORK, away_from_midnight, by_day, day, made, shipped, slots, sound

pytestmark = pytest.mark.asyncio

PARTITIONS = 12


async def test_of_each_day_exactly_the_capacity_is_taken(valkey_cluster: RedisCluster) -> None:
    """By clients of two servers, whose reservations lie all over the Cluster; then freed slots are taken again."""
    away_from_midnight()
    settings = {"partitions": PARTITIONS, "store_retry_seconds": 20}
    async with engine(valkey_cluster.url, **settings) as (_, one), engine(valkey_cluster.url, **settings) as (_, two):
        assert len({valkey_cluster.primary_of(keys.log(n)).port for n in range(PARTITIONS)}) == 3
        await one.apply_network(NETWORK)
        await one.receive("LAMP", 1000)
        while not await knows_network(two):
            await asyncio.sleep(0.01)
        found = await asyncio.gather(*(made((one, two)[n % 2], f"client {n}") for n in range(80)))
        assert by_day(found) == dict.fromkeys(range(4), 20)
        for reservation in found:
            (slot,), (line,) = reservation.slots, reservation.lines
            assert day(line.promise.delivery_date) == day(slot.date) + 1
        of_first_day = [reservation for reservation in found if slots(reservation)[0][1] == 0][:7]
        for reservation in of_first_day:
            await one.reservations.ReleaseReservation(
                pb.ReleaseReservationRequest(
                    request_id=f"back {reservation.reservation_id}",
                    reservation_id=reservation.reservation_id,
                    channel="web",
                )
            )
        again = await asyncio.gather(*(made((one, two)[n % 2], f"again {n}") for n in range(9)))
        assert Counter(slots(reservation)[0][1] for reservation in again) == {0: 7, 4: 2}
        await sound(one)


async def test_the_last_slot_goes_to_one_of_two_servers(valkey_cluster: RedisCluster) -> None:
    away_from_midnight()
    settings = {"partitions": PARTITIONS, "store_retry_seconds": 20}
    async with engine(valkey_cluster.url, **settings) as (_, one), engine(valkey_cluster.url, **settings) as (_, two):
        await one.apply_network(NETWORK)
        await one.receive("LAMP", 1000)
        while not await knows_network(two):
            await asyncio.sleep(0.01)
        await made(one, "most", shipped(19))
        both = await asyncio.gather(made(one, "first"), made(two, "second"))
        assert sorted(slots(found)[0][1] for found in both) == [0, 1]


async def knows_network(stubs: Stubs) -> bool:
    """Whether a server has the network that another one applied."""
    try:
        answer = await stubs.network.GetNetwork(network_service_pb2.GetNetworkRequest())
    except grpc.aio.AioRpcError as error:
        if taken_apart(error).reason != "NETWORK_MISSING":
            raise
        return False
    return answer.document == NETWORK
