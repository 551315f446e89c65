"""Domain -> wire for shortfalls. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert import FULFILMENT_NUMBERS
from invengine.rpc.errors import refusal_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import shortfall_pb2

if TYPE_CHECKING:
    from invengine.domain.shortfalls import Shortfall, UncoveredLine
    from invengine.services.resource_requests import Outcome
    from invengine.services.resourcing import Answer
    from invengine.services.shortfalls import ShortfallPage


def shortfalls_to_proto(page: ShortfallPage) -> shortfall_pb2.ListShortfallsResponse:
    """A page of shortfalls."""
    return shortfall_pb2.ListShortfallsResponse(
        shortfalls=map(_shortfall, page.shortfalls),
        next_page_token=page.next_page_token,
        consistency_token=page.consistency_token,
    )


def resourced_to_proto(answer: Answer) -> shortfall_pb2.ResourceShortfallsResponse:
    """What became of each line."""
    return shortfall_pb2.ResourceShortfallsResponse(
        outcomes=map(_outcome, answer.outcomes),
        has_more=answer.has_more,
        consistency_token=answer.consistency_token,
    )


def _shortfall(shortfall: Shortfall) -> shortfall_pb2.Shortfall:
    return shortfall_pb2.Shortfall(
        sku=shortfall.sku,
        location=shortfall.location,
        on_hand=shortfall.on_hand,
        reserved=shortfall.reserved,
        units=shortfall.units,
        lines=map(_line, shortfall.lines),
    )


def _line(line: UncoveredLine) -> shortfall_pb2.UncoveredLine:
    found = shortfall_pb2.UncoveredLine(
        reservation_id=line.reservation_id,
        line_id=line.line_id,
        asked_line_id=line.asked_line_id,
        quantity=line.quantity,
        uncovered=line.uncovered,
        channel=line.channel,
        customer_ref=line.customer_ref,
        order_ref=line.order_ref,
        fulfilment=FULFILMENT_NUMBERS[line.fulfilment],  # type: ignore[arg-type]  # enums are numbers on the wire
        cover_date=date_or_none(line.cover_day),
        promised_delivery_date=date_or_none(line.promised_day),
    )
    found.create_time.FromMilliseconds(line.created_at_ms)
    if line.expires_at:
        found.expire_time.FromSeconds(line.expires_at)
    return found


def _outcome(outcome: Outcome) -> shortfall_pb2.ResourceOutcome:
    line = outcome.line
    return shortfall_pb2.ResourceOutcome(
        reservation_id=line.reservation_id,
        line_id=line.line_id,
        sku=line.sku,
        location=line.location,
        uncovered=line.units,
        result=int(outcome.result),  # type: ignore[arg-type]  # enums are numbers on the wire
        moves=[shortfall_pb2.ResourceOutcome.Move(location=at, units=units) for at, units in outcome.moves],
        available=outcome.available,
        promised_delivery_date=date_or_none(line.promised_day),
        delivery_date=date_or_none(outcome.delivery_day),
        refusal=refusal_to_proto(outcome.refusal) if outcome.refusal else None,
    )
