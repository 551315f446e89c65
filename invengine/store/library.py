"""The function library as one text."""

from __future__ import annotations

import re
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
)
_VERSION = re.compile(rb"^-- Version (\d+)\.", re.MULTILINE)


class Library:
    """The library `invengine`: its code and whether a server needs it."""

    name: Final = "invengine"

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.version = _version(code)

    @classmethod
    def packaged(cls) -> Library:
        """The library that came with this package."""
        folder = files("invengine.store") / "lua"
        return cls(b"\n".join((folder / f"{fragment}.lua").read_bytes() for fragment in FRAGMENTS))

    def is_wanted(self, listed: list[Any]) -> bool:
        """Whether the answer of FUNCTION LIST ... WITHCODE has no library, an older one or another of this version."""
        for library in listed:
            facts = library if isinstance(library, dict) else dict(zip(library[::2], library[1::2], strict=True))
            code = facts[b"library_code"]
            if code == self.code or _version(code) > self.version:
                return False
        return True


def _version(code: bytes) -> int:
    found = _VERSION.search(code)
    return int(found[1]) if found else 0
