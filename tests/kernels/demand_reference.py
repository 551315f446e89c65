"""What customers wanted, from the formats of the change log (store/lua/README.md): plain Python over text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """A line that a customer wanted. `place`: who served it; `to`: where it was sent, joined by TAB."""

    entry: int
    order: int
    sku: str
    place: str
    to: str
    units: int


def demand_lines(entries: Sequence[str]) -> list[Wanted]:
    """The lines of all entries."""
    found: list[Wanted] = []
    order = 0
    for entry, text in enumerate(entries):
        for row in text.split("\n"):
            columns = row.split("\t")
            lines = list(_sale(columns)) if columns[0] == "P" else list(_order(columns)) if columns[0] == "R" else []
            found += [Wanted(entry, order, *line) for line in lines]
            order += bool(lines)
    return found


def _sale(columns: list[str]) -> Iterator[tuple[str, str, str, int]]:
    if len(columns) == 15 and columns[8] == "SALE" and columns[6].startswith("-"):
        yield columns[1], columns[2], "", -int(columns[6])


def _order(columns: list[str]) -> Iterator[tuple[str, str, str, int]]:
    _, _, before, state, *head = columns[:13]
    if before not in ("", "HELD") or state not in ("CONFIRMED", "FULFILLED") or head[7].startswith("!"):
        return
    at = 13
    for _ in range(int(head[8])):
        _, _, sku, units, way, *to, _, count = columns[at : at + 10]
        place = columns[at + 10] if int(count) else ""
        at += 10 + 6 * int(count)
        if not sku.startswith(" ") and way != "TRANSFER" and int(units) > 0:
            yield sku, place, "\t".join(to) if way in ("SHIP", "SHIP_TO_STORE") else "", int(units)
