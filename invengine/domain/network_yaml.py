"""YAML text to a tree of plain text that knows its lines.

Every scalar stays the text that stands in the file: a location called `no`, `007` or `2024-01-01` keeps its name, and
the models decide what is a number. Hostile input costs little: size, depth and the nodes that aliases unfold to are
bounded before anything is built from them, and no tag is honoured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import yaml

from invengine.errors import NetworkFault, NetworkInvalid

DOCUMENT_BYTES_MAX: Final = 16_000_000
DEPTH_MAX: Final = 12
NODES_MAX: Final = 1_000_000
FAULTS_MAX: Final = 100
ROOT: Final = "document"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: 20 times faster
_NO_VALUE = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SIMPLE_KEY = re.compile(r"[\w-]+")


@dataclass(slots=True)  # not frozen: a large document has a million of them, and the lock doubles what one costs
class Node:
    """One value of the document. Nobody changes it.

    `line` counts from 1. `value` is text, None (nothing written), a list, or a mapping of key -> (line of the key,
    value). `size` is the number of nodes in it with every alias unfolded.
    """

    line: int
    value: str | list[Node] | dict[str, tuple[int, Node]] | None
    size: int = 1

    def plain(self) -> Any:
        """The value as str, None, list and dict."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, (_, item) in self.value.items()}
        return self.value

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the element at `path`, or of the deepest element on the way to it that exists."""
        node, line = self, self.line
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                line, node = node.value[str(step)]
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.line
            else:
                break
        return line


def path_text(path: Sequence[str | int]) -> str:
    """A path for people: `locations.LON1.priority`, `safety_stock[2].units`, `groups."new york"[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _SIMPLE_KEY.fullmatch(step) else json.dumps(step, ensure_ascii=False)
            text += f".{name}" if text else name
    return text or ROOT


def read_yaml(document: str) -> tuple[Node, list[NetworkFault]]:
    """The root of a YAML (or JSON) document, and the repeated or impossible keys found on the way.

    NetworkInvalid when it cannot be read at all: not YAML, too large, too deep, more than one document.
    """
    try:
        size = len(document.encode())
    except UnicodeEncodeError as error:
        _refuse(document.count("\n", 0, error.start) + 1, "not valid Unicode text")
    if size > DOCUMENT_BYTES_MAX:
        _refuse(0, f"{size} bytes; at most {DOCUMENT_BYTES_MAX} are taken")
    text = document.removeprefix("\ufeff")
    if stranger := _NOT_YAML.search(text):
        _refuse(text.count("\n", 0, stranger.start()) + 1, f"U+{ord(stranger[0]):04X} is a character that YAML forbids")
    try:
        composer = _Composer(yaml.parse(text, Loader=_LOADER))
        return composer.document(), composer.faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        _refuse(mark.line + 1 if mark else 0, f"not YAML: {said}")


def fault_at(line: int, path: Sequence[str | int], problem: str) -> NetworkFault:
    """A fault whose words stay short, however much of the document they repeat."""
    return NetworkFault(line, shortened(path_text(path), 200), shortened(problem, 300))


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and three dots."""
    return text if len(text) <= length else text[: length - 3] + "..."


def _refuse(line: int, problem: str, path: Sequence[str | int] = ()) -> NoReturn:
    raise NetworkInvalid((fault_at(line, path, problem),))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Composer:
    """Builds nodes from parser events, which come one by one: nothing deep or large is built before it is refused."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node | None] = {}  # None while the anchored node is being built
        self._path: list[str | int] = []
        self.faults: list[NetworkFault] = []

    def document(self) -> Node:
        """The root of the only document of the stream."""
        event = next(self._events)
        while isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            _refuse(0, "is empty")
        root = self._node(event)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                _refuse(line, "a second document begins here; one is wanted")
        return root

    def _node(self, event: Any) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if event.tag is not None and event.tag != "!":
            _refuse(line, f"the tag {event.tag} is not supported", self._path)
        if len(self._path) > DEPTH_MAX:
            _refuse(line, f"nested deeper than {DEPTH_MAX} levels", self._path[:3])
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            nothing = not event.style and event.value in _NO_VALUE
            node = Node(line, None if nothing and self._is_value() else event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(line)
        else:
            node = self._mapping(line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _value(self, event: Any) -> Node:
        """The value of a key; plain text, which most values are, by the short way."""
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
            return self._node(event)
        nothing = not event.style and event.value in _NO_VALUE
        return Node(_line(event), None if nothing else event.value)

    def _is_value(self) -> bool:
        """Whether the node is the value of a mapping (or the root): an item of a list stays text, it may be an id."""
        return not self._path or isinstance(self._path[-1], str)

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            _refuse(line, f"*{anchor} has no anchor &{anchor} above it", self._path)
        node = self._anchors[anchor]
        if node is None:
            _refuse(line, f"*{anchor} contains itself", self._path)
        return node

    def _bounded(self, line: int, size: int) -> int:
        if size > NODES_MAX:
            _refuse(line, f"more than {NODES_MAX} values, aliases unfolded", self._path[:3])
        return size

    def _sequence(self, line: int) -> Node:
        items: list[Node] = []
        size = 1
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            self._path.append(len(items))
            items.append(self._node(event))
            size = self._bounded(line, size + items[-1].size)
            self._path.pop()
        return Node(line, items, size)

    def _mapping(self, line: int) -> Node:
        entries: dict[str, tuple[int, Node]] = {}
        merged: list[tuple[int, Node]] = []
        size = 1
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key_line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
                _refuse(key_line, "a key must be plain text", self._path)
            key = event.value
            self._path.append(key)
            node = self._value(next(self._events))
            size = self._bounded(line, size + node.size)
            if key == "<<" and not event.style:
                merged.append((key_line, node))
            elif key in entries:
                self._fault(key_line, f"written twice, first in line {entries[key][0]}")
            else:
                entries[key] = (key_line, node)
            self._path.pop()
        for key_line, node in merged:
            self._merge(entries, key_line, node)
        return Node(line, entries, size)

    def _merge(self, entries: dict[str, tuple[int, Node]], line: int, node: Node) -> None:
        """`<<: *defaults`: what the mapping does not say itself; of several merged mappings the first wins."""
        for source in node.value if isinstance(node.value, list) else [node]:
            if not isinstance(source.value, dict):
                _refuse(line, "<< takes a mapping or a list of mappings", self._path)
            for key, entry in source.value.items():
                entries.setdefault(key, entry)

    def _fault(self, line: int, problem: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault_at(line, self._path, problem))
