"""The orders that a snapshot contains: their units had left the location when it was counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from invengine.domain.orders import (
    Fulfilment,
    LineUnits,
    Reservation,
    ReservationChange,
    ReservationState,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import (
    InventoryError,
    LineNotFound,
    NotFound,
    ReservationClosed,
    ReservationConfirmed,
    ReservationExpired,
    RevisionMismatch,
    Unavailable,
)
from invengine.services.slot_changes import slots_of_units_gone

if TYPE_CHECKING:
    from invengine.domain.orders import Allocation
    from invengine.domain.snapshots import Snapshot
    from invengine.store.records import Written
    from invengine.store.redis_store import RedisStore

CHANGES_PER_STEP: Final = 500
ATTEMPTS_MAX: Final = 20
"""At the slots of reservations that others change meanwhile."""

_NOTHING_OPEN: Final = (ReservationClosed, ReservationExpired, NotFound, LineNotFound)
"""What a fulfilment is refused with where others were faster: nothing is open there any more."""


@dataclass(frozen=True, slots=True)
class OpenUnits:
    """Units of an order that stay open at the location: they could not leave, or (no refusal) are not on hand."""

    order_ref: str
    reservation_id: str
    sku: str
    quantity: int
    refusal: InventoryError | None = None


class ContainedOrders:
    """Reservations of the orders that a snapshot contains, as far as it speaks of their SKUs."""

    def __init__(self, store: RedisStore, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._is_spoken_of: Callable[[str], bool] = lambda _: False
        self._found: dict[str, Reservation] = {}
        self._refs: dict[str, dict[str, None]] = {}
        self._name = blake2b(
            f"{snapshot.source}\t{snapshot.snapshot_id}\t{snapshot.location}".encode(), digest_size=24
        ).hexdigest()
        self.unknown: list[str] = []
        """Orders without a reservation."""

        self.refusals: list[OpenUnits] = []
        self.fulfilled = 0
        """Reservations of which units left by this snapshot."""

    async def find(self, now_ms: int, is_spoken_of: Callable[[str], bool]) -> None:
        """Looks up the reservations."""
        self._is_spoken_of = is_spoken_of
        refs = self._snapshot.order_refs
        found = await self._store.reservations_of_orders(refs)
        self.unknown = [ref for ref in refs if ref not in found]
        for ref, reservations in found.items():
            for reservation in reservations:
                self._found[reservation.reservation_id] = reservation
                is_over = reservation.state_at(now_ms) is ReservationState.EXPIRED
                for sku, allocation in self._here(reservation):
                    if allocation.fulfilled or (allocation.open and not is_over):
                        self._refs.setdefault(sku, {})[ref] = None

    def refs_of(self, sku: str) -> tuple[str, ...]:
        """The orders that have, or had, units of a SKU at the location."""
        return tuple(self._refs.get(sku, ()))

    def refs_by_sku(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The same of all SKUs."""
        return ((sku, tuple(refs)) for sku, refs in self._refs.items())

    async def fulfil(self, now_ms: int) -> AsyncIterator[Written[Any]]:
        """Has the open units on hand leave as of the snapshot; what each step wrote.

        A held reservation is confirmed first: goods that left are firm. One SKU of a reservation is one step, so that
        each is whole in one partition.
        """
        live = [r for r in self._found.values() if self._open_skus(r)]
        held = [r for r in live if r.state_at(now_ms) is ReservationState.HELD]
        async for written in self._changed(self._store.confirm, [self._change(r, "confirm") for r in held]):
            yield written
        live = [r for r in live if self._state(r, now_ms) is ReservationState.CONFIRMED]
        left_before = {r.reservation_id: self._left(r) for r in live}
        changes = [self._change(r, sku) for r in live for sku in self._open_skus(r)]
        async for written in self._changed(self._store.fulfil, changes):
            yield written
        for _ in range(ATTEMPTS_MAX):
            spent = [change for r in self._found.values() if (change := self._spent_slots(r)) is not None]
            if not spent:
                break
            async for written in self._changed(self._store.fulfil, spent):
                yield written
        left = {name: self._left(reservation) for name, reservation in self._found.items()}
        self.fulfilled = sum(left.get(name, 0) > before for name, before in left_before.items())

    def left_open(self) -> list[OpenUnits]:
        """What is still open at the location."""
        found = list(self.refusals)
        for reservation in self._found.values():
            waiting: dict[str, int] = {}
            for sku, allocation in self._here(reservation):
                if allocation.open and not allocation.is_on_hand:
                    waiting[sku] = waiting.get(sku, 0) + allocation.open
            if reservation.state in (ReservationState.HELD, ReservationState.CONFIRMED):
                name, ref = reservation.reservation_id, reservation.order_ref
                found += (OpenUnits(ref, name, sku, units) for sku, units in waiting.items())
        return found

    def _here(self, reservation: Reservation) -> Iterator[tuple[str, Allocation]]:
        """Allocations at the location, of SKUs that the snapshot speaks of."""
        for line in reservation.lines:
            if line.fulfilment is not Fulfilment.TRANSFER and self._is_spoken_of(line.sku):
                for allocation in line.allocations:
                    if allocation.location == self._snapshot.location:
                        yield line.sku, allocation

    def _open_skus(self, reservation: Reservation) -> dict[str, int]:
        """Open units on hand, by SKU."""
        units: dict[str, int] = {}
        if reservation.state in (ReservationState.HELD, ReservationState.CONFIRMED):
            for sku, allocation in self._here(reservation):
                if allocation.is_on_hand and allocation.open:
                    units[sku] = units.get(sku, 0) + allocation.open
        return units

    def _state(self, reservation: Reservation, now_ms: int) -> ReservationState | None:
        """The state by the newest record; None where there is none any more."""
        newest = self._found.get(reservation.reservation_id)
        return newest.state_at(now_ms) if newest else None

    def _left(self, reservation: Reservation) -> int:
        return sum(allocation.fulfilled for _, allocation in self._here(reservation))

    def _change(self, reservation: Reservation, step: str) -> ReservationChange:
        """The step of a reservation: `confirm`, or the SKU that is fulfilled.

        The request_id is longer than any that a caller may give, so that it is nobody else's.
        """
        name, snapshot = reservation.reservation_id, self._snapshot
        is_confirm = step == "confirm"
        request_id = (
            f"snapshot {self._name} {'confirm' if is_confirm else 'fulfil'} {name} {'' if is_confirm else step}"
        )
        lines = [] if is_confirm else [line for line in reservation.lines if line.sku == step]
        return ReservationChange(
            request_id,
            self._name,
            name,
            reservation.channel,
            lines=tuple(
                LineUnits(line.line_id, snapshot.location)  # all that is open and on hand there
                for line in lines
                if any(allocation.location == snapshot.location for allocation in line.allocations)
            ),
            left_at_ms=0 if is_confirm else snapshot.as_of_ms,
            reason="" if is_confirm else f"snapshot {snapshot.snapshot_id}",
        )

    def _spent_slots(self, reservation: Reservation) -> ReservationChange | None:
        """The step that uses up the slots of what left; None where no slots are left over."""
        if reservation.state is not ReservationState.CONFIRMED:
            return None
        spent = slots_of_units_gone(reservation)
        if not spent:
            return None
        name = reservation.reservation_id
        return ReservationChange(
            f"snapshot {self._name} slots {name} {reservation.revision}",
            self._name,
            name,
            reservation.channel,
            reservation.revision,
            lines=spent,
            reason=f"snapshot {self._snapshot.snapshot_id}",
            with_slots=True,
        )

    async def _changed(
        self, call: Callable[[Sequence[ReservationChange]], Any], changes: Sequence[ReservationChange]
    ) -> AsyncIterator[Written[Any]]:
        """Makes changes, and keeps the reservations as they are after them."""
        for start in range(0, len(changes), CHANGES_PER_STEP):
            step = changes[start : start + CHANGES_PER_STEP]
            written = await call(step)
            for change, outcome in zip(step, written.outcomes, strict=True):
                if isinstance(outcome, ReservationAnswer):
                    self._found[change.reservation_id] = outcome.reservation
                else:
                    await self._refused(change, outcome)
            yield written

    async def _refused(self, change: ReservationChange, refusal: InventoryError) -> None:
        """Others were faster, or units could not leave."""
        if isinstance(refusal, Unavailable):
            raise refusal
        name = change.reservation_id
        now = await self._store.reservation(name)
        if now is None:
            del self._found[name]
            return
        self._found[name] = now
        if change.left_at_ms and not isinstance(refusal, _NOTHING_OPEN):
            line_ids = {line.line_id for line in change.lines}
            for sku, units in self._open_skus(now).items():
                if any(line.sku == sku and line.line_id in line_ids for line in now.lines):
                    self.refusals.append(OpenUnits(now.order_ref, name, sku, units, refusal))
        elif not change.left_at_ms and not isinstance(
            refusal, (*_NOTHING_OPEN, ReservationConfirmed, RevisionMismatch)
        ):
            raise refusal
