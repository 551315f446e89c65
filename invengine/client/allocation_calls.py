"""Calls about stock that many wait for: shortfalls and where their units could come from; waves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TypedDict, Unpack

import grpc.aio
from google.protobuf import duration_pb2

from invengine.client.connection import Connection, new_request_id
from invengine.client.refusals import error_from_call
from invengine.v1 import shortfall_pb2, wave_pb2

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


class AllocationCalls(Connection):
    """Calls of AllocationService, and the shortfall list."""

    async def list_shortfalls(
        self, *, sku: str = "", location: str = "", channel: str = "", page_size: int = 0, page_token: str = ""
    ) -> shortfall_pb2.ListShortfallsResponse:
        """A page of positions with more reserved than is on hand, and the reservations that are not covered."""
        request = shortfall_pb2.ListShortfallsRequest(
            sku=sku, location=location, channel=channel, page_size=page_size, page_token=page_token
        )
        return await self._call(self._network.ListShortfalls, request)

    async def resource_shortfalls(
        self,
        *,
        sku: str = "",
        location: str = "",
        channel: str = "",
        reservation_ids: Iterable[str] = (),
        to_group: str = "",
        allow_split: bool = False,
        best_effort: bool = False,
        accept_later: bool = False,
        dry_run: bool = False,
        lines_max: int = 0,
        request_id: str = "",
    ) -> shortfall_pb2.ResourceShortfallsResponse:
        """Moves units that are reserved and not there to locations that have them, one outcome per line.

        Those that match; without a filter all of them.
        """
        names = list(reservation_ids)
        request = shortfall_pb2.ResourceShortfallsRequest(
            request_id=request_id or new_request_id(),
            sku=sku,
            location=location,
            channel=channel,
            reservation_ids=names,
            all=not (sku or location or channel or names),
            to_group=to_group,
            allow_split=allow_split,
            best_effort=best_effort,
            accept_later=accept_later,
            dry_run=dry_run,
            lines_max=lines_max,
        )
        return await self._call(self._allocation.ResourceShortfalls, request)

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
