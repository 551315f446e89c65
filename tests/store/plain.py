"""Reserving the usual way, for requests as other tests make them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import numpy as np

from invengine.domain.orders import (
    Allocation,
    Destination,
    Reservation,
    ReservationLine,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import InventoryError
from invengine.kernels import reservations as columns
from invengine.store import answers
from invengine.store.payload_lines import columns_of
from invengine.store.plain import PlainOutcomes, PlainReservations
from invengine.store.records import Written
from invengine.store.redis_store import RedisStore


def is_usual(request: ReserveRequest) -> bool:
    """Whether the function for usual requests can be asked for it."""
    first = request.lines[0]
    return (
        len(request.lines) == 1
        and type(first).__name__ == "LineRequest"
        and first.quantity > 0
        and bool(first.candidates)
        and first.future is None
        and first.destination == Destination()
        and not first.expected_day
        and request.borrows
        and not (request.best_effort or request.is_transfer or request.is_confirmed or request.alternatives)
        and not (request.customer_ref or request.order_ref or request.cart_ref)
        and request.time_to_live_seconds > 0
    )


def packed(requests: Sequence[ReserveRequest], partitions: int) -> PlainReservations:
    """Usual requests as lua/plain.lua has them, each a way of its own."""
    items = b""
    asked = np.zeros((len(requests), columns.ASKED_COLUMNS), np.int64)
    found = np.zeros((len(requests), columns.PACKED_COLUMNS), np.int64)
    for place, request in enumerate(requests):
        (line,) = request.lines
        name, sku = f"{request.channel}\t{request.request_id}".encode(), line.sku.encode()
        reservation_id = request.reservation_id.encode()
        numbers = [crc32(text) % partitions for text in (name, reservation_id, sku)]
        found[place] = *numbers, len(items), len(items) + 12 + 1 + len(name) + 1, len(reservation_id)
        asked[place, columns.WAY] = place
        texts = name, reservation_id, request.fingerprint.encode(), sku, line.line_id.encode()
        items += struct.pack("<HHHHI", *numbers, place + 1, line.quantity)
        items += b"".join(bytes([len(text)]) + text for text in texts)
    ways = [
        (
            request.channel,
            request.time_to_live_seconds,
            request.lines[0].fulfilment.value,
            int(request.lines[0].allow_split),
            columns_of(request.lines[0].candidates),
        )
        for request in requests
    ]
    return PlainReservations(ways, items, asked, found, len(items))


async def reserve_usual(
    store: RedisStore, requests: Sequence[ReserveRequest], block: int = 3
) -> Written[ReservationAnswer | InventoryError]:
    """What `store.reserve` does, by the function for usual requests, in batches of `block`."""
    whole = packed(requests, store.partitions)
    parts = [whole.part(start, min(start + block, len(requests))) for start in range(0, len(requests), block)]
    written = await store.reserve_plain(parts)
    outcomes = [
        _told(request, done, place)
        for start, done in zip(range(0, len(requests), block), written.outcomes, strict=True)
        for place, request in enumerate(requests[start : start + block])
    ]
    return Written(outcomes, written.revisions, written.entries, written.now_ms)


def _told(request: ReserveRequest, done: PlainOutcomes, place: int) -> ReservationAnswer | InventoryError:
    created_ms, expires_at, revision = done.taken[place].tolist()
    if not created_ms:
        return answers.reserved(request, done.others[place])
    (line,) = request.lines
    allocations = (Allocation(line.candidates[0].location, line.quantity, 0, 0),)
    made = ReservationLine(line.line_id, line.sku, line.quantity, line.fulfilment, Destination(), allocations)
    return ReservationAnswer(
        Reservation(
            request.reservation_id, ReservationState.HELD, request.channel, created_ms, expires_at, revision, (made,)
        )
    )
