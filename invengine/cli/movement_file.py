"""A CSV file of stock movements, read row by row, plain or gzip, or from the standard input. Rows are numbered as a
spreadsheet does: the header is row 1.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invengine.cli.file_faults import UNREADABLE, problem_of
from invengine.cli.packed_file import PackedFile
from invengine.domain.identifiers import has_control_characters, identifier_problem
from invengine.domain.stock import UNITS_MAX

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from invengine.client import Movement

_REQUIRED: Final = ("sku", "location", "quantity")
_OPTIONAL: Final = ("kind", "occurred_at", "reason", "reference", "event_id", "channel", "state", "to_state")
IGNORED: Final = ("row", "problem")
"""Columns of a file of rejects, which may be corrected in place and imported as it is."""


class Kind(StrEnum):
    """The kinds of movement."""

    RECEIPT = "RECEIPT"
    SALE = "SALE"
    ADJUSTMENT = "ADJUSTMENT"
    COUNT = "COUNT"
    RETURN = "RETURN"
    RING_FENCE = "RING_FENCE"
    STATE_CHANGE = "STATE_CHANGE"

    @property
    def is_of_a_channel(self) -> bool:
        """Whether a movement of this kind may say whose it is."""
        return self in (Kind.SALE, Kind.RING_FENCE)

    @property
    def is_signed(self) -> bool:
        """Whether its quantity may be negative."""
        return self in (Kind.ADJUSTMENT, Kind.RING_FENCE)


class FileUnreadable(Exception):
    """The file as a whole cannot be used."""


class BadRow(Exception):
    """A row that cannot be posted; the message names row and column."""


def moment(text: str) -> Timestamp | None:
    """The instant of an ISO 8601 text, None for an empty one; UTC unless it says otherwise. Else ValueError."""
    from google.protobuf.timestamp_pb2 import Timestamp

    if not text:
        return None
    parsed = datetime.fromisoformat(text)
    made = Timestamp()
    made.FromDatetime(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    return made


class MovementFile:
    """The movements of a file. `kind` is what rows without a kind are; a row without event_id is known by its number,
    the content of the file and that kind, so that posting a file again repeats the same events. Use it in a `with`
    block.
    """

    def __init__(self, path: Path, kind: Kind, source: str) -> None:
        self.path = path
        self._kind = kind
        self._source = source
        self._digest = ""
        self._file = PackedFile(path)
        self.columns: list[str] = []
        """As the header names them, once a row was read."""

    def __enter__(self) -> MovementFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.__exit__(*exception)

    def rows(self) -> Iterator[tuple[int, list[str], Movement | BadRow]]:
        """Every data row: its number, its cells, and the movement or what is wrong with it. FileUnreadable."""
        try:
            if not self._digest:
                with self._file.content() as content:
                    digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]  # a file of bytes
                digest.update(self._kind.encode())
                self._digest = digest.hexdigest()[:32]
            with self._file.content() as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
                yield from self._parsed(csv.reader(text, strict=True))
        except UNREADABLE as error:
            raise FileUnreadable(f"{self.path}: {problem_of(error)}") from None

    def _parsed(self, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str], Movement | BadRow]]:
        columns = self.columns = next(reader, [])
        missing = [name for name in _REQUIRED if name not in columns]
        unknown = [name for name in columns if name not in _REQUIRED + _OPTIONAL + IGNORED]
        if missing or unknown or len(set(columns)) != len(columns):
            fault = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown) or 'one name'} not understood"
            raise FileUnreadable(
                f"{self.path}: the header names the columns: {', '.join(_REQUIRED)}, and where wanted "
                f"{', '.join(_OPTIONAL)}; {fault}"
            )
        for row, values in enumerate(reader, 2):
            if not values:  # an empty line
                continue
            try:
                if len(values) != len(columns):
                    raise BadRow(f"row {row}: {len(values)} columns, the header has {len(columns)}")
                yield row, values, self._movement(row, dict(zip(columns, values, strict=True)))
            except BadRow as bad:
                yield row, values, bad

    def _movement(self, row: int, values: dict[str, str]) -> Movement:
        from invengine.client import Movement

        def read(column: str, rule: Callable[[str], str]) -> str:
            value = values.get(column, "")
            if problem := rule(value):
                raise BadRow(f"row {row}, column {column}: {problem}")
            return value

        def occurred(text: str) -> str:
            try:
                moment(text)
            except ValueError:
                return f"{text!r} is not an instant such as 2026-01-31T09:30:00Z"
            return ""

        def kind_word(text: str) -> str:
            known = not text or text.upper() in Kind.__members__
            return "" if known else f"{text!r} is none of {', '.join(Kind)}"

        kind = Kind(read("kind", kind_word).upper() or self._kind)
        quantity = read("quantity", lambda text: _quantity_problem(kind, text))
        return Movement(
            source=self._source,
            event_id=read("event_id", lambda text: identifier_problem(text) if text else "") or f"{self._digest}/{row}",
            occurred_at=moment(read("occurred_at", occurred)),
            kind=Movement.Kind.Value(f"KIND_{kind}"),
            sku=read("sku", identifier_problem),
            location=read("location", identifier_problem),
            quantity=int(quantity),
            reason=read("reason", lambda text: _reason_problem(kind, text)),
            reference=read("reference", lambda text: identifier_problem(text) if text else ""),
            channel=read("channel", lambda text: _channel_problem(kind, text)),
            state=read("state", lambda text: _state_problem(kind, text)),
            to_state=read("to_state", lambda text: _to_state_problem(kind, text)),
        )


def _quantity_problem(kind: Kind, text: str) -> str:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return f"{text!r} is not a whole number of units"
    quantity = int(text) if len(digits) <= 16 else UNITS_MAX + 1
    least = -UNITS_MAX if kind.is_signed else 0 if kind is Kind.COUNT else 1
    if not least <= quantity <= UNITS_MAX:
        return f"{text} is outside {least} to {UNITS_MAX}"
    return f"{kind} by 0 changes nothing" if kind.is_signed and quantity == 0 else ""


def _reason_problem(kind: Kind, text: str) -> str:
    if kind is Kind.ADJUSTMENT and not text:
        return "an adjustment needs a reason"
    if len(text.encode()) > 128:
        return "longer than 128 bytes"
    if text != text.strip():
        return "has a space at its ends"
    return "has control characters" if has_control_characters(text) else ""


def _channel_problem(kind: Kind, text: str) -> str:
    if not text:
        return f"{kind} needs a channel" if kind is Kind.RING_FENCE else ""
    return identifier_problem(text) if kind.is_of_a_channel else f"a channel does not go with {kind}"


def _state_problem(kind: Kind, text: str) -> str:
    if text and kind.is_of_a_channel:
        return f"a state does not go with {kind}"
    return identifier_problem(text) if text else ""


def _to_state_problem(kind: Kind, text: str) -> str:
    if kind is not Kind.STATE_CHANGE:
        return f"a state to go to does not go with {kind}" if text else ""
    return identifier_problem(text) if text else "a state change needs it: on_hand, a state, or gone"
