"""What a change of a reservation in pieces is, as the store keeps it while it is under way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgpack

from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    Future,
    LinePlacement,
    LineRequest,
    LineUnits,
    ReservationChange,
)


def write_operation(verb: str, change: ReservationChange) -> bytes:
    """The content of an operation."""
    packed: bytes = msgpack.packb([verb, asdict(change)])
    return packed


def read_operation(content: bytes) -> tuple[str, ReservationChange]:
    """The verb and the change that a content says."""
    verb, fields = msgpack.unpackb(content)
    fields["lines"] = tuple(LineUnits(**line) for line in fields["lines"])
    fields["placements"] = tuple(LinePlacement(**_line(line)) for line in fields["placements"])
    fields["added"] = tuple(
        LineRequest(
            **_line(line)
            | {"fulfilment": Fulfilment(line["fulfilment"]), "destination": Destination(**line["destination"])}
        )
        for line in fields["added"]
    )
    return verb, ReservationChange(**fields)


def _line(fields: dict[str, Any]) -> dict[str, Any]:
    future = fields["future"]
    return fields | {
        "candidates": tuple(Candidate(**candidate) for candidate in fields["candidates"]),
        "future": None if future is None else Future(**future),
    }
