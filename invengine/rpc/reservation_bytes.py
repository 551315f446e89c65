"""The wire bytes of the usual reservation, put together from the record as the store answered it.

A batch answers a thousand of them, and reading the records and building messages takes twice as long. Only the usual
shape is known here; for any other one the messages are built (convert.py). A test parses every byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine import kernels
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import InventoryError
from invengine.kernels.reservations import ANSWER_BYTES_MAX
from invengine.replica.index import as_bytes
from invengine.rpc.convert import FULFILMENT_NUMBERS, STATE_NUMBERS, outcome_to_proto

if TYPE_CHECKING:
    from invengine.services.plain_reserving import PlainMade

_REPLAYED: Final = b"\x18\x01"


def batch_response(outcomes: Iterable[ReservationAnswer | InventoryError], consistency_token: str) -> bytes:
    """A BatchCreateReservationsResponse: one outcome per request, in order."""
    parts: list[bytes] = []
    for outcome in outcomes:
        _add_outcome(parts, outcome)
    return _ended(parts, consistency_token)


def plain_response(made: PlainMade, consistency_token: str) -> bytes:
    """The same for a batch of usual requests: those that got what they asked for are written by a kernel."""
    batch = made.batch
    asked, packed = batch.reservations.asked, batch.reservations.packed
    places = [first.encode() for first in batch.firsts]
    bounds = np.cumsum([0, *map(len, places)])
    out, ends = np.empty(len(asked) * ANSWER_BYTES_MAX, np.uint8), np.empty(len(asked), np.int64)
    items, text = as_bytes(batch.reservations.items), as_bytes(batch.message)
    size = kernels.answer_reservations(
        text, asked, items, packed, made.taken, as_bytes(b"".join(places)), bounds, out, ends
    )
    written = out[:size].tobytes()
    parts: list[bytes] = []
    begin = 0
    for place, outcome in sorted(made.others.items(), key=_place):
        end = int(ends[place])
        parts.append(written[begin:end])
        _add_outcome(parts, outcome)
        begin = end
    parts.append(written[begin:])
    return _ended(parts, consistency_token)


_place: Final = itemgetter(0)


def _add_outcome(parts: list[bytes], outcome: ReservationAnswer | InventoryError) -> None:
    """Adds an outcome with its tag and length."""
    if isinstance(outcome, ReservationAnswer) and outcome.unread is not None and not outcome.next_days:
        body = reservation_bytes(*outcome.unread)
        if body is not None:
            size = _varint(len(body))
            if outcome.replayed:
                parts += (b"\n", _varint(len(body) + len(size) + 3), b"\n", size, body, _REPLAYED)
            else:
                parts += (b"\n", _varint(len(body) + len(size) + 1), b"\n", size, body)
            return
    built = outcome_to_proto(outcome).SerializeToString()
    parts += (b"\n", _varint(len(built)), built)


def _ended(parts: list[bytes], consistency_token: str) -> bytes:
    token = consistency_token.encode()
    parts += (b"\x12", _varint(len(token)), token)
    return b"".join(parts)


def reservation_bytes(reservation_id: str, record: bytes) -> bytes | None:
    """The Reservation that a record says, None where it is not of the usual shape: each line has one allocation of all
    its units, on hand, out of no ring-fence and none of them fulfilled or released, and no destination.
    """
    state, channel, created_at, expires_at, revision, customer, order, cart, _, _, *rest = record.split(b"\t")
    lines: list[bytes] = []
    for at in range(0, len(rest), 16):
        (
            line_id, _, sku, quantity, way, country, postal_code, place, future, count,
            location, _, units, fulfilled, released, source,
        ) = rest[at : at + 16] if len(rest) >= at + 16 else _UNUSUAL  # fmt: skip
        if count != b"1" or units != quantity or fulfilled != b"0" or released != b"0" or source or future:
            return None
        if country or postal_code or place:
            return None
        number = _varint_of(quantity)
        allocation = b"%b%b\x10%b" % (b"\n" + _SIZES[len(location)], location, number)
        body = b"\n%b%b\x12%b%b\x18%b%b:%b%b" % (
            _SIZES[len(line_id)], line_id, _SIZES[len(sku)], sku, number, _FULFILMENTS[way],
            _SIZES[len(allocation)], allocation,
        )  # fmt: skip
        lines += (b'"', _varint(len(body)), body)
    name = reservation_id.encode()
    parts = [b"\n", _SIZES[len(name)], name, _STATES[state], b"\x1a", _SIZES[len(channel)], channel, *lines]
    if expires_at != b"0":
        parts.append(_expires(expires_at))
    parts += (_created(created_at), b"8", _varint_of(revision))
    for tag, text in ((b"B", customer), (b"J", order), (b"R", cart)):
        if text:
            parts += (tag, _SIZES[len(text)], text)
    return b"".join(parts)


def _encoded(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


_varint = lru_cache(maxsize=1024)(_encoded)


@lru_cache(maxsize=4096)
def _varint_of(text: bytes) -> bytes:
    """Of quantities and revisions; the same ones come again and again."""
    return _encoded(int(text))


@lru_cache(maxsize=256)
def _expires(seconds: bytes) -> bytes:
    """The field expire_time."""
    body = b"\x08" + _encoded(int(seconds))
    return b"*" + _encoded(len(body)) + body


@lru_cache(maxsize=256)
def _created(milliseconds: bytes) -> bytes:
    """The field create_time."""
    seconds, rest = divmod(int(milliseconds), 1000)
    body = b"\x08" + _encoded(seconds) + (b"\x10" + _encoded(rest * 1_000_000) if rest else b"")
    return b"2" + _encoded(len(body)) + body


_SIZES: Final = tuple(_encoded(size) for size in range(1024))
"""Of texts, the longest of which have 64 bytes, and of an allocation."""

_STATES: Final = {state.value.encode(): b"\x10" + _encoded(number) for state, number in STATE_NUMBERS.items()}
_FULFILMENTS: Final = {
    way.value.encode(): b"(" + _encoded(number) if number else b"" for way, number in FULFILMENT_NUMBERS.items()
}
_UNUSUAL: Final = (b"",) * 16
