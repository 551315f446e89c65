"""AllocationService on the wire: sourcing profiles, and what planners do about stock that many wait for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from invengine.domain.waves import Progress
from invengine.rpc import (
    convert_plans,
    convert_profiles,
    convert_rebalancing,
    convert_shortfalls,
    convert_waves,
    convert_what_if,
)
from invengine.rpc.endpoints import Context
from invengine.v1 import plan_pb2, profile_pb2, rebalance_pb2, shortfall_pb2, wave_pb2, whatif_pb2

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.basket_plans import BasketPlans
    from invengine.services.planning import Planning
    from invengine.services.profiles import Profiles


class AllocationServicer:
    """AllocationService on the wire. Decides nothing and catches nothing."""

    def __init__(self, *, profiles: Profiles, baskets: BasketPlans, planning: Planning, replica: Replica) -> None:
        self._profiles = profiles
        self._baskets = baskets
        self._planning = planning
        self._replica = replica

    async def PutProfile(self, request: profile_pb2.PutProfileRequest, _: Context) -> profile_pb2.PutProfileResponse:
        """A profile gets its next version, or is only checked."""
        put = await self._profiles.put(
            request.document,
            name=request.name,
            actor=request.actor,
            request_id=request.request_id,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            validate_only=request.validate_only,
            allow_unknown_places=request.allow_unknown_places,
        )
        return convert_profiles.put_to_proto(put, self._replica.token(()))

    async def GetProfile(self, request: profile_pb2.GetProfileRequest, _: Context) -> profile_pb2.GetProfileResponse:
        """A version of a profile."""
        version, document = await self._profiles.find(request.profile)
        return convert_profiles.found_to_proto(version, document, self._profiles.channels_of(version))

    async def ListProfiles(
        self, request: profile_pb2.ListProfilesRequest, _: Context
    ) -> profile_pb2.ListProfilesResponse:
        """All profiles, and which are active."""
        return convert_profiles.listing_to_proto(await self._profiles.listing(request.name))

    async def ActivateProfile(
        self, request: profile_pb2.ActivateProfileRequest, _: Context
    ) -> profile_pb2.ActivateProfileResponse:
        """A version becomes the active one of a channel, or none does."""
        activated = await self._profiles.activate(
            request.channel,
            request.profile,
            actor=request.actor,
            request_id=request.request_id,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
            validate_only=request.validate_only,
            allow_unknown_places=request.allow_unknown_places,
        )
        return convert_profiles.activated_to_proto(activated, self._replica.token(()))

    async def ListProfileActivations(
        self, request: profile_pb2.ListProfileActivationsRequest, _: Context
    ) -> profile_pb2.ListProfileActivationsResponse:
        """What was active for a channel."""
        history = await self._profiles.history(request.channel)
        is_known = self._profiles.is_known(request.channel)
        return profile_pb2.ListProfileActivationsResponse(
            activations=[convert_profiles.activation_to_proto(activation, is_known) for activation in history]
        )

    async def PlanBasket(self, request: plan_pb2.PlanBasketRequest, context: Context) -> plan_pb2.PlanBasketResponse:
        """Where a basket would come from, and why."""
        return convert_plans.basket_to_proto(await self._baskets.plan(request, context.time_remaining()))

    async def ResourceShortfalls(
        self, request: shortfall_pb2.ResourceShortfallsRequest, _: Context
    ) -> shortfall_pb2.ResourceShortfallsResponse:
        """What becomes of units that are reserved and not there."""
        answer, replayed = await self._planning.resourcing.resource(
            request, lambda answer: convert_shortfalls.resourced_to_proto(answer).SerializeToString()
        )
        response = shortfall_pb2.ResourceShortfallsResponse.FromString(answer)
        response.replayed = replayed
        return response

    async def SuggestTransfers(
        self, request: rebalance_pb2.SuggestTransfersRequest, _: Context
    ) -> rebalance_pb2.SuggestTransfersResponse:
        """Which transfers would fill more."""
        return convert_rebalancing.report_to_proto(await self._planning.rebalancing.report(request))

    async def WhatIf(self, request: whatif_pb2.WhatIfRequest, _: Context) -> whatif_pb2.WhatIfResponse:
        """The same orders under several profiles."""
        return convert_what_if.what_if_to_proto(await self._planning.what_if.compare(request))

    async def PlanWave(self, request: bytes, _: Context) -> AsyncGenerator[bytes, None]:
        """Progress, then the plan."""
        async with aclosing(self._planning.waves.plan(request)) as told:
            async for said, replayed in told:
                if isinstance(said, Progress):
                    answer = wave_pb2.PlanWaveResponse(progress=convert_waves.progress_to_proto(said))
                else:
                    shown = await self._planning.waves.shown(said)
                    answer = wave_pb2.PlanWaveResponse(plan=convert_waves.plan_to_proto(shown), replayed=replayed)
                yield answer.SerializeToString()

    async def GetPlan(self, request: wave_pb2.GetPlanRequest, _: Context) -> wave_pb2.GetPlanResponse:
        """A plan with a page of its orders."""
        return convert_waves.page_to_proto(await self._planning.waves.get(request))

    async def CommitPlan(self, request: wave_pb2.CommitPlanRequest, _: Context) -> wave_pb2.CommitPlanResponse:
        """A plan is carried out."""
        return convert_waves.committed_to_proto(await self._planning.waves.commit(request))
