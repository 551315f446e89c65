"""Orders of a wave from a file: CSV with a row for each line, or JSON with the fields of WaveOrder.

Rows are numbered as a spreadsheet does: the header is row 1. Rows of one order_id are the lines of one order.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from invengine.cli.file_faults import problem_of
from invengine.cli.text_file import text_of

if TYPE_CHECKING:
    from invengine.v1.wave_pb2 import WaveOrder, WaveOrderLine

REQUIRED: Final = ("order_id", "sku", "quantity")
OF_ORDER: Final = ("channel", "class", "all_or_nothing", "customer")
OF_LINE: Final = (
    "line_id",
    "worth",
    "location",
    "group",
    "fulfilment",
    "country",
    "postal_code",
    "to_location",
    "needed_by",
    "service",
    "split",
    "partial",
)

_YES: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_FULFILMENTS: Final = {"": 0, "any": 0, "ship": 1, "pickup": 2, "ship_to_store": 3, "ship-to-store": 3}
_WORTH_PARTS: Final = 10_000
_WORTH_PLACES: Final = 4


class WaveFileFault(Exception):
    """A file that cannot be read as orders; the sentence says where and why."""


def read_orders(file: str, channel: str) -> list[WaveOrder]:
    """The orders of a file, `-` for stdin; `channel` is theirs where they name none. WaveFileFault."""
    try:
        text = text_of(file)
    except (OSError, UnicodeDecodeError) as error:
        raise WaveFileFault(f"{file}: {problem_of(error)}") from None
    orders = _of_json(file, text) if is_json(text) else orders_of_csv(file, text)
    return with_channel(file, orders, channel)


def is_json(text: str) -> bool:
    """Whether a file of orders is JSON; else it is CSV."""
    return text.lstrip().startswith(("[", "{"))


def with_channel(file: str, orders: list[WaveOrder], channel: str) -> list[WaveOrder]:
    """The orders, each with a channel. WaveFileFault where one has none, or there is no order."""
    for order in orders:
        order.channel = order.channel or channel
        if not order.channel:
            raise WaveFileFault(f"{file}: order {order.order_id} names no channel: name one with --channel")
    if not orders:
        raise WaveFileFault(f"{file}: there is no order in it")
    return orders


def _of_json(file: str, text: str) -> list[WaveOrder]:
    from google.protobuf.json_format import ParseDict, ParseError

    from invengine.v1.wave_pb2 import WaveOrder

    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise WaveFileFault(f"{file}: not JSON: {error}") from None
    listed = content.get("orders") if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise WaveFileFault(f"{file}: neither a list of orders nor an object with such a list under `orders`")
    orders = []
    for number, one in enumerate(listed, 1):
        try:
            orders.append(ParseDict(one, WaveOrder()))
        except (ParseError, TypeError, AttributeError) as error:
            raise WaveFileFault(f"{file}: order {number}: {error}") from None
    return orders


def orders_of_csv(file: str, text: str) -> list[WaveOrder]:
    """The orders of CSV, as they stand there. WaveFileFault."""
    from invengine.v1.wave_pb2 import WaveOrder

    orders: dict[str, WaveOrder] = {}
    heads: dict[str, tuple[str, ...]] = {}
    for row, values in _rows(file, text):
        try:
            name = values["order_id"]
            head = tuple([values.get(column, "") for column in OF_ORDER])
            if name not in orders:
                heads[name] = head
                orders[name] = WaveOrder(
                    order_id=name,
                    channel=values.get("channel", ""),
                    priority_class=_whole(values, "class"),
                    all_or_nothing=_yes(values, "all_or_nothing"),
                    customer_ref=values.get("customer", ""),
                )
            elif heads[name] != head:
                raise ValueError(f"order {name} says another {', '.join(OF_ORDER)} than in an earlier row")
            orders[name].lines.append(_line(values))
        except ValueError as error:
            raise WaveFileFault(f"{file}: row {row}: {error}") from None
    return list(orders.values())


def _rows(file: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Every data row with its number."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        missing = [name for name in REQUIRED if name not in columns]
        unknown = [name for name in columns if name not in REQUIRED + OF_ORDER + OF_LINE]
        if missing or unknown or len(set(columns)) != len(columns):
            fault = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown) or 'one name'} not understood"
            known = ", ".join((*REQUIRED, *OF_ORDER, *OF_LINE))
            raise WaveFileFault(f"{file}: the header names columns out of {known}; {fault}")
        for row, values in enumerate(reader, 2):
            if not values:  # an empty line
                continue
            if len(values) != len(columns):
                raise WaveFileFault(f"{file}: row {row}: {len(values)} columns, the header has {len(columns)}")
            yield row, {name: value.strip() for name, value in zip(columns, values, strict=True)}
    except csv.Error as error:
        raise WaveFileFault(f"{file}: {error}") from None


def _line(values: Mapping[str, str]) -> WaveOrderLine:
    from invengine.v1.wave_pb2 import WaveOrderLine

    word = values.get("fulfilment", "").lower()
    if word not in _FULFILMENTS:
        raise ValueError(f"fulfilment: {word!r} is none of ship, pickup, ship_to_store")
    line = WaveOrderLine(
        line_id=values.get("line_id", ""),
        sku=values["sku"],
        quantity=_whole(values, "quantity"),
        unit_worth=_worth(values.get("worth", "")),
        location=values.get("location", ""),
        group=values.get("group", ""),
        fulfilment=_FULFILMENTS[word],  # type: ignore[arg-type]  # its numbers
        service=values.get("service", ""),
        allow_split=_yes(values, "split"),
        allow_partial=_yes(values, "partial"),
    )
    if any(values.get(name) for name in ("country", "postal_code", "to_location")):
        line.destination.country = values.get("country", "")
        line.destination.postal_code = values.get("postal_code", "")
        line.destination.location = values.get("to_location", "")
    if text := values.get("needed_by", ""):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"needed_by: {text!r} is not a day such as 2026-12-24") from None
        line.needed_by.year, line.needed_by.month, line.needed_by.day = day.year, day.month, day.day
    return line


def _whole(values: Mapping[str, str], column: str) -> int:
    text = values.get(column, "") or ("0" if column == "class" else "")
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise ValueError(f"{column}: {text!r} is not a whole number")
    return int(text)


def _yes(values: Mapping[str, str], column: str) -> bool:
    text = values.get(column, "").lower()
    if text not in _YES:
        raise ValueError(f"{column}: {text!r} is neither yes nor no")
    return _YES[text]


def _worth(text: str) -> int:
    """An amount of money such as 12.50 in ten-thousandths, 0 where none is told."""
    whole, _, part = text.partition(".")
    digits = f"{whole}{part}"
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and whole) or len(part) > _WORTH_PLACES or len(whole) > 8:
        raise ValueError(f"worth: {text!r} is not an amount such as 12.50")
    return int(whole) * _WORTH_PARTS + int((part or "0").ljust(_WORTH_PLACES, "0"))
