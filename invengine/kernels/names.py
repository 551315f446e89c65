"""A hash index of names (byte strings) in arrays: SKU -> number, location -> number.

Open addressing with linear probing; `slots` is uint64 [2^k, 4], at most half full. A slot is 32 bytes: three words of
key, padded with zeros, and `length << 32 | number + 1`, 0 when empty; so a look-up is one cache line. A name of more
than INLINE_BYTES keeps its hash in word 0 and its place in `arena`, uint8 [n], in word 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import INLINE_BYTES, SLOT_WORDS
from invengine.kernels.text import part_word

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_LOW = np.uint64(0xFFFFFFFF)
_CHUNK = 512


@njit(nogil=True)
def _mix(hashed, word):
    hashed = (hashed ^ word) * _MIX_1
    return hashed ^ (hashed >> np.uint64(32))


@njit(nogil=True)
def _finish(hashed):
    hashed = hashed * _MIX_2
    return hashed ^ (hashed >> np.uint64(29))


@njit(nogil=True)
def _hash_long(buffer, at, length):
    hashed = np.uint64(length)
    while length > 0:
        hashed = _mix(hashed, part_word(buffer, at, length))
        at += 8
        length -= 8
    return _finish(hashed)


@njit(nogil=True)
def hash_words(word_0, word_1, word_2, length):
    """The hash of an inline name, from its three words."""
    return _finish(_mix(_mix(_mix(np.uint64(length), word_0), word_1), word_2))


@njit(nogil=True)
def _probe_inline(slots, hashed, word_0, word_1, word_2, length):
    """(slot, number) of an inline name; the first empty slot and -1 when it is not there."""
    mask = np.uint64(slots.shape[0] - 1)
    slot = hashed & mask
    while True:
        tail = slots[slot, 3]
        if tail == np.uint64(0):
            return slot, np.int64(-1)
        if (
            slots[slot, 0] == word_0
            and slots[slot, 1] == word_1
            and slots[slot, 2] == word_2
            and tail >> np.uint64(32) == np.uint64(length)
        ):
            return slot, np.int64(tail & _LOW) - 1
        slot = (slot + np.uint64(1)) & mask


@njit(nogil=True)
def _probe_long(slots, arena, hashed, buffer, at, length):
    """As `_probe_inline`, for a name that does not fit into a slot."""
    mask = np.uint64(slots.shape[0] - 1)
    slot = hashed & mask
    while True:
        tail = slots[slot, 3]
        if tail == np.uint64(0):
            return slot, np.int64(-1)
        if slots[slot, 0] == hashed and tail >> np.uint64(32) == np.uint64(length):
            start = np.int64(slots[slot, 1])
            i = 0
            while i < length and arena[start + i] == buffer[at + i]:
                i += 1
            if i == length:
                return slot, np.int64(tail & _LOW) - 1
        slot = (slot + np.uint64(1)) & mask


@njit(nogil=True)
def find(slots, arena, buffer, at, length):
    """The number of the name at buffer[at : at + length], or -1."""
    if length > INLINE_BYTES:
        return _probe_long(slots, arena, _hash_long(buffer, at, length), buffer, at, length)[1]
    word_0 = part_word(buffer, at, length)
    word_1 = part_word(buffer, at + 8, length - 8)
    word_2 = part_word(buffer, at + 16, length - 16)
    return _probe_inline(slots, hash_words(word_0, word_1, word_2, length), word_0, word_1, word_2, length)[1]


@njit(nogil=True)
def insert(slots, arena, arena_used, buffer, at, length, number):
    """Adds a name that is not there yet; returns the bytes of `arena` in use then. The caller has seen to the room."""
    tail = np.uint64(length) << np.uint64(32) | np.uint64(number + 1)
    if length > INLINE_BYTES:
        hashed = _hash_long(buffer, at, length)
        slot, _ = _probe_long(slots, arena, hashed, buffer, at, length)
        for i in range(length):
            arena[arena_used + i] = buffer[at + i]
        slots[slot, 0] = hashed
        slots[slot, 1] = np.uint64(arena_used)
        slots[slot, 2] = np.uint64(0)
        slots[slot, 3] = tail
        return arena_used + length
    word_0 = part_word(buffer, at, length)
    word_1 = part_word(buffer, at + 8, length - 8)
    word_2 = part_word(buffer, at + 16, length - 16)
    slot, _ = _probe_inline(slots, hash_words(word_0, word_1, word_2, length), word_0, word_1, word_2, length)
    slots[slot, 0] = word_0
    slots[slot, 1] = word_1
    slots[slot, 2] = word_2
    slots[slot, 3] = tail
    return arena_used


@njit(f"int64({_BYTES}, uint64[:, ::1], uint8[::1])", nogil=True, cache=True)
def find_name(name, slots, arena):
    """The number of `name`, uint8 [length], or -1."""
    return find(slots, arena, name, 0, name.size)


@njit(f"int64({_BYTES}, int64, uint64[:, ::1], uint8[::1], int64)", nogil=True, cache=True)
def insert_name(name, number, slots, arena, arena_used):
    """Adds `name`, uint8 [length], which is not there yet, under `number`; returns the bytes of `arena` in use then.

    The caller has seen to it that `slots` stays at most half full and that `arena` has `length` bytes of room.
    """
    return insert(slots, arena, arena_used, name, 0, name.size, number)


@njit(f"void({_BYTES}, int64[:, ::1], uint64[:, ::1], uint8[::1], int64[::1])", nogil=True, cache=True)
def find_names(buffer, spans, slots, arena, numbers):
    """Fill `numbers`, int64 [n], with the number of each name, -1 where there is none.

      buffer  uint8 [bytes]   holds the names
      spans   int64 [n, 2]    first byte and length of each

    Two passes a chunk, first hashing, then probing: the probes are independent, so the CPU overlaps their cache misses.
    """
    words = np.empty((_CHUNK, 4), np.uint64)
    for first in range(0, spans.shape[0], _CHUNK):
        n = min(_CHUNK, spans.shape[0] - first)
        for i in range(n):
            at, length = spans[first + i, 0], spans[first + i, 1]
            if length <= INLINE_BYTES:
                words[i, 0] = part_word(buffer, at, length)
                words[i, 1] = part_word(buffer, at + 8, length - 8)
                words[i, 2] = part_word(buffer, at + 16, length - 16)
                words[i, 3] = hash_words(words[i, 0], words[i, 1], words[i, 2], length)
            else:
                words[i, 3] = _hash_long(buffer, at, length)
        for i in range(n):
            at, length = spans[first + i, 0], spans[first + i, 1]
            if length <= INLINE_BYTES:
                numbers[first + i] = _probe_inline(slots, words[i, 3], words[i, 0], words[i, 1], words[i, 2], length)[1]
            else:
                numbers[first + i] = _probe_long(slots, arena, words[i, 3], buffer, at, length)[1]


@njit("void(uint64[:, ::1], uint64[:, ::1])", nogil=True, cache=True)
def rehash_names(slots, wider):
    """Copy every name of `slots` into `wider`, which is empty and has more lines; the arena stays as it is."""
    mask = np.uint64(wider.shape[0] - 1)
    for old in range(slots.shape[0]):
        tail = slots[old, 3]
        if tail == np.uint64(0):
            continue
        length = np.int64(tail >> np.uint64(32))
        if length > INLINE_BYTES:
            hashed = slots[old, 0]
        else:
            hashed = hash_words(slots[old, 0], slots[old, 1], slots[old, 2], length)
        slot = hashed & mask
        while wider[slot, 3] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        for i in range(SLOT_WORDS):
            wider[slot, i] = slots[old, i]


@njit("void(uint64[:, ::1], uint8[::1], int64[:, ::1], uint8[::1])", nogil=True, cache=True)
def list_names(slots, arena, spans, out):
    """Write all names into `out`, uint8 [bytes], and by number their offset and length into `spans`, int64 [n, 2]."""
    used = np.int64(0)
    for slot in range(slots.shape[0]):
        tail = slots[slot, 3]
        if tail == np.uint64(0):
            continue
        number = np.int64(tail & _LOW) - 1
        length = np.int64(tail >> np.uint64(32))
        spans[number, 0] = used
        spans[number, 1] = length
        for i in range(length):
            if length > INLINE_BYTES:
                out[used + i] = arena[np.int64(slots[slot, 1]) + i]
            else:
                out[used + i] = np.uint8(slots[slot, i // 8] >> np.uint64(8 * (i % 8)) & np.uint64(255))
        used += length
