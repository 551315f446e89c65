"""Tokens in the store: one function call each, remembered, bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.tokens import Role, Token, digest_of
from invengine.errors import RequestMismatch, TokenNotFound, TooManyTokens
from invengine.services.tokens import FORGOTTEN_AFTER_MS, Tokens, Wanted
from invengine.store import keys
from invengine.store.redis_store import RedisStore
from tests.redis_servers import RunningRedis
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

FULL = Token(
    "one",
    "web shop",
    "web",
    frozenset({Role.READ, Role.FEED}),
    digest_of("secret"),
    not_before_ms=5,
    expires_at_ms=10**12,
    rate=2.5,
    burst=7,
    certificate_uri="spiffe://shop/web",
    created_at_ms=77,
    creator="admin",
)


@pytest_asyncio.fixture
async def store(world: World) -> RedisStore:
    """A new store, once on each kind of server."""
    return world.store


async def test_a_token_is_read_as_it_was_kept(store: RedisStore) -> None:
    assert (await store.tokens.board()).tokens == {}
    assert await store.tokens.issue(FULL, request_id="r1", fingerprint="f") == ("one", True)
    board = await store.tokens.board()
    assert (board.tokens, board.requests, board.revision) == ({"one": FULL}, {"r1": "one"}, 1)
    assert await store.tokens.board() is board  # unchanged, so it is not read again
    other = replace(FULL, token_id="two")
    assert await store.tokens.issue(other, request_id="r1", fingerprint="f") == ("one", False)
    with pytest.raises(RequestMismatch):
        await store.tokens.issue(other, request_id="r1", fingerprint="g")
    assert await store.tokens.board() is board


async def test_a_revoked_token_stays_revoked_and_its_use_is_kept(store: RedisStore) -> None:
    await store.tokens.issue(FULL, request_id="r1", fingerprint="f")
    await store.tokens.note_use({"one": 1234})
    (at_ms, is_new), again = await store.tokens.revoke("one"), await store.tokens.revoke("one")
    assert (is_new, again) == (True, (at_ms, False))
    board = await store.tokens.board()
    assert board.tokens["one"] == replace(FULL, revoked_at_ms=at_ms, used_at_ms=1234)
    with pytest.raises(TokenNotFound):
        await store.tokens.revoke("two")


async def test_there_is_room_for_so_many_and_for_more_when_some_are_forgotten(store: RedisStore) -> None:
    for name in ("one", "two"):
        await store.tokens.issue(replace(FULL, token_id=name), request_id=name, fingerprint="f", most=2)
    await store.tokens.board()
    three = replace(FULL, token_id="three")
    with pytest.raises(TooManyTokens):
        await store.tokens.issue(three, request_id="three", fingerprint="f", most=2)
    await store.tokens.issue(three, request_id="three", fingerprint="f", most=2, forget=["one", "unknown"])
    board = await store.tokens.board()
    assert (set(board.tokens), set(board.requests)) == ({"two", "three"}, {"two", "three"})


async def test_what_ended_long_ago_is_forgotten_by_the_next_that_is_issued(store: RedisStore) -> None:
    now = [10**12]
    tokens = Tokens(store.tokens, now_ms=lambda: now[0])
    for name, expires in (("over", now[0] + 1), ("late", now[0] + FORGOTTEN_AFTER_MS), ("live", 0)):
        wanted = Wanted(name, frozenset({Role.READ}), expires_at_ms=expires)
        await tokens.issue(wanted, request_id=name)
    now[0] += FORGOTTEN_AFTER_MS + 10
    assert [one.name for one in await tokens.listing(include_ended=True)] == ["late", "live", "over"]
    await tokens.issue(Wanted("new", frozenset({Role.READ})), request_id="new")
    assert [one.name for one in await tokens.listing(include_ended=True)] == ["late", "live", "new"]
    assert [one.name for one in await tokens.listing()] == ["live", "new"]


async def test_redis_has_no_secret(redis_server: RunningRedis, store: RedisStore) -> None:
    tokens = Tokens(store.tokens, now_ms=lambda: 10**12)
    issued = await tokens.issue(Wanted("shop", frozenset({Role.READ})), request_id="r")
    token_id, _, secret = issued.secret.partition(".")
    async with Redis.from_url(redis_server.url) as redis:
        kept = str(await redis.hgetall(keys.TOKENS))
    assert token_id in kept
    assert digest_of(secret) in kept
    assert secret not in kept
