"""Versions of sourcing profiles as the store has them, and what they mean."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from invengine.domain.profile_document import read_profile
from invengine.domain.profiles import Profile, profile_text
from invengine.errors import ProfileInvalid

if TYPE_CHECKING:
    from invengine.store.profiles import Activation, ProfileBoard, StoredVersion

_log = logging.getLogger(__name__)


class ProfileStore(Protocol):
    """What is needed of the store: see store.profiles.StoredProfiles."""

    async def board(self) -> ProfileBoard | None:
        """Which profiles there are and which are active; the same object as long as nothing changed."""

    async def versions(self, wanted: Sequence[tuple[str, int]]) -> list[StoredVersion]:
        """Versions by name and number; UnknownProfile."""

    async def history(self, channel: str) -> list[Activation]:
        """The newest activations of a channel, the newest first."""

    async def put(
        self,
        name: str,
        document: str,
        fingerprint: str,
        *,
        actor: str,
        request_id: str,
        expected_version: int | None = None,
    ) -> tuple[int, bool]:
        """Keep the next version of a profile: its number, and whether this call made it."""

    async def activate(
        self,
        channel: str,
        profile: tuple[str, int] | None,
        *,
        asked: str,
        actor: str,
        request_id: str,
        expected_revision: int | None = None,
    ) -> tuple[Activation, bool]:
        """Make a version the active one of a channel, or none: the activation, and whether this call made it."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a profile, without its text. `profile` is None where this version of the engine cannot read it."""

    name: str
    number: int
    created_at_ms: int
    actor: str
    profile: Profile | None
    problem: ProfileInvalid | None = None


def read_versions(stored: Sequence[StoredVersion]) -> dict[str, tuple[Version, ...]]:
    """Versions by name, in the order given. One that this version of the engine cannot read is logged."""
    found: dict[str, list[Version]] = {}
    for one in stored:
        profile, problem = None, None
        try:
            profile = read_profile(one.document, name=one.name, version=one.version)
        except ProfileInvalid as faults:
            problem = faults
            _log.error(
                "profile %s cannot be read by this version and is not active here: %s",
                profile_text(one.name, one.version),
                faults,
            )
        found.setdefault(one.name, []).append(
            Version(one.name, one.version, one.created_at_ms, one.actor, profile, problem)
        )
    return {name: tuple(versions) for name, versions in found.items()}
