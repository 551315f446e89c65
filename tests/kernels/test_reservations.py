"""Batches of usual reservations: read, packed and answered as protobuf and the services do it one by one."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels import reservations as columns
from invengine.kernels.digests import WORK_WORDS
from invengine.replica.index import as_bytes
from invengine.services.reservation_ids import ReservationIds
from invengine.v1 import reservation_service_pb2 as pb
from tests.kernels import reference

PARTITIONS = 64
IDS = ReservationIds(PARTITIONS, near_stock=True)
ENDINGS = IDS.endings_by_bits()

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
usual = st.builds(
    lambda request_id, channel, line_id, sku, quantity, location, fulfilment, policy: pb.CreateReservationRequest(
        request_id=request_id,
        channel=channel,
        lines=[
            pb.ReservationLineRequest(
                line_id=line_id, sku=sku, quantity=quantity, location=location, fulfilment=fulfilment
            )
        ],
        policy=policy,
    ),
    names,
    st.sampled_from(("web", "till", "a" * 64)),
    st.just("") | names,
    names,
    st.integers(1, 2**31 - 1) | st.integers(1, 300),
    st.sampled_from(("AMS1", "BER1", "L" * 64)),
    st.integers(0, 2),
    st.integers(0, 1),
)
texts = st.text(max_size=66)
any_line = st.builds(
    pb.ReservationLineRequest,
    line_id=texts,
    sku=texts,
    quantity=st.integers(-(2**63), 2**63 - 1),
    location=texts,
    group=st.just("") | texts,
    fulfilment=st.integers(0, 5),
    allow_split=st.booleans(),
    service=st.just("") | texts,
)
any_request = usual | st.builds(
    pb.CreateReservationRequest,
    request_id=texts,
    reservation_id=st.just("") | texts,
    channel=texts,
    lines=st.lists(any_line, max_size=2),
    policy=st.integers(0, 4),
    order_ref=st.just("") | texts,
    max_parcels=st.integers(0, 3),
)


def read(message: bytes, room: int = 20) -> tuple[int, np.ndarray, list[int]]:
    """(count, columns, first request of each way)"""
    asked, slots = np.zeros((room, columns.ASKED_COLUMNS), np.int64), np.full(64, -1, np.int64)
    firsts = np.zeros(room, np.int64)
    count, ways = kernels.read_reservations(as_bytes(message), asked, slots, firsts)
    return count, asked[: max(count, 0)], firsts[:ways].tolist()


def told(message: bytes, asked: np.ndarray) -> list[reference.AskedReservation]:
    """The requests that the columns say."""

    def text(row: list[int], at: int) -> str:
        return message[row[at] : row[at] + row[at + 1]].decode()

    return [
        reference.AskedReservation(
            text(row, columns.REQUEST_AT),
            text(row, columns.CHANNEL_AT),
            text(row, columns.LINE_ID_AT),
            text(row, columns.SKU_AT),
            row[columns.QUANTITY],
            text(row, columns.LOCATION_AT),
            row[columns.FULFILMENT],
        )
        for row in asked.tolist()
    ]


@given(st.lists(any_request, min_size=1, max_size=6))
def test_a_batch_is_read_where_all_of_it_is_usual(requests: list[pb.CreateReservationRequest]) -> None:
    message = pb.BatchCreateReservationsRequest(requests=requests).SerializeToString()
    expected = reference.read_reservations(message)
    count, asked, firsts = read(message)
    if expected is None:
        assert count == columns.UNUSUAL
        return
    assert told(message, asked) == expected
    ways = [(it.channel, it.location, it.fulfilment) for it in expected]
    assert [ways[first] for first in firsts] == list(dict.fromkeys(ways))
    assert [ways[firsts[way]] for way in asked[:, columns.WAY]] == ways


@given(st.lists(usual, min_size=1, max_size=3), st.data())
def test_mutated_bytes_are_read_as_protobuf_reads_them_or_left_to_it(
    requests: list[pb.CreateReservationRequest], data: st.DataObject
) -> None:
    message = bytearray(pb.BatchCreateReservationsRequest(requests=requests).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(message[: data.draw(st.integers(len(message) - 3, len(message)))])
    count, asked, _ = read(mutated)
    if count >= 0:
        try:
            assert told(mutated, asked) == (reference.read_reservations(mutated) or [])
        except DecodeError:
            pytest.fail("read what is no message")


def test_more_requests_than_there_is_room_for_are_left_alone() -> None:
    request = pb.CreateReservationRequest(request_id="r", channel="web")
    request.lines.add(sku="LAMP", quantity=1)
    message = pb.BatchCreateReservationsRequest(requests=[request] * 4).SerializeToString()
    assert (read(message, 3)[0], read(message, 4)[0]) == (columns.UNUSUAL, 4)


def packed(message: bytes, asked: np.ndarray) -> tuple[bytes, np.ndarray]:
    out = np.zeros(len(asked) * columns.ITEM_BYTES_MAX + 128, np.uint8)
    found = np.zeros((len(asked), columns.PACKED_COLUMNS), np.int64)
    assert ENDINGS is not None
    work = np.zeros(WORK_WORDS, np.uint64)
    end = kernels.pack_reservations(as_bytes(message), asked, PARTITIONS, ENDINGS, out, found, work)
    return out[:end].tobytes(), found


@given(st.lists(usual, min_size=1, max_size=5))
def test_items_are_packed_with_the_ids_and_fingerprints_of_the_services(
    requests: list[pb.CreateReservationRequest],
) -> None:
    message = pb.BatchCreateReservationsRequest(requests=requests).SerializeToString()
    _, asked, _ = read(message)
    items, found = packed(message, asked)
    expected = reference.pack_reservations(requests, asked[:, columns.WAY].tolist(), IDS, PARTITIONS)
    assert items == b"".join(expected)
    assert found[:, columns.ITEM_AT].tolist() == np.cumsum([0, *map(len, expected[:-1])]).tolist()
    for request, row in zip(requests, found.tolist(), strict=True):
        reservation_id = IDS.derived(request.channel, request.request_id, request.lines[0].sku)
        at = row[columns.ID_AT]
        assert items[at : at + row[columns.ID_LENGTH]].decode() == reservation_id


@given(
    st.lists(usual, min_size=1, max_size=5),
    st.lists(
        st.none() | st.tuples(st.integers(1_000, 2**45), st.integers(1, 2**35), st.integers(1, 2**53 - 1)),
        min_size=5,
        max_size=5,
    ),
)
def test_answers_are_those_of_protobuf(
    requests: list[pb.CreateReservationRequest], said: list[tuple[int, int, int] | None]
) -> None:
    message = pb.BatchCreateReservationsRequest(requests=requests).SerializeToString()
    _, asked, firsts = read(message)
    items, found = packed(message, asked)
    taken = np.array([row or (0, 0, 0) for row in said[: len(requests)]], np.int64)
    places = [requests[first].lines[0].location.encode() for first in firsts]
    out, ends = np.zeros(len(requests) * columns.ANSWER_BYTES_MAX, np.uint8), np.zeros(len(requests), np.int64)
    bounds = np.cumsum([0, *map(len, places)])
    size = kernels.answer_reservations(
        as_bytes(message), asked, as_bytes(items), found, taken, as_bytes(b"".join(places)), bounds, out, ends
    )
    expected = reference.answer_reservations(requests, said, IDS)
    assert out[:size].tobytes() == b"".join(expected)
    assert ends.tolist() == np.cumsum([*map(len, expected)]).tolist()
