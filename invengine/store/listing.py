"""Reservations by reference, channel or state, in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from invengine.domain.orders import Reservation, ReservationState
from invengine.errors import InvalidArgument
from invengine.store import keys
from invengine.store.behind import Behind
from invengine.store.records import read_reservation

ORDERS_AT_ONCE: Final = 10
READS_AT_ONCE: Final = 50


class Listing(Behind):
    """Adds paging over reservations. The order is by partition, then by id, so pages stay stable under writes."""

    async def list_reservations(
        self,
        *,
        customer_ref: str = "",
        order_ref: str = "",
        cart_ref: str = "",
        channel: str = "",
        state: ReservationState | None = None,
        after: str = "",
        limit: int,
    ) -> tuple[list[Reservation], str]:
        """Reservations that match every filter that is set, and where to go on: "" at the end.

        The state is judged now. By reference only that reference's reservations are read; else whole partitions are,
        one after the other, until the page is full.
        """
        sets = [
            (kind, ref) for kind, ref in (("customer", customer_ref), ("order", order_ref), ("cart", cart_ref)) if ref
        ]
        first, last_id = _place(after, self.partitions)
        now_ms = await self.trusted_ms()
        found: list[Reservation] = []
        for home in range(first, self.partitions):
            records = await (self._with_references(home, sets, now_ms) if sets else self._all_of(home, now_ms))
            for reservation_id in sorted(records):
                if home == first and reservation_id <= last_id:
                    continue
                reservation = await self._matching(reservation_id, records[reservation_id], channel, state, now_ms)
                if reservation is None:
                    continue
                if len(found) == limit:
                    last = found[-1].reservation_id
                    return found, f"{self._of(last)}:{last}"
                found.append(reservation)
        return found, ""

    async def reservations_of_orders(self, order_refs: Sequence[str]) -> dict[str, list[Reservation]]:
        """By order_ref its reservations, live or closed within retention; those that have none are left out."""
        found: dict[str, list[Reservation]] = {}
        for start in range(0, len(order_refs), ORDERS_AT_ONCE):
            refs = order_refs[start : start + ORDERS_AT_ONCE]
            places = [(home, ref) for ref in refs for home in range(self.partitions)]
            sets = await self._calls.read(*(("SMEMBERS", keys.references(home, "order", ref)) for home, ref in places))
            of = [(ref, name.decode()) for (_, ref), names in zip(places, sets, strict=True) for name in sorted(names)]
            for at in range(0, len(of), READS_AT_ONCE):
                part = of[at : at + READS_AT_ONCE]
                read = await asyncio.gather(*(self.reservation(reservation_id) for _, reservation_id in part))
                for (ref, _), reservation in zip(part, read, strict=True):
                    if reservation is not None and reservation.order_ref == ref:
                        found.setdefault(ref, []).append(reservation)
        return found

    async def _matching(
        self, reservation_id: str, text: str, channel: str, state: ReservationState | None, now_ms: int
    ) -> Reservation | None:
        """The reservation with this record or head, if it matches the filters."""
        if channel and text.split("\t", 2)[1] != channel:
            return None
        if self._pieces is None:
            found: Reservation | None = read_reservation(reservation_id, text)
        elif state is not None and _state_at(text, now_ms) != state:
            return None
        else:
            found = await self._pieces.reservation(reservation_id)
        if found is None or (channel and found.channel != channel):
            return None
        return found if state is None or found.state_at(now_ms) is state else None

    async def _with_references(self, home: int, sets: list[tuple[str, str]], now_ms: int) -> dict[str, str]:
        (members,) = await self._calls.read(("SINTER", *(keys.references(home, kind, ref) for kind, ref in sets)))
        ids = [member.decode() for member in members]
        if not ids:
            return {}
        hashes = self._record_keys(home, now_ms)
        columns = await self._calls.read(*(("HMGET", name, *ids) for name in hashes))
        records: dict[str, str] = {}
        for column in columns:
            records.update({name: text.decode() for name, text in zip(ids, column, strict=True) if text is not None})
        return records

    async def _all_of(self, home: int, now_ms: int) -> dict[str, str]:
        records: dict[str, str] = {}
        for name in self._record_keys(home, now_ms):
            async for chunk in self._scan_hash(name):
                records.update(chunk)
        return records

    def _record_keys(self, home: int, now_ms: int) -> list[str]:
        # live ones first: a reservation that closes between two reads is then seen closed, not twice and not never
        periods = self.periods(now_ms)
        if self._pieces is not None:
            return [keys.heads(home), *(keys.closed_heads(home, period) for period in periods)]
        return [keys.reservations(home), *(keys.closed(home, period) for period in periods)]


def _state_at(head: str, now_ms: int) -> str:
    """The state that counts at `now_ms` by a head."""
    state, _, _, expires_at, _ = head.split("\t", 4)
    is_over = state == ReservationState.HELD.value and now_ms >= int(expires_at) * 1000
    return ReservationState.EXPIRED.value if is_over else state


def _place(after: str, partitions: int) -> tuple[int, str]:
    if not after:
        return 0, ""
    partition, _, last_id = after.partition(":")
    if not partition.isascii() or not partition.isdigit() or int(partition) >= partitions:
        raise InvalidArgument("page_token", "not a page token of this listing")
    return int(partition), last_id
