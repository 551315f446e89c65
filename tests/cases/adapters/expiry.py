"""Kind `expiry`: a hold that lives, and is over. Its last minutes are shortened to a second, so nobody waits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from google.protobuf.duration_pb2 import Duration

from invengine.v1 import reservation_service_pb2
from tests.cases.adapters import position
from tests.cases.adapters.calls import available, reserve
from tests.rpc.engines import Stubs


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Hold, look, have the rest of its time shortened, and look again once it is over."""
    await stubs.apply_network(position.NETWORK, "case")
    await stubs.receive(position.SKU, case["on_hand"], position.LOCATION)
    line = {"sku": position.SKU, "quantity": case["held"]}
    lives = Duration(seconds=60 * case["minutes"])
    await reserve(stubs, "hold", position.CHANNEL, [line], time_to_live=lives)
    assert await left(stubs) == case["before"]
    shortened = await stubs.reservations.ExtendReservation(
        reservation_service_pb2.ExtendReservationRequest(
            request_id="shorter", reservation_id="hold", channel=position.CHANNEL, time_to_live=Duration(seconds=1)
        )
    )
    over = shortened.reservation.expire_time.seconds
    async with asyncio.timeout(20):
        while await left(stubs) != case["after"]:
            await asyncio.sleep(0.02)
    assert time.time() >= over - 0.1, "the hold stopped counting before it was over"


async def left(stubs: Stubs) -> int:
    """What can be sold now."""
    return await available(stubs, position.SKU, position.CHANNEL)
