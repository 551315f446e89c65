"""What a change of a reservation in pieces is, as the store keeps it while it is under way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgpack

from invengine.domain.kits import KitLine
from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    Future,
    LinePlacement,
    LineRepromise,
    LineRequest,
    LineUnits,
    PlacedRequest,
    ReservationChange,
)
from invengine.domain.promises import LinePromise, PromisePart
from invengine.domain.stock import ConfidenceRule


def write_operation(verb: str, change: ReservationChange) -> bytes:
    """The content of an operation."""
    packed: bytes = msgpack.packb([verb, asdict(change)])
    return packed


def read_operation(content: bytes) -> tuple[str, ReservationChange]:
    """The verb and the change that a content says."""
    verb, fields = msgpack.unpackb(content)
    fields["lines"] = tuple(LineUnits(**line) for line in fields["lines"])
    fields["placements"] = tuple(LinePlacement(**_line(line)) for line in fields["placements"])
    fields["added"] = tuple(_added(_line(line)) for line in fields["added"])
    fields["repromises"] = tuple(_repromise(line) for line in fields.get("repromises", ()))
    return verb, ReservationChange(**fields)


def _repromise(fields: dict[str, Any]) -> LineRepromise:
    promise = fields["promise"]
    if promise is not None:  # tuples come back as lists
        told = LinePromise(*promise)
        promise = told._replace(parts=tuple(PromisePart(*part) for part in told.parts))
    return LineRepromise(fields["line_id"], promise, fields["due_day"])


def _added(fields: dict[str, Any]) -> LineRequest:
    fields |= {"fulfilment": Fulfilment(fields["fulfilment"]), "destination": Destination(**fields["destination"])}
    if "asked" not in fields:
        return LineRequest(**fields)
    kit = fields["kit"]
    return PlacedRequest(**fields | {"kit": None if kit is None else KitLine(**kit)})


def _line(fields: dict[str, Any]) -> dict[str, Any]:
    future = fields["future"]
    return fields | {
        "candidates": tuple(map(_candidate, fields["candidates"])),
        "future": None if future is None else Future(**future),
        **({"units_at": tuple(fields["units_at"])} if "units_at" in fields else {}),
    }


def _candidate(fields: dict[str, Any]) -> Candidate:
    """A content of before there were rules for confidence has none."""
    rules = tuple(ConfidenceRule(*rule) for rule in fields.pop("confidence", ()))
    return Candidate(**fields, confidence=rules)
