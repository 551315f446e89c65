"""The promise that a reservation answers and its record keeps: by when each line is delivered or can be collected."""

from __future__ import annotations

from typing import Final, NamedTuple

CONFIDENCE_PARTS: Final = 10_000
"""Parts of a probability of 1."""


class PromisePart(NamedTuple):
    """Units of a line from one location: the days on which they leave it and arrive.

    Of PICKUP `ship_day` is the day on which they are prepared.
    """

    location: str
    ship_day: int
    delivery_day: int


class LinePromise(NamedTuple):
    """When a line was promised, as it was when the line was last placed.

    `service`           of the carrier; SHIP only
    `delivery_day`      the last of its parts
    `ready_minute`      PICKUP, SHIP_TO_STORE: from when it can be collected, in minutes since 1970 UTC; 0 for SHIP
    `confidence_parts`  the likelihood that was asked for, in ten-thousandths; 0: the transit days that the lane states
    `needed_by`         the day that was asked for, 0 for none
    """

    service: str
    delivery_day: int
    ready_minute: int
    confidence_parts: int
    parts: tuple[PromisePart, ...]
    needed_by: int = 0


class LineRepromise(NamedTuple):
    """Another promise for the open units of a line, which stay where they are.

    `promise`  None to keep the one that there is
    `due_day`  by which receipts are to bring what is pegged to them, where that is later than it was; 0 to keep it
    """

    line_id: str
    promise: LinePromise | None = None
    due_day: int = 0
