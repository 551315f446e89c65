"""Sourcing profiles: kept in versions, one active per channel, known to every server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from invengine.domain.profile_document import named_version, profile_name_problem, read_profile
from invengine.domain.profiles import Difference, Profile, differences, fingerprint, profile_text
from invengine.errors import InvalidArgument, ProfileInvalid, RevisionMismatch, UnknownChannel, UnknownProfile
from invengine.services import validation
from invengine.services.following import POLL_SECONDS, Followed
from invengine.services.profile_versions import ProfileStore, Version, read_versions
from invengine.store.profiles import Activation

if TYPE_CHECKING:
    from invengine.services.networks import Networks
    from invengine.store.profiles import ProfileBoard

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProfilePut:
    """A profile under the version that has its content (of a check: that would have it), and whether that is new.

    `changes`: where it differs from the version before, or where there is none, from a profile that says nothing.
    """

    profile: Profile
    is_new: bool
    changes: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Activated:
    """An activation, and whether the call made it. `is_known`: the network has the channel.

    `before`: what was active before a new one, and `changes` where the two differ.
    """

    activation: Activation
    is_new: bool
    is_known: bool = True
    before: str = ""
    changes: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Versions by name, the oldest first, and the channels that have an activation, of no profile included."""

    versions: Mapping[str, tuple[Version, ...]]
    activations: tuple[Activated, ...]


