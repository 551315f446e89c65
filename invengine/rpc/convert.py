"""Wire <-> domain. Nothing here decides; enums are translated by tables that a test compares with the proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.orders import (
    Allocation,
    Fulfilment,
    Reservation,
    ReservationLine,
    ReservationState,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import Feed, LedgerEntry, MovementOutcome, MovementResult
from invengine.errors import InventoryError
from invengine.rpc.convert_incoming import receipt_to_proto, timestamp
from invengine.rpc.convert_slots import fill_line_promise, slots_to_proto
from invengine.rpc.errors import refusal_to_proto
from invengine.services.days import date_of
from invengine.v1 import admin_service_pb2, network_service_pb2, reservation_service_pb2, stock_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.domain.network import Change
    from invengine.services.feeds import Acknowledgement
    from invengine.services.integrity_report import Report
    from invengine.services.positions import PositionNow

FULFILMENT_NUMBERS: Final = {
    Fulfilment.ANY: 0,
    Fulfilment.SHIP: 1,
    Fulfilment.PICKUP: 2,
    Fulfilment.SHIP_TO_STORE: 3,
    Fulfilment.TRANSFER: 4,
}
FULFILMENTS: Final = {number: fulfilment for fulfilment, number in FULFILMENT_NUMBERS.items()}

STATE_NUMBERS: Final = {
    ReservationState.HELD: 1,
    ReservationState.CONFIRMED: 2,
    ReservationState.FULFILLED: 3,
    ReservationState.RELEASED: 4,
    ReservationState.EXPIRED: 5,
}

RESULT_NUMBERS: Final = {
    MovementResult.APPLIED: 1,
    MovementResult.REPEATED: 2,
    MovementResult.STALE: 3,
    MovementResult.REFUSED: 4,
}


def reservation_to_proto(
    reservation: Reservation, state: ReservationState | None = None
) -> reservation_service_pb2.Reservation:
    """The record; `state` where another counts than the stored one."""
    message = reservation_service_pb2.Reservation()
    _fill_reservation(message, reservation, state or reservation.state)
    return message


def answer_to_proto(answer: ReservationAnswer) -> reservation_service_pb2.Reservation:
    """The record as a write left it, with what the answer knows beyond it."""
    message = reservation_service_pb2.Reservation()
    _fill_answer(message, answer)
    return message


def _fill_answer(message: reservation_service_pb2.Reservation, answer: ReservationAnswer) -> None:
    _fill_reservation(message, answer.reservation, answer.reservation.state)
    if answer.next_days:
        days = dict(answer.next_days)
        for line in message.lines:
            if line.line_id in days:
                line.next_date.CopyFrom(date_of(days[line.line_id]))


def _fill_reservation(
    message: reservation_service_pb2.Reservation, reservation: Reservation, state: ReservationState
) -> None:
    """Fills a message where it stands: one that is built alone and put into another is copied."""
    message.reservation_id = reservation.reservation_id
    message.state = STATE_NUMBERS[state]  # type: ignore[assignment]  # enums are numbers on the wire
    message.channel = reservation.channel
    message.revision = reservation.revision
    if reservation.customer_ref:
        message.customer_ref = reservation.customer_ref
    if reservation.order_ref:
        message.order_ref = reservation.order_ref
    if reservation.cart_ref:
        message.cart_ref = reservation.cart_ref
    made = message.create_time
    made.seconds, rest = divmod(reservation.created_at_ms, 1000)
    made.nanos = rest * 1_000_000
    if reservation.expires_at:
        message.expire_time.seconds = reservation.expires_at
    if reservation.slot_lines:
        message.slots.extend(slots_to_proto(reservation.slots))
    for line in reservation.lines:
        _fill_line(message.lines.add(line_id=line.line_id, sku=line.sku, quantity=line.quantity), line)


def _fill_line(wire: reservation_service_pb2.ReservationLine, line: ReservationLine) -> None:
    if line.fulfilment is not Fulfilment.ANY:
        wire.fulfilment = FULFILMENT_NUMBERS[line.fulfilment]  # type: ignore[assignment]
    to = line.destination
    if to.country or to.postal_code or to.location:
        wire.destination.country = to.country
        wire.destination.postal_code = to.postal_code
        wire.destination.location = to.location
    short = line.quantity
    for allocation in line.allocations:
        short -= allocation.quantity
        taken = wire.allocations.add(location=allocation.location, quantity=allocation.quantity)
        if allocation.fulfilled:
            taken.fulfilled = allocation.fulfilled
        if allocation.released:
            taken.released = allocation.released
        if not allocation.is_on_hand:
            _fill_promise(taken, allocation)
        if allocation.fenced:
            taken.fenced = allocation.fenced
            taken.fence_channel = allocation.fence_channel
    if short:
        wire.short_quantity = short
    if line.returned:
        wire.returned = line.returned
    _fill_standing(wire, line)


def _fill_standing(wire: reservation_service_pb2.ReservationLine, line: ReservationLine) -> None:
    """What a line is part of, what it may wait for, when it was promised."""
    if line.kit is not None:
        wire.kit_line_id, wire.kit_sku, wire.units_per_kit = line.kit.line_id, line.kit.sku, line.kit.units
    if line.future is not None:
        wire.allow_backorder = True
        if line.future.needed_by:
            wire.needed_by.CopyFrom(date_of(line.future.needed_by))
    if line.promise is not None:
        fill_line_promise(wire, line.promise)


def _fill_promise(message: reservation_service_pb2.Allocation, allocation: Allocation) -> None:
    """What units that are not on hand rest on."""
    message.receipt_id = allocation.receipt_id
    message.backordered = allocation.backordered
    if allocation.due_day:
        message.due_date.CopyFrom(date_of(allocation.due_day))


def outcome_to_proto(
    outcome: ReservationAnswer | InventoryError,
) -> reservation_service_pb2.BatchCreateReservationsResponse.Outcome:
    """What became of one request of a batch."""
    wire = reservation_service_pb2.BatchCreateReservationsResponse.Outcome()
    if isinstance(outcome, InventoryError):
        wire.refusal.CopyFrom(refusal_to_proto(outcome))
    else:
        _fill_answer(wire.reservation, outcome)
        if outcome.replayed:
            wire.replayed = True
    return wire


def movement_outcomes(
    outcomes: Iterable[MovementOutcome], consistency_token: str
) -> stock_service_pb2.PostMovementsResponse:
    """One outcome per movement."""
    response = stock_service_pb2.PostMovementsResponse(consistency_token=consistency_token)
    _fill_outcomes(response, outcomes)
    return response


def acknowledgement_to_proto(acknowledged: Acknowledgement) -> stock_service_pb2.StreamMovementsResponse:
    """The answer to one request of a feed."""
    response = stock_service_pb2.StreamMovementsResponse(
        decided=acknowledged.decided,
        position=acknowledged.position,
        consistency_token=acknowledged.consistency_token,
    )
    if acknowledged.feed is not None:
        response.feed.CopyFrom(feed_to_proto(acknowledged.feed))
    _fill_outcomes(response, acknowledged.outcomes)
    return response


def feed_to_proto(feed: Feed) -> stock_service_pb2.Feed:
    """How far a feed is."""
    mark = feed.mark
    wire = stock_service_pb2.Feed(feed=mark.feed, position=mark.position, source=mark.source, event_id=mark.event_id)
    if feed.acknowledged_at_ms:
        wire.acknowledge_time.CopyFrom(timestamp(feed.acknowledged_at_ms))
    return wire


def _fill_outcomes(
    response: stock_service_pb2.PostMovementsResponse | stock_service_pb2.StreamMovementsResponse,
    outcomes: Iterable[MovementOutcome],
) -> None:
    for outcome in outcomes:
        wire = response.outcomes.add(
            result=RESULT_NUMBERS[outcome.result],
            on_hand=outcome.on_hand,
            reserved=outcome.reserved,
            revision=outcome.revision,
            states=state_quantities(outcome.states),
        )
        if outcome.refusal is not None:
            wire.refusal.CopyFrom(refusal_to_proto(outcome.refusal))


def state_quantities(states: tuple[tuple[str, int], ...]) -> list[stock_service_pb2.StateQuantity]:
    """Units in states, as (state, units)."""
    return [stock_service_pb2.StateQuantity(state=state, quantity=units) for state, units in states]


def position_to_proto(position: PositionNow, today: int) -> stock_service_pb2.GetPositionResponse:
    """One position with the state that it names; `today` says which receipts are overdue."""
    response = stock_service_pb2.GetPositionResponse(
        position=position_alone(position, today), consistency_token=position.consistency_token
    )
    response.staleness.FromMilliseconds(position.staleness_ms)
    return response


def position_alone(position: PositionNow, today: int) -> stock_service_pb2.Position:
    """One position."""
    stopping = (position.location,) if position.overdue_stops else ()
    return stock_service_pb2.Position(
        sku=position.sku,
        location=position.location,
        on_hand=position.on_hand,
        reserved=position.reserved,
        safety_stock=position.safety_stock,
        revision=position.revision,
        shortfall=max(0, position.reserved - position.on_hand),
        ring_fences=[
            stock_service_pb2.RingFence(channel=channel, quantity=units) for channel, units in position.ring_fences
        ],
        backordered=position.backordered,
        incoming=[receipt_to_proto(receipt, today, stopping) for receipt in position.incoming],
        states=state_quantities(position.states),
    )


def change_to_proto(change: Change) -> network_service_pb2.NetworkChange:
    """One difference of two documents."""
    return network_service_pb2.NetworkChange(
        kind=network_service_pb2.NetworkChange.Kind.Value(f"KIND_{change.kind}"),
        path=change.path,
        before=change.before_json,
        after=change.after_json,
    )


def integrity_to_proto(report: Report) -> admin_service_pb2.CheckIntegrityResponse:
    """What an integrity check found."""
    replayed = report.replayed
    return admin_service_pb2.CheckIntegrityResponse(
        positions_checked=report.positions_checked,
        reservations_checked=report.reservations_checked,
        violations_count=report.violations_count,
        violations=[
            admin_service_pb2.IntegrityViolation(
                invariant=admin_service_pb2.IntegrityViolation.Invariant.Value(f"INVARIANT_{violation.invariant}"),
                sku=violation.sku,
                location=violation.location,
                expected=violation.expected,
                actual=violation.actual,
                message=str(violation),
            )
            for violation in report.violations
        ],
        replay=None
        if replayed is None
        else admin_service_pb2.ReplaySummary(
            entries=replayed.entries,
            positions_covered=replayed.positions_covered,
            positions_not_covered=replayed.positions_not_covered,
            reservations_covered=replayed.reservations_covered,
            reservations_not_covered=replayed.reservations_not_covered,
            promises_covered=replayed.promises_covered,
            promises_not_covered=replayed.promises_not_covered,
        ),
        not_judged=report.unsettled,
    )


def ledger_entry_to_proto(entry: LedgerEntry) -> stock_service_pb2.LedgerEntry:
    """One change of a position."""
    return stock_service_pb2.LedgerEntry(
        location=entry.location,
        kind=entry.kind,
        actor=entry.actor,
        cause=entry.cause,
        reason=entry.reason,
        reference=entry.reference,
        occurred_at=timestamp(entry.occurred_at_ms),
        record_time=timestamp(entry.recorded_at_ms),
        on_hand_before=entry.on_hand_before,
        on_hand_after=entry.on_hand_after,
        reserved_before=entry.reserved_before,
        reserved_after=entry.reserved_after,
        revision=entry.revision,
        states=[
            stock_service_pb2.StateChange(state=one.state, before=one.before, after=one.after) for one in entry.states
        ],
        sku=entry.sku,
        place=entry.place,
        source=entry.source,
    )
