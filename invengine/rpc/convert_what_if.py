"""Domain -> wire for what-ifs. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert_promises import costs_to_proto
from invengine.v1 import common_pb2, whatif_pb2

if TYPE_CHECKING:
    from invengine.services.what_if import ProfileResult, WhatIfAnswer


def what_if_to_proto(answer: WhatIfAnswer) -> whatif_pb2.WhatIfResponse:
    """The profiles side by side."""
    response = whatif_pb2.WhatIfResponse(
        results=[_result(result, answer) for result in answer.results],
        orders=answer.orders,
        orders_left_out=answer.left_out,
        consistency_token=answer.consistency_token,
    )
    response.stock_time.FromMilliseconds(answer.stock_ms)
    return response


def _result(result: ProfileResult, answer: WhatIfAnswer) -> whatif_pb2.WhatIfResult:
    tally = result.tally
    return whatif_pb2.WhatIfResult(
        profile=result.profile,
        orders_whole=tally.orders_whole,
        orders_in_part=tally.orders_in_part,
        refused=[
            whatif_pb2.WhatIfResult.Refused(
                reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}"), orders=orders
            )
            for reason, orders in sorted(tally.refusals.items())
        ],
        lines=tally.lines,
        unfilled_lines=tally.unfilled_lines,
        units=tally.units,
        unfilled_units=tally.unfilled_units,
        needed_lines=tally.needed_lines,
        late_lines=tally.late_lines,
        parcels=tally.parcels,
        costs=costs_to_proto(tally.costs, answer.currency),
        stock=[
            whatif_pb2.WhatIfResult.LocationStock(
                location=location,
                free=answer.free.get(location, 0),
                taken=tally.taken[location],
                left=result.left.get(location, 0),
            )
            for location in sorted(answer.free.keys() | tally.taken.keys())
        ],
        unproved_orders=tally.unproved_orders,
    )
