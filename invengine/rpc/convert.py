"""Wire <-> domain. Nothing here decides; enums are translated by tables that a test compares with the proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf import timestamp_pb2

from invengine.domain.orders import Fulfilment, Reservation, ReservationAnswer, ReservationState
from invengine.domain.stock import LedgerEntry, MovementOutcome, MovementResult
from invengine.errors import InventoryError
from invengine.rpc.errors import refusal_to_proto
from invengine.v1 import admin_service_pb2, network_service_pb2, reservation_service_pb2, stock_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.services.integrity_report import Report
    from invengine.services.networks import Applied
    from invengine.services.positions import PositionNow

FULFILMENT_NUMBERS: Final = {
    Fulfilment.ANY: 0,
    Fulfilment.SHIP: 1,
    Fulfilment.PICKUP: 2,
    Fulfilment.SHIP_TO_STORE: 3,
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


def timestamp(milliseconds: int) -> timestamp_pb2.Timestamp:
    """An instant of milliseconds since 1970."""
    seconds, rest = divmod(milliseconds, 1000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def reservation_to_proto(
    reservation: Reservation, state: ReservationState | None = None
) -> reservation_service_pb2.Reservation:
    """The record; `state` where another counts than the stored one."""
    message = reservation_service_pb2.Reservation()
    _fill_reservation(message, reservation, state or reservation.state)
    return message


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
    for line in reservation.lines:
        wire = message.lines.add(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
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
        if short:
            wire.short_quantity = short


def batch_outcomes(
    outcomes: Iterable[ReservationAnswer | InventoryError],
) -> reservation_service_pb2.BatchCreateReservationsResponse:
    """One outcome per request of a batch; the token is the caller's to set."""
    response = reservation_service_pb2.BatchCreateReservationsResponse()
    for outcome in outcomes:
        wire = response.outcomes.add()
        if isinstance(outcome, InventoryError):
            wire.refusal.CopyFrom(refusal_to_proto(outcome))
        else:
            _fill_reservation(wire.reservation, outcome.reservation, outcome.reservation.state)
            if outcome.replayed:
                wire.replayed = True
    return response


def movement_outcomes(
    outcomes: Iterable[MovementOutcome], consistency_token: str
) -> stock_service_pb2.PostMovementsResponse:
    """One outcome per movement."""
    response = stock_service_pb2.PostMovementsResponse(consistency_token=consistency_token)
    for outcome in outcomes:
        wire = response.outcomes.add(
            result=RESULT_NUMBERS[outcome.result],
            on_hand=outcome.on_hand,
            reserved=outcome.reserved,
            revision=outcome.revision,
        )
        if outcome.refusal is not None:
            wire.refusal.CopyFrom(refusal_to_proto(outcome.refusal))
    return response


def position_to_proto(position: PositionNow) -> stock_service_pb2.GetPositionResponse:
    """One position with the state that it names."""
    response = stock_service_pb2.GetPositionResponse(
        position=stock_service_pb2.Position(
            sku=position.sku,
            location=position.location,
            on_hand=position.on_hand,
            reserved=position.reserved,
            safety_stock=position.safety_stock,
            revision=position.revision,
            shortfall=max(0, position.reserved - position.on_hand),
        ),
        consistency_token=position.consistency_token,
    )
    response.staleness.FromMilliseconds(position.staleness_ms)
    return response


def applied_to_proto(applied: Applied, consistency_token: str) -> network_service_pb2.ApplyNetworkResponse:
    """What a network document changed, or would change."""
    return network_service_pb2.ApplyNetworkResponse(
        revision=applied.revision,
        changes=[
            network_service_pb2.NetworkChange(
                kind=network_service_pb2.NetworkChange.Kind.Value(f"KIND_{change.kind}"),
                path=change.path,
                before=change.before_json,
                after=change.after_json,
            )
            for change in applied.changes
        ],
        consistency_token=consistency_token,
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
    )
