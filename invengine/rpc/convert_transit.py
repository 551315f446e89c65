"""Learnt transit times as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from invengine.rpc.convert import change_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import network_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.transit import TransitTimes
    from invengine.services.transit_times import LaneRow, TransitApplied


def applied_to_proto(applied: TransitApplied, consistency_token: str) -> pb.ApplyTransitTimesResponse:
    """What a document of transit times changed, or would change."""
    return pb.ApplyTransitTimesResponse(
        revision=applied.revision,
        changes=map(change_to_proto, applied.changes),
        consistency_token=consistency_token,
    )


def times_to_proto(times: TransitTimes) -> pb.GetTransitTimesResponse:
    """The transit times in force."""
    period = times.period
    return pb.GetTransitTimesResponse(
        document=times.document,
        revision=times.revision,
        deliveries=sum(seen.deliveries for seen in times.lanes.values()),
        under_way=sum(seen.open_parcels for seen in times.lanes.values()),
        shipped_since=date_or_none(period.shipped_since) if period else None,
        shipped_until=date_or_none(period.shipped_until) if period else None,
        as_of=date_or_none(period.as_of) if period else None,
    )


def lanes_to_proto(
    page: tuple[list[LaneRow], str, TransitTimes], consistency_token: str, *, with_distribution: bool
) -> pb.ListTransitLanesResponse:
    """A page of lanes."""
    rows, next_page_token, times = page
    return pb.ListTransitLanesResponse(
        lanes=[_lane(row, with_distribution=with_distribution) for row in rows],
        next_page_token=next_page_token,
        revision=times.revision,
        consistency_token=consistency_token,
    )


def _lane(row: LaneRow, *, with_distribution: bool) -> pb.TransitLane:
    location, zone, service = row.name
    return pb.TransitLane(
        location=location,
        zone=zone,
        service=service,
        stated_days=row.stated_days,
        deliveries=row.seen.deliveries,
        under_way=row.seen.open_parcels,
        longest_days=row.seen.longest if row.seen.arrived else None,
        days=[
            pb.TransitDays(
                confidence=confidence,
                days=answer.days,
                level=pb.TransitDays.Level.Value(f"LEVEL_{answer.level}"),
                deliveries=answer.deliveries,
                longest_days=answer.longest,
                probability=answer.probability,
            )
            for confidence, answer in row.answers
        ],
        distribution=_points(row) if with_distribution else (),
    )


def _points(row: LaneRow) -> Iterator[pb.TransitPoint]:
    last = max(len(row.distribution.cumulative) - 1, row.seen.longest, max(row.seen.under_way, default=-1))
    for days in range(last + 1):
        yield pb.TransitPoint(
            days=days,
            deliveries=row.seen.arrived.get(days, 0),
            under_way=row.seen.under_way.get(days, 0),
            probability=row.distribution.within(days),
        )
