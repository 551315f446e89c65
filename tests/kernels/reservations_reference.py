"""Definitions of the kernels of kernels/reservations.py: by protobuf and by the services, request by request."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from invengine.domain.partitions import partition_of
from invengine.services.reservation_ids import ReservationIds
from invengine.services.reservation_requests import check_create
from invengine.services.validation import is_plain
from invengine.v1 import reservation_service_pb2


class AskedReservation(NamedTuple):
    """A usual request to reserve."""

    request_id: str
    channel: str
    line_id: str
    sku: str
    quantity: int
    location: str
    fulfilment: int


def read_reservations(message: bytes) -> list[AskedReservation] | None:
    """The requests of a batch, None where one is not usual. DecodeError as protobuf raises it."""
    batch = reservation_service_pb2.BatchCreateReservationsRequest.FromString(message)
    found = []
    for request in batch.requests:
        if len(request.lines) != 1:
            return None
        (line,) = request.lines
        asked = AskedReservation(
            request.request_id, request.channel, line.line_id, line.sku, line.quantity, line.location, line.fulfilment
        )
        usual = reservation_service_pb2.CreateReservationRequest(request_id=asked.request_id, channel=asked.channel)
        usual.lines.add(
            line_id=line.line_id,
            sku=line.sku,
            quantity=line.quantity,
            location=line.location,
            fulfilment=line.fulfilment,
        )
        usual.policy = request.policy
        needed = all(map(is_plain, (asked.request_id, asked.channel, asked.sku)))
        given = all(is_plain(text) for text in (asked.line_id, asked.location) if text)
        ways = request.policy in (0, 1) and asked.fulfilment in (0, 1, 2) and (asked.fulfilment != 2 or asked.location)
        if usual != request or not (needed and given and ways and 0 < asked.quantity < 2**31):
            return None
        found.append(asked)
    return found


def pack_reservations(
    requests: Sequence[reservation_service_pb2.CreateReservationRequest],
    ways: Sequence[int],
    ids: ReservationIds,
    partitions: int,
) -> list[bytes]:
    """The item of each request, by what the services find in it."""
    found = []
    for request, way in zip(requests, ways, strict=True):
        checked = check_create(request, ids)
        (line,) = checked.lines
        name = f"{checked.channel}\t{checked.request_id}"
        partition = partition_of(line.sku, partitions)
        numbers = partition_of(name, partitions), partition_of(checked.reservation_id, partitions), partition
        texts = [text.encode() for text in (name, checked.reservation_id, checked.fingerprint, line.sku, line.line_id)]
        item = struct.pack("<HHHHI", *numbers, way + 1, line.quantity)
        found.append(item + b"".join(bytes([len(text)]) + text for text in texts))
    return found


def answer_reservations(
    requests: Sequence[reservation_service_pb2.CreateReservationRequest],
    said: Sequence[tuple[int, int, int] | None],
    ids: ReservationIds,
) -> list[bytes]:
    """The outcome of each request that got its units, by (created ms, expires, revision); else nothing."""
    found = []
    for request, taken in zip(requests, said, strict=False):
        batch = reservation_service_pb2.BatchCreateReservationsResponse()
        if taken is not None:
            created_ms, expires_at, revision = taken
            checked = check_create(request, ids)
            (line,) = checked.lines
            made = batch.outcomes.add().reservation
            made.reservation_id, made.channel, made.revision = checked.reservation_id, checked.channel, revision
            made.state = reservation_service_pb2.Reservation.STATE_HELD
            its = made.lines.add(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                fulfilment=request.lines[0].fulfilment,
            )
            its.allocations.add(location=line.location, quantity=line.quantity)
            made.expire_time.FromSeconds(expires_at)
            made.create_time.FromMilliseconds(created_ms)
        found.append(batch.SerializeToString(deterministic=True))
    return found
