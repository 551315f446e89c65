"""Rows of the log that are not for the columns, taken apart."""

from __future__ import annotations


class RowMalformed(Exception):
    """A row is not what the store's formats say."""


def columns_of(row: bytes, letter: str, count: int) -> list[str]:
    """The columns of a row without its line feed, the nothing behind its last TAB among them. RowMalformed."""
    try:
        columns = row.decode().split("\t")
    except UnicodeDecodeError:
        raise RowMalformed from None
    if len(columns) != count or columns[0] != letter or columns[-1]:
        raise RowMalformed
    return columns


def number_in(text: str, most: int) -> int:
    """A whole number of at most 18 digits. RowMalformed."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
        raise RowMalformed
    return int(text)
