"""A good request of every method of the contract, with every field set that can be: what bad ones are bent from.

Where fields exclude each other a method has several. They are written as protobuf's JSON, in the shop of shop.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from invengine.rpc import servicers
from tests.faults.shop import NETWORK, PROFILE, SHIP_TO, TRANSIT, day_in, instant_ago

METHODS = dict(servicers.methods())
BY_NAME = {method.name: path for path, method in METHODS.items()}

Good = dict[str, Any]


def _line(**more: Any) -> Good:
    """A line of a reservation that is shipped."""
    return {
        "line_id": "a", "sku": "LAMP", "quantity": 1, "fulfilment": "FULFILMENT_SHIP", "destination": SHIP_TO,
        "allow_split": True, "service": "standard", **more,
    }  # fmt: skip


def _table(plan_id: str) -> dict[str, list[Good]]:
    held = {"reservation_id": "held", "channel": "web"}
    where = {"fulfilment": "FULFILMENT_SHIP", "consistency": {"minimize_latency": True}}
    receipt = {"source": "erp", "receipt_id": "po-1", "sku": "LAMP", "location": "DC"}
    soon = {"expected_date": day_in(5)}
    listed = {"page_size": 10}
    movement = {
        "source": "wms", "event_id": "e", "occurred_at": instant_ago(60), "kind": "KIND_RECEIPT", "sku": "LAMP",
        "location": "DC", "quantity": 1, "reason": "r", "reference": "ref", "state": "damaged",
    }  # fmt: skip
    moves = [
        movement,
        movement | {"kind": "KIND_RING_FENCE", "channel": "web", "state": ""},
        movement | {"kind": "KIND_STATE_CHANGE", "state": "quarantine", "to_state": "damaged"},
    ]
    asked = {"line_id": "a", "sku": "LAMP", "quantity": 1, "allow_split": True}
    promised = {
        "destination": SHIP_TO, "fulfilments": ["FULFILMENT_SHIP"], "services": ["standard"],
    }  # fmt: skip
    basket = {
        "policy": "POLICY_BEST_EFFORT", "time_to_live": "900s", "customer_ref": "c", "order_ref": "o",
        "cart_ref": "k", "channel": "web",
    }  # fmt: skip
    order = {
        "order_id": "o", "channel": "web", "priority_class": 1, "all_or_nothing": True, "customer_ref": "c",
        "lines": [_line(unit_worth=5, needed_by=day_in(30))],
    }  # fmt: skip
    return {
        "CheckIntegrity": [{"violations_max": 10}],
        "IssueToken": [
            {
                "name": "shop",
                "channel": "web",
                "roles": ["ROLE_READ"],
                "not_before_time": instant_ago(60),
                "expire_time": instant_ago(-86_400),
                "requests_per_second": 100.0,
                "burst": 10,
                "certificate_uri": "spiffe://shop",
                "validate_only": True,
            }
        ],
        "RevokeToken": [{"token_id": "0" * 16}],
        "ListTokens": [{"include_ended": True}],
        "PutProfile": [{"document": PROFILE, "name": "web", "actor": "ann", "validate_only": True}],
        "GetProfile": [{"profile": "web@1"}],
        "ListProfiles": [{"name": "web"}],
        "ActivateProfile": [{"channel": "web", "profile": "web@1", "actor": "ann", "validate_only": True}],
        "ListProfileActivations": [{"channel": "web"}],
        "ResourceShortfalls": [
            {"sku": "LAMP", "location": "DC", "channel": "web", "to_group": "all", "lines_max": 10, "dry_run": True},
            {"reservation_ids": ["held"], "dry_run": True},
        ],
        "SuggestTransfers": [
            {"skus": ["LAMP"], "to_location": "LON", "from_location": "DC", "days_max": 10, "forecast_days": 7,
             "fills": ["TRANSFER_FILL_SHORTFALL"], "suggestions_max": 10}
        ],
        "WhatIf": [
            {"profiles": ["web"], "orders_from": "ORDERS_FROM_GIVEN", "orders_max": 10,
             "orders": [{"order_id": "o", "channel": "web", "lines": [_line()], "best_effort": True}]},
            {"profiles": ["web"], "orders_from": "ORDERS_FROM_RECENT", "orders_max": 3, "recent_days": 3, "seed": 5},
        ],
        "PlanBasket": [
            {"channel": "web", "lines": [_line(needed_by=day_in(30))], "policy": "POLICY_BEST_EFFORT",
             "max_parcels": 3, "profile": "web", "confidence": 0.5, "explain": True,
             "consistency": {"minimize_latency": True}}
        ],
        "PlanWave": [
            {"orders": [order], "mode": "MODE_FILL", "profile": "web", "keep": "60s", "group": "all",
             "minimum_shares": [{"channel": "web", "sku": "LAMP", "percent": 10}]},
            {"waiting": {"skus": ["LAMP"], "channel": "web", "group": "all", "priority_class": 1, "unit_worth": 5},
             "minimum_shares": [{"channel": "web", "sku": "LAMP", "units": 10}]},
        ],
        "GetPlan": [{"plan_id": plan_id, **listed}],
        "CommitPlan": [{"plan_id": plan_id, "target": "TARGET_HELD", "time_to_live": "900s"}],
        "GetAvailability": [
            {"sku": "LAMP", "channel": "web", "locations": ["DC"], "ignore_reservation_id": "held", **where},
            {"sku": "LAMP", "channel": "web", "group": "all"},
        ],
        "BatchGetAvailability": [
            {"skus": ["LAMP"], "channel": "web", "locations": ["DC"], **where},
            {"skus": ["LAMP"], "channel": "web", "group": "all"},
        ],
        "StreamAvailability": [{"query_id": 1, "sku": "LAMP", "channel": "web", "group": "all"}],
        "WatchAvailability": [
            {"channel": "web", "skus": ["LAMP"], "locations": ["DC"], "fulfilment": "FULFILMENT_SHIP"},
            {"channel": "web", "skus": ["LAMP"], "group": "all"},
        ],
        "ExplainAvailability": [
            {"sku": "LAMP", "channel": "web", "locations": ["DC"], "ignore_reservation_id": "held",
             "reservations_max": 5, **where},
            {"sku": "LAMP", "channel": "web", "group": "all"},
        ],
        "GetAvailableToPromise": [
            {"sku": "LAMP", "channel": "web", "locations": ["DC"], "days": 10, **where},
            {"sku": "LAMP", "channel": "web", "group": "all"},
        ],
        "SetIncoming": [{**receipt, **soon, "quantity": 50}],
        "SlipIncoming": [{**receipt, **soon}],
        "CancelIncoming": [receipt | {"receipt_id": "po-2"}],
        "ReceiveIncoming": [{**receipt, "quantity": 1, "occurred_at": instant_ago(60)}],
        "ListIncoming": [{"sku": "LAMP", "location": "DC", "receipt_id": "po-1", **listed}],
        "ApplyNetwork": [{"document": NETWORK, "validate_only": True}],
        "GetNetwork": [{}],
        "GetCalendar": [{"location": "DC", "first_date": day_in(1), "days": 5}],
        "ApplyTransitTimes": [{"document": TRANSIT, "validate_only": True}],
        "GetTransitTimes": [{}],
        "ListTransitLanes": [{"location": "DC", "zone": "de", "service": "standard", "confidences": [0.5], **listed}],
        "ListShortfalls": [{"sku": "LAMP", "location": "DC", "channel": "web", **listed}],
        "GetPromise": [
            {"channel": "web", "lines": [asked | {"location": "DC"}], **promised, "confidence": 0.5, "profile": "web",
             "explain": True, "consistency": {"minimize_latency": True}},
            {"channel": "web", "lines": [asked | {"group": "all"}], "fulfilments": ["FULFILMENT_PICKUP"],
             "near": {"latitude": 51.5, "longitude": 0.0, "radius_km": 100.0}},
        ],
        "BatchGetPromise": [
            {"channel": "web", "skus": ["LAMP"], "quantities": [1], "confidence": 0.5, **promised,
             "consistency": {"minimize_latency": True}},
            {"channel": "web", "orders": [{"lines": [asked], **promised}]},
        ],
        "ListBrokenPromises": [
            {"sku": "LAMP", "location": "DC", "receipt_id": "po-1", "channel": "web", "customer_ref": "c",
             "order_ref": "o", "reservation_id": "held", "reason": 1, **listed}
        ],
        "Repromise": [
            {"policy": "POLICY_MOVE", "reservation_ids": ["held"], "dry_run": True, "lines_max": 10},
            {"policy": "POLICY_KEEP_LOCATION", "dry_run": True,
             "filter": {"sku": "LAMP", "location": "DC", "receipt_id": "po-1", "channel": "web", "customer_ref": "c",
                        "order_ref": "o", "reason": 1}},
        ],
        "CreateReservation": [
            {**basket, "lines": [_line(allow_backorder=True, needed_by=day_in(30))], "max_parcels": 3,
             "promise_dates": True, "confidence": 0.5},
            {**basket, "lines": [_line(location="DC"), _line(line_id="b", group="all")], "profile": "web"},
        ],
        "BatchCreateReservations": [{"requests": [{**basket, "lines": [_line()], "request_id": "in the batch"}]}],
        "GetReservation": [held],
        "ListReservations": [
            {"customer_ref": "c", "state": "STATE_HELD", **listed},
            {"order_ref": "o", "channel": "web"},
            {"cart_ref": "k"},
        ],
        "ConfirmReservation": [held | {"reservation_id": "unpaid", "order_ref": "o"}],
        "ExtendReservation": [{**held, "time_to_live": "900s"}],
        "ReleaseReservation": [{**held, "lines": [{"line_id": "1", "location": "DC", "quantity": 1}]}],
        "FulfilReservation": [
            {**held, "reservation_id": "paid", "lines": [{"line_id": "1", "location": "DC", "quantity": 1}]}
        ],
        "AmendReservation": [
            {**held, "lines": [{"line_id": "1", "quantity": 10, "location": "DC"}], "profile": "web"},
            {**held, "lines": [{"line_id": "1", "quantity": 10, "group": "all", "allow_split": True,
                                "allow_backorder": True, "needed_by": day_in(30)}]},
            {**held, "added_lines": [_line(line_id="added", service="")]},
        ],
        "RebindReservation": [
            {**held, "lines": [{"line_id": "1", "location": "DC"}], "profile": "web"},
            {**held, "lines": [{"line_id": "1", "group": "all", "allow_split": True, "allow_backorder": True,
                                "needed_by": day_in(30)}]},
        ],
        "HandOverReservation": [{**held, "to_channel": "app", "to_customer_ref": "c", "time_to_live": "900s"}],
        "ReceiveReturn": [
            {"return_id": "", "channel": "web", "location": "DC", "order_ref": "order elsewhere",
             "occurred_at": instant_ago(1),
             "lines": [{"line_id": "9", "sku": "SOFA", "quantity": 1, "state": "inspection", "reason": "r"}]},
            {"return_id": "", "channel": "web", "location": "DC", "reservation_id": "sold",
             "lines": [{"line_id": "1", "sku": "LAMP", "quantity": 1, "condition": "CONDITION_DAMAGED"}]},
        ],
        "DisposeReturn": [
            {"return_id": "back", "channel": "web",
             "lines": [{"line_id": "1", "quantity": 1, "disposition": "DISPOSITION_MOVE", "to_state": "damaged",
                        "reason": "r"}]}
        ],
        "GetReturn": [{"return_id": "back", "channel": "web"}],
        "ListReturns": [
            {"reservation_id": "sold", "channel": "web", **listed}, {"order_ref": "o", "channel": "web"},
        ],
        "PostMovements": [{"movements": [move]} for move in moves],
        "StreamMovements": [{"feed": "wms", "position": 1, "movements": [move]} for move in moves],
        "ListFeeds": [listed],
        "ApplySnapshot": [
            {"source": "erp", "snapshot_id": "s", "location": "DC", "as_of": instant_ago(60), "partial": True,
             "contains_order_refs": ["order paid"], "row_count": 1,
             "rows": [{"sku": "RUG", "quantity": 5, "state": "damaged"}]}
        ],
        "GetPosition": [{"sku": "LAMP", "location": "DC", "consistency": {"minimize_latency": True}}],
        "ListMovements": [
            {"sku": "LAMP", "location": "DC", "since": instant_ago(600), "until": instant_ago(0), "kinds": ["RECEIPT"],
             "actor": "tests", **listed}
        ],
        "ListPositions": [
            {"sku_prefix": "LA", "location": "DC", "consistency": {"minimize_latency": True}, **listed}
        ],
        "ExportMovements": [{"sku_prefix": "LA", "location": "DC", **listed}],
        "CreateTransfer": [
            {"source": "planner", "transfer_id": "", "from_location": "DC", "to_location": "LON", **soon,
             "lines": [{"line_id": "1", "sku": "SOFA", "quantity": 5}], "reason": "r", "reference": "ref"}
        ],
        "GetTransfer": [{"transfer_id": "planned"}],
        "ListTransfers": [
            {"location": "DC", "direction": "DIRECTION_OUT", "state": "STATE_PLANNED", **listed},
        ],
        "ShipTransfer": [
            {"source": "planner", "transfer_id": "planned", "lines": [{"line_id": "1", "quantity": 1}], **soon}
        ],
        "ReceiveTransfer": [
            {"source": "planner", "transfer_id": "shipped", "arrivals": [{"sku": "SOFA", "quantity": 1}],
             "closes": True, "reason": "r", "occurred_at": instant_ago(1)}
        ],
        "CancelTransfer": [{"source": "planner", "transfer_id": "planned"}],
    }  # fmt: skip


def good_requests(plan_id: str) -> Iterator[tuple[str, Message]]:
    """Every good request, with the path of its method."""
    table = _table(plan_id)
    assert set(table) == set(BY_NAME), set(table) ^ set(BY_NAME)
    for name, several in table.items():
        path = BY_NAME[name]
        for fields in several:
            message = GetMessageClass(METHODS[path].input_type)()
            yield path, json_format.ParseDict(fields, message)


def named(message: Message, request_id: str) -> Message:
    """The message as a request of its own."""
    if "request_id" in message.DESCRIPTOR.fields_by_name:
        message.request_id = request_id  # type: ignore[attr-defined]
    return message
