"""What the clients of a site were told: what the oracles compare the store with."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from invengine.v1 import reservation_service_pb2 as pb

Place = tuple[str, str]
"""SKU and location."""


@dataclass
class Journal:
    """told     the newest acknowledged answer of each reservation
    created  acknowledged requests to make one, to be sent again at the end
    moved    units of acknowledged movements by place, receipts and losses and returns with their signs
    counted  units of the newest acknowledged snapshot by place
    fed      units that a feed has acknowledged, by place
    """

    told: dict[str, pb.Reservation] = field(default_factory=dict)
    created: list[tuple[Any, pb.Reservation]] = field(default_factory=list)
    moved: Counter[Place] = field(default_factory=Counter)
    counted: dict[Place, int] = field(default_factory=dict)
    fed: Counter[Place] = field(default_factory=Counter)
    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    acknowledged: int = 0
    wrong: list[str] = field(default_factory=list)

    def tell(self, reservation: pb.Reservation) -> None:
        """An acknowledged write of a reservation."""
        self.told[reservation.reservation_id] = reservation

    def count(self, verb: str, outcome: str) -> None:
        """What a call came to."""
        self.outcomes[verb][outcome] += 1
