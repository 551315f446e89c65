"""Reads of positions, availability and records, compared with the shop as it is.

A hold that is over does not count, swept or not. Servers judge that by an estimate of the store's clock, so around the
second when a hold ends either is right.
"""

from __future__ import annotations

from tests.linearizability import shop as network
from tests.linearizability.answers import Item, Record, Refusal
from tests.linearizability.shop_model import Shop

CLOCKS_APART_MS = 500  # far more than a server's estimate is ever off


def is_right_read(shop: Shop, item: Item, until_ms: int) -> bool:
    """Whether a read of the replica tells these positions, at some instant from now to `until_ms`."""
    sku = item.request.sku
    if isinstance(item.answer, Refusal):
        return _is_missing(shop, item)
    since_ms = shop.now[0] - CLOCKS_APART_MS
    ends = {shop.records[name].expires_at * 1000 for name in shop.holds.get(sku, ())}
    instants = [since_ms, *sorted(end for end in ends if since_ms < end <= until_ms + CLOCKS_APART_MS)]
    reader = _position if item.verb == "GetPosition" else _availability
    return any(reader(shop, item, now_ms) for now_ms in instants)


def _position(shop: Shop, item: Item, now_ms: int) -> bool:
    told, sku, location = item.answer, item.request.sku, item.request.location
    position = shop.stock.positions.get(sku, {}).get(location)
    if position is None:
        return False
    reserved = position.reserved - shop.expired_units(sku, location, now_ms)
    return (told.sku, told.location, told.on_hand, told.reserved, told.revision, told.safety_stock, told.shortfall) == (
        sku,
        location,
        position.on_hand,
        reserved,
        position.revision,
        network.stays_for_all(sku, location, position.on_hand),
        max(0, reserved - position.on_hand),
    )


def _availability(shop: Shop, item: Item, now_ms: int) -> bool:
    request = item.request
    expected = []
    for location in sorted(network.candidates(request.channel, "", "")):
        position = shop.stock.positions.get(request.sku, {}).get(location)
        if position is not None:
            reserved = position.reserved - shop.expired_units(request.sku, location, now_ms)
            keep = network.stays(request.channel, request.sku, location, position.on_hand)
            free = max(0, position.on_hand - reserved - keep)
            expected.append((location, free, position.on_hand, reserved, keep))
    told = [(p.location, p.available, p.on_hand, p.reserved, p.safety_stock) for p in item.answer.positions]
    return told == expected and item.answer.available == sum(free for _, free, *_ in expected)


def is_shown(shop: Shop, item: Item) -> bool:
    """Whether a record reads so now."""
    told, name = item.answer, item.request.reservation_id
    record = shop.records.get(name)
    if isinstance(told, Refusal):
        return record is None and told == Refusal("RESERVATION_NOT_FOUND", {"reservation_id": name})
    if record is None or record.state != "HELD":
        return bool(told == record)
    return _state_of_hold(shop, record, told.state) and bool(told._replace(state="HELD") == record)


def _state_of_hold(shop: Shop, record: Record, told: str) -> bool:
    end_ms = record.expires_at * 1000
    if told == "EXPIRED":
        return end_ms <= shop.now[1] + CLOCKS_APART_MS
    return told == "HELD" and end_ms > shop.now[0] - CLOCKS_APART_MS


def _is_missing(shop: Shop, item: Item) -> bool:
    """Whether what a read did not find is not there; for a position its SKU may come later, but before the read."""
    request, told = item.request, item.answer
    there = shop.stock.positions.get(request.sku, {})
    if item.verb == "GetPosition" and there:
        facts = {"sku": request.sku, "location": request.location}
        return request.location not in there and bool(told == Refusal("POSITION_NOT_FOUND", facts))
    return not there and told.reason in ("UNKNOWN_SKU", "POSITION_NOT_FOUND") and told.facts["sku"] == request.sku