class Profiles(Followed):
    """What all profiles mean, and which are active. `load` at the start, `run` as a task.

    A profile is active here a second after another server made it so, at the latest, or as soon as this one did.
    """

    name = "profiles"

    def __init__(self, store: ProfileStore, networks: Networks, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store
        self._networks = networks
        self._board: ProfileBoard | None = None
        self._versions: Mapping[str, tuple[Version, ...]] = {}
        self._active: Mapping[str, Profile] = {}

    # What requests go by: no call here waits

    def active(self, channel: str) -> Profile | None:
        """The profile that is active for a channel; None: there is none, and sourcing goes by priority."""
        return self._active.get(channel)

    def get(self, text: str, field: str = "profile") -> Profile:
        """The profile that a request names: `web`, the newest version that this server knows, or `web@3`.

        InvalidArgument of the field, UnknownProfile; ProfileInvalid where a newer engine wrote it.
        """
        version = self._version(text, field)
        if version.profile is None:
            assert version.problem is not None
            raise ProfileInvalid(version.problem.faults)
        return version.profile

    def of_request(self, text: str, channel: str) -> Profile | None:
        """The profile of a request's field: as `get`, or where it is empty the one that is active for the channel."""
        return self.get(text) if text else self._active.get(channel)

    # What planners do

    async def put(
        self,
        document: str,
        *,
        name: str = "",
        actor: str = "",
        request_id: str,
        expected_version: int | None = None,
        validate_only: bool = False,
        allow_unknown_places: bool = False,
    ) -> ProfilePut:
        """Keep a document as the next version of the profile that it, or `name`, names, or only say what would be new.

        Content that the newest version has makes none, whatever is expected. InvalidArgument, ProfileInvalid,
        RequestMismatch, RevisionMismatch, TooManyProfiles, and what the store raises.
        """
        validation.required_id("request_id", request_id)
        validation.optional_text("actor", actor)
        if name and (problem := profile_name_problem(name)):
            raise InvalidArgument("name", problem)
        if not document:
            raise InvalidArgument("document", "is required")
        if expected_version is not None:
            validation.expected_revision("expected_version", expected_version)
        network = None if allow_unknown_places else self._networks.current
        profile = await asyncio.to_thread(read_profile, document, name=name, network=network)
        async with self._one_at_a_time:
            await self.look()
            if validate_only:
                return self._would_put(profile, expected_version)
            version, is_new = await self._store.put(
                profile.name,
                document,
                fingerprint(profile),
                actor=actor,
                request_id=request_id,
                expected_version=expected_version,
            )
            await self.look()
        return self._put(replace(profile, version=version), is_new)

    async def activate(
        self,
        channel: str,
        text: str,
        *,
        actor: str = "",
        request_id: str,
        expected_revision: int | None = None,
        validate_only: bool = False,
        allow_unknown_places: bool = False,
    ) -> Activated:
        """Make a profile the active one of a channel of the network, or with an empty text none; or only say what that
        would change.

        `web` is the version that is the newest now, and stays that. What is active already stays, whatever is
        expected. A channel that the network has not any more can still be left without a profile. InvalidArgument,
        NetworkMissing, UnknownChannel, UnknownProfile, ProfileInvalid where it excludes what the network has not,
        RequestMismatch, RevisionMismatch, TooManyProfiles, and what the store raises.
        """
        validation.required_id("request_id", request_id)
        validation.required_id("channel", channel)
        validation.optional_text("actor", actor)
        if expected_revision is not None:
            validation.expected_revision("expected_revision", expected_revision)
        async with self._one_at_a_time:
            await self.look()
            if text or not self._has_activation(channel):
                self._networks.required().channel(channel)
            profile = self.get(text) if text else None
            if profile and not allow_unknown_places:
                await self._check_places(profile)
            before = self._activation(channel)
            changes = differences(self._active[channel], profile) if profile and channel in self._active else ()
            if validate_only:
                would = self._would_activate(before, str(profile or ""), expected_revision)
                return Activated(*would, self.is_known(channel), before.profile if would[1] else "", changes)
            activation, is_new = await self._store.activate(
                channel,
                (profile.name, profile.version) if profile else None,
                asked=text,
                actor=actor,
                request_id=request_id,
                expected_revision=expected_revision,
            )
            await self.look()
        if not is_new:
            return Activated(activation, is_new, self.is_known(channel))
        return Activated(activation, is_new, self.is_known(channel), before.profile, changes)

    async def find(self, text: str) -> tuple[Version, str]:
        """A version as it is in the store now, and its document. InvalidArgument, UnknownProfile."""
        await self.load()
        version = self._version(text)
        (stored,) = await self._store.versions([(version.name, version.number)])
        return version, stored.document

    async def listing(self, name: str = "") -> Listing:
        """All profiles, or the one of a name with the channels that it is active for.

        InvalidArgument, UnknownProfile.
        """
        validation.optional_text("name", name)
        await self.load()
        if name and name not in self._versions:
            raise UnknownProfile(name)
        versions = {name: self._versions[name]} if name else self._versions
        return Listing(
            dict(sorted(versions.items())),
            tuple(
                Activated(activation, is_new=False, is_known=self.is_known(channel))
                for channel, activation in (sorted(self._board.activations.items()) if self._board else ())
                if not name or activation.profile.rpartition("@")[0] == name
            ),
        )

    async def history(self, channel: str) -> list[Activation]:
        """What was made active for a channel, the newest first, at most 100. UnknownChannel."""
        validation.required_id("channel", channel)
        await self.load()
        if not self._has_activation(channel) and not self.is_known(channel):
            raise UnknownChannel(channel)
        return await self._store.history(channel)

    def channels_of(self, version: Version) -> list[str]:
        """The channels that a version is active for."""
        text = profile_text(version.name, version.number)
        activations = self._board.activations if self._board else {}
        return sorted(channel for channel, activation in activations.items() if activation.profile == text)

    def is_known(self, channel: str) -> bool:
        """Whether the network has a channel."""
        network = self._networks.current
        return network is not None and channel in network.channels

    async def look(self) -> None:
        """Takes over what the store has now; one call at a time."""
        board = await self._store.board()
        if board is None or board is self._board:  # an emptied store: what was active stays until there is another
            return
        known = self._versions if self._board and self._board.made_at_ms == board.made_at_ms else {}
        missing = [
            (name, number)
            for name, newest in board.newest.items()
            for number in range(len(known.get(name, ())) + 1, newest + 1)
        ]
        try:
            stored = await self._store.versions(missing)
        except UnknownProfile:  # emptied in between: the next look tells
            return
        found = await asyncio.to_thread(read_versions, stored)
        versions = {name: (*known.get(name, ()), *found.get(name, ())) for name in board.newest}
        self._take(board, versions)

    def _take(self, board: ProfileBoard, versions: Mapping[str, tuple[Version, ...]]) -> None:
        before = self._board.activations if self._board else {}
        self._board, self._versions = board, versions
        active = {}
        for channel, activation in board.activations.items():
            if before.get(channel) != activation:
                _log.info("%s is active for channel %s", activation.profile or "no profile", channel)
            name, _, number = activation.profile.rpartition("@")
            if name and (profile := versions[name][int(number) - 1].profile):
                active[channel] = profile
        self._active = active

    def _version(self, text: str, field: str = "profile") -> Version:
        try:
            name, number = named_version(text)
        except ValueError as error:
            raise InvalidArgument(field, str(error)) from None
        versions = self._versions.get(name, ())
        if not versions or number > len(versions):
            raise UnknownProfile(text)
        return versions[number - 1]  # of 0: the newest

    def _would_put(self, profile: Profile, expected_version: int | None) -> ProfilePut:
        versions = self._versions.get(profile.name, ())
        if versions and versions[-1].profile and fingerprint(versions[-1].profile) == fingerprint(profile):
            return ProfilePut(versions[-1].profile, is_new=False, changes=())
        if expected_version not in (None, len(versions)):
            raise RevisionMismatch(expected_version, len(versions))
        return self._put(replace(profile, version=len(versions) + 1), is_new=True)

    def _put(self, profile: Profile, is_new: bool) -> ProfilePut:
        if not is_new:
            return ProfilePut(profile, is_new, ())
        before = self._versions[profile.name][profile.version - 2].profile if profile.version > 1 else None
        return ProfilePut(profile, is_new, differences(before or Profile(profile.name), profile))

    def _activation(self, channel: str) -> Activation:
        """What is active for a channel; revision 0 where it never had a profile."""
        found = self._board.activations.get(channel) if self._board else None
        return found or Activation(channel, 0, 0, "", "")

    def _would_activate(
        self, before: Activation, profile: str, expected_revision: int | None
    ) -> tuple[Activation, bool]:
        if before.profile == profile:
            return before, False
        if expected_revision not in (None, before.revision):
            raise RevisionMismatch(expected_revision, before.revision)
        return replace(before, profile=profile, at_ms=0, actor=""), True

    def _has_activation(self, channel: str) -> bool:
        return self._board is not None and channel in self._board.activations

    async def _check_places(self, profile: Profile) -> None:
        """ProfileInvalid, with the lines of the document, where it excludes what the network has not."""
        network = self._networks.required()
        if all(name in network.locations or name in network.groups for name in profile.excluded):
            return
        (stored,) = await self._store.versions([(profile.name, profile.version)])
        await asyncio.to_thread(read_profile, stored.document, name=profile.name, network=network)
