"""Plans for baskets: from the answers of the service to messages."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from invengine.domain.sourcing import SourcingRule, parts_of
from invengine.rpc.convert_promises import costs_to_proto, duration_to_proto, instant_to_proto, money_to_proto
from invengine.rpc.errors import refusal_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import plan_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.sourcing import BasketLine, Plan, RuledOut
    from invengine.services.basket_plans import BasketAnswer

_RULES: Final = {rule: pb.RuledOut.Rule.Value(f"RULE_{rule}") for rule in SourcingRule}


def basket_to_proto(answer: BasketAnswer) -> pb.PlanBasketResponse:
    """The best plan and the next one, or why there is none."""
    sourced, currency = answer.sourced, answer.currency
    best, following = sourced.best, sourced.next
    return pb.PlanBasketResponse(
        plan=None if best is None else plan_to_proto(best, answer.lines, currency),
        runner_up=None if following is None else plan_to_proto(following, answer.lines, currency),
        runner_up_excess=(
            None if best is None or following is None else costs_to_proto(following.costs.less(best.costs), currency)
        ),
        refusal=None if sourced.problem is None else refusal_to_proto(sourced.problem),
        ruled_out=ruled_to_proto(sourced.ruled, answer.lines),
        proved=sourced.is_proved,
        bound=None if best is None else money_to_proto(best.bound, currency),
        nodes=sourced.nodes,
        profile="" if answer.profile is None else str(answer.profile),
        plan_time=instant_to_proto(answer.now_ms),
        consistency_token=answer.consistency_token,
        staleness=duration_to_proto(answer.staleness_ms),
    )


def plan_to_proto(plan: Plan, lines: Sequence[BasketLine], currency: str) -> pb.BasketPlan:
    """Where each line comes from."""
    return pb.BasketPlan(
        lines=[
            pb.PlannedLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                units=[
                    pb.PlannedUnits(
                        location=one.location,
                        quantity=one.quantity,
                        available_day=date_or_none(one.day),
                        service=one.service,
                        delivery_day=date_or_none(one.delivery_day),
                    )
                    for one in parts_of(plan.units, place)
                ],
                missing=missing,
            )
            for place, (line, missing) in enumerate(zip(lines, plan.missing, strict=True))
        ],
        costs=costs_to_proto(plan.costs, currency),
        parcels=plan.parcels,
    )


def ruled_to_proto(ruled: Sequence[RuledOut], lines: Sequence[BasketLine]) -> list[pb.RuledOut]:
    """By line and rule."""
    found = []
    for (line, rule), members in groupby(
        sorted(ruled, key=lambda one: (one.line, _RULES[one.rule])), key=lambda one: (one.line, one.rule)
    ):
        locations = [one.location for one in members]  # the sort keeps their order, which is that of the priorities
        found.append(pb.RuledOut(line_id=lines[line].line_id, rule=_RULES[rule], locations=locations))
    return found
