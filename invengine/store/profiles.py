"""Sourcing profiles in the store: versions that are written once, and which is active for a channel. See
lua/profiles.lua.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from invengine.domain.profiles import profile_text
from invengine.errors import RequestMismatch, RevisionMismatch, TooManyProfiles, UnknownProfile
from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.startup import as_dict

PROFILES_MAX: Final = 100
VERSIONS_MAX: Final = 2_000
"""Of all profiles together: every server keeps what all of them mean."""
CHANNELS_MAX: Final = 1_000
"""That have, or had, an activation; a network has 200 at a time."""
HISTORY_MAX: Final = 100

_STAMP: Final = "revision", "changed_at_ms", "made_at_ms"
_VERSIONS_A_READ: Final = 50
_MOST: Final = {"profiles": PROFILES_MAX, "versions": VERSIONS_MAX, "channels": CHANNELS_MAX}
_WHAT: Final = {
    "profiles": "profiles",
    "versions": "versions of profiles",
    "channels": "channels with an active profile, or that had one,",
}


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a profile as it was put."""

    name: str
    version: int
    document: str
    created_at_ms: int
    actor: str


@dataclass(frozen=True, slots=True)
class Activation:
    """What is active for a channel since then: a profile such as `web@3`, or none. Revision 0: there never was one."""

    channel: str
    revision: int
    at_ms: int
    profile: str
    actor: str


@dataclass(frozen=True, slots=True)
class ProfileBoard:
    """Which profiles there are and which are active, at one instant.

    `made_at_ms` is another one where the store was emptied meanwhile: then no version is the one that it was.
    """

    revision: int
    made_at_ms: int
    newest: Mapping[str, int]
    """The newest version by name."""
    activations: Mapping[str, Activation]
    """By channel; those of no profile among them."""


class StoredProfiles:
    """Reads and writes profiles. Writes may be repeated; StoreUnavailable, StoreFull, OutcomeUnknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._seen: tuple[list[bytes | None], ProfileBoard] | None = None

    async def board(self) -> ProfileBoard | None:
        """What there is now, None while nothing is. Asked for every second: it is read whole only where it changed."""
        if self._seen is not None:
            (stamp,) = await self._calls.read(("HMGET", keys.PROFILES, *_STAMP))
            if stamp == self._seen[0]:
                return self._seen[1]
        (stored,) = await self._calls.read(("HGETALL", keys.PROFILES))
        fields = as_dict(stored)
        if not fields:
            return None
        newest, activations = {}, {}
        for name, value in fields.items():
            kind, _, of = name.decode().partition("\t")
            if kind == "newest":
                newest[of] = int(value)
            elif kind == "active":
                activations[of] = _activation(of, value)
        board = ProfileBoard(int(fields[b"revision"]), int(fields[b"made_at_ms"]), newest, activations)
        self._seen = [fields[name.encode()] for name in _STAMP], board
        return board

    async def versions(self, wanted: Sequence[tuple[str, int]]) -> list[StoredVersion]:
        """Versions by name and number, in that order; UnknownProfile names the first that is not there."""
        found: list[StoredVersion] = []
        for start in range(0, len(wanted), _VERSIONS_A_READ):
            part = wanted[start : start + _VERSIONS_A_READ]
            names = [profile_text(*one) for one in part]
            (texts,) = await self._calls.read(("HMGET", keys.PROFILE_VERSIONS, *names))
            for (name, version), text in zip(part, texts, strict=True):
                if text is None:
                    raise UnknownProfile(profile_text(name, version))
                _, at_ms, actor, document = text.decode().split("\t", 3)
                found.append(StoredVersion(name, version, document, int(at_ms), actor))
        return found

    async def history(self, channel: str) -> list[Activation]:
        """The newest activations of a channel, the newest first."""
        (entries,) = await self._calls.read(("LRANGE", keys.profile_activations(channel), 0, -1))
        return [_activation(channel, entry) for entry in entries]

    async def put(
        self,
        name: str,
        document: str,
        fingerprint: str,
        *,
        actor: str,
        request_id: str,
        expected_version: int | None = None,
        most: Mapping[str, int] = _MOST,
    ) -> tuple[int, bool]:
        """Keep the next version of a profile: its number, and whether it is one that this call made.

        Content that the newest version has makes none, whatever is expected. RequestMismatch, RevisionMismatch,
        TooManyProfiles.
        """
        expected = "" if expected_version is None else str(expected_version)
        reply = await self._write(
            "put",
            name,
            fingerprint,
            document,
            actor,
            request_id,
            expected,
            str(most["profiles"]),
            str(most["versions"]),
        )
        self._refuse(reply, request_id, expected_version, most)
        return int(reply[1]), reply[0] == b"APPLIED"

    async def activate(
        self,
        channel: str,
        profile: tuple[str, int] | None,
        *,
        asked: str,
        actor: str,
        request_id: str,
        expected_revision: int | None = None,
        most: Mapping[str, int] = _MOST,
    ) -> tuple[Activation, bool]:
        """Make a version of a profile the active one of a channel, or none: the activation that the channel has then
        (of a request that is repeated: that it had then), and whether this call made it. `asked`: the profile as the
        caller named it.

        What is active already stays, whatever is expected. UnknownProfile, RequestMismatch, RevisionMismatch,
        TooManyProfiles.
        """
        name, version = profile or ("", "")
        expected = "" if expected_revision is None else str(expected_revision)
        of_channel = channel, name, str(version), asked, actor, request_id, expected
        reply = await self._write("activate", *of_channel, str(most["channels"]), str(HISTORY_MAX))
        if reply[0] == b"UNKNOWN_PROFILE":
            raise UnknownProfile(asked)
        self._refuse(reply, request_id, expected_revision, most)
        return _activation(channel, reply[1]), reply[0] == b"APPLIED"

    async def _write(self, verb: str, *arguments: str) -> list[bytes]:
        reply: list[bytes] = await self._calls.write(f"invengine_{verb}_profile", [keys.PROFILES], *arguments)
        return reply

    def _refuse(self, reply: list[bytes], request_id: str, expected: int | None, most: Mapping[str, int]) -> None:
        word = reply[0].decode()
        if word == "REQUEST_MISMATCH":
            raise RequestMismatch(request_id)
        if word == "REVISION_MISMATCH":
            raise RevisionMismatch(expected or 0, int(reply[1]))
        if word == "TOO_MANY_PROFILES":
            what = reply[1].decode()
            raise TooManyProfiles(_WHAT[what], most[what])


def _activation(channel: str, text: bytes) -> Activation:
    revision, at_ms, profile, actor, *_ = text.decode().split("\t")
    return Activation(channel, int(revision), int(at_ms), profile, actor)
