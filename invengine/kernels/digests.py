"""Checksums of bytes: CRC-32 and BLAKE2b, as zlib and hashlib compute them. Helpers that other kernels compile in."""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.text import word_at

_CRC_POLYNOMIAL = 0xEDB88320


def _crc_table() -> list[int]:
    """What each byte does to the checksum of what comes before it."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ _CRC_POLYNOMIAL * (crc & 1)
        table.append(crc)
    return table


_CRC = np.array(_crc_table(), np.uint32)
_FIRST = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.int64,
)
_MIXED = np.array(
    [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
     [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]],
    np.int64,
)  # fmt: skip
_BLOCK = 128
WORK_WORDS = 40
"""uint64 that `blake2b` works in: 8 of state, 16 to mix, 16 of the block."""


@njit(nogil=True)
def crc32_of(text, at, end):
    """zlib.crc32 of text[at:end]."""
    crc = np.uint32(0xFFFFFFFF)
    for i in range(at, end):
        crc = _CRC[(crc ^ np.uint32(text[i])) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return np.int64(crc ^ np.uint32(0xFFFFFFFF))


@njit(nogil=True)
def _turned(word, bits):
    return (word >> np.uint64(bits)) | (word << np.uint64(64 - bits))


@njit(nogil=True)
def blake2b(text, at, end, digest_bytes, work):
    """hashlib.blake2b(text[at:end], digest_size=digest_bytes), as the little-endian words work[:8].

    `text` has room for a whole block of 128 bytes behind `at`, whatever stands there; it is not changed.
    """
    state, mix, block = work[0:8], work[8:24], work[24:40]
    for i in range(8):
        state[i] = _FIRST[i]
    state[0] ^= np.uint64(0x01010000) ^ np.uint64(digest_bytes)
    done = np.int64(0)
    length = end - at
    is_last = False
    while not is_last:
        is_last = length - done <= _BLOCK
        begin = at + done
        for i in range(16):
            left = length - done - 8 * i
            if left >= 8:
                block[i] = word_at(text, begin + 8 * i)
            elif left > 0:
                block[i] = word_at(text, begin + 8 * i) & ((np.uint64(1) << np.uint64(8 * left)) - np.uint64(1))
            else:
                block[i] = np.uint64(0)
        done = length if is_last else done + _BLOCK
        for i in range(8):
            mix[i] = state[i]
            mix[8 + i] = _FIRST[i]
        mix[12] ^= np.uint64(done)
        if is_last:
            mix[14] = ~mix[14]
        for turn in range(12):
            for step in range(8):
                a, b, c, d = _MIXED[step, 0], _MIXED[step, 1], _MIXED[step, 2], _MIXED[step, 3]
                mix[a] = mix[a] + mix[b] + block[_ORDER[turn, 2 * step]]
                mix[d] = _turned(mix[d] ^ mix[a], 32)
                mix[c] = mix[c] + mix[d]
                mix[b] = _turned(mix[b] ^ mix[c], 24)
                mix[a] = mix[a] + mix[b] + block[_ORDER[turn, 2 * step + 1]]
                mix[d] = _turned(mix[d] ^ mix[a], 16)
                mix[c] = mix[c] + mix[d]
                mix[b] = _turned(mix[b] ^ mix[c], 63)
        for i in range(8):
            state[i] ^= mix[i] ^ mix[8 + i]


@njit(nogil=True)
def put_hex(out, at, words, count):
    """Writes the first `count` bytes of little-endian words as lower-case hexadecimal; returns what is behind."""
    for i in range(count):
        byte = np.int64(words[i >> 3] >> np.uint64(8 * (i & 7))) & 255
        high, low = byte >> 4, byte & 15
        out[at + 2 * i] = high + (48 if high < 10 else 87)
        out[at + 2 * i + 1] = low + (48 if low < 10 else 87)
    return at + 2 * count
