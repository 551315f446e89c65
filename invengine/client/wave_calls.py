"""Calls about waves: who gets scarce units, planned, shown, committed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TypedDict, Unpack

import grpc.aio
from google.protobuf import duration_pb2

from invengine.client.connection import Connection, new_request_id
from invengine.client.refusals import error_from_call
from invengine.v1 import wave_pb2

WaveLine = wave_pb2.WaveOrderLine
WaveOrder = wave_pb2.WaveOrder
WaitingLines = wave_pb2.WaitingLines
MinimumShare = wave_pb2.MinimumShare


class WaveOptions(TypedDict, total=False):
    """How a wave is planned; the fields of PlanWaveRequest."""

    waiting: wave_pb2.WaitingLines | None
    fair: bool
    minimum_shares: Iterable[wave_pb2.MinimumShare]
    profile: str
    group: str
    keep_seconds: int
    request_id: str


class WaveCalls(Connection):
    """PlanWave, GetPlan, CommitPlan."""

    async def plan_wave(
        self, orders: Iterable[wave_pb2.WaveOrder] = (), **options: Unpack[WaveOptions]
    ) -> AsyncGenerator[wave_pb2.PlanWaveResponse, None]:
        """Plans who gets what: progress, then the plan as the last message. Nothing is taken. An outage is not bridged:
        sent again with the same request_id it answers the plan that was made.
        """
        kind = wave_pb2.PlanWaveRequest
        keep = options.get("keep_seconds", 0)
        request = kind(
            request_id=options.get("request_id") or new_request_id(),
            orders=orders,
            waiting=options.get("waiting"),
            mode=kind.MODE_FAIR if options.get("fair") else kind.MODE_FILL,
            minimum_shares=options.get("minimum_shares", ()),
            profile=options.get("profile", ""),
            group=options.get("group", ""),
            keep=duration_pb2.Duration(seconds=keep) if keep else None,
        )
        call = self._allocation.PlanWave(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as failure:
            raise error_from_call(failure, self.server, writes=False) from None
        finally:
            call.cancel()

    async def get_plan(
        self,
        plan_id: str,
        *,
        show: wave_pb2.GetPlanRequest.Show.ValueType = wave_pb2.GetPlanRequest.SHOW_ALL,
        page_size: int = 0,
        page_token: str = "",
    ) -> wave_pb2.GetPlanResponse:
        """A plan with a page of its orders."""
        request = wave_pb2.GetPlanRequest(plan_id=plan_id, show=show, page_size=page_size, page_token=page_token)
        return await self._call(self._allocation.GetPlan, request)

    async def commit_plan(
        self, plan_id: str, *, held: bool = False, time_to_live_seconds: int = 0, request_id: str = ""
    ) -> wave_pb2.CommitPlanResponse:
        """Carries a plan out, once: orders become confirmed reservations, or with `held` ones that expire."""
        kind = wave_pb2.CommitPlanRequest
        request = kind(
            request_id=request_id or new_request_id(),
            plan_id=plan_id,
            target=kind.TARGET_HELD if held else kind.TARGET_CONFIRMED,
            time_to_live=duration_pb2.Duration(seconds=time_to_live_seconds) if time_to_live_seconds else None,
        )
        return await self._call(self._allocation.CommitPlan, request)
