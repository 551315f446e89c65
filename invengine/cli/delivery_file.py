"""A CSV file of past deliveries, read row by row, plain or gzip, or from the standard input. Rows are numbered as a
spreadsheet does: the header is row 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from invengine.cli.file_faults import UNREADABLE, problem_of
from invengine.cli.movement_file import BadRow, FileUnreadable
from invengine.cli.packed_file import PackedFile
from invengine.domain.days import calendar_day, day_number
from invengine.domain.identifiers import identifier_problem
from invengine.domain.transit_distribution import DAYS_MAX
from invengine.domain.transit_learning import Parcel

if TYPE_CHECKING:
    from invengine.domain.network import Network

COLUMNS: Final = ("order_id", "location", "country", "postal_code", "service", "ordered", "shipped", "delivered")
_LONG_AGO: Final = day_number(date(1990, 1, 1))  # earlier days are slips of the pen


class DeliveryFile:
    """The deliveries of a file, as the network's zones and calendars see them. Use it in a `with` block.

    Days are those written; an instant that says how far it is from UTC is of the day that it is at the location.
    """

    def __init__(self, path: Path, network: Network) -> None:
        self.path = path
        self._file = PackedFile(path)
        self._delivery = network.delivery
        self._time_zones = {name: place.time_zone for name, place in network.locations.items()}
        self._last_day = day_number(datetime.now(UTC).date()) + 1  # a day may have begun elsewhere already
        self._days: dict[tuple[str, str], int | str] = {}
        self._zones: dict[tuple[str, str], str] = {}

    def __enter__(self) -> DeliveryFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.__exit__(*exception)

    def rows(self) -> Iterator[tuple[int, Parcel | BadRow]]:
        """Every data row with its number, or what is wrong with it. FileUnreadable."""
        try:
            with self._file.content() as content, io.TextIOWrapper(content, "utf-8-sig", newline="") as text:
                yield from self._parsed(csv.reader(text, strict=True))
        except UNREADABLE as error:
            raise FileUnreadable(f"{self.path}: {problem_of(error)}") from None

    def _parsed(self, reader: Iterator[list[str]]) -> Iterator[tuple[int, Parcel | BadRow]]:
        columns = next(reader, [])
        missing = [name for name in COLUMNS if name not in columns]
        twice = [name for name in COLUMNS if columns.count(name) > 1]
        if missing or twice:
            fault = f"{', '.join(missing)} missing" if missing else f"{', '.join(twice)} more than once"
            raise FileUnreadable(f"{self.path}: the header names the columns: {', '.join(COLUMNS)}; {fault}")
        places = [columns.index(name) for name in COLUMNS]
        seen: dict[int, int] = {}  # hashes: the rows themselves would be as large as the file
        for row, values in enumerate(reader, 2):
            if not values:  # an empty line
                continue
            try:
                if len(values) != len(columns):
                    raise BadRow(f"row {row}: {len(values)} columns, the header has {len(columns)}")
                cells = [values[place] for place in places]
                first = seen.setdefault(hash(tuple(cells)), row)
                if first != row:
                    raise BadRow(f"row {row}, column order_id: the same delivery as in row {first}")
                yield row, self._parcel(row, *cells)
            except BadRow as bad:
                yield row, bad

    def _parcel(  # noqa: PLR0917  # the cells, in the order of COLUMNS
        self,
        row: int,
        order_id: str,
        location: str,
        country: str,
        postal_code: str,
        service: str,
        ordered: str,
        shipped: str,
        delivered: str,
    ) -> Parcel:
        if problem := identifier_problem(order_id):
            raise BadRow(f"row {row}, column order_id: {problem}")
        if location not in self._time_zones:
            raise BadRow(f"row {row}, column location: {location!r} is not in the network")
        country = country.upper()
        zone = self._zone(country, postal_code)
        if not zone:
            column = "postal_code" if any(country == known for known, _ in self._known_countries()) else "country"
            raise BadRow(f"row {row}, column {column}: {country} {postal_code} is in no zone")
        if service not in self._delivery.services:
            raise BadRow(f"row {row}, column service: {service!r} is not in the network")
        ordered_day = self._day(row, "ordered", ordered, location)
        shipped_day = self._day(row, "shipped", shipped, location)
        if shipped_day < ordered_day:
            raise BadRow(f"row {row}, column shipped: {shipped} is before it was ordered")
        if not delivered:
            return Parcel(location, zone, service, ordered_day, shipped_day, None)
        delivered_day = self._day(row, "delivered", delivered, location)
        if delivered_day < shipped_day:
            raise BadRow(f"row {row}, column delivered: {delivered} is before it was shipped")
        if delivered_day - shipped_day > DAYS_MAX:
            raise BadRow(f"row {row}, column delivered: {delivered} is more than {DAYS_MAX} days after it was shipped")
        return Parcel(location, zone, service, ordered_day, shipped_day, delivered_day)

    def _known_countries(self) -> Iterator[tuple[str, str]]:
        for places in self._delivery.zones.values():
            yield from places

    def _zone(self, country: str, postal_code: str) -> str:
        found = self._zones.get((country, postal_code))
        if found is None:
            found = self._delivery.zone_of(country, postal_code)
            if len(self._zones) < 100_000:
                self._zones[country, postal_code] = found
        return found

    def _day(self, row: int, column: str, text: str, location: str) -> int:
        """The day of a cell, as many rows have the same."""
        key = text, self._time_zones[location]
        found = self._days.get(key)
        if found is None:
            found = self._read_day(*key)
            if len(self._days) < 100_000:
                self._days[key] = found
        if isinstance(found, str):
            raise BadRow(f"row {row}, column {column}: {found}")
        return found

    def _read_day(self, text: str, time_zone: str) -> int | str:
        try:
            moment = datetime.fromisoformat(text)
            day = day_number((moment.astimezone(ZoneInfo(time_zone)) if moment.tzinfo else moment).date())
        except (ValueError, OverflowError):
            return f"{text!r} is not a day such as 2026-01-31" if text else "is empty"
        if day > self._last_day:
            return f"{text} is in the future"
        return f"{text} is before {calendar_day(_LONG_AGO).isoformat()}" if day < _LONG_AGO else day
