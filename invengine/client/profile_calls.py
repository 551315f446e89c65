"""Calls about sourcing profiles."""

from __future__ import annotations

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import profile_pb2


class ProfileCalls(Connection):
    """Calls of AllocationService about profiles."""

    async def put_profile(
        self,
        document: str,
        *,
        name: str = "",
        actor: str = "",
        expected_version: int | None = None,
        validate_only: bool = False,
        allow_unknown_places: bool = False,
        request_id: str = "",
    ) -> profile_pb2.PutProfileResponse:
        """Keep a document as the next version of a profile, or with `validate_only` say what would be new."""
        request = profile_pb2.PutProfileRequest(
            request_id=request_id or new_request_id(),
            document=document,
            name=name,
            actor=actor,
            expected_version=expected_version,
            validate_only=validate_only,
            allow_unknown_places=allow_unknown_places,
        )
        return await self._call(self._allocation.PutProfile, request)

    async def get_profile(self, profile: str) -> profile_pb2.GetProfileResponse:
        """A version of a profile: `web`, the newest, or `web@3`."""
        return await self._call(self._allocation.GetProfile, profile_pb2.GetProfileRequest(profile=profile))

    async def list_profiles(self, *, name: str = "") -> profile_pb2.ListProfilesResponse:
        """All profiles, or one of them, and what is active."""
        return await self._call(self._allocation.ListProfiles, profile_pb2.ListProfilesRequest(name=name))

    async def activate_profile(
        self,
        channel: str,
        profile: str,
        *,
        actor: str = "",
        expected_revision: int | None = None,
        validate_only: bool = False,
        allow_unknown_places: bool = False,
        request_id: str = "",
    ) -> profile_pb2.ActivateProfileResponse:
        """Make a profile the active one of a channel (an empty one: none is), or with `validate_only` say what that
        would change.
        """
        request = profile_pb2.ActivateProfileRequest(
            request_id=request_id or new_request_id(),
            channel=channel,
            profile=profile,
            actor=actor,
            expected_revision=expected_revision,
            validate_only=validate_only,
            allow_unknown_places=allow_unknown_places,
        )
        return await self._call(self._allocation.ActivateProfile, request)

    async def list_profile_activations(self, channel: str) -> profile_pb2.ListProfileActivationsResponse:
        """What was active for a channel, the newest first."""
        request = profile_pb2.ListProfileActivationsRequest(channel=channel)
        return await self._call(self._allocation.ListProfileActivations, request)
