"""Ids of reservations whose callers give none: the same for every repeat of a request, and near to its stock.

A reservation's record is kept in the partition of its id. Where one call sees the whole store, the id is chosen so
that this is the partition of the first line's SKU: record, stock and log entry then lie together, and many
reservations of one SKU share them. In a Cluster the id follows from channel and request_id alone, since a repeat is
recognised at the partition of the id there, whatever its lines say.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import product
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from invengine.domain.partitions import partition_of

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ENDINGS: Final = tuple("".join(digits) for digits in product(_DIGITS[:16], _DIGITS, _DIGITS))


class ReservationIds:
    """Derives ids for a store of so many partitions, `near_stock` where its calls see all of them.

    CRC-32 is linear: the checksums of one text with two endings of equal length differ by the same bits whatever the
    text is. So for a power of two the ending that leads to a partition is looked up; else endings are tried, of which
    one in `partitions` fits.
    """

    def __init__(self, partitions: int, *, near_stock: bool) -> None:
        self._partitions = partitions
        self._near_stock = near_stock and partitions > 1
        self._mask = partitions - 1 if partitions & (partitions - 1) == 0 else 0
        first = crc32(_ENDINGS[0].encode())
        self._ending_of: dict[int, str] = {}  # by the low bits that it flips
        for ending in _ENDINGS if self._mask else ():
            self._ending_of.setdefault((crc32(ending.encode()) ^ first) & self._mask, ending)
            if len(self._ending_of) == partitions:
                break

    def endings_by_bits(self) -> npt.NDArray[np.uint8] | None:
        """The endings by the low bits that they flip, [partitions, 3], the first one first; None where ids do not lie
        near their stock, or endings are tried.
        """
        if not self._near_stock or not self._mask:
            return None
        texts = [self._ending_of[bits].encode() for bits in range(self._partitions)]
        return np.frombuffer(b"".join(texts), np.uint8).reshape(self._partitions, -1).copy()

    def derived(self, channel: str, request_id: str, sku: str) -> str:
        """The id for this request, whose first line wants this SKU."""
        stem = blake2b(f"{channel}\t{request_id}".encode(), digest_size=12).hexdigest()
        if not self._near_stock:
            return stem
        wanted = partition_of(sku, self._partitions)
        if self._mask:
            return stem + self._ending_of[(crc32((stem + _ENDINGS[0]).encode()) ^ wanted) & self._mask]
        return next(
            (stem + ending for ending in _ENDINGS if partition_of(stem + ending, self._partitions) == wanted), stem
        )


ANYWHERE: Final = ReservationIds(1, near_stock=False)
"""Ids that follow from channel and request_id alone."""
