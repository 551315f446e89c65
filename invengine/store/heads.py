"""Heads of reservations that are kept in pieces, and what they say together with their pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from invengine.domain.orders import Reservation, ReservationState
from invengine.store.records import ALLOCATION_FIELDS, HEAD_FIELDS, LINE_FIELDS, Unreadable, read_reservation

SHARED_FIELDS = 8
"""The first fields of a head are those of a record: state to cart_ref."""

LEAST_FIELDS = 11
LIVE = frozenset({ReservationState.HELD.value, ReservationState.CONFIRMED.value})
_QUANTITY, _FULFILLED, _RELEASED, _SOURCE = 2, 3, 4, 5  # places in an allocation
_ALLOCATION_COUNT = LINE_FIELDS - 1


@dataclass(frozen=True, slots=True)
class Head:
    """The one truth of a reservation: what it is, and where its lines are."""

    reservation_id: str
    text: str
    shared: tuple[str, ...]
    """The fields that it has in common with a record."""

    operation: str
    """The number of the change under way, with '+' or '!' before it once that is decided; empty for none."""

    lines: tuple[tuple[str, int], ...]
    """line_id and partition, in the order of the reservation."""

    @property
    def state(self) -> str:
        """The word of its state."""
        return self.shared[0]

    @property
    def is_live(self) -> bool:
        """HELD or CONFIRMED."""
        return self.state in LIVE

    @property
    def partitions(self) -> list[int]:
        """Where its pieces are, ascending."""
        return sorted({partition for _, partition in self.lines})

    def record(self, tail: str) -> str:
        """The record of the whole reservation, `tail` being its line count and lines."""
        return "\t".join(self.shared) + "\t\t" + tail


def read_head(reservation_id: str, text: str) -> Head:
    """The head that a stored text says."""
    fields = text.split("\t")
    count = fields[LEAST_FIELDS - 1] if len(fields) >= LEAST_FIELDS else ""
    if not count.isdecimal() or len(fields) != LEAST_FIELDS + 2 * int(count):
        raise Unreadable(f"not a head at {reservation_id}: {text!r}")
    try:
        lines = tuple(zip(fields[LEAST_FIELDS::2], map(int, fields[LEAST_FIELDS + 1 :: 2]), strict=True))
    except ValueError as error:
        raise Unreadable(f"not a head at {reservation_id}: {text!r}") from error
    return Head(reservation_id, text, tuple(fields[:SHARED_FIELDS]), fields[SHARED_FIELDS], lines)


def lines_in(record: str) -> dict[str, list[str]]:
    """The fields of each line of a record, with its allocations, by line_id."""
    fields = record.split("\t")
    at, lines = HEAD_FIELDS, {}
    for _ in range(int(fields[HEAD_FIELDS - 1])):
        end = at + LINE_FIELDS + ALLOCATION_FIELDS * int(fields[at + _ALLOCATION_COUNT])
        lines[fields[at]] = fields[at:end]
        at = end
    return lines


def merged(lines: Iterable[tuple[str, int]], pieces: Mapping[int, str]) -> str:
    """Line count and lines of a whole record; KeyError where a piece or a line of it is missing."""
    by_partition = {partition: lines_in(text) for partition, text in pieces.items()}
    whole = [by_partition[partition][line_id] for line_id, partition in lines]
    return "\t".join([str(len(whole)), *(field for line in whole for field in line)])


def what_is_left(pieces: Iterable[str]) -> tuple[bool, bool]:
    """Whether any unit is open, and whether any was fulfilled."""
    is_open = is_fulfilled = False
    for text in pieces:
        for line in lines_in(text).values():
            for at in range(LINE_FIELDS, len(line), ALLOCATION_FIELDS):
                quantity, fulfilled, released = (int(line[at + n]) for n in (_QUANTITY, _FULFILLED, _RELEASED))
                is_fulfilled |= fulfilled > 0
                is_open |= quantity > fulfilled + released
    return is_open, is_fulfilled


def expired(record: str) -> str:
    """A piece as it is once its hold is over: what is open is released. Not every piece may have been told yet."""
    fields = record.split("\t")
    at = HEAD_FIELDS
    for _ in range(int(fields[HEAD_FIELDS - 1])):
        count = int(fields[at + _ALLOCATION_COUNT])
        at += LINE_FIELDS
        for _ in range(count):
            fields[at + _RELEASED] = str(int(fields[at + _QUANTITY]) - int(fields[at + _FULFILLED]))
            if fields[at + _SOURCE].startswith("#"):  # nothing open is out of a ring-fence any more
                fields[at + _SOURCE] = ""
            at += ALLOCATION_FIELDS
    return "\t".join(fields)


def whole_reservation(head: Head, pieces: Mapping[int, str]) -> Reservation:
    """The reservation that a head and all its pieces say. Unreadable when one of them is missing."""
    is_over = head.state == ReservationState.EXPIRED.value
    texts = {partition: expired(text) if is_over else text for partition, text in pieces.items()}
    try:
        tail = merged(head.lines, texts)
    except (KeyError, ValueError, IndexError) as error:
        raise Unreadable(f"the pieces of reservation {head.reservation_id} are not whole: {error}") from error
    return read_reservation(head.reservation_id, head.record(tail))
