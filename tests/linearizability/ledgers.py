"""The ledgers of all SKUs as a witness: what happened in which revision, in which order, and when."""

from __future__ import annotations

from tests.linearizability.answers import Violation
from tests.linearizability.histories import Row
from tests.linearizability.shop_model import Shop
from tests.linearizability.shop_stock import Effect


class Ledgers:
    """Rows that are taken one by one as they are explained."""

    def __init__(self, ledgers: dict[str, list[Row]]) -> None:
        self._rows: dict[int, dict[str, list[Row]]] = {}  # revision -> SKU -> what is left of it, next one last
        times: dict[int, int] = {}
        for sku, rows in ledgers.items():
            for row in reversed(rows):
                self._rows.setdefault(row.revision, {}).setdefault(sku, []).append(row)
                if times.setdefault(row.revision, row.at_ms) != row.at_ms:
                    raise Violation(f"revision {row.revision} was recorded at two times: {row}")
        self.last = max(times)
        self._known = times
        self._since = [0] * (self.last + 1)  # the newest time known at each revision
        self._until = [times[self.last]] * (self.last + 1)  # the next time known after it
        for revision in range(1, self.last + 1):
            self._since[revision] = times.get(revision, self._since[revision - 1])
        for revision in range(self.last - 1, -1, -1):
            self._until[revision] = times.get(revision + 1, self._until[revision + 1])

    def time_of(self, revision: int) -> tuple[int, int]:
        """When a revision was made, in milliseconds: not before, not after."""
        known = self._known.get(revision)
        return (known, known) if known is not None else self.time_after(revision)

    def time_after(self, revision: int) -> tuple[int, int]:
        """The time between this revision and the next."""
        place = min(revision, self.last)
        return self._since[place], self._until[place]

    def skus(self, revision: int) -> list[str]:
        """The SKUs that changed in a revision."""
        return list(self._rows.get(revision, ()))

    def next(self, sku: str, revision: int) -> Row | None:
        """The next change of a SKU in a revision that is not explained yet."""
        rows = self._rows.get(revision, {}).get(sku)
        return rows[-1] if rows else None

    def left(self, revision: int) -> list[Row]:
        """Changes of a revision that nothing explained."""
        return [row for rows in self._rows.pop(revision, {}).values() for row in rows]

    def take(self, effect: Effect, revision: int, shop: Shop) -> bool:
        """Takes the rows of an effect if these are the next ones of their SKUs; then they must show its numbers."""
        left = self._rows.get(revision, {})
        taken: dict[str, int] = {}
        matched = []
        for sku, location, on_hand, reserved in effect.moves:
            rows, place = left.get(sku, ()), taken.get(sku, 0) + 1
            if place > len(rows):
                return False
            row = rows[-place]
            if (row.kind, row.cause, row.actor, row.location) != (effect.kind, effect.cause, effect.actor, location):
                return False
            if (row.on_hand - row.on_hand_before, row.reserved - row.reserved_before) != (on_hand, reserved):
                return False
            taken[sku] = place
            matched.append(row)
        self._compare(matched, effect, shop)
        for sku, count in taken.items():
            del left[sku][-count:]
        return True

    @staticmethod
    def _compare(rows: list[Row], effect: Effect, shop: Shop) -> None:
        now: dict[tuple[str, str], tuple[int, int]] = {}
        for move, row in zip(effect.moves, rows, strict=True):
            position = shop.stock.position(move.sku, move.location)
            place = move.sku, move.location
            before = now.get(place, (position.on_hand, position.reserved))
            if (row.on_hand_before, row.reserved_before) != before:
                raise Violation(f"the ledger of {place} goes on from other numbers than {before}: {row}")
            now[place] = row.on_hand, row.reserved
