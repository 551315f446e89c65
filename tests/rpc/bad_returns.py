"""Requests of ReturnService that break its contract: method, field that the refusal names, message."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from invengine.v1 import return_service_pb2 as pb

UNITS_MAX = 2**53 - 1
LINE = {"sku": "LAMP", "quantity": 1, "condition": 1}
DECIDED = {"line_id": "1", "quantity": 1, "disposition": 1}


def received(**given: Any) -> pb.ReceiveReturnRequest:
    """A return whose second line has these fields."""
    lines = [pb.ReturnLineRequest(**LINE), pb.ReturnLineRequest(**LINE | given)]
    return pb.ReceiveReturnRequest(request_id="r", channel="web", location="DC", lines=lines)


def disposed(**given: Any) -> pb.DisposeReturnRequest:
    """A request to dispose of units whose second line has these fields."""
    lines = [pb.DisposalLine(**DECIDED), pb.DisposalLine(**DECIDED | given)]
    return pb.DisposeReturnRequest(request_id="r", return_id="r", channel="web", lines=lines)


def cases(bad_ids: list[str], instants: list[Any]) -> list[tuple[str, str, Message]]:
    """Every field with every bad value."""
    required = ["", *bad_ids]
    bad: list[tuple[str, str, Message]] = []
    whole: dict[str, Any] = {"request_id": "r", "channel": "web", "location": "DC"}
    line = pb.ReturnLineRequest(**LINE)

    def receive(field: str, **given: Any) -> None:
        bad.append(("ReceiveReturn", field, pb.ReceiveReturnRequest(**whole | {"lines": [line]} | given)))

    for field in whole:
        for text in required:
            receive(field, **{field: text})
    for field in ("return_id", "reservation_id", "order_ref"):
        for text in bad_ids:
            receive(field, **{field: text})
    receive("order_ref", reservation_id="a", order_ref="b")
    for instant in instants:
        receive("occurred_at", occurred_at=instant)
    receive("lines", lines=[])
    receive("lines", lines=[pb.ReturnLineRequest(**LINE | {"line_id": str(n)}) for n in range(201)])
    for field, values in {
        "sku": required,
        "line_id": [*bad_ids, "1"],
        "quantity": [0, -1, UNITS_MAX + 1],
        "reason": ["x" * 129, "a\nb"],
        "condition": [0, 4, -1],
    }.items():
        bad += [("ReceiveReturn", f"lines[1].{field}", received(**{field: value})) for value in values]
    bad.append(("ReceiveReturn", "lines[1].state", received(state="damaged")))
    for text in (*bad_ids, "gone"):
        bad.append(("ReceiveReturn", "lines[1].state", received(condition=0, state=text)))
    for field in ("request_id", "return_id", "channel"):
        for text in required:
            request = disposed()
            setattr(request, field, text)
            bad.append(("DisposeReturn", field, request))
    nothing = pb.DisposeReturnRequest(request_id="r", return_id="r", channel="web")
    bad.append(("DisposeReturn", "lines", nothing))
    for field, values in {
        "line_id": required,
        "quantity": [-1, UNITS_MAX + 1],
        "disposition": [0, 4, -1],
        "to_state": ["damaged", *bad_ids],
        "reason": ["x" * 129, "a\nb"],
    }.items():
        bad += [("DisposeReturn", f"lines[1].{field}", disposed(**{field: value})) for value in values]
    for text in ("", "on_hand", "gone"):
        bad.append(("DisposeReturn", "lines[1].to_state", disposed(disposition=2, to_state=text)))
    for text in required:
        bad.append(("GetReturn", "return_id", pb.GetReturnRequest(return_id=text, channel="web")))
        bad.append(("GetReturn", "channel", pb.GetReturnRequest(return_id="r", channel=text)))
        bad.append(("ListReturns", "channel", pb.ListReturnsRequest(order_ref="o", channel=text)))
    for text in bad_ids:
        bad.append(("ListReturns", "order_ref", pb.ListReturnsRequest(order_ref=text, channel="web")))
        bad.append(("ListReturns", "reservation_id", pb.ListReturnsRequest(reservation_id=text, channel="web")))
    listed: dict[str, Any] = {"order_ref": "o", "channel": "web"}
    bad.append(("ListReturns", "reservation_id", pb.ListReturnsRequest(channel="web")))
    bad.append(("ListReturns", "page_size", pb.ListReturnsRequest(**listed, page_size=-1)))
    bad += [("ListReturns", "page_token", pb.ListReturnsRequest(**listed, page_token=t)) for t in ("!", "AAAA")]
    return bad
