"""Answers of the API as what commands print: JSON with numbers, and words for cells of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def as_json(message: Message) -> dict[str, Any]:
    """The message by the proto JSON mapping, with every field present and int64 as numbers.

    Proto JSON writes int64 as text because a double ends at 2^53; so do our quantities, which makes numbers exact.
    """
    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(message, always_print_fields_with_no_presence=True)
    return _with_numbers(message, fields)


def _with_numbers(message: Message, fields: dict[str, Any]) -> dict[str, Any]:
    for field in message.DESCRIPTOR.fields:
        if field.json_name not in fields:
            continue
        value = fields[field.json_name]
        if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            fields[field.json_name] = [int(number) for number in value] if field.is_repeated else int(value)
        elif field.message_type is not None and field.message_type.file.package == message.DESCRIPTOR.file.package:
            inner = getattr(message, field.name)
            if field.message_type.GetOptions().map_entry:
                continue
            for part, told in zip(inner, value, strict=True) if field.is_repeated else ((inner, value),):
                _with_numbers(part, told)
    return fields


def instant(moment: Any) -> str:
    """A proto Timestamp as ISO 8601 in UTC, empty when it is not set."""
    return moment.ToJsonString() if moment.seconds or moment.nanos else ""


def word(name: str, prefix: str) -> str:
    """An enum name without its prefix."""
    return name.removeprefix(prefix)


def counted(number: int, noun: str) -> str:
    """How many of something, as people say it: `1 parcel`, `2 parcels`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
