"""Domain -> wire for pages of positions and of the ledger. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert import ledger_entry_to_proto, position_alone
from invengine.rpc.convert_incoming import timestamp
from invengine.v1 import stock_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.services.ledgers import ExportPage, LedgerPage
    from invengine.services.position_pages import PositionPage


def ledger_page(page: LedgerPage) -> pb.ListMovementsResponse:
    """A page of a SKU's ledger."""
    start = page.start
    return pb.ListMovementsResponse(
        entries=[ledger_entry_to_proto(entry) for entry in page.entries],
        next_page_token=page.next_page_token,
        consistency_token=page.consistency_token,
        start=pb.LedgerStart(
            revision=start.revision, record_time=timestamp(start.recorded_at_ms) if start.revision else None
        ),
        time_zones=page.time_zones,
    )


def position_page(page: PositionPage, today: int) -> pb.ListPositionsResponse:
    """A page of all positions; `today` says which receipts are overdue."""
    response = pb.ListPositionsResponse(
        positions=[position_alone(position, today) for position in page.positions],
        next_page_token=page.next_page_token,
        consistency_token=page.consistency_token,
    )
    response.staleness.FromMilliseconds(page.staleness_ms)
    return response


def export_page(page: ExportPage, reached_token: str, until_token: str) -> pb.ExportMovementsResponse:
    """A part of the ledger of all SKUs."""
    return pb.ExportMovementsResponse(
        entries=[ledger_entry_to_proto(entry) for entry in page.entries],
        consistency_token=reached_token,
        until_token=until_token,
        done=page.done,
        gaps=[
            pb.LedgerGap(partition=gap.partition, after_revision=gap.after, next_revision=gap.following)
            for gap in page.gaps
        ],
    )
