"""Answers from bytes to bytes: what the kernels write is what protobuf would have written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.layout import ANSWER_BYTES_MORE, POSITION_BYTES_MAX, QUERY_BYTES_MAX, TERM_COLUMNS
from invengine.kernels.wire_answers import LEFT_TO_PROTOBUF, UNKNOWN
from invengine.replica.index import NameIndex, as_bytes
from invengine.v1 import availability_service_pb2 as pb
from tests.kernels import reference
from tests.kernels.reference import Asker
from tests.kernels.strategies import LOCATIONS, SKUS, Compiled, Worlds, askers, compiled, selections, skus, worlds

ids = st.one_of(st.just(0), st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))
tails = st.sampled_from((pb.AvailabilityQuery(), pb.AvailabilityQuery(channel="web"), pb.AvailabilityQuery(group="g")))


@given(worlds(), selections, askers, st.sampled_from((*SKUS, "nobody", "")), st.integers(0, 9))
def test_one_sku_by_its_name_is_answered_like_protobuf(
    both: Worlds, selection: reference.Selection, asker: Asker, sku: str, threshold: int
) -> None:
    columns, chosen = both.columns, compiled(selection, both.columns, asker)
    name, partition = np.zeros(64, np.uint8), np.full(1, -1, np.int64)
    encoded = sku.encode()
    name[: len(encoded)] = as_bytes(encoded)
    out = np.empty(len(LOCATIONS) * POSITION_BYTES_MAX + ANSWER_BYTES_MORE, np.uint8)
    arrays = (columns.index.slots, columns.index.arena, columns.positions, columns.skus, columns.fences, chosen.block)
    thresholds = np.full(1 + len(chosen.asked), threshold, np.int64)
    more = (chosen.ignored({}, asker), chosen.names, chosen.name_ends, thresholds)
    written = kernels.answer_sku(
        name, len(encoded), *arrays, *more, np.empty((len(LOCATIONS), TERM_COLUMNS), np.int64), out, partition
    )
    everywhere = dict.fromkeys(("", *LOCATIONS), threshold)
    expected = reference.answer_sku(both.state, sku, selection, everywhere, None, asker)
    if expected is None:
        assert written == UNKNOWN
        return
    assert out[:written].tobytes() == expected.SerializeToString(deterministic=True)
    assert partition[0] == columns.skus[columns.find_sku(sku), 3]
    if expected.positions:  # without room for them another way is taken
        no_room = np.empty((0, TERM_COLUMNS), np.int64)
        assert kernels.answer_sku(name, len(encoded), *arrays, *more, no_room, out, partition) == UNKNOWN


def answered(
    both: Worlds, chosen: Compiled, message: bytes, rest: bytes, *, optional: bool, threshold: int, room: int
) -> bytes | None:
    """What the kernel writes; None for what it leaves to protobuf."""
    columns, ruled = both.columns, NameIndex(64, 64)
    ruled.insert(b"RULED", 0, 0)
    out = np.zeros(room, np.uint8)
    written = kernels.answer_queries(
        as_bytes(message),
        as_bytes(rest),
        optional,
        columns.index.slots,
        columns.index.arena,
        ruled.slots,
        ruled.arena,
        columns.positions,
        columns.skus,
        columns.fences,
        chosen.block,
        threshold,
        out,
    )
    assert written == LEFT_TO_PROTOBUF or written <= room
    return None if written == LEFT_TO_PROTOBUF else out[:written].tobytes()


def request_of(asked: list[tuple[int, str]], tail: pb.AvailabilityQuery, *, one: bool) -> pb.StreamAvailabilityRequest:
    """A message of one query, or of many; all ask for the same."""
    if one:
        ((query_id, sku),) = asked[:1]
        return pb.StreamAvailabilityRequest(query_id=query_id, sku=sku, channel=tail.channel, group=tail.group)
    queries = [pb.AvailabilityQuery(query_id=n, sku=sku, channel=tail.channel, group=tail.group) for n, sku in asked]
    return pb.StreamAvailabilityRequest(queries=queries)


@given(
    worlds(),
    selections,
    askers,
    st.lists(st.tuples(ids, skus | st.sampled_from(("nobody", "RULED", ""))), min_size=1, max_size=6),
    tails,
    st.booleans(),
    st.integers(0, 9),
)
def test_queries_are_answered_like_protobuf_or_left_to_it(
    both: Worlds,
    selection: reference.Selection,
    asker: Asker,
    asked: list[tuple[int, str]],
    tail: pb.AvailabilityQuery,
    one: bool,
    threshold: int,
) -> None:
    chosen, request = compiled(selection, both.columns, asker), request_of(asked, tail, one=one)
    asked = asked[:1] if one else asked
    message, rest = request.SerializeToString(), tail.SerializeToString()
    room = QUERY_BYTES_MAX * len(asked)
    answer = answered(both, chosen, message, rest, optional=False, threshold=threshold, room=room)
    plain = all(sku in both.state.skus and query_id >= 0 for query_id, sku in asked)
    assert (answer is not None) == plain
    if answer is not None:
        expected = reference.answer_queries(both.state, request, selection, threshold, asker)
        assert answer == expected.SerializeToString(deterministic=True)
        less = answered(both, chosen, message, rest, optional=False, threshold=threshold, room=room - 1)
        assert less in (None, answer)
        bare = request_of(asked, pb.AvailabilityQuery(), one=one).SerializeToString()
        assert answered(both, chosen, bare, rest, optional=True, threshold=threshold, room=room) == answer
        if rest:
            assert answered(both, chosen, bare, rest, optional=False, threshold=threshold, room=room) is None
            assert answered(both, chosen, message, b"", optional=True, threshold=threshold, room=room) is None


@given(worlds(), st.data())
def test_mutated_queries_are_answered_as_protobuf_reads_them_or_left_to_it(both: Worlds, data: st.DataObject) -> None:
    """Where the kernel answers, protobuf reads from the same bytes what was answered."""
    asked = data.draw(st.lists(st.tuples(ids, skus), min_size=1, max_size=3))
    selection = data.draw(selections)
    request = request_of(asked, pb.AvailabilityQuery(channel="web"), one=data.draw(st.booleans()))
    mutable = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(mutable[: data.draw(st.integers(0, len(mutable)))])
    chosen = compiled(selection, both.columns)
    rest = pb.AvailabilityQuery(channel="web").SerializeToString()
    answer = answered(both, chosen, cut, rest, optional=True, threshold=3, room=QUERY_BYTES_MAX * 9)
    if not answer:
        return
    read = pb.StreamAvailabilityRequest.FromString(cut)
    assert {query.channel for query in read.queries or [read]} <= {"", "web"}
    expected = reference.answer_queries(both.state, read, selection, 3)
    assert answer == expected.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "message", [b"", b"\x08", b"\x2a", b"\x2a\x7f", b"\x12\x05A", b"\x2a\x02\x12\x05A", b"\xff" * 12]
)
def test_what_is_cut_is_left_to_protobuf(message: bytes) -> None:
    both = Worlds()
    both.apply(0, 1, "P\tA\tL\t1\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n")
    chosen = compiled({}, both.columns)
    assert answered(both, chosen, message, b"", optional=True, threshold=0, room=99) is None
