"""Who may call: tokens that are issued, revoked and known to every server."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from invengine.domain.tokens import (
    Bucket,
    Role,
    Token,
    digest_of,
    granted,
    new_secret,
    new_token_id,
)
from invengine.errors import InvalidArgument, InventoryError, TokenNotFound, Unauthenticated
from invengine.services import validation
from invengine.services.following import POLL_SECONDS, Followed
from invengine.store.tokens import NO_TOKENS

if TYPE_CHECKING:
    from invengine.store.tokens import TokenBoard

_log = logging.getLogger(__name__)

SCHEME: Final = "Bearer "
RATE_MAX: Final = 1_000_000
URI_BYTES_MAX: Final = 256
FORGOTTEN_AFTER_MS: Final = 90 * 24 * 3600 * 1000
USE_NOTED_SECONDS: Final = 60.0
_NOBODY: Final = bytes(hashlib.sha256().digest_size)
"""What the secret of an unknown token is compared with, so that it takes as long as a wrong one of a known token."""


def _nothing(_: str) -> None:
    """Where nobody wants to know before."""


class TokenStore(Protocol):
    """What is needed of the store: see store/tokens.py."""

    async def board(self, *, with_use: bool = False) -> TokenBoard:
        """What there is now."""

    async def issue(
        self, token: Token, *, request_id: str, fingerprint: str, forget: Sequence[str] = ()
    ) -> tuple[str, bool]:
        """Keeps a new token."""

    async def revoke(self, token_id: str) -> tuple[int, bool]:
        """Ends a token."""

    async def note_use(self, used_at_ms: Mapping[str, int]) -> None:
        """Keeps when tokens were used last."""


class Caller:
    """Who calls: a token as the check of a call needs it. It lives as long as the token does."""

    __slots__ = ("bucket", "channel", "digest", "granted", "is_bounded", "name", "token", "used")

    def __init__(self, token: Token, bucket: Bucket | None) -> None:
        self.follow(token)
        self.name = token.name
        self.channel = token.channel
        self.granted = granted(token.roles)
        self.digest = bytes.fromhex(token.digest)
        self.bucket = bucket
        self.used = False

    def follow(self, token: Token) -> None:
        """Takes over the token as it is now."""
        self.token = token
        self.is_bounded = bool(token.not_before_ms or token.expires_at_ms or token.revoked_at_ms)
        """Whether it depends on the time, or is revoked, if it counts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token is to be, checked; see IssueTokenRequest."""

    name: str
    roles: frozenset[Role]
    channel: str = ""
    not_before_ms: int = 0
    expires_at_ms: int = 0
    rate: float = 0.0
    burst: int = 0
    certificate_uri: str = ""

    @property
    def fingerprint(self) -> str:
        """The same for the same content only."""
        roles = ",".join(sorted(self.roles))
        parts = (self.name, roles, self.channel, self.not_before_ms, self.expires_at_ms, self.rate, self.burst)
        return hashlib.sha256(repr((*parts, self.certificate_uri)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, `<id>.<secret>` where it is new and has one, and whether the same request made it before."""

    token: Token
    secret: str = ""
    replayed: bool = False


