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
    LineRequest,
    LineStanding,
    LineUnits,
    PlacedRequest,
    ReservationChange,
)
from invengine.domain.promises import LinePromise, LineRepromise, PromisePart
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
    fields["repromises"] = tuple(
        LineRepromise(line_id, _promise(promise), due_day) for line_id, promise, due_day in fields.get("repromises", ())
    )
    return verb, ReservationChange(**fields)


def _added(fields: dict[str, Any]) -> LineRequest:
    fields |= {"fulfilment": Fulfilment(fields["fulfilment"]), "destination": Destination(**fields["destination"])}
    if "asked" not in fields:
        return LineRequest(**fields)
    kit, told = fields["kit"], fields.get("told")
    return PlacedRequest(
        **fields | {"kit": None if kit is None else KitLine(**kit), "told": None if told is None else Future(**told)}
    )


def _line(fields: dict[str, Any]) -> dict[str, Any]:
    future = fields["future"]
    return fields | {
        "candidates": tuple(map(_candidate, fields["candidates"])),
        "future": None if future is None else Future(**future),
        **({"units_at": tuple(fields["units_at"])} if "units_at" in fields else {}),
        **({"standing": _standing(fields["standing"])} if fields.get("standing") else {}),
    }


def _standing(fields: dict[str, Any]) -> LineStanding:
    return LineStanding(_promise(fields["promise"]), fields["has_slots"])


def _promise(fields: list[Any] | None) -> LinePromise | None:
    """Tuples come back as lists."""
    if fields is None:
        return None
    service, day, minute, confidence, parts, needed_by = fields
    return LinePromise(service, day, minute, confidence, tuple(PromisePart(*part) for part in parts), needed_by)


def _candidate(fields: dict[str, Any]) -> Candidate:
    """A content of before there were rules for confidence has none."""
    rules = tuple(ConfidenceRule(*rule) for rule in fields.pop("confidence", ()))
    return Candidate(**fields, confidence=rules)
