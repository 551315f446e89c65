"""Every field of a message with every bad value, from the descriptors: a field that the contract gains is tried too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Kind
from google.protobuf.message import Message

ID_BYTES_MAX = 64
MANY = 100_000
MARK = "#not#utf#8#"
TEXTS = {
    "empty": "",
    "65 bytes": "x" * (ID_BYTES_MAX + 1),
    "huge": "x" * 70_000,
    "a control character": "a\x00b",
    "a space at the end": "a ",
    "nobody knows it": "nobody-knows-it",
}
WHOLE = {
    "zero": 0,
    "negative": -1,
    "2^53": 2**53,
    "the largest": 2**63 - 1,
    "the least": -(2**63),
}
WHOLE_32 = {"zero": 0, "negative": -1, "the largest": 2**31 - 1, "the least": -(2**31)}
NUMBERS = {
    "zero": 0.0,
    "negative": -1.0,
    "no number": float("nan"),
    "infinite": float("inf"),
    "huge": sys.float_info.max,  # ten times as much is infinite
}
ENUMS = {"not set": 0, "a number of no value": 99, "a negative number": -1}
ALWAYS_BAD = frozenset(
    {"65 bytes", "huge", "a control character", "not UTF-8", "2^53", "the largest", "the least", "no number",
     "infinite", "a number of no value", "a negative number"}
)  # fmt: skip
"""What no field takes, but for those that take any text or any number."""


@dataclass(frozen=True)
class Bad:
    """A request with one bad value."""

    field: str  # its path, as refusals spell it: lines[0].quantity
    what: str
    body: bytes


def bad_requests(good: Message, request_id: str) -> Iterator[Bad]:
    """The good request with each of its set fields bent, nested ones and elements of lists too; each under an id of its
    own, since some are good all the same.
    """
    has_id = "request_id" in good.DESCRIPTOR.fields_by_name
    for number, path in enumerate(list(_paths(good))):
        for bad in _bent(good, path):
            if has_id and bad.field != "request_id":
                its_own = type(good)(request_id=f"{request_id} {number} {bad.what}")  # type: ignore[call-arg]
                yield replace(bad, body=bad.body + its_own.SerializeToString())  # the last one counts
            else:
                yield bad


Path = tuple[tuple[str, int], ...]
"""From the request down: names of fields, with the place in a list, -1 where there is none."""


def _paths(message: Message, above: Path = ()) -> Iterator[Path]:
    for field, value in message.ListFields():
        if not field.is_repeated:
            here = (*above, (field.name, -1))
            yield here
            if field.message_type is not None:
                yield from _paths(value, here)
            continue
        yield (*above, (field.name, -1))
        for place, element in enumerate(value):
            here = (*above, (field.name, place))
            if field.message_type is None:
                yield here
            else:
                yield from _paths(element, here)


def spelled(path: Path) -> str:
    """lines[0].quantity"""
    return ".".join(name + (f"[{place}]" if place >= 0 else "") for name, place in path)


def _parent(message: Message, path: Path) -> Any:
    for name, place in path[:-1]:
        message = getattr(message, name)
        if place >= 0:
            message = message[place]  # type: ignore[index]
    return message


def _bent(good: Message, path: Path) -> Iterator[Bad]:
    name, place = path[-1]
    where = spelled(path)
    field = _parent(good, path).DESCRIPTOR.fields_by_name[name]

    def bent(what: str, value: object) -> Bad:
        message = type(good)()
        message.CopyFrom(good)
        parent = _parent(message, path)
        if place >= 0:
            getattr(parent, name)[place] = value
        elif value is None:
            parent.ClearField(name)
        elif isinstance(value, Message):
            getattr(parent, name).CopyFrom(value)
        else:
            setattr(parent, name, value)
        return Bad(where, what, message.SerializeToString())

    if place < 0:
        yield bent("missing", None)
    if field.is_repeated and place < 0:
        yield Bad(where, f"{MANY} elements", _many(good, path))
        return
    if field.message_type is not None:
        yield bent("empty", type(getattr(_parent(good, path), name))())
        return
    if field.type == Kind.TYPE_STRING:
        yield from (bent(what, text) for what, text in TEXTS.items())
        marked = bent("not UTF-8", MARK)
        yield Bad(where, marked.what, marked.body.replace(MARK.encode(), b"\xff" * len(MARK)))
        return
    values: dict[Any, Any] = {
        Kind.TYPE_INT64: WHOLE,
        Kind.TYPE_INT32: WHOLE_32,
        Kind.TYPE_DOUBLE: NUMBERS,
        Kind.TYPE_ENUM: ENUMS,
        Kind.TYPE_BOOL: {"the other": not getattr(_parent(good, path), name)},
    }
    yield from (bent(what, value) for what, value in values[field.type].items())


def _many(good: Message, path: Path) -> bytes:
    """The request with so many elements in a list: empty messages, which take the least room, or the first text or
    number again and again.
    """
    message = type(good)()
    message.CopyFrom(good)
    parent = _parent(message, path)
    elements = getattr(parent, path[-1][0])
    first = elements[0]
    if isinstance(first, Message):
        one = type(parent)()
        getattr(one, path[-1][0]).add()
        parent.MergeFromString(one.SerializeToString() * MANY)
    else:
        elements.extend([first] * MANY)
    return message.SerializeToString()
