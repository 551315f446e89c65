"""What locations can spare of a SKU and what they lack, with demand as it is handed in."""

from __future__ import annotations

from collections.abc import Mapping

from invengine.domain.incoming import Receipt
from invengine.domain.network import Network
from invengine.domain.rebalancing import Fill, Need, Supply
from invengine.replica.replica import Replica
from invengine.services.surplus import Asked, Surplus
from tests.replica.fakes import START_MS, Entry, fence_row, incoming_row, position_row

TODAY = START_MS // 86_400_000
NETWORK = """\
locations:
  A: {kind: store}
  B: {kind: store}
  C: {kind: store}
  OFF: {kind: store, enabled: false}
groups:
  all: [A, B, C, OFF]
channels:
  web: {groups: [all]}
  app: {groups: [all]}
safety_stock:
  - {location: C, units: 2}
  - {channel: app, units: 1}
confidence:
  - {location: A, fewer_than: 4, units: 2}
"""


class Demand:
    """Units a day by location, of every SKU."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        self._rates = rates

    def skus(self) -> list[str]:
        return ["LAMP"]

    def per_day(self, sku: str, now_ms: int) -> Mapping[str, float]:
        return self._rates


def surplus(*rows: str, days: int = 10, fills: frozenset[Fill] = frozenset(Fill), **rates: float) -> Surplus:
    network = Network.parse(NETWORK)
    replica = Replica(1, b"12345678")
    replica.set_network(network)
    replica.apply([Entry(0, 1, START_MS, "".join(rows).encode())])
    assert replica.fault is None
    return Surplus(replica, network, START_MS, asked=Asked(fills, days, TODAY), rates=Demand(rates))


def receipt(location: str, day: int, units: int, pegged: int = 0) -> str:
    return incoming_row(Receipt("LAMP", location, f"po {location} {day}", TODAY + day, units, pegged, 1))


def test_what_is_kept_is_not_spared() -> None:
    """Reservations, the largest safety stock of any channel, what is not trusted, ring-fences."""
    rows = [position_row("LAMP", name, 10, 3) for name in ("A", "B", "C", "OFF")]
    found = surplus(*rows, position_row("LAMP", "A", 3, 0), fence_row("LAMP", "B", "web", 2), days=0)
    supplies, needs = found.of("LAMP", {})
    # A: 3 - 1 safety - 2 not trusted; B: 7 - 1 - 2 fenced; C: 7 - 2; OFF: 7 - 1
    assert supplies == [Supply("B", 4), Supply("C", 5), Supply("OFF", 6)]
    assert needs == []


def test_what_will_be_sold_is_kept_until_more_comes() -> None:
    """And wanted where it is not there; for so many days at most, and only until the next receipt for all."""
    rows = [position_row("LAMP", name, 10, 0) for name in "ABC"]
    found = surplus(*rows, receipt("B", 3, 5), receipt("C", 2, 5, pegged=5), A=2.0, B=2.0, C=0.25)
    supplies, needs = found.of("LAMP", {})
    assert supplies == [Supply("B", 10 - 1 - 6), Supply("C", 10 - 2 - 3)]
    assert needs == [Need("A", 20 - 9, Fill.FORECAST)]
    assert surplus(*rows, days=0, A=2.0).of("LAMP", {})[1] == []
    planned = {"A": [(TODAY + 4, 1)]}
    assert surplus(*rows, A=2.0).of("LAMP", planned) == ([Supply("A", 1), Supply("B", 9), Supply("C", 8)], [])


def test_what_waits_is_wanted_and_nothing_of_it_spared() -> None:
    """The shortfall first, then backorders, then safety stock, each covered in turn by what comes."""
    rows = [
        position_row("LAMP", "C", 1, 3),
        incoming_row(Receipt("LAMP", "C", "", 0, 0, 4, 1)),
        position_row("LAMP", "B", 5, 0),
        incoming_row(Receipt("LAMP", "B", "", 0, 0, 2, 1)),
        receipt("C", 5, 3),
    ]
    supplies, needs = surplus(*rows).of("LAMP", {})
    assert supplies == [Supply("B", 5 - 2 - 1)]
    assert needs == [
        Need("A", 1, Fill.SAFETY_STOCK),
        Need("B", 2, Fill.BACKORDER),
        Need("C", 2, Fill.SHORTFALL, TODAY + 5),
        Need("C", 1, Fill.BACKORDER, TODAY + 5),
        Need("C", 3, Fill.BACKORDER),
        Need("C", 2, Fill.SAFETY_STOCK),
    ]
    only = surplus(*rows, fills=frozenset({Fill.SHORTFALL})).of("LAMP", {})[1]
    assert [need.fill for need in only] == [Fill.SHORTFALL]
