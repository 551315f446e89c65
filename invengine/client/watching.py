"""Watching availability: a stream that is taken up again by itself, here or at another server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, TypedDict, Unpack

import grpc.aio

from invengine.client.connection import Connection
from invengine.client.refusals import CallFailed, ServerUnreachable, error_from_call
from invengine.errors import Overloaded, Unavailable
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2

_PAUSE_SECONDS: Final = 0.05  # before the first new attempt, doubled up to
_PAUSE_SECONDS_MAX: Final = 2.0
_BROKEN_OFF: Final = ("CANCELLED", "INTERNAL")  # gRPC's own words for a connection or a server that ended in the middle


class WatchOptions(TypedDict, total=False):
    """What to watch besides the SKUs; the fields of WatchAvailabilityRequest."""

    channel: str
    group: str
    locations: Sequence[str]
    fulfilment: common_pb2.Fulfilment.ValueType
    by_location: bool
    levels_only: bool
    include_promises: bool
    resume_token: str


class WatchCalls(Connection):
    """WatchAvailability."""

    async def watch(
        self,
        skus: Sequence[str] = (),
        *,
        outage_seconds: float = 300.0,
        silence_seconds: float = 30.0,
        **options: Unpack[WatchOptions],
    ) -> AsyncGenerator[pb.WatchAvailabilityResponse, None]:
        """What is available of these SKUs (none: of all), then every change of it, for as long as one reads.

        A stream that breaks off, or says nothing for `silence_seconds`, is opened anew with its newest token: a value
        may come again, none is missed. When that does not succeed for `outage_seconds` (before the first message:
        `retry_seconds`), the refusal is raised. After `begins_anew` forget what was told before, after
        `promises_begin_anew` the promises: of these a new stream tells all that are broken then. A client of several
        servers, `ipv4:HOST:PORT,HOST:PORT`, goes on with the next one when one is away.
        """
        request = pb.WatchAvailabilityRequest(skus=skus, **options)
        request.channel = request.channel or self.channel
        clock = asyncio.get_running_loop().time
        given_up_at = clock() + self.retry_seconds
        pause = _PAUSE_SECONDS
        while True:
            call = self._availability.WatchAvailability(request)
            try:
                while True:
                    message = await self._heard(call, silence_seconds)
                    request.resume_token = message.resume_token or request.resume_token
                    yield message
                    given_up_at, pause = clock() + outage_seconds, _PAUSE_SECONDS
            except (Unavailable, Overloaded):
                if clock() + pause > given_up_at:
                    raise
            finally:
                call.cancel()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads callers, guards nothing
            pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    async def _heard(self, call: Any, silence_seconds: float) -> pb.WatchAvailabilityResponse:
        """The next message of a stream."""
        try:
            async with asyncio.timeout(silence_seconds):
                message = await call.read()
        except TimeoutError:
            raise ServerUnreachable(self.server, f"nothing was heard for {silence_seconds:g} s") from None
        except grpc.aio.AioRpcError as failure:
            error = error_from_call(failure, self.server, writes=False)
            if isinstance(error, CallFailed) and error.code in _BROKEN_OFF:
                raise ServerUnreachable(self.server, f"the stream broke off ({error.code})") from None
            raise error from None
        if not isinstance(message, pb.WatchAvailabilityResponse):
            raise ServerUnreachable(self.server, "it ended the stream")
        return message
