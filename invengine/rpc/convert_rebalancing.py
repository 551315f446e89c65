"""Domain -> wire for rebalancing reports. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert_promises import money_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import rebalance_pb2

if TYPE_CHECKING:
    from invengine.services.rebalancing import Report, SkuSuggestion, Unfilled


def report_to_proto(report: Report) -> rebalance_pb2.SuggestTransfersResponse:
    """What should be moved, and what stays unfilled."""
    return rebalance_pb2.SuggestTransfersResponse(
        suggestions=[_suggestion(one, report.currency) for one in report.suggestions],
        unfilled=map(_unfilled, report.unfilled),
        has_more=report.has_more,
        cut_short_skus=report.cut_short,
        consistency_token=report.consistency_token,
    )


def _suggestion(one: SkuSuggestion, currency: str) -> rebalance_pb2.TransferSuggestion:
    found = one.suggestion
    return rebalance_pb2.TransferSuggestion(
        sku=one.sku,
        from_location=found.way.from_location,
        to_location=found.way.to_location,
        units=found.units,
        cost=money_to_proto(found.cost, currency) if currency else None,
        expected_date=date_or_none(found.way.day),
        days=one.days,
        fills=[
            rebalance_pb2.TransferSuggestion.Filled(fill=int(fill), units=units)  # type: ignore[arg-type]
            for fill, units in found.fills
        ],
    )


def _unfilled(one: Unfilled) -> rebalance_pb2.UnfilledDemand:
    return rebalance_pb2.UnfilledDemand(
        sku=one.sku,
        location=one.need.location,
        fill=int(one.need.fill),  # type: ignore[arg-type]  # enums are numbers on the wire
        units=one.need.units,
        reason=int(one.why),  # type: ignore[arg-type]
        cover_date=date_or_none(one.need.cover_day),
    )
