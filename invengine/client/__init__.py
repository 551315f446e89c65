"""A typed client of the engine, for channels and feeds written in Python: `Client` for asyncio, `connect()` without.

    async with Client("127.0.0.1:50051", channel="web") as engine:
        held = await engine.reserve([Line(sku="LAMP", quantity=2, location="AMS1")], time_to_live_seconds=600)
        await engine.confirm(held.reservation.reservation_id)

    with connect(channel="till") as engine:
        print(engine.get_availability("LAMP").available)

    async for done in engine.feed(movements, name="wms"):
        print(done.position, [outcome.result for outcome in done.outcomes])

    Client("stock.example:50051", token=secret, tls=Tls.read(ca="ca.pem"))  # where the server wants to know who calls

Answers are the messages of `invengine.v1`. A refusal is raised as its class in `invengine.errors`, with the true
numbers. Every write carries a request_id, so a call that found the server away, or whose outcome is not known, is
repeated with the same id until `retry_seconds` are over: repeating changes nothing twice.
"""

from invengine.client.calls import Client, Line, LineAmendment, LineRebinding, LineUnits
from invengine.client.connection import DEFAULT_SERVER, new_request_id
from invengine.client.feeding import FeedAck, FeedItem
from invengine.client.promise_calls import PromiseLine, PromiseOrder
from invengine.client.refusals import CallFailed, ServerUnreachable, error_from_refusal
from invengine.client.return_calls import DisposalLine, ReturnLine, return_of
from invengine.client.securing import Tls, TokenInClear
from invengine.client.stock_calls import Movement, SnapshotRow, as_date
from invengine.client.waiting import SyncClient, connect

__all__ = [
    "DEFAULT_SERVER",
    "CallFailed",
    "Client",
    "DisposalLine",
    "FeedAck",
    "FeedItem",
    "Line",
    "LineAmendment",
    "LineRebinding",
    "LineUnits",
    "Movement",
    "PromiseLine",
    "PromiseOrder",
    "ReturnLine",
    "ServerUnreachable",
    "SnapshotRow",
    "SyncClient",
    "Tls",
    "TokenInClear",
    "as_date",
    "connect",
    "error_from_refusal",
    "new_request_id",
    "return_of",
]
