"""Batches of usual requests to reserve, read and packed as a whole.

What a request asks for is decided as `reservation_requests` does, once for all requests of a channel, a location and a
fulfilment. Where anything is unusual (references, several lines, a kit, dates, slots, a profile, rules for a SKU, a
refusal) there is no batch here, and the requests are read one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.errors import InventoryError
from invengine.kernels.digests import WORK_WORDS
from invengine.kernels.reservations import (
    ASKED_COLUMNS,
    CHANNEL_AT,
    CHANNEL_LENGTH,
    FULFILMENT,
    ITEM_BYTES_MAX,
    LOCATION_AT,
    LOCATION_LENGTH,
    PACKED_COLUMNS,
    SKU_AT,
    SKU_LENGTH,
)
from invengine.replica.index import as_bytes
from invengine.services.dated_requests import may_take_slots
from invengine.store.payload_lines import columns_of
from invengine.store.plain import Block, PlainReservations

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.services.reservation_ids import ReservationIds

FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP)
"""By their numbers in the proto; those that a usual request has."""

Way = tuple[str, int, str, int, tuple[object, ...]]
KEPT_MAX: Final = 10_000
_SPARE_BYTES: Final = 128  # the checksum reads whole blocks
_SLOTS_PER_REQUEST: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class PlainBatch:
    """The requests of one message, packed for the store; `firsts` has the first candidate of each way."""

    message: bytes
    reservations: PlainReservations
    firsts: tuple[str, ...]


class ActiveProfiles(Protocol):
    """Which profile is active for a channel, if any."""

    def active(self, channel: str) -> Profile | None:
        """That profile."""


class PlainRequests:
    """Reads batches for a store whose ids lie near their stock."""

    def __init__(self, partitions: int, ids: ReservationIds, profiles: ActiveProfiles, *, requests_max: int) -> None:
        self._partitions = partitions
        self._endings = ids.endings_by_bits()
        self._profiles = profiles
        self._requests_max = requests_max
        self._ways: dict[tuple[str, str, int], tuple[Way, str] | None] = {}
        self._ways_of: Network | None = None

    def read(self, message: bytes, network: Network) -> PlainBatch | None:
        """The requests of a BatchCreateReservationsRequest; None where it has none, or one that is not usual."""
        if self._endings is None or not message:
            return None
        size = min(self._requests_max, len(message) // _REQUEST_BYTES_MIN)
        asked = np.zeros((size, ASKED_COLUMNS), np.int64)
        slots = np.full(1 << (_SLOTS_PER_REQUEST * size).bit_length(), -1, np.int64)
        firsts = np.empty(size, np.int64)
        text = as_bytes(message)
        count, way_count = kernels.read_reservations(text, asked, slots, firsts)
        if count < 1:
            return None
        asked = asked[:count]
        ways = self._resolved(message, asked, firsts[:way_count], network)
        if ways is None or self._has_own_rules(message, asked, network):
            return None
        out = np.empty(count * ITEM_BYTES_MAX + _SPARE_BYTES, np.uint8)
        packed = np.empty((count, PACKED_COLUMNS), np.int64)
        work = np.empty(WORK_WORDS, np.uint64)
        end = kernels.pack_reservations(text, asked, self._partitions, self._endings, out, packed, work)
        items = out[:end].tobytes()
        reservations = PlainReservations([way for way, _ in ways], items, asked, packed, end)
        return PlainBatch(message, reservations, tuple(first for _, first in ways))

    def _resolved(
        self, message: bytes, asked: Block, firsts: npt.NDArray[np.int64], network: Network
    ) -> list[tuple[Way, str]] | None:
        """The ways and the first candidate of each; None where one has to be looked at more closely."""
        if self._ways_of is not network:
            self._ways, self._ways_of = {}, network
        found = []
        for it in asked[firsts].tolist():
            channel = message[it[CHANNEL_AT] : it[CHANNEL_AT] + it[CHANNEL_LENGTH]].decode()
            location = message[it[LOCATION_AT] : it[LOCATION_AT] + it[LOCATION_LENGTH]].decode()
            key = channel, location, it[FULFILMENT]
            if key not in self._ways and len(self._ways) < KEPT_MAX:
                self._ways[key] = _way(channel, location, FULFILMENTS[it[FULFILMENT]], network)
            way = self._ways.get(key)
            if way is None or self._profiles.active(channel) is not None:
                return None
            found.append(way)
        return found

    def _has_own_rules(self, message: bytes, asked: Block, network: Network) -> bool:
        """Whether one of the SKUs is a kit, or has rules for what must stay of it."""
        own = network.skus_with_own_rules
        if not own:
            return False
        spans = asked[:, (SKU_AT, SKU_LENGTH)].tolist()
        return any(message[at : at + length].decode() in own for at, length in spans)


_REQUEST_BYTES_MIN: Final = 15
"""Of a usual request, with its tags and lengths: an id, a channel and a SKU of a byte each, and units."""


def _way(channel: str, location: str, fulfilment: Fulfilment, network: Network) -> tuple[Way, str] | None:
    """What the network says to requests of a channel for units at a location or anywhere; None where it refuses them,
    they may take slots, or there is nothing to take from.
    """
    try:
        rules = network.channel(channel)
        usable = network.usable(channel, location=location, fulfilment=fulfilment)
    except InventoryError:
        return None
    if not rules.borrows or not usable or may_take_slots(location, fulfilment, network):
        return None
    candidates = network.candidates(channel, "", usable)
    seconds = rules.time_to_live_seconds
    return (channel, seconds, fulfilment.value, 0, columns_of(candidates)), candidates[0].location
