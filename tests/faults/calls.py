"""One request of any method, from its bytes to what it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.faults.good_requests import METHODS
from tests.rpc.engines import Refused, Stubs, taken_apart

ANSWER_SECONDS = 20
ENDLESS = ("WatchAvailability",)
"""Streams that never end by themselves: their first answer is enough."""


@dataclass
class Told:
    """The answers, or why the call was refused; `raw` where no engine answered (a message beyond gRPC's limit)."""

    answers: list[Message]
    refused: Refused | None = None
    raw: grpc.StatusCode | None = None


class Calls:
    """Sends bytes to methods of an engine."""

    def __init__(self, stubs: Stubs) -> None:
        self._open: dict[str, Any] = {}
        for path, method in METHODS.items():
            kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
            self._open[path] = getattr(stubs.channel, "_".join(kind))(path)

    async def send(self, path: str, *bodies: bytes) -> Told:
        """What the engine says to one call with these messages."""
        method = METHODS[path]
        answer_kind = GetMessageClass(method.output_type)
        answers: list[Message] = []
        asked = iter(bodies) if method.client_streaming else bodies[0]
        call = self._open[path](asked, timeout=ANSWER_SECONDS)
        try:
            if not method.server_streaming:
                answers.append(answer_kind.FromString(await call))
                return Told(answers)
            async for answer in call:
                answers.append(answer_kind.FromString(answer))
                if method.name in ENDLESS:
                    call.cancel()
                    break
        except grpc.aio.AioRpcError as error:
            trailing = error.trailing_metadata() or ()
            if not any(key == "grpc-status-details-bin" for key, _ in trailing):
                return Told(answers, raw=error.code())
            return Told(answers, taken_apart(error))
        return Told(answers)
