"""Sourcing profiles on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invengine.domain.profiles import Difference, profile_terms
from invengine.rpc.convert_incoming import timestamp
from invengine.v1 import profile_pb2 as pb

if TYPE_CHECKING:
    from invengine.services.profile_versions import Version
    from invengine.services.profiles import Activated, Listing, ProfilePut
    from invengine.store.profiles import Activation


def put_to_proto(put: ProfilePut, token: str) -> pb.PutProfileResponse:
    """The version that has the content."""
    return pb.PutProfileResponse(
        name=put.profile.name,
        version=put.profile.version,
        is_new=put.is_new,
        changes=[_change_to_proto(change) for change in put.changes],
        consistency_token=token,
    )


def found_to_proto(version: Version, document: str, channels: Iterable[str]) -> pb.GetProfileResponse:
    """A version with its text and its terms."""
    message = _version_to_proto(version, channels)
    for term, value in profile_terms(version.profile) if version.profile else ():
        message.terms.add(term=term, value=value)
    return pb.GetProfileResponse(profile=message, document=document)


def listing_to_proto(listing: Listing) -> pb.ListProfilesResponse:
    """Every version, and what is active."""
    channels: dict[str, list[str]] = {}
    for active in listing.activations:
        channels.setdefault(active.activation.profile, []).append(active.activation.channel)
    return pb.ListProfilesResponse(
        profiles=[
            _version_to_proto(version, channels.get(f"{name}@{version.number}", ()))
            for name, versions in listing.versions.items()
            for version in versions
        ],
        activations=[activation_to_proto(active.activation, active.is_known) for active in listing.activations],
    )


def activated_to_proto(activated: Activated, token: str) -> pb.ActivateProfileResponse:
    """What is active after the call."""
    return pb.ActivateProfileResponse(
        activation=activation_to_proto(activated.activation, activated.is_known),
        is_new=activated.is_new,
        consistency_token=token,
        profile_before=activated.before,
        changes=[_change_to_proto(change) for change in activated.changes],
    )


def activation_to_proto(activation: Activation, is_known: bool) -> pb.ProfileActivation:
    """One activation; its time is not set where there never was one."""
    return pb.ProfileActivation(
        channel=activation.channel,
        profile=activation.profile,
        time=timestamp(activation.at_ms) if activation.at_ms else None,
        actor=activation.actor,
        revision=activation.revision,
        is_channel_known=is_known,
    )


def _version_to_proto(version: Version, channels: Iterable[str]) -> pb.SourcingProfile:
    return pb.SourcingProfile(
        name=version.name,
        version=version.number,
        description=version.profile.description if version.profile else "",
        create_time=timestamp(version.created_at_ms),
        actor=version.actor,
        active_channels=channels,
    )


def _change_to_proto(change: Difference) -> pb.ProfileChange:
    return pb.ProfileChange(term=change.term, before=change.before, after=change.after)
