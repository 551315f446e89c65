"""What a write of a reservation answers, read from the stored record only when somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invengine.domain.orders import Reservation


class PlanTaken(StrEnum):
    """Which plan a reservation by a profile was taken by."""

    FIRST = "FIRST"
    """The best one."""
    NEXT = "NEXT"
    """The next one, in the same trip to the stock: the best was gone."""
    ANOTHER_TRIP = "ANOTHER_TRIP"
    """Whichever, on another trip."""


class ReservationAnswer:
    """A reservation as a write left it; `replayed` when the request_id was answered before.

    `next_days`: (line_id, day) of lines that are short, where what is coming makes up the rest by that day.

    `choice`: 0 where its lines were taken as they were asked for first, else the place of the alternative that was.
    `trips`: how many times the stock was asked, one choice after the other. Neither is known of a replay.

    `unread`: its id and the record as it is stored, where it comes from one; `read` makes the reservation of them when
    it is first looked at, which of most answers to a batch nobody does.
    """

    __slots__ = ("_read", "_reservation", "choice", "next_days", "replayed", "trips", "unread")

    def __init__(
        self,
        reservation: Reservation | None = None,
        replayed: bool = False,
        next_days: tuple[tuple[str, int], ...] = (),
        *,
        unread: tuple[str, bytes] | None = None,
        read: Callable[[str, bytes], Reservation] | None = None,
        choice: int = 0,
        trips: int = 1,
    ) -> None:
        self._reservation = reservation
        self.replayed = replayed
        self.next_days = next_days
        self.unread = unread
        self._read = read
        self.choice = choice
        self.trips = trips

    @property
    def reservation(self) -> Reservation:
        """The reservation."""
        if self._reservation is None:
            assert self.unread is not None
            assert self._read is not None
            self._reservation = self._read(*self.unread)
        return self._reservation

    def dated(self, next_days: tuple[tuple[str, int], ...]) -> ReservationAnswer:
        """The same with these next days."""
        return self._like(next_days=next_days)

    def chosen(self, choice: int, trips: int) -> ReservationAnswer:
        """The same, taken by this choice after so many trips."""
        return self._like(choice=choice, trips=trips)

    def _like(
        self,
        *,
        next_days: tuple[tuple[str, int], ...] | None = None,
        choice: int | None = None,
        trips: int | None = None,
    ) -> ReservationAnswer:
        return ReservationAnswer(
            self._reservation,
            self.replayed,
            self.next_days if next_days is None else next_days,
            unread=self.unread,
            read=self._read,
            choice=self.choice if choice is None else choice,
            trips=self.trips if trips is None else trips,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReservationAnswer):
            return NotImplemented
        mine = self.replayed, self.next_days, self.choice
        return mine == (other.replayed, other.next_days, other.choice) and self.reservation == other.reservation

    def __hash__(self) -> int:
        return hash((self.reservation, self.replayed, self.next_days))

    def __repr__(self) -> str:
        told = f"replayed={self.replayed}, next_days={self.next_days}, choice={self.choice}"
        return f"ReservationAnswer({self.reservation!r}, {told})"
