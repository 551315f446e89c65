"""The function library as one text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

FRAGMENTS: Final = (
    "base",
    "stock",
    "unsellable",
    "records",
    "receipts",
    "expiry",
    "cover",
    "deciding",
    "movements",
    "snapshots",
    "incoming",
    "slots",
    "taking",
    "reserve",
    "plain",
    "changes",
    "transfers",
    "moving",
    "amend",
    "repromise",
    "pieces",
    "prepared",
    "steps",
    "heads",
    "operations",
    "returns",
    "keeping",
    "profiles",
    "tokens",
)
ANSWERS_VERSION: Final = "invengine_library"
"""The function that answers the version of its library: asked over every new connection."""

_VERSION = re.compile(rb"^-- Version (\d+)\.", re.MULTILINE)
_FUNCTION = re.compile(
    rb"^(?: *function_name = |redis\.register_function\((?:\{ function_name = )?)'(\w+)'", re.MULTILINE
)
_ANSWER = """
redis.register_function({
  function_name = 'invengine_library', callback = function() return %d end, flags = { 'no-writes' },
})
"""


class Library:
    """The library `invengine`: its code and whether a server needs it.

    functions   names of its functions. A name is a contract: under one name a newer library takes what an older one
                took and answers what it answered, so a library serves every caller whose functions it has.
    """

    name: Final = "invengine"

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.version = _version(code)
        self.functions = frozenset(name.decode() for name in _FUNCTION.findall(code))

    @classmethod
    @cache
    def packaged(cls) -> Library:
        """The library that came with this package."""
        folder = files("invengine.store") / "lua"
        return cls.of(b"\n".join((folder / f"{fragment}.lua").read_bytes() for fragment in FRAGMENTS))

    @classmethod
    def of(cls, fragments: bytes) -> Library:
        """The library of this text, with the function that answers the version which stands in it."""
        return cls(fragments + (_ANSWER % _version(fragments)).encode())

    def is_wanted(self, listed: Sequence[Listed]) -> bool:
        """Whether the library that a server has (none or one) is none, an older one or another of this version."""
        return all(found.code != self.code and found.version <= self.version for found in listed)


@dataclass(frozen=True, slots=True)
class Listed:
    """A library as a server has it."""

    code: bytes
    version: int
    functions: frozenset[str]

    @classmethod
    def read(cls, answer: list[Any]) -> list[Listed]:
        """The libraries in the answer of FUNCTION LIST ... WITHCODE."""
        return [_listed(_facts(library)) for library in answer]


def _listed(facts: dict[bytes, Any]) -> Listed:
    names = (_facts(function)[b"name"].decode() for function in facts[b"functions"])
    return Listed(facts[b"library_code"], _version(facts[b"library_code"]), frozenset(names))


def _facts(reply: Any) -> dict[bytes, Any]:
    """A map in RESP3, a list in RESP2."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _version(code: bytes) -> int:
    found = _VERSION.search(code)
    return int(found[1]) if found else 0
