"""Calls about plans for baskets."""

from __future__ import annotations

from collections.abc import Iterable

from invengine.client.connection import Connection
from invengine.v1 import common_pb2, plan_pb2, reservation_service_pb2


class PlanCalls(Connection):
    """Calls of AllocationService about where baskets would come from."""

    async def plan_basket(
        self,
        lines: Iterable[reservation_service_pb2.ReservationLineRequest],
        *,
        channel: str = "",
        best_effort: bool = False,
        max_parcels: int = 0,
        profile: str = "",
        confidence: float | None = None,
        explain: bool = False,
        consistency: common_pb2.Consistency | None = None,
    ) -> plan_pb2.PlanBasketResponse:
        """Where a basket would come from by a profile: the best plan and the next one with their costs by term.

        It takes nothing; `reserve` does. Where there is no plan the answer has a `refusal`.
        """
        policies = reservation_service_pb2.CreateReservationRequest
        request = plan_pb2.PlanBasketRequest(
            channel=channel or self.channel,
            lines=lines,
            policy=policies.POLICY_BEST_EFFORT if best_effort else policies.POLICY_ALL_OR_NOTHING,
            max_parcels=max_parcels,
            profile=profile,
            confidence=confidence,
            explain=explain,
            consistency=consistency,
        )
        return await self._call(self._allocation.PlanBasket, request)
