"""Tokens in the store: one hash, written by lua/tokens.lua."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from invengine.domain.tokens import Role, Token
from invengine.errors import RequestMismatch, TokenNotFound, TooManyTokens
from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.startup import as_dict

TOKENS_MAX: Final = 1_000
"""Every server keeps them all."""

_STAMP: Final = "revision", "changed_at_ms"


@dataclass(frozen=True, slots=True)
class TokenBoard:
    """All tokens at one instant, by their ids; those that ended among them. `requests`: ids of tokens by request_id."""

    revision: int
    tokens: Mapping[str, Token]
    requests: Mapping[str, str]


NO_TOKENS: Final = TokenBoard(0, {}, {})


class StoredTokens:
    """Reads and writes tokens. Writes may be repeated; StoreUnavailable, StoreFull, OutcomeUnknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._seen: tuple[list[bytes | None], TokenBoard] | None = None

    async def board(self, *, with_use: bool = False) -> TokenBoard:
        """What there is now. Asked for every second: it is read whole only where it changed. `with_use`: read whole in
        any case, since when a token was used last is not announced.
        """
        if self._seen is not None and not with_use:
            (stamp,) = await self._calls.read(("HMGET", keys.TOKENS, *_STAMP))
            if stamp == self._seen[0]:
                return self._seen[1]
        (stored,) = await self._calls.read(("HGETALL", keys.TOKENS))
        fields = {name.decode(): value.decode() for name, value in as_dict(stored).items()}
        board = _board(fields)
        self._seen = [value.encode() if (value := fields.get(name)) is not None else None for name in _STAMP], board
        return board

    async def issue(
        self, token: Token, *, request_id: str, fingerprint: str, forget: Sequence[str] = (), most: int = TOKENS_MAX
    ) -> tuple[str, bool]:
        """Keep a new token: its id, or that of the one that the same request made before; and whether it is new.

        `forget`: ids of tokens, and request_ids that made them, to be dropped. RequestMismatch, TooManyTokens.
        """
        known = self._seen[1].requests if self._seen else {}
        gone = set(forget)
        fields = [f"{kind}\t{one}\n" for one in forget for kind in ("token", "revoked", "used")]
        fields += [f"request\t{request}\n" for request, made in known.items() if made in gone]
        word, *rest = await self._calls.write(
            "invengine_issue_token",
            [keys.TOKENS],
            token.token_id,
            _record(token),
            request_id,
            fingerprint,
            str(most),
            "".join(fields),
        )
        if word == b"REQUEST_MISMATCH":
            raise RequestMismatch(request_id)
        if word == b"TOO_MANY_TOKENS":
            raise TooManyTokens(most)
        return rest[0].decode(), word == b"APPLIED"

    async def revoke(self, token_id: str) -> tuple[int, bool]:
        """End a token: since when it is revoked, and whether this call did it. TokenNotFound."""
        word, *rest = await self._calls.write("invengine_revoke_token", [keys.TOKENS], token_id)
        if word == b"TOKEN_NOT_FOUND":
            raise TokenNotFound(token_id)
        return int(rest[0]), word == b"APPLIED"

    async def note_use(self, used_at_ms: Mapping[str, int]) -> None:
        """Keep when tokens were used last; nobody is told."""
        fields = [text for token_id, at_ms in used_at_ms.items() for text in (f"used\t{token_id}", str(at_ms))]
        await self._calls.write_once(keys.TOKENS, ("HSET", keys.TOKENS, *fields))


def _board(fields: Mapping[str, str]) -> TokenBoard:
    tokens, requests = {}, {}
    for field, value in fields.items():
        kind, _, of = field.partition("\t")
        if kind == "token":
            revoked, used = fields.get(f"revoked\t{of}", "0"), fields.get(f"used\t{of}", "0")
            tokens[of] = _token(of, value, revoked_at_ms=int(revoked), used_at_ms=int(used))
        elif kind == "request":
            requests[of] = value.partition("\t")[2]
    return TokenBoard(int(fields.get("revision", "0")), tokens, requests)


def _record(token: Token) -> str:
    return "\t".join(
        (
            token.digest,
            token.name,
            token.channel,
            ",".join(sorted(token.roles)),
            str(token.not_before_ms),
            str(token.expires_at_ms),
            repr(token.rate),
            str(token.burst),
            token.certificate_uri,
            str(token.created_at_ms),
            token.creator,
        )
    )


def _token(token_id: str, record: str, *, revoked_at_ms: int, used_at_ms: int) -> Token:
    digest, name, channel, roles, not_before, expires, rate, burst, uri, created, creator, *_ = record.split("\t")
    return Token(
        token_id,
        name,
        channel,
        # a role of a newer version grants nothing here
        frozenset(Role(role) for role in roles.split(",") if role in set(Role)),
        digest,
        int(not_before),
        int(expires),
        float(rate),
        int(burst),
        uri,
        int(created),
        creator,
        used_at_ms,
        revoked_at_ms,
    )
