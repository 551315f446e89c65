"""A small store full of promises."""

from __future__ import annotations

from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.orders import Future
from invengine.domain.returns import ReturnAnswer, ReturnLineRequest, ReturnRequest
from invengine.store.redis_store import RedisStore
from tests.store.making import line, movement, request


async def make_promises(store: RedisStore) -> None:
    """SOFA at AMS1: a ring-fence of web, a receipt that slipped under the pegs of two reservations, two backorders; and
    a return of 3 that wait in quarantine.
    """
    now_ms = await store.now_ms()
    day = now_ms // 86_400_000
    await store.post_movements(
        [
            movement("RECEIPT", 10, now_ms, sku="SOFA"),
            movement("RING_FENCE", 4, now_ms, sku="SOFA", channel="web"),
        ]
    )
    ordered = IncomingChange("erp", "order", IncomingKind.SET, "SOFA", "AMS1", "PO 1", 5, day + 2)
    await store.change_incoming([ordered])
    await store.reserve(
        [
            request(line(1, sku="SOFA"), reservation_id="fenced"),
            request(line(12, sku="SOFA", future=Future()), reservation_id="pegged"),
            request(line(4, sku="SOFA", future=Future(0, 20)), reservation_id="backordered"),
        ]
    )
    slipped = IncomingChange("erp", "slip", IncomingKind.SLIP, "SOFA", "AMS1", "PO 1", expected_day=day + 9)
    await store.change_incoming([slipped])
    lines = (ReturnLineRequest("1", "SOFA", 3, "quarantine"),)
    back = ReturnRequest("back", "A", "back", "till", "AMS1", lines, occurred_at_ms=now_ms)
    assert isinstance((await store.receive_returns([back])).outcomes[0], ReturnAnswer)