class Tokens(Followed):
    """All tokens. `load` at the start, `run` as a task; a call is checked here without asking the store.

    `processes`: those among which the calls of one server are spread; each takes its part of a token's rate.
    """

    name = "tokens"

    def __init__(
        self,
        store: TokenStore,
        *,
        now_ms: Callable[[], int],
        processes: int = 1,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store
        self._now_ms = now_ms
        self._processes = processes
        self._clock = clock
        self._board: TokenBoard = NO_TOKENS
        self._callers: dict[str, Caller] = {}
        self._by_certificate: dict[str, Caller] = {}
        self._verified: dict[str, Caller] = {}
        self._noted_at = clock()

    # What calls go by: nothing here waits

    def caller(self, authorization: str) -> Caller:
        """Who calls with this header. Unauthenticated.

        A header that was right is known again by itself, until any token changes: a hash of the secret takes longer
        than all else that a call is checked for. Only headers that were right are kept, one a token, and what a guess
        is looked up by is a hash keyed by a number of this process: its time says nothing of them.
        """
        found = self._verified.get(authorization)
        if found is None:
            found = self._verify(authorization)
        if found.is_bounded and not found.token.is_valid(self._now_ms()):
            raise Unauthenticated
        found.used = True
        return found

    def caller_by_certificate(self, uris: Iterable[str]) -> Caller:
        """Who calls with a client's certificate that has these URIs. Unauthenticated, also where several could be."""
        found = {id(caller): caller for uri in uris if (caller := self._by_certificate.get(uri)) is not None}
        if len(found) != 1:
            raise Unauthenticated
        (caller,) = found.values()
        if not caller.token.is_valid(self._now_ms()):
            raise Unauthenticated
        caller.used = True
        return caller

    def still(self, caller: Caller) -> bool:
        """Whether a caller that was let in may stay."""
        known = self._callers.get(caller.token.token_id)
        return known is not None and known.token.is_valid(self._now_ms())

    def _verify(self, authorization: str) -> Caller:
        token_id, dot, secret = authorization.removeprefix(SCHEME).partition(".")
        known = self._callers.get(token_id)
        digest = known.digest if known is not None and known.digest else _NOBODY
        is_same = hmac.compare_digest(hashlib.sha256(secret.encode("utf-8", "replace")).digest(), digest)
        if not (is_same and dot and known is not None and authorization.startswith(SCHEME)):
            raise Unauthenticated
        self._verified[authorization] = known
        return known

    # What operators do

    async def issue(
        self,
        wanted: Wanted,
        *,
        request_id: str,
        creator: str = "",
        validate_only: bool = False,
        before: Callable[[str], None] = _nothing,
    ) -> Issued:
        """Makes a token. InvalidArgument, RequestMismatch, TooManyTokens, and what the store raises. `before` is handed
        `<id>.<secret>` before the token counts.
        """
        validation.required_id("request_id", request_id)
        secret = "" if wanted.certificate_uri else new_secret()
        now_ms = self._now_ms()
        if wanted.expires_at_ms and wanted.expires_at_ms <= max(now_ms, wanted.not_before_ms):
            raise InvalidArgument("expire_time", "is over before the token counts")
        token = Token(
            new_token_id(),
            wanted.name,
            wanted.channel,
            wanted.roles,
            digest_of(secret) if secret else "",
            wanted.not_before_ms,
            wanted.expires_at_ms,
            wanted.rate,
            wanted.burst,
            wanted.certificate_uri,
            now_ms,
            creator,
        )
        async with self._one_at_a_time:
            await self.look()
            self._check_certificate(wanted.certificate_uri, request_id, now_ms)
            if validate_only:
                return Issued(replace(token, token_id=""))
            forget = [
                old.token_id
                for old in self._board.tokens.values()
                if 0 < old.ended_at_ms(now_ms) < now_ms - FORGOTTEN_AFTER_MS
            ]
            whole = f"{token.token_id}.{secret}" if secret else ""
            before(whole)
            token_id, is_new = await self._store.issue(
                token, request_id=request_id, fingerprint=wanted.fingerprint, forget=forget
            )
            await self.look()
        if is_new:
            return Issued(token, whole)
        return Issued(self._board.tokens[token_id], replayed=True)

    async def revoke(self, token_id: str, *, request_id: str) -> tuple[Token, bool]:
        """Ends a token: the token, and whether this call did it. InvalidArgument, TokenNotFound, and what the store
        raises.
        """
        validation.required_id("request_id", request_id)
        validation.required_id("token_id", token_id)
        async with self._one_at_a_time:
            _, is_new = await self._store.revoke(token_id)
            await self.look()
        if token_id not in self._board.tokens:
            raise TokenNotFound(token_id)
        return self._board.tokens[token_id], is_new

    async def listing(self, *, include_ended: bool = False) -> list[Token]:
        """The tokens by name, the older first. What the store raises."""
        await self._note_use()
        board, now_ms = await self._store.board(with_use=True), self._now_ms()
        found = [token for token in board.tokens.values() if include_ended or not token.ended_at_ms(now_ms)]
        return sorted(found, key=lambda token: (token.name, token.created_at_ms, token.token_id))

    def admins(self) -> set[str]:
        """Ids of the tokens that count, now or later, and may issue others."""
        now_ms = self._now_ms()
        tokens = self._board.tokens.values()
        return {one.token_id for one in tokens if Role.ADMIN in one.roles and not one.ended_at_ms(now_ms)}

    @property
    def revision(self) -> int:
        """Of what this server knows."""
        return self._board.revision

    # Following

    async def look(self) -> None:
        """Takes over what the store has now; one call at a time. An emptied store has no tokens, so nobody may call."""
        board = await self._store.board()
        if board is self._board:
            await self._note_now_and_then()
            return
        callers = {token_id: self._caller(token) for token_id, token in board.tokens.items()}
        if board.revision != self._board.revision:
            _log.info("tokens revision %d is in force: %d tokens", board.revision, len(callers))
        self._board, self._callers, self._verified = board, callers, {}
        self._by_certificate = {
            caller.token.certificate_uri: caller
            for caller in callers.values()
            if caller.token.certificate_uri and not caller.token.revoked_at_ms
        }

    def _caller(self, token: Token) -> Caller:
        known = self._callers.get(token.token_id)
        if known is not None:  # its bucket goes on as it is: nothing but its end ever changes
            known.follow(token)
            return known
        if not token.rate:
            return Caller(token, None)
        share = max(1, self._processes)
        return Caller(token, Bucket(token.rate / share, (token.burst or token.rate) / share, self._clock()))

    def _check_certificate(self, uri: str, request_id: str, now_ms: int) -> None:
        """InvalidArgument where another token that has not ended goes by the same certificate."""
        made = self._board.requests.get(request_id)
        for token in self._board.tokens.values():
            if uri and token.certificate_uri == uri and not token.ended_at_ms(now_ms) and token.token_id != made:
                raise InvalidArgument("certificate_uri", f"stands for token {token.token_id} already")

    async def _note_now_and_then(self) -> None:
        if self._clock() - self._noted_at >= USE_NOTED_SECONDS:
            await self._note_use()

    async def _note_use(self) -> None:
        """Has the store know which tokens were used. It is worth no outage: what is not kept now is kept later."""
        self._noted_at = self._clock()
        used = [caller for caller in self._callers.values() if caller.used]
        if not used:
            return
        now_ms = self._now_ms()
        for caller in used:
            caller.used = False
        try:
            await self._store.note_use({caller.token.token_id: now_ms for caller in used})
        except InventoryError as away:
            _log.warning("when tokens were used is not kept for now: %s", away)
            for caller in used:
                caller.used = True
