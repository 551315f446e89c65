"""Promises: from the answers of the service to messages."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from google.protobuf import duration_pb2, timestamp_pb2

from invengine.domain.orders import Fulfilment
from invengine.domain.promising import BatchStatus
from invengine.domain.sourcing import CostTerms
from invengine.services.days import date_or_none
from invengine.v1 import common_pb2, plan_pb2
from invengine.v1 import promise_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.promising import Gap, ManyPromises, Option, Promise, PromisedLine, PromisedPart

_STATUS: Final = {status: pb.BatchGetPromiseResponse.Status.Value(f"STATUS_{status}") for status in BatchStatus}
COST_PARTS: Final = 10_000
_NANOS_A_PART: Final = 1_000_000_000 // COST_PARTS
_SECONDS_A_MINUTE: Final = 60
_PROBLEMS: Final = {name.removeprefix("LINE_PROBLEM_"): number for name, number in pb.LineProblem.items()}


def promise_to_proto(promise: Promise) -> pb.GetPromiseResponse:
    """All options of a basket."""
    return pb.GetPromiseResponse(
        options=[_option(option, promise.currency) for option in promise.options],
        gaps=[gap_to_proto(gap) for gap in promise.gaps],
        zone=promise.zone,
        promise_time=instant_to_proto(promise.now_ms),
        consistency_token=promise.consistency_token,
        staleness=duration_to_proto(promise.staleness_ms),
        profile=promise.profile,
    )


def many_to_proto(many: ManyPromises) -> pb.BatchGetPromiseResponse:
    """Days in columns."""
    columns = many.columns or [()] * len(many.ways)
    return pb.BatchGetPromiseResponse(
        options=[
            pb.PromiseColumn(
                fulfilment=fulfilment_to_proto(way.fulfilment),
                service=way.service,
                location=way.location,
                delivery_days=days,
            )
            for way, days in zip(many.ways, columns, strict=True)
        ],
        status=[_STATUS[status] for status in many.status],
        delivery_days=many.days,
        option_index=many.chosen,
        line_counts=many.line_counts,
        line_location_index=many.served_by,
        locations=many.locations,
        gaps=[gap_to_proto(gap) for gap in many.gaps],
        promise_time=instant_to_proto(many.now_ms),
        consistency_token=many.consistency_token,
        staleness=duration_to_proto(many.staleness_ms),
    )


def gap_to_proto(gap: Gap) -> pb.PromiseGap:
    """What the network does not say."""
    return pb.PromiseGap(
        kind=pb.PromiseGap.Kind.Value(f"KIND_{gap.kind}"),
        message=str(gap),
        location=gap.location,
        zone=gap.zone,
        service=gap.service,
        to_location=gap.to_location,
        country=gap.country,
        postal_code=gap.postal_code,
    )


def money_to_proto(parts: int, currency: str) -> common_pb2.Money:
    """Ten-thousandths of a currency; of an amount below 0 the units and the nanos are both below 0."""
    sign = -1 if parts < 0 else 1
    units, rest = divmod(abs(parts), COST_PARTS)
    return common_pb2.Money(currency_code=currency, units=sign * units, nanos=sign * rest * _NANOS_A_PART)


def instant_to_proto(milliseconds: int) -> timestamp_pb2.Timestamp:
    """Milliseconds since 1970."""
    found = timestamp_pb2.Timestamp()
    found.FromMilliseconds(milliseconds)
    return found


def duration_to_proto(milliseconds: int) -> duration_pb2.Duration:
    """Milliseconds."""
    found = duration_pb2.Duration()
    found.FromMilliseconds(milliseconds)
    return found


def _minute(minute: int) -> timestamp_pb2.Timestamp | None:
    return timestamp_pb2.Timestamp(seconds=minute * _SECONDS_A_MINUTE) if minute else None


def costs_to_proto(costs: CostTerms, currency: str) -> plan_pb2.PlanCosts:
    """The terms of an objective, and all of them."""
    terms = {name: money_to_proto(value, currency) for name, value in zip(CostTerms._fields, costs, strict=True)}
    return plan_pb2.PlanCosts(total=money_to_proto(costs.total, currency), **terms)


def _option(option: Option, currency: str) -> pb.PromiseOption:
    found = pb.PromiseOption(
        fulfilment=fulfilment_to_proto(option.way.fulfilment),
        service=option.way.service,
        location=option.way.location,
        lines=[_line(line) for line in option.lines],
    )
    if not option.delivery_day:
        found.status = pb.PromiseOption.STATUS_NOT_PROMISABLE
        return found
    if option.distance_km is not None:
        found.distance_km = option.distance_km
    found.status = pb.PromiseOption.STATUS_PROMISED
    found.delivery_day.CopyFrom(_date(option.delivery_day))
    if option.ready_minute:
        found.ready_time.seconds = option.ready_minute * _SECONDS_A_MINUTE
    found.parcels = option.parcels
    if currency:
        found.cost.CopyFrom(money_to_proto(option.cost, currency))
    if option.order_before:
        found.order_before.seconds = option.order_before * _SECONDS_A_MINUTE
    if option.bound is not None:
        day, cost = option.bound
        if day:
            found.bound.delivery_day.CopyFrom(_date(day))
        if currency:
            found.bound.cost.CopyFrom(money_to_proto(cost, currency))
    if option.costs is not None:
        found.costs.CopyFrom(costs_to_proto(option.costs, currency))
    return found


def _line(line: PromisedLine) -> pb.PromisedLine:
    return pb.PromisedLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        location=line.parts[0].location if line.parts else "",
        ship_day=_day(line.ship_day),
        delivery_day=_day(line.delivery_day),
        ready_time=_minute(line.ready_minute),
        allocations=[_part(part) for part in line.parts],
        problem=_PROBLEMS[line.problem or "UNSPECIFIED"],
        available=line.available,
    )


def _part(part: PromisedPart) -> pb.PromisedAllocation:
    return pb.PromisedAllocation(
        location=part.location,
        quantity=part.quantity,
        available_day=_day(part.available_day),
        ship_day=_day(part.ship_day),
        delivery_day=_day(part.delivery_day),
        ready_time=_minute(part.ready_minute),
        steps=[
            pb.ChainStep(
                kind=pb.ChainStep.Kind.Value(f"KIND_{step.kind}"),
                location=step.location,
                day=_day(step.day),
                time=_minute(step.minute),
                rule=step.rule,
            )
            for step in part.steps
        ],
    )


@lru_cache(maxsize=1024)  # the same few days, again and again
def _day(day: int) -> common_pb2.Date | None:
    """The message for a day, None for 0; whoever sets a field to it copies it."""
    return date_or_none(day)


def _date(day: int) -> common_pb2.Date:
    found = _day(day)
    assert found is not None
    return found


def fulfilment_to_proto(fulfilment: Fulfilment) -> common_pb2.Fulfilment.ValueType:
    """The value of the wire."""
    return common_pb2.Fulfilment.Value(f"FULFILMENT_{fulfilment}")
