"""What a request must look like. Each check names the field as the proto spells its path, `lines[2].quantity`.

The checks of single values come in pairs: a test that is true for nearly every value and costs a fraction of a
microsecond, and a slow path that finds the words for the refusal. Paths are put together only for a refusal.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from invengine.domain.stock import UNITS_MAX
from invengine.errors import InvalidArgument

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

ID_BYTES_MAX: Final = 64
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1000
DURATION_SECONDS_MAX: Final = 315_576_000_000
"""The longest google.protobuf.Duration: 10,000 years."""

TIMESTAMP_SECONDS_MAX: Final = 253_402_300_799
"""The last second of google.protobuf.Timestamp: the end of the year 9999."""

NANOS_MAX: Final = 999_999_999
_FILTER_BYTES: Final = 8

is_plain: Final = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?").fullmatch
"""True for nearly every id: 1 to 64 printable ASCII characters, no space at the ends. One call into C: it is asked
three times for each line of a batch."""


def problem_of_text(text: str, bytes_max: int = ID_BYTES_MAX) -> str:
    """What is wrong with a text as an id; empty when nothing is."""
    if len(text.encode()) > bytes_max:
        return f"is {len(text.encode())} bytes long; at most {bytes_max} are allowed"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "contains a control character"
    if text != text.strip():
        return "begins or ends with a space"
    return ""


def required_id(field: str, text: str) -> str:
    """An id that must be given: 1 to 64 bytes, no control characters, no space at its ends."""
    if is_plain(text):
        return text
    if not text:
        raise InvalidArgument(field, "is required")
    if problem := problem_of_text(text):
        raise InvalidArgument(field, problem)
    return text


def optional_text(field: str, text: str, bytes_max: int = ID_BYTES_MAX) -> str:
    """A text that may be empty, else as an id of at most `bytes_max` bytes."""
    if text and not (is_plain(text) and len(text) <= bytes_max) and (problem := problem_of_text(text, bytes_max)):
        raise InvalidArgument(field, problem)
    return text


def units(field: str, quantity: int, least: int = 1) -> int:
    """Whole units from `least` to 2^53-1."""
    if least <= quantity <= UNITS_MAX:
        return quantity
    raise InvalidArgument(field, f"is {quantity}; {least} to {UNITS_MAX} are allowed")


def count_of(field: str, count: int, most: int, least: int = 1) -> None:
    """How many elements a repeated field has."""
    if count < least:
        raise InvalidArgument(field, "is required")
    if count > most:
        raise InvalidArgument(field, f"has {count} elements; at most {most} are allowed")


def seconds_up(field: str, duration: Duration) -> int:
    """A positive duration in whole seconds, fractions rounded up."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > DURATION_SECONDS_MAX or abs(nanos) > NANOS_MAX or seconds * nanos < 0:
        raise InvalidArgument(field, "is not a duration")
    whole = seconds + (nanos > 0)
    if whole < 1:
        raise InvalidArgument(field, "must be longer than 0 seconds")
    return whole


def milliseconds(field: str, instant: Timestamp, latest_ms: int) -> int:
    """An instant from 1970 up to `latest_ms` in milliseconds since 1970, finer parts cut off."""
    seconds, nanos = instant.seconds, instant.nanos
    if not 0 <= nanos <= NANOS_MAX or seconds > TIMESTAMP_SECONDS_MAX:
        raise InvalidArgument(field, "is not an instant")
    if seconds < 0:
        raise InvalidArgument(field, "is before 1970")
    moment = seconds * 1000 + nanos // 1_000_000
    if moment > latest_ms:
        raise InvalidArgument(field, "is more than 5 minutes in the future")
    return moment


def optional_prefix(field: str, text: str) -> str:
    """The beginning of an id, which may end with a space."""
    optional_text(field, text.rstrip(" "))
    return text


def page_size(field: str, size: int, usual: int = PAGE_SIZE_DEFAULT, most: int = PAGE_SIZE_MAX) -> int:
    """How many elements a page has: 0 means as usual (100), more than `most` (1,000) become so many."""
    if size < 0:
        raise InvalidArgument(field, f"is {size}; 0 to {most} are allowed")
    return min(size or usual, most)


def expected_revision(field: str, revision: int) -> int:
    """A revision that the caller saw."""
    if 0 <= revision <= UNITS_MAX:
        return revision
    raise InvalidArgument(field, f"is {revision}; 0 to {UNITS_MAX} are allowed")


def page_token(filters: tuple[str, ...], cursor: str) -> str:
    """An opaque token for the page that begins at `cursor` under these filters; empty when there is no such page."""
    if not cursor:
        return ""
    return base64.urlsafe_b64encode(_filter_hash(filters) + cursor.encode()).decode().rstrip("=")


def cursor_of(field: str, token: str, filters: tuple[str, ...]) -> str:
    """The cursor inside a page token, empty for the first page; InvalidArgument when the filters changed since."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor = raw[_FILTER_BYTES:].decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidArgument(field, "is not a page token") from None
    if not cursor:
        raise InvalidArgument(field, "is not a page token")
    if raw[:_FILTER_BYTES] != _filter_hash(filters):
        raise InvalidArgument(field, "belongs to a request with other fields")
    return cursor


def _filter_hash(filters: tuple[str, ...]) -> bytes:
    return blake2b(repr(filters).encode(), digest_size=_FILTER_BYTES).digest()
