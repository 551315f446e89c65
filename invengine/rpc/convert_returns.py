"""Domain -> wire for returns. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert_incoming import timestamp
from invengine.v1 import return_service_pb2

if TYPE_CHECKING:
    from invengine.domain.returns import Return, ReturnLine


def return_to_proto(returned: Return) -> return_service_pb2.Return:
    """A return as it is."""
    return return_service_pb2.Return(
        return_id=returned.return_id,
        channel=returned.channel,
        location=returned.location,
        reservation_id=returned.reservation_id,
        order_ref=returned.order_ref,
        lines=[_line_to_proto(line) for line in returned.lines],
        occurred_at=timestamp(returned.occurred_at_ms),
        create_time=timestamp(returned.created_at_ms),
        revision=returned.revision,
        open=returned.is_open,
    )


def _line_to_proto(line: ReturnLine) -> return_service_pb2.ReturnLine:
    return return_service_pb2.ReturnLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        state=line.state,
        reason=line.reason,
        restocked=line.restocked,
        scrapped=line.scrapped,
        moved=line.moved,
        open=line.open,
        sources=[
            return_service_pb2.ReturnSource(
                reservation_id=source.reservation_id, line_id=source.line_id, quantity=source.quantity
            )
            for source in line.sources
        ],
    )
