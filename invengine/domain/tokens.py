"""Tokens: who may call, as what, until when."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SECRET_BYTES: Final = 32
_ID_BYTES: Final = 8


class Role(StrEnum):
    """What a token may do; see INCLUDES."""

    READ = "read"
    RESERVE = "reserve"
    FEED = "feed"
    PLAN = "plan"
    ADMIN = "admin"


INCLUDES: Final = {
    Role.READ: frozenset({Role.READ}),
    Role.RESERVE: frozenset({Role.READ, Role.RESERVE}),
    Role.FEED: frozenset({Role.READ, Role.FEED}),
    Role.PLAN: frozenset({Role.READ, Role.PLAN}),
    Role.ADMIN: frozenset(Role),
}
"""What a role may do beside its own."""

NEEDS_CHANNEL: Final = frozenset({Role.RESERVE})
"""Roles whose calls always speak for a channel: a token without one names it in each."""


def granted(roles: Iterable[Role]) -> frozenset[Role]:
    """The roles, and what they include."""
    return frozenset().union(*(INCLUDES[role] for role in roles))


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept. `digest`: SHA-256 of its secret in hexadecimal digits, empty where a client's certificate
    with `certificate_uri` stands for it. Instants are milliseconds since 1970, 0: none. `rate` per second, 0: any.
    """

    token_id: str
    name: str
    channel: str
    roles: frozenset[Role]
    digest: str = field(default="", repr=False)
    not_before_ms: int = 0
    expires_at_ms: int = 0
    rate: float = 0.0
    burst: int = 0
    certificate_uri: str = ""
    created_at_ms: int = 0
    creator: str = ""
    used_at_ms: int = 0
    revoked_at_ms: int = 0

    def is_valid(self, now_ms: int) -> bool:
        """Whether it counts now."""
        return (
            not self.revoked_at_ms
            and self.not_before_ms <= now_ms
            and (not self.expires_at_ms or now_ms < self.expires_at_ms)
        )

    def ended_at_ms(self, now_ms: int) -> int:
        """Since when it counts no more, for good; 0: it still does, or will."""
        ends = [end for end in (self.revoked_at_ms, self.expires_at_ms) if end and end <= now_ms]
        return min(ends, default=0)


def new_token_id() -> str:
    """A name for a token, that may be shown."""
    return secrets.token_hex(_ID_BYTES)


def new_secret() -> str:
    """256 random bits, as text without a dot."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> str:
    """What is kept of a secret. It is random in all its bits, so that a fast hash is as good as a slow one."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Bucket:
    """How many calls may be made: `rate` a second, `burst` at once after a pause. Instants in seconds of one clock."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._level = self._burst
        self._at = now

    def take(self, now: float) -> float:
        """Takes one call: 0, or the seconds until there is one, and then none is taken."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._rate

    def wait(self, now: float) -> float:
        """Takes one call in any case: the seconds to wait before it may be made."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._level / self._rate)
