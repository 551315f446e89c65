"""Callers of the project's own client who reserve and receive without a pause, and what became of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Self

from invengine.client import Client
from invengine.client.calls import Line
from invengine.v1 import common_pb2, stock_service_pb2

CALLERS = 6


class Load:
    """Use it in a block: while it is open, callers call. `check` compares what was acknowledged with what is there."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self._answered = 0
        self._more = asyncio.Event()
        self._reserved: set[str] = set()
        self._received = 0

    @staticmethod
    def receipt(event_id: str, sku: str, quantity: int) -> Any:
        """Units that come in at DC."""
        return stock_service_pb2.Movement(
            source="load",
            event_id=event_id,
            kind=stock_service_pb2.Movement.KIND_RECEIPT,
            sku=sku,
            location="DC",
            quantity=quantity,
        )

    async def __aenter__(self) -> Self:
        async with Client(self._address, channel="web") as client:
            await client.post_movements([self.receipt(f"{self._name} opening", self._name, 1_000_000)])
        self._tasks = [asyncio.create_task(self._call(caller)) for caller in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def goes_on(self, answers: int) -> None:
        """Returns after so many more answers; raises what a caller was told instead of an answer."""
        wanted = self._answered + answers
        while self._answered < wanted:
            self._more.clear()
            more = asyncio.create_task(self._more.wait())
            done, _ = await asyncio.wait({more, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            more.cancel()
            for task in done - {more}:
                await task

    async def check(self) -> None:
        """Everything that was acknowledged is there, once."""
        newest = common_pb2.Consistency(fully_consistent=True)
        async with Client(self._address, channel="web") as client:
            position = (await client.get_position(self._name, "DC", consistency=newest)).position
            found: set[str] = set()
            token = ""
            while True:
                page = await client.list_reservations(customer_ref=self._name, page_size=500, page_token=token)
                found |= {one.reservation_id for one in page.reservations}
                token = page.next_page_token
                if not token:
                    break
        assert (position.reserved, position.on_hand) == (len(self._reserved), 1_000_000 + self._received)
        assert found == self._reserved

    async def _call(self, caller: int) -> None:
        async with Client(self._address, channel="web", timeout_seconds=30, retry_seconds=25) as client:
            for n in itertools.count():
                if self._is_over:
                    return
                name = f"{self._name}-{caller}-{n}"
                held = await client.reserve(
                    [Line(sku=self._name, quantity=1)], reservation_id=name, customer_ref=self._name
                )
                assert held.reservation.reservation_id == name
                self._reserved.add(name)
                await client.post_movements([self.receipt(name, self._name, 2)])
                self._received += 2
                await client.get_availability(self._name)
                self._answered += 3
                self._more.set()
