"""Clients that trade at random over one shop, a tenth of their writes retries of what some client sent before.

As a program it is one process of clients: `python -m tests.linearizability.traders OUT NAME SEED ANSWERS CLIENTS UNITS
ADDRESS...` writes the pickled list of its calls to OUT.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop

from invengine.v1 import reservation_service_pb2 as pb
from tests.linearizability.recording import RESERVATIONS, Call, Recorder
from tests.linearizability.requests import RETRIES, Market, Requests

# What a client does, by how often; a batch is many answers.
ACTIONS = {
    "reserve_many": 22,
    "move_many": 26,
    "reserve": 60,
    "confirm": 90,
    "extend": 25,
    "release": 60,
    "fulfil": 75,
    "amend": 45,
    "rebind": 40,
    "hand_over": 25,
    "read_position": 40,
    "read_availability": 40,
    "read_reservation": 40,
}
WRITES: dict[str, Any] = {
    f"{RESERVATIONS}{verb}Reservation": getattr(pb, f"{verb}ReservationResponse")
    for verb in ("Create", "Confirm", "Extend", "Release", "Fulfil", "Amend", "Rebind", "HandOver")
}
BATCH = RESERVATIONS + "BatchCreateReservations"


class Trader:
    """One client: one call at a time, to whichever engine."""

    def __init__(self, name: str, seed: int, recorder: Recorder, market: Market) -> None:
        self._requests = Requests(name, seed, market)
        self._recorder, self._market = recorder, market

    async def run(self) -> None:
        """Trades until the answers of the process are used up."""
        market, draw = self._market, self._requests.random
        actions, weights = list(ACTIONS), list(ACTIONS.values())
        while market.answers_left > 0:
            path, message = getattr(self._requests, draw.choices(actions, weights)[0])()
            request = message.SerializeToString()
            if path in WRITES:
                if market.sent and draw.random() < RETRIES:
                    path, request = draw.choice(market.sent)  # perhaps of a call that is still under way
                market.sent.append((path, request))
            market.answers_left -= len(getattr(message, "requests", ())) or len(getattr(message, "movements", ())) or 1
            response, _ = await self._recorder.call(draw.randrange(self._recorder.engines), path, request)
            if response is not None:
                self._learn(path, response)

    def _learn(self, path: str, response: bytes) -> None:
        """What all clients of the process know from now on."""
        if path == BATCH:
            for outcome in pb.BatchCreateReservationsResponse.FromString(response).outcomes:
                if outcome.HasField("reservation"):
                    self._market.learn(outcome.reservation)
        elif path in WRITES:
            answer = WRITES[path].FromString(response)
            self._market.learn(answer.reservation)
            self._market.token = answer.consistency_token


async def trade(
    addresses: list[str], name: str, seed: int, answers: int, *, clients: int, units: int, pause_seconds: float = 0
) -> list[Call]:
    """The calls of so many clients, until they have so many answers together; in two halves where there is a pause."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for address in addresses]
    recorder, market = Recorder(channels), Market(units)
    traders = [Trader(f"{name}{n}", seed, recorder, market) for n in range(clients)]
    try:
        for half in range(2 if pause_seconds else 1):
            if half:
                await asyncio.sleep(pause_seconds)  # many holds are over: nothing but time does that
            market.answers_left = answers // 2 if pause_seconds else answers
            await asyncio.gather(*(trader.run() for trader in traders))
    finally:
        for channel in channels:
            await channel.close()
    return recorder.calls


def main(arguments: list[str]) -> None:
    """One process of clients."""
    out, name, seed, answers, clients, units, *addresses = arguments
    calls = uvloop.run(trade(addresses, name, int(seed), int(answers), clients=int(clients), units=int(units)))
    Path(out).write_bytes(pickle.dumps([tuple(call) for call in calls]))


if __name__ == "__main__":
    main(sys.argv[1:])
