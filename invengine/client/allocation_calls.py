"""Calls about stock that many wait for: shortfalls, and which stock should go where."""

from __future__ import annotations

from collections.abc import Iterable

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import common_pb2, rebalance_pb2, shortfall_pb2, whatif_pb2


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
        profile: str = "",
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
            profile=profile,
        )
        return await self._call(self._allocation.ResourceShortfalls, request)

    async def suggest_transfers(
        self,
        *,
        skus: Iterable[str] = (),
        to_location: str = "",
        from_location: str = "",
        fills: Iterable[rebalance_pb2.TransferFill.ValueType] = (),
        days_max: int = 0,
        forecast_days: int | None = None,
        suggestions_max: int = 0,
    ) -> rebalance_pb2.SuggestTransfersResponse:
        """Which transfers would fill more of what waits, at least cost; it changes nothing."""
        request = rebalance_pb2.SuggestTransfersRequest(
            skus=skus,
            to_location=to_location,
            from_location=from_location,
            fills=fills,
            days_max=days_max,
            forecast_days=forecast_days,
            suggestions_max=suggestions_max,
        )
        return await self._call(self._allocation.SuggestTransfers, request)

    async def what_if(
        self,
        profiles: Iterable[str],
        *,
        orders: Iterable[whatif_pb2.WhatIfOrder] = (),
        day: common_pb2.Date | None = None,
        orders_from: whatif_pb2.WhatIfRequest.OrdersFrom.ValueType = (whatif_pb2.WhatIfRequest.ORDERS_FROM_UNSPECIFIED),
        orders_max: int = 0,
        recent_days: int = 0,
        seed: int = 0,
    ) -> whatif_pb2.WhatIfResponse:
        """What the same orders would get and cost under each of some profiles; it changes nothing."""
        request = whatif_pb2.WhatIfRequest(
            profiles=profiles,
            orders=orders,
            day=day,
            orders_from=orders_from,
            orders_max=orders_max,
            recent_days=recent_days,
            seed=seed,
        )
        return await self._call(self._allocation.WhatIf, request)
