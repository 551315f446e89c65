"""Domain -> wire for explanations. Nothing here decides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invengine.rpc.convert import STATE_NUMBERS, ledger_entry_to_proto, state_quantities
from invengine.rpc.convert_incoming import receipt_to_proto, timestamp
from invengine.services.days import today
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import stock_service_pb2

if TYPE_CHECKING:
    from invengine.domain.explanation import Term
    from invengine.services.explained import Explanation, Holder, KitExplanation
    from invengine.services.explanations import Explained


def explained_to_proto(explained: Explained) -> pb.ExplainAvailabilityResponse:
    """The whole answer."""
    available = explained.available
    level = pb.LEVEL_OUT
    if available:
        level = pb.LEVEL_LOW if available <= explained.low_stock_threshold else pb.LEVEL_IN_STOCK
    day = today(explained.now_ms)
    response = pb.ExplainAvailabilityResponse(
        available=available,
        level=level,
        low_stock_threshold=explained.low_stock_threshold,
        positions=[
            *(_position(position, day) for position in explained.positions),
            *(_kit(kit, day) for kit in explained.kits),
        ],
        positions_left_out=explained.left_out,
        available_left_out=explained.available_left_out,
        judge_time=timestamp(explained.now_ms),
        settled=explained.settled,
        complete=explained.complete,
        network_revision=explained.network_revision,
        consistency_token=explained.consistency_token,
        components=[
            pb.KitComponent(sku=part.sku, units=part.units, available=units) for part, units in explained.components
        ],
    )
    response.staleness.FromMilliseconds(explained.staleness_ms)
    return response


def _position(position: Explanation, day: int) -> pb.PositionExplanation:
    known, figures, winner = position.known, position.figures, position.winner
    stopping = (known.location,) if known.overdue_stops else ()
    message = pb.PositionExplanation(
        location=known.location,
        available=position.available,
        terms=_terms(position.terms),
        reasons=[pb.AvailabilityReason.Value(f"AVAILABILITY_REASON_{reason}") for reason in position.reasons],
        usable=not position.why_not,
        usable_rule=position.usable_rule,
        on_hand=known.on_hand,
        reserved=known.reserved,
        shortfall=max(0, known.reserved - known.on_hand),
        safety_stock=winner.keeps if winner else 0,
        safety_rules=[
            pb.SafetyRule(
                sku=rule.sku,
                location=rule.location,
                channel=rule.channel,
                units=rule.units,
                share=rule.parts,
                keeps=rule.keeps,
                wins=rule is winner,
            )
            for rule in position.rules
        ],
        ring_fences=[
            stock_service_pb2.RingFence(channel=channel, quantity=units) for channel, units in position.ring_fences
        ],
        own_fence=figures.own_fence,
        pool=figures.pool,
        borrows=position.borrows,
        reservations=[_holder(holder) for holder in position.holders],
        unlisted_lines=position.unlisted_lines,
        unlisted_quantity=position.unlisted_units,
        incoming=[receipt_to_proto(receipt, day, stopping) for receipt in known.receipts],
        backordered=known.backordered,
        backordered_max=position.backordered_max,
        revision=known.revision,
        states=state_quantities(known.states),
    )
    if known.last_change is not None:
        message.last_change.CopyFrom(ledger_entry_to_proto(known.last_change))
    return message


def _kit(explained: KitExplanation, day: int) -> pb.PositionExplanation:
    components = [
        pb.ComponentExplanation(
            sku=part.sku, units=part.units, kits=explained.kits_of(place), position=_position(its, day)
        )
        for place, (part, its) in enumerate(zip(explained.kit, explained.positions, strict=True))
    ]
    limiting = components[explained.limiting]
    return pb.PositionExplanation(
        location=limiting.position.location,
        available=explained.available,
        terms=_terms(explained.terms),
        reasons=limiting.position.reasons,
        usable=limiting.position.usable,
        usable_rule=limiting.position.usable_rule,
        on_hand=explained.on_hand,
        limiting_component=limiting.sku,
        components=components,
    )


def _terms(terms: Iterable[Term]) -> list[pb.ExplanationTerm]:
    return [pb.ExplanationTerm(name=name, quantity=units, rule=rule) for name, units, rule in terms]


def _holder(holder: Holder) -> pb.ReservedUnits:
    held = holder.held
    return pb.ReservedUnits(
        reservation_id=held.reservation_id,
        channel=held.channel,
        state=STATE_NUMBERS[holder.state],  # type: ignore[arg-type]  # enums are numbers on the wire
        line_id=held.line_id,
        quantity=held.units,
        expire_time=timestamp(held.expires_at * 1000) if held.expires_at else None,
        counts=holder.counts,
        fenced=held.fenced,
        fence_channel=held.fence_channel,
        create_time=timestamp(held.created_at_ms),
    )
