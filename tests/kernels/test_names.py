"""The index of names against a list, and the table of holds against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.layout import SLOT_WORDS
from invengine.replica.index import Locations, NameIndex, as_bytes
from tests.kernels import reference

# alike in length, in beginning and in end; around the word and inline limits; zero bytes as padding has them
name = st.one_of(
    st.binary(min_size=1, max_size=64),
    st.integers(1, 64).map(lambda length: b"x" * length),
    st.integers(1, 64).map(lambda length: b"\0" * length),
    st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=2)).map(
        lambda pair: b"SKU-" * 6 + b"0" * pair[0] + pair[1]
    ),
).map(lambda text: text[:64])


@given(st.lists(name, unique=True, max_size=80), st.lists(name, max_size=20))
def test_names_are_found_under_their_numbers(names: list[bytes], others: list[bytes]) -> None:
    index, used, known = NameIndex(slots=2, arena_bytes=8), 0, list[bytes]()
    for number, added in enumerate(names):
        assert reference.find_name(known, added) == index.find(added) == -1
        used = index.insert(added, number, used)
        known = reference.insert_name(known, added)
        assert number == index.find(added)
    wanted = known + others
    buffer = as_bytes(b"".join(wanted) + b"#")
    lengths = [len(text) for text in wanted]
    spans = np.array([np.cumsum([0, *lengths])[:-1], lengths], np.int64).T.reshape(-1, 2).copy()
    numbers = np.empty(len(wanted), np.int64)
    kernels.find_names(buffer, spans, index.slots, index.arena, numbers)
    assert reference.find_names(known, wanted) == numbers.tolist()
    assert reference.list_names(known) == list(index.names(len(known)))

    wider = np.zeros((4 * index.slots.shape[0], SLOT_WORDS), np.uint64)
    kernels.rehash_names(index.slots, wider)
    index.slots = wider
    assert reference.rehash_names(known) == list(index.names(len(known)))
    assert list(range(len(known))) == [index.find(text) for text in known]


@given(st.binary(max_size=200), st.data())
def test_a_name_is_read_from_anywhere_in_a_buffer(buffer: bytes, data: st.DataObject) -> None:
    """Beside the end of the buffer, and at odd places."""
    spans = data.draw(
        st.lists(
            st.integers(0, max(0, len(buffer) - 1)).flatmap(
                lambda at: st.tuples(st.just(at), st.integers(0, min(64, len(buffer) - at)))
            ),
            max_size=12,
        )
    )
    index, known, used = NameIndex(2, 8), list[bytes](), 0
    for at, length in spans[::2]:
        text = buffer[at : at + length]
        if text and text not in known:
            used = index.insert(text, len(known), used)
            known.append(text)
    numbers = np.empty(len(spans), np.int64)
    kernels.find_names(as_bytes(buffer), np.array(spans, np.int64).reshape(-1, 2), index.slots, index.arena, numbers)
    assert [reference.find_name(known, buffer[at : at + length]) for at, length in spans] == numbers.tolist()


def test_a_large_index_finds_every_name_and_no_other() -> None:
    index, used = NameIndex(), 0
    names = [f"SKU-{i:09d}".encode() for i in range(20_000)]
    for number, added in enumerate(names):
        used = index.insert(added, number, used)
    assert list(range(20_000)) == [index.find(added) for added in names]
    assert {-1} == {index.find(f"SKU-{i:09d}".encode()) for i in range(20_000, 40_000)}
    assert names == list(index.names(20_000))


def test_locations_keep_their_numbers() -> None:
    numbers = Locations()
    names = [f"L{i}" * (i % 9 + 1) for i in range(500)]
    assert list(range(500)) == [numbers.number(text) for text in names]
    assert list(range(500)) == [numbers.number(text) for text in names]
    assert names == numbers.names
    assert len(numbers) == 500
    assert numbers.known("nowhere") == -1
    assert len(numbers) == 500


@given(st.dictionaries(st.integers(1, 2**62), st.integers(0, 2**31), max_size=60))
def test_the_table_of_holds_keeps_every_key_when_it_grows(holds: dict[int, int]) -> None:
    table = np.zeros((2, 2), np.int64)
    kept: dict[int, int] = {}
    for key, line in holds.items():
        if 2 * (len(kept) + 1) > table.shape[0]:
            wider = np.zeros((2 * table.shape[0], 2), np.int64)
            kernels.rehash_holds(table, wider)
            table = wider
        extra = np.zeros((2 * table.shape[0], 2), np.int64)
        extra[0] = key, line + 1  # the one line of an otherwise empty table, copied to where it belongs
        single = np.zeros((2, 2), np.int64)
        single[0] = key, line + 1
        merged = np.zeros_like(table)
        kernels.rehash_holds(table, merged)
        kernels.rehash_holds(single, merged)
        table = merged
        kept[key] = line
    assert reference.rehash_holds(kept) == {key: line - 1 for key, line in table.tolist() if line}
