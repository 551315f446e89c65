"""What one network has that another has not, element by element."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from invengine.domain.network_yaml import path_text


class ChangeKind(StrEnum):
    """What is different about an element."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` is such as `locations.LON1.priority`; the values are JSON, empty where there is none."""

    kind: ChangeKind
    path: str
    before_json: str
    after_json: str


Elements = Mapping[str, Any]
"""Nested mappings of text to mappings, lists, text, numbers, switches and None."""


def differences(before: Elements, after: Elements, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """The differences in the order of their names. What was added or removed whole is one change."""
    for name in sorted(before.keys() | after.keys()):
        here = (*path, name)
        if name not in after:
            yield Change(ChangeKind.REMOVED, path_text(here), _json(before[name]), "")
        elif name not in before:
            yield Change(ChangeKind.ADDED, path_text(here), "", _json(after[name]))
        elif isinstance(before[name], Mapping) and isinstance(after[name], Mapping):
            yield from differences(before[name], after[name], here)
        elif before[name] != after[name]:
            yield Change(ChangeKind.CHANGED, path_text(here), _json(before[name]), _json(after[name]))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
