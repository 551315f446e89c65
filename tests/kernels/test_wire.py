"""Requests taken apart as protobuf would, whatever the bytes."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.wire import NOT_A_MESSAGE, TOO_MANY
from invengine.replica.index import as_bytes
from invengine.services.validation import is_plain
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2
from tests.kernels import reference

texts = st.text(max_size=70)
requests = st.builds(
    pb.BatchGetAvailabilityRequest,
    skus=st.lists(texts, max_size=12),
    channel=texts,
    locations=st.lists(texts, max_size=3),
    group=texts,
    fulfilment=st.integers(0, 200),
    totals_only=st.booleans(),
    consistency=st.none() | st.builds(common_pb2.Consistency, at_least_as_fresh=texts),
    handle_epoch=st.integers(0, 2**64 - 1),
    want_handles=st.booleans(),
    handles=st.lists(st.integers(0, 2**32 - 1), max_size=5),
)


def split(message: bytes, room: int = 100) -> tuple[int, list[bytes], list[int], bytes, bytes]:
    """(count, SKUs, odd, rest, handles)"""
    spans, odd = np.zeros((room, 2), np.int64), np.zeros(room, np.uint8)
    rest, lengths = np.zeros(len(message), np.uint8), np.zeros(4, np.int64)
    count = kernels.split_request(as_bytes(message), spans, odd, rest, lengths)
    found = [message[at : at + length] for at, length in spans[: max(count, 0)].tolist()]
    if count >= 0:
        assert lengths[1] == odd[:count].sum()
    handles = message[lengths[2] : lengths[2] + lengths[3]]
    return count, found, odd[: max(count, 0)].tolist(), rest[: lengths[0]].tobytes(), handles


@given(requests)
def test_a_request_is_its_skus_and_the_rest(request: pb.BatchGetAvailabilityRequest) -> None:
    message = request.SerializeToString()
    skus, handles, without = reference.split_request(message)
    count, found, odd, rest, packed = split(message)
    assert handles == np.frombuffer(packed, "<u4").tolist()
    assert skus == [sku.decode() for sku in found]
    assert count == len(skus)
    assert without == pb.BatchGetAvailabilityRequest.FromString(rest)
    assert all(flagged or is_plain(sku) for sku, flagged in zip(skus, odd, strict=True))
    assert [not is_plain(sku) if sku else True for sku in skus] == [bool(flagged) for flagged in odd]


@given(
    st.lists(requests, min_size=1, max_size=3).map(lambda parts: b"".join(part.SerializeToString() for part in parts)),
    st.data(),
)
def test_mutated_bytes_are_taken_as_protobuf_takes_them_or_left_to_it(message: bytes, data: st.DataObject) -> None:
    """Where the kernel takes a message apart, protobuf finds the same in it."""
    mutable = bytearray(message)
    for _ in range(data.draw(st.integers(0, 3))):
        if mutable:
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(mutable[: data.draw(st.integers(0, len(mutable)))])
    count, found, odd, rest, packed = split(cut)
    try:
        skus, handles, without = reference.split_request(cut)
    except DecodeError:
        skus = None
    if count == NOT_A_MESSAGE:
        return
    if skus is None and len(packed) % 4:
        return
    if skus is None:  # the fault is in a SKU that is flagged, or in the rest
        try:
            pb.BatchGetAvailabilityRequest.FromString(rest)
        except DecodeError:
            return
        assert any(odd)
        with pytest.raises(UnicodeDecodeError):
            b"\0".join(found).decode()
        return
    assert [sku.encode() for sku in skus] == found
    assert handles == np.frombuffer(packed, "<u4").tolist()
    assert without == pb.BatchGetAvailabilityRequest.FromString(rest)


@given(st.binary(max_size=60))
def test_random_bytes_never_surprise(message: bytes) -> None:
    count, found, _, rest, packed = split(message)
    assert count == NOT_A_MESSAGE or count == len(found)
    assert sum(len(sku) for sku in found) + len(rest) + len(packed) <= len(message)


def test_more_skus_than_there_is_room_for_are_told() -> None:
    message = pb.BatchGetAvailabilityRequest(skus=["A"] * 11).SerializeToString()
    assert split(message, room=10)[0] == TOO_MANY
    assert split(message, room=11)[0] == 11


@pytest.mark.parametrize(
    "message",
    [
        b"\x52\x04abcd\x52\x04abcd",
        b"\x55abcd",
        b"\x52\x05abcd",
        b"\x0a",
        b"\x0a\x05A",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x00\x00",
        b"\x0b",
        b"\x80" * 11,
    ],
)
def test_what_is_cut_or_unusual_is_left_to_protobuf(message: bytes) -> None:
    assert split(message)[0] == NOT_A_MESSAGE


@given(st.lists(st.integers(0, 60) | st.integers(0, 2**32 - 1), max_size=8), st.integers(0, 50), st.binary(max_size=3))
def test_handles_are_numbers_from_1_on(handles: list[int], known: int, before: bytes) -> None:
    numbers = np.full(len(handles), -9, np.int64)
    message = as_bytes(before + np.array(handles, "<u4").tobytes())
    told = kernels.read_handles(message, len(before), known, numbers)
    expected = reference.read_handles(handles, known)
    assert expected == (-1 - told if told < 0 else numbers.tolist())
    assert told < 0 or told == handles.count(0)
