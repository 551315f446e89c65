"""Plans of waves on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.waves import PlanState, Progress, Stage
from invengine.rpc.convert_incoming import timestamp
from invengine.v1 import common_pb2, wave_pb2

if TYPE_CHECKING:
    from invengine.domain.waves import CommittedOrder, PlannedLine, RefusedLine
    from invengine.services.waves import Committed, ShownOrder, ShownPlan

_STAGES: Final = {
    stage: wave_pb2.PlanProgress.Stage.Value(f"STAGE_{stage.name}")  # the same words, see tests/rpc/test_waves.py
    for stage in Stage
}


def progress_to_proto(progress: Progress) -> wave_pb2.PlanProgress:
    """How far work is."""
    return wave_pb2.PlanProgress(stage=_STAGES[progress.stage], done=progress.done, total=progress.total)


def plan_to_proto(shown: ShownPlan) -> wave_pb2.WavePlan:
    """A plan without its orders."""
    summary, progress = shown.summary, shown.progress
    outcomes = [
        outcome
        for step in progress.done
        for place in summary.steps[step]
        if (outcome := progress.outcome(step, place)) is not None
    ]
    message = wave_pb2.WavePlan(
        plan_id=summary.plan_id,
        state=int(shown.state),  # type: ignore[arg-type]  # its numbers
        create_time=timestamp(summary.created_at_ms),
        expire_time=timestamp(shown.expires_at_ms),
        mode=int(summary.mode),  # type: ignore[arg-type]  # likewise
        profile=summary.profile,
        orders=summary.orders,
        orders_whole=summary.orders_whole,
        orders_without=summary.orders_without,
        lines=summary.lines,
        quantity=summary.quantity,
        planned_quantity=summary.planned,
        worth=summary.worth,
        cost=summary.cost,
        objective=summary.objective,
        bound=summary.bound,
        fills=[
            wave_pb2.WaveFill(
                channel=fill.channel,
                priority_class=fill.priority_class,
                orders=fill.orders,
                orders_whole=fill.orders_whole,
                quantity=fill.quantity,
                planned_quantity=fill.planned,
            )
            for fill in summary.fills
        ],
        committed_orders=sum([outcome.units > 0 for outcome in outcomes]),
        committed_quantity=sum([outcome.units for outcome in outcomes]),
        refused_lines=sum([len(outcome.refused) for outcome in outcomes]),
    )
    if progress.start is not None:
        message.target = int(progress.start.target)  # type: ignore[assignment]
        total = sum([len(step) for step in summary.steps])
        done = sum([len(summary.steps[step]) for step in progress.done])
        message.progress.CopyFrom(progress_to_proto(Progress(Stage.COMMITTING, done, total)))
    return message


def order_to_proto(shown: ShownOrder, state: PlanState) -> wave_pb2.WavePlanOrder:
    """What an order gets, and what became of it."""
    planned, outcome = shown.planned, shown.outcome
    order = planned.order
    refused = outcome.refused if outcome is not None else {}
    return wave_pb2.WavePlanOrder(
        order_id=order.order_id,
        reservation_id=order.reservation_id or (outcome.reservation_id if outcome is not None else ""),
        waiting=bool(order.reservation_id),
        channel=order.channel,
        priority_class=order.priority_class,
        lines=[_line(line, refused.get(place)) for place, line in enumerate(planned.lines)],
        outcome=_outcome(planned.planned, outcome, state),
    )


def page_to_proto(shown: ShownPlan) -> wave_pb2.GetPlanResponse:
    """A plan with a page of its orders."""
    return wave_pb2.GetPlanResponse(
        plan=plan_to_proto(shown),
        orders=[order_to_proto(order, shown.state) for order in shown.orders],
        next_page_token=shown.next_page_token,
    )


def committed_to_proto(done: Committed) -> wave_pb2.CommitPlanResponse:
    """What a commit answers."""
    return wave_pb2.CommitPlanResponse(
        plan=plan_to_proto(done.plan),
        refused_orders=[order_to_proto(order, done.plan.state) for order in done.plan.orders],
        replayed=done.replayed,
        consistency_token=done.consistency_token,
    )


def _outcome(
    planned: int, outcome: CommittedOrder | None, state: PlanState
) -> wave_pb2.WavePlanOrder.Outcome.ValueType:
    kind = wave_pb2.WavePlanOrder
    if outcome is None:
        is_nothing = not planned and state in (PlanState.COMMITTING, PlanState.COMMITTED)
        return kind.OUTCOME_NOTHING_PLANNED if is_nothing else kind.OUTCOME_UNSPECIFIED
    if not outcome.refused:
        return kind.OUTCOME_COMMITTED
    return kind.OUTCOME_IN_PART if outcome.units else kind.OUTCOME_REFUSED


def _line(planned: PlannedLine, refused: RefusedLine | None) -> wave_pb2.WavePlanLine:
    line = planned.line
    message = wave_pb2.WavePlanLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        units=[
            wave_pb2.WavePlanUnits(location=part.location, quantity=part.quantity, cost=part.cost)
            for part in planned.units
        ],
        missing_quantity=line.quantity - planned.planned,
        missing=int(planned.missing),  # type: ignore[arg-type]  # its numbers
    )
    if refused is not None:
        message.refusal.reason = common_pb2.ErrorReason.Value(f"ERROR_REASON_{refused.reason}")
        message.refusal.message = refused.message
        message.refusal.wanted = refused.wanted
        message.refusal.available = refused.available
    return message
