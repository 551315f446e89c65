"""What a question about availability asks of each location: worked out once per kind of question, then kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import (
    CHANNEL,
    FLOOR_PARTS,
    FLOOR_UNITS,
    IGNORED_COLUMNS,
    INDEX,
    OWN_ONLY,
    RANK,
    SELECTION_COLUMNS,
    WHY_NOT,
)
from invengine.services.availability_wire import locations_field
from invengine.v1 import availability_service_pb2

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.index import Channels, Locations

REASON_NUMBERS: Final = {
    name.removeprefix("AVAILABILITY_REASON_"): number
    for name, number in availability_service_pb2.AvailabilityReason.items()
    if number
}


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The locations that a question asks about, as the kernels want them."""

    block: npt.NDArray[np.int64]  # [locations, 7], see kernels/layout.py
    channel: str
    asked: tuple[str, ...]  # by name
    usable: frozenset[str]  # of these
    names: npt.NDArray[np.uint8]  # the names of `asked`, one behind another
    name_ends: npt.NDArray[np.int64]  # [asked]
    nothing_ignored: npt.NDArray[np.int64]  # [asked, 3], zeros
    locations_field: bytes  # `usable`, as a BatchGetAvailabilityResponse lists them
    low_stock_threshold: int


def select(
    network: Network,
    numbers: Locations,
    channels: Channels,
    channel: str,
    *,
    locations: Sequence[str] = (),
    group: str = "",
    fulfilment: Fulfilment = Fulfilment.ANY,
) -> Selection:
    """Compiles a question. UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable; InvalidArgument."""
    asker = network.channel(channel)
    asked = network.asked(channel, locations=locations, group=group)
    rows = [numbers.number(name) for name in asked]
    block = np.zeros((len(numbers), SELECTION_COLUMNS), np.int64)
    block[:, RANK] = block[:, INDEX] = -1
    block[:, CHANNEL] = channels.number(channel)
    block[:, OWN_ONLY] = not asker.borrows
    usable: list[str] = []
    for rank, (name, row) in enumerate(zip(asked, rows, strict=True)):
        why_not = network.why_not(channel, name, fulfilment)
        block[row, FLOOR_UNITS], block[row, FLOOR_PARTS] = network.place_safety(channel, name)
        block[row, RANK] = rank
        if why_not:
            block[row, WHY_NOT] = REASON_NUMBERS[why_not]
        else:
            block[row, INDEX] = len(usable)
            usable.append(name)
    encoded = [name.encode() for name in asked]
    return Selection(
        block=block,
        channel=channel,
        asked=asked,
        usable=frozenset(usable),
        names=np.frombuffer(b"".join(encoded), np.uint8),
        name_ends=np.cumsum([len(name) for name in encoded], dtype=np.int64),
        nothing_ignored=np.zeros((len(asked), IGNORED_COLUMNS), np.int64),
        locations_field=locations_field(tuple(usable)),
        low_stock_threshold=asker.low_stock_threshold,
    )
