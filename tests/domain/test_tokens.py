"""Tokens: what roles include, when one counts, and how many calls a bucket gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.tokens import INCLUDES, Bucket, Role, Token, digest_of, granted, new_secret, new_token_id


def test_every_role_includes_itself_and_read_and_only_admin_more() -> None:
    for role in Role:
        assert {Role.READ, role} <= INCLUDES[role]
        assert role is Role.ADMIN or INCLUDES[role] == {Role.READ, role}
    assert INCLUDES[Role.ADMIN] == set(Role)
    assert granted([Role.FEED, Role.RESERVE]) == {Role.READ, Role.FEED, Role.RESERVE}
    assert granted([]) == frozenset()


def token(**more: int) -> Token:
    return Token("id", "name", "", frozenset({Role.READ}), digest_of("secret"), **more)


@pytest.mark.parametrize(
    ("more", "valid", "ended_at_ms"),
    [
        ({}, True, 0),
        ({"not_before_ms": 1000}, True, 0),
        ({"not_before_ms": 1001}, False, 0),
        ({"expires_at_ms": 1001}, True, 0),
        ({"expires_at_ms": 1000}, False, 1000),
        ({"revoked_at_ms": 900}, False, 900),
        ({"revoked_at_ms": 900, "expires_at_ms": 800}, False, 800),
    ],
)
def test_a_token_counts_between_its_instants_until_it_is_revoked(
    more: dict[str, int], valid: bool, ended_at_ms: int
) -> None:
    assert (token(**more).is_valid(1000), token(**more).ended_at_ms(1000)) == (valid, ended_at_ms)


def test_a_token_does_not_show_its_hash() -> None:
    assert digest_of("secret") not in repr(token())


def test_secrets_are_256_bits_without_a_dot_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == len({new_token_id() for _ in range(1000)}) == 1000
    assert {len(secret) for secret in secrets} == {43}
    assert not any("." in secret for secret in secrets)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=2.0, burst=3.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.25) == 0.25
    assert bucket.take(0.5) == 0.0
    assert [bucket.wait(0.5) for _ in range(3)] == [0.5, 1.0, 1.5]
    assert bucket.take(100.0) == 0.0
    assert bucket.take(99.0) == 0.0  # a clock that goes back gives nothing, and takes nothing


@given(rate=st.floats(0.01, 1000), burst=st.floats(0, 100), steps=st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(rate: float, burst: float, steps: list[float]) -> None:
    bucket, now, given_calls = Bucket(rate, burst, 0.0), 0.0, 0
    for step in steps:
        now += step
        given_calls += sum(bucket.take(now) == 0.0 for _ in range(20))
        assert given_calls <= max(1.0, burst) + rate * now + 1e-6 * (1 + rate * now)
