"""Orders of a what-if from a file: JSON with the fields of WhatIfOrder, one a line, or CSV as of `wave plan`.

What CSV says of an order that only a wave knows (its class, its worth) is passed over: a what-if takes orders one after
the other, as the file has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.cli.file_faults import problem_of
from invengine.cli.text_file import text_of
from invengine.cli.wave_file import WaveFileFault, is_json, orders_of_csv, with_channel

if TYPE_CHECKING:
    from invengine.v1.reservation_service_pb2 import ReservationLineRequest
    from invengine.v1.wave_pb2 import WaveOrder, WaveOrderLine
    from invengine.v1.whatif_pb2 import WhatIfOrder


def read_orders(file: str, channel: str) -> list[WhatIfOrder]:
    """The orders of a file, `-` for stdin; `channel` is theirs where CSV names none. WaveFileFault."""
    try:
        text = text_of(file)
    except (OSError, UnicodeDecodeError) as error:
        raise WaveFileFault(f"{file}: {problem_of(error)}") from None
    if not text.strip():
        raise WaveFileFault(f"{file} has no orders")
    if is_json(text):
        return _of_json(file, text)
    return [_order(one) for one in with_channel(file, orders_of_csv(file, text), channel)]


def _of_json(file: str, text: str) -> list[WhatIfOrder]:
    from google.protobuf.json_format import Parse, ParseError

    from invengine.v1.whatif_pb2 import WhatIfOrder

    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(Parse(line, WhatIfOrder()))
            except ParseError as fault:
                raise WaveFileFault(f"{file}, line {number}: {fault}") from None
    return found


def _order(order: WaveOrder) -> WhatIfOrder:
    """An order that takes what there is, unless its row says that it is all or nothing."""
    from invengine.v1.whatif_pb2 import WhatIfOrder

    return WhatIfOrder(
        order_id=order.order_id,
        channel=order.channel,
        lines=map(_line, order.lines),
        best_effort=not order.all_or_nothing,
    )


def _line(line: WaveOrderLine) -> ReservationLineRequest:
    from invengine.v1.reservation_service_pb2 import ReservationLineRequest

    return ReservationLineRequest(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        location=line.location,
        group=line.group,
        fulfilment=line.fulfilment,
        destination=line.destination if line.HasField("destination") else None,
        allow_split=line.allow_split,
        needed_by=line.needed_by if line.HasField("needed_by") else None,
        service=line.service,
    )
