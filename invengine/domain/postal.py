"""Postal codes as they are compared."""

from __future__ import annotations

from typing import Final

POSTAL_PREFIX_MAX: Final = 16


def postal_prefix(code: str) -> str:
    """A postal code, or its beginning: upper case, without spaces and hyphens."""
    return "".join(code.split()).replace("-", "").upper()
