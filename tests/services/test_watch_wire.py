"""What a watch says, byte by byte, and the tokens by which it is taken up again."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.stock import UNITS_MAX
from invengine.errors import InvalidArgument
from invengine.services.watch_wire import (
    DIGEST_BYTES,
    Seen,
    change_field,
    decode_token,
    encode_seen,
    encode_token,
    message,
)
from invengine.v1 import availability_service_pb2 as pb

STORE = b"store-id"
DIGEST = b"digest"
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
changes = st.tuples(names, names | st.just(""), st.integers(0, UNITS_MAX), st.integers(1, 3), st.integers(1, 2))
numbers = st.integers(0, 2**63 - 1)
partitions = st.lists(st.tuples(numbers, st.integers(0, 2**16 - 1)), min_size=1, max_size=80)


@given(st.lists(changes, max_size=5), st.text("abc", max_size=3), st.integers(0, 10**7), st.booleans(), st.booleans())
def test_messages_are_what_protobuf_writes(
    told: list[tuple[str, str, int, int, int]], token: str, staleness_ms: int, caught_up: bool, anew: bool
) -> None:
    expected = pb.WatchAvailabilityResponse(resume_token=token, caught_up=caught_up, begins_anew=anew)
    for sku, location, available, level, status in told:
        expected.changes.add(sku=sku, location=location, available=available, level=level, status=status)  # type: ignore[arg-type]
    if token:
        expected.staleness.FromMilliseconds(staleness_ms)
    fields = b"".join(change_field(sku.encode(), location.encode(), *rest) for sku, location, *rest in told)
    written = message(fields, token=token, staleness_ms=staleness_ms, caught_up=caught_up, anew=anew)
    assert expected.SerializeToString(deterministic=True) == written


@given(partitions, numbers, numbers, st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))
def test_a_token_says_what_was_seen(
    pairs: list[tuple[int, int]], network_revision: int, second: int, digest: bytes
) -> None:
    revisions, stamps = (tuple(column) for column in zip(*pairs, strict=True))
    seen = Seen(revisions, stamps, network_revision, second)
    token = encode_token(digest, encode_seen(STORE, seen))
    assert token.isascii()
    assert decode_token(token, STORE, len(pairs)) == (digest, seen)
    with pytest.raises(InvalidArgument, match="resume_token: a token of another store"):
        decode_token(token, b"another!", len(pairs))
    for wrong in (len(pairs) + 1, len(pairs) - 1):
        with pytest.raises(InvalidArgument, match="not a resume token"):
            decode_token(token, STORE, wrong)
    for cut in (token[:-1], token[1:], token + "AAAA"):
        with pytest.raises(InvalidArgument):
            decode_token(cut, STORE, len(pairs))


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="resume_token"):
        decode_token(text, STORE, 4)


@given(st.data())
def test_a_token_with_a_changed_byte_is_another_token_or_refused(data: st.DataObject) -> None:
    seen = Seen((1, 2, 300), (4, 5, 6), 7, 1_700_000_000)
    token = list(encode_token(DIGEST, encode_seen(STORE, seen)))
    token[data.draw(st.integers(0, len(token) - 1))] = data.draw(st.sampled_from("Az09_-!"))
    try:
        digest, other = decode_token("".join(token), STORE, 3)
    except InvalidArgument:
        return
    assert len(digest) == DIGEST_BYTES
    assert len(other.revisions) == 3
