"""The data set "Online Retail": Daqing Chen, 2015, UCI Machine Learning Repository, doi.org/10.24432/C5BW33, CC BY 4.0.

A CSV file, plain or gzip, of invoice lines in time order with the columns `ts`, `invoice`, `sku`, `description`, `qty`,
`price`, `customer`, `country`. How a line becomes an event:

- Left out: lines whose code does not begin with five digits (POST, DOT, M and the like are services, not stock) and
  lines of quantity 0. The code in upper case is the SKU.
- An invoice that begins with C is a return. A price of 0 without a customer is a stock correction: a negative quantity
  is shrink, a positive one was found. Any other negative quantity is shrink. All else is a sale.
- The channel: `web` if the invoice has a line DOT or DCGS..., else `export` if the country is not United Kingdom, else
  `trade` if there is a customer, else `counter`.
- The customer, or where there is none the invoice, decides the home location of the line.
- `ts` is taken as UTC.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from invengine.cli.file_faults import UNREADABLE, problem_of
from invengine.cli.formats.history import EventKind, HistoryEvent, HistoryFault

_COLUMNS: Final = ("ts", "invoice", "sku", "description", "qty", "price", "customer", "country")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_POSTAGE: Final = "DOT"
_GIFT_SHOP: Final = "DCGS"
_HOME_COUNTRY: Final = "United Kingdom"


class OnlineRetail:
    """Reads files of this data set; the rules stand in the module's text."""

    name = "online-retail"
    channels = ("web", "export", "trade", "counter")
    order_channels = frozenset({"web", "export"})

    def events(self, path: Path) -> Iterator[HistoryEvent]:
        """The events of a file, in its order. HistoryFault at the first row that cannot be read."""
        web = _web_invoices(path)
        moments: dict[str, int] = {}
        for row, (ts, invoice, code, _description, qty, price, customer, country) in _rows(path):
            if not _is_stock(code):
                continue
            quantity = _whole(qty, row)
            if quantity == 0:
                continue
            if ts not in moments:
                moments[ts] = _milliseconds(ts, row)
            if invoice in web:
                channel = "web"
            elif country != _HOME_COUNTRY:
                channel = "export"
            else:
                channel = "trade" if customer else "counter"
            kind = _kind(invoice, quantity, is_correction=not customer and _is_zero(price, row))
            yield HistoryEvent(
                row, invoice, moments[ts], kind, code.upper(), abs(quantity), channel, customer or invoice
            )


def _kind(invoice: str, quantity: int, *, is_correction: bool) -> EventKind:
    if invoice.startswith("C"):
        return EventKind.RETURN
    if quantity < 0:
        return EventKind.SHRINK
    return EventKind.FOUND if is_correction else EventKind.SALE


def _is_stock(code: str) -> bool:
    head = code[:5]
    return len(head) == 5 and head.isascii() and head.isdigit()


def _web_invoices(path: Path) -> set[str]:
    """The invoices of the web shop; their postage may stand on any of their lines, so this reads the file once."""
    return {
        fields[1]
        for _row, fields in _rows(path)
        if not fields[2][:1].isdigit() and (fields[2].upper() == _POSTAGE or fields[2].upper().startswith(_GIFT_SHOP))
    }


def _open(path: Path) -> IO[str]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rt", encoding="utf-8", newline="") if zipped else path.open(encoding="utf-8", newline="")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with _open(path) as text:
            reader = csv.reader(text)
            if tuple(next(reader, ())) != _COLUMNS:
                raise HistoryFault(f"{path}: the first line must be {','.join(_COLUMNS)}")
            for row, fields in enumerate(reader, 1):
                if len(fields) != len(_COLUMNS):
                    raise HistoryFault(f"row {row}: {len(fields)} columns instead of {len(_COLUMNS)}")
                yield row, fields
    except UNREADABLE as error:
        raise HistoryFault(f"{path}: {problem_of(error)}") from error


def _whole(text: str, row: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise HistoryFault(f"row {row}, column qty: {text!r} is not a whole number") from None


def _is_zero(text: str, row: int) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        raise HistoryFault(f"row {row}, column price: {text!r} is not a number") from None


def _milliseconds(text: str, row: int) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HistoryFault(f"row {row}, column ts: {text!r} is not a moment such as 2010-12-01T08:26") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
