"""What a plain id may be: of a SKU, location, group, channel, reservation, request."""

from __future__ import annotations

import unicodedata
from typing import Final

IDENTIFIER_BYTES_MAX: Final = 64


def has_control_characters(text: str) -> bool:
    """Whether any character is a control character (Unicode category Cc)."""
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def identifier_problem(text: str) -> str:
    """What is wrong with a plain id, or nothing: ''."""
    if not 1 <= len(text.encode()) <= IDENTIFIER_BYTES_MAX:
        return "an id has 1 to 64 bytes"
    if text != text.strip():
        return "an id has no space at its ends"
    if has_control_characters(text):
        return "an id has no control characters"
    return ""
