"""The shop of the histories: its network, and what follows from it, written out once more in plain words.

Everything here is fixed while a history is made, so that only stock, reservations and time decide an answer.
"""

from __future__ import annotations

NETWORK = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20}
  YORK: {kind: store, priority: 30}
groups:
  all: [DC, LON, YORK]
  stores: [LON, YORK]
channels:
  web: {groups: [all, stores], time_to_live: {default: 15m, maximum: 2h}}
  app: {groups: [all, stores], time_to_live: {default: 15m, maximum: 2h}}
  till: {groups: [stores], time_to_live: {default: 10m, maximum: 2h}}
safety_stock:
  - {location: YORK, units: 1}
  - {sku: SKU-0, percent: 10}
  - {channel: app, units: 2}
"""

SKUS = [f"SKU-{n}" for n in range(8)]
LATE_SKUS = ["LATE-0", "LATE-1"]  # not known before the first movement that a client makes of them
LOCATIONS = ("DC", "LON", "YORK")
GROUPS = {"all": ("DC", "LON", "YORK"), "stores": ("LON", "YORK")}  # members by priority
CHANNELS = {"web": "all", "app": "all", "till": "stores"}  # the group that holds all locations of the channel
SECONDS_MAX = 7200
SECONDS_DEFAULT = {"web": 900, "app": 900, "till": 600}


def candidates(channel: str, location: str, group: str) -> tuple[str, ...]:
    """Where a line may be taken from, in the order of trying: the named place, the group's or the channel's."""
    if location:
        return (location,)
    return GROUPS[group or CHANNELS[channel]]


def stays_for_all(sku: str, location: str, on_hand: int) -> int:
    """Units that no channel may take from a position."""
    units = 1 if location == "YORK" else 0
    return max(units, -(-on_hand // 10)) if sku == "SKU-0" else units


def stays(channel: str, sku: str, location: str, on_hand: int) -> int:
    """Units that this channel must leave at a position."""
    return max(stays_for_all(sku, location, on_hand), 2 if channel == "app" else 0)
