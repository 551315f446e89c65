"""What a network says about delivery, turned back into plain values, so that two networks can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invengine.domain.calendar_document import calendar_elements, minute_text
from invengine.domain.delivery import COST_PARTS, Preparation

if TYPE_CHECKING:
    from invengine.domain.delivery_document import LaneDocument, TransferLaneDocument
    from invengine.domain.delivery_reader import DeliveryDocument


def delivery_elements(document: DeliveryDocument | None) -> dict[str, Any]:
    """Sections by their names in the file; lanes as they are written, by their ends."""
    found: dict[str, Any] = {"calendars": {}, "services": {}, "zones": {}, "lanes": {}, "transfer_lanes": {}}
    if document is None:
        return found
    delivery = document.delivery
    if delivery.currency:
        found["currency"] = delivery.currency
    found["calendars"] = {name: calendar_elements(calendar) for name, calendar in delivery.calendars.items()}
    found["services"] = {
        name: {"carrier": service.carrier, "calendar": service.calendar.name}
        for name, service in delivery.services.items()
    }
    for name, areas in delivery.zones.items():
        countries: dict[str, list[str]] = {}
        for country, prefix in areas:
            countries.setdefault(country, []).append(prefix)
        found["zones"][name] = countries
    for lane in document.lanes:
        services = found["lanes"].setdefault(lane.from_, {}).setdefault(lane.zone, {})
        services[lane.service] = _lane_elements(lane)
    for transfer in document.transfer_lanes:
        elements = {**_lane_elements(transfer), "calendar": transfer.calendar or ""}
        found["transfer_lanes"].setdefault(transfer.from_, {})[transfer.to] = elements
    return found


def preparation_elements(preparation: Preparation) -> dict[str, Any]:
    """What a location does before goods leave it, as plain values; only what is said."""
    minutes = preparation.handling_minutes
    found: dict[str, Any] = {"handling": f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"}
    if preparation.cut_off is not None:
        found["cut_off"] = minute_text(preparation.cut_off)
    if preparation.cut_offs:
        found["cut_offs"] = {service: minute_text(minute) for service, minute in preparation.cut_offs.items()}
    if capacity := preparation.capacity:
        found["capacity"] = {"units": capacity.units} if capacity.units else {"orders": capacity.orders}
    return found


def _lane_elements(lane: LaneDocument | TransferLaneDocument) -> dict[str, Any]:
    return {
        "transit": lane.transit,
        "pickups": lane.pickups or "",
        "cost": cost_text(lane.cost),
        "cost_per_unit": cost_text(lane.cost_per_unit),
    }


def cost_text(parts: int) -> str:
    """An amount for people, with 2 decimals or as many as it needs: `4.95`, `0.125`."""
    whole, rest = divmod(parts, COST_PARTS)
    decimals = f"{rest:04d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals}"
