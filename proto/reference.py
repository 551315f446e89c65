"""Writes docs/api, the reference of the API, from the comments of proto/invengine/v1. `make proto` runs it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
OUT = PROTO.parent / "docs" / "api"
PACKAGE = ".invengine.v1."
WELL_KNOWN = ".google.protobuf."

# Where the parts of a description stand in their parents: the numbers of fields in descriptor.proto.
FILE_MESSAGES, FILE_ENUMS, FILE_SERVICES = 4, 5, 6
MESSAGE_FIELDS, MESSAGE_MESSAGES, MESSAGE_ENUMS, MESSAGE_ONEOFS = 2, 3, 4, 8
ENUM_VALUES, SERVICE_METHODS, SYNTAX = 2, 2, 12

SCALARS = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items() if number != 0
}


class Comments:
    """The comments of one file, by where the thing stands in its description."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._of = {
            tuple(place.path): place.leading_comments
            for place in file.source_code_info.location
            if place.leading_comments
        }

    def paragraphs(self, *path: int) -> str:
        """As Markdown paragraphs."""
        blocks = self._of.get(path, "").split("\n\n")
        return "\n\n".join(" ".join(line.strip() for line in block.split("\n")).strip() for block in blocks).strip()

    def cell(self, *path: int) -> str:
        """As one cell of a table."""
        return self.paragraphs(*path).replace("\n\n", "<br>").replace("|", "\\|")


def described() -> list[FileDescriptorProto]:
    """The files of the contract with their comments, in order."""
    import grpc_tools

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("invengine/v1/*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "contract.binpb"
        arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", "--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main([*arguments, *files]):
            raise SystemExit("protoc failed")
        return sorted(FileDescriptorSet.FromString(out.read_bytes()).file, key=lambda file: file.name)


def page_of(file: FileDescriptorProto) -> str:
    """The name of a file's page: invengine/v1/stock_service.proto -> stock_service.md."""
    return f"{Path(file.name).stem}.md"


def homes(files: list[FileDescriptorProto]) -> dict[str, str]:
    """The page of every message and enum, by its full name."""
    found: dict[str, str] = {}

    def add(prefix: str, message: DescriptorProto, page: str) -> None:
        name = f"{prefix}{message.name}"
        found[name] = page
        for inner in message.enum_type:
            found[f"{name}.{inner.name}"] = page
        for nested in message.nested_type:
            add(f"{name}.", nested, page)

    for file in files:
        for message in file.message_type:
            add(PACKAGE, message, page_of(file))
        for enum in file.enum_type:
            found[f"{PACKAGE}{enum.name}"] = page_of(file)
    return found


class Page:
    """One file of the contract as a page."""

    def __init__(self, file: FileDescriptorProto, home: dict[str, str]) -> None:
        self._file = file
        self._home = home
        self._comments = Comments(file)

    def text(self) -> str:
        """The whole page."""
        title = self._file.service[0].name if self._file.service else Path(self._file.name).stem.capitalize()
        source = f"../../proto/{self._file.name}"
        parts = [f"# {title}", self._comments.paragraphs(SYNTAX)]
        parts.append(f"Written from [{Path(self._file.name).name}]({source}) by `make proto`.")
        for place, service in enumerate(self._file.service):
            parts += self._service(service, (FILE_SERVICES, place))
        for place, message in enumerate(self._file.message_type):
            parts += self._message(message, message.name, (FILE_MESSAGES, place))
        for place, enum in enumerate(self._file.enum_type):
            parts += self._enum(enum, enum.name, (FILE_ENUMS, place))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield self._comments.paragraphs(*path)
        yield "## Calls"
        for place, method in enumerate(service.method):
            yield f"### {method.name}"
            yield self._comments.paragraphs(*path, SERVICE_METHODS, place)
            yield (
                f"Takes {streamed(method.client_streaming)}{self._link(method.input_type)}, "
                f"answers {streamed(method.server_streaming)}{self._link(method.output_type)}."
            )
        yield "## Messages"

    def _message(self, message: DescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
        if message.options.map_entry:
            return
        yield f"### {name}"
        yield self._comments.paragraphs(*path)
        entries = {f"{PACKAGE}{name}.{nested.name}": nested for nested in message.nested_type}
        rows = [
            (f"`{field.name}`", self._type(field, entries), self._meaning(message, field, (*path, MESSAGE_FIELDS, n)))
            for n, field in enumerate(message.field)
        ]
        yield table(("Field", "Type", "Meaning"), rows)
        for place, oneof in enumerate(message.oneof_decl):
            if sum(f.HasField("oneof_index") and f.oneof_index == place for f in message.field) > 1:
                yield f"One of `{oneof.name}`: {self._comments.paragraphs(*path, MESSAGE_ONEOFS, place)}"
        for place, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*path, MESSAGE_ENUMS, place))
        for place, nested in enumerate(message.nested_type):
            yield from self._message(nested, f"{name}.{nested.name}", (*path, MESSAGE_MESSAGES, place))

    def _enum(self, enum: EnumDescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
        yield f"### {name}"
        yield self._comments.paragraphs(*path)
        rows = [
            (f"`{value.name}`", str(value.number), self._comments.cell(*path, ENUM_VALUES, place))
            for place, value in enumerate(enum.value)
        ]
        yield table(("Value", "Number", "Meaning"), rows)

    def _meaning(self, message: DescriptorProto, field: FieldDescriptorProto, path: tuple[int, ...]) -> str:
        told = self._comments.cell(*path)
        if field.HasField("oneof_index") and not field.proto3_optional:
            return f"*{message.oneof_decl[field.oneof_index].name}* · {told}"
        return told

    def _type(self, field: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
        if field.type_name in entries and entries[field.type_name].options.map_entry:
            key, value = entries[field.type_name].field
            return f"map of {self._type(key, {})} to {self._type(value, {})}"
        one = self._link(field.type_name) if field.type_name else SCALARS[field.type]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"list of {one}"
        return f"{one}, or not set" if field.proto3_optional else one

    def _link(self, full: str) -> str:
        if full.startswith(WELL_KNOWN):
            return full.removeprefix(WELL_KNOWN)
        name = full.removeprefix(PACKAGE)
        page = self._home[full]
        here = "" if page == page_of(self._file) else page
        return f"[{name}]({here}#{name.lower().replace('.', '')})"


def streamed(many: bool) -> str:
    """How a stream is told."""
    return "a stream of " if many else ""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; empty without rows."""
    if not rows:
        return ""
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def index(files: list[FileDescriptorProto]) -> str:
    """The first page: every call of every service with the first sentence of its comment."""
    parts = [
        "# The API",
        "Package `invengine.v1` over gRPC, written from the comments of [the contract](../../proto/invengine/v1) by "
        "`make proto`. What all calls share (freshness, refusals, ids) stands in [common](common.md); what the words "
        "mean, in [concepts](../concepts.md).",
    ]
    for file in files:
        comments = Comments(file)
        for place, service in enumerate(file.service):
            parts.append(f"## [{service.name}]({page_of(file)})")
            parts.append(comments.paragraphs(FILE_SERVICES, place).split("\n\n")[0])
            rows = [
                (
                    f"[{method.name}]({page_of(file)}#{method.name.lower()})",
                    kind_of(method),
                    first_sentence(comments.cell(FILE_SERVICES, place, SERVICE_METHODS, n)),
                )
                for n, method in enumerate(service.method)
            ]
            parts.append(table(("Call", "Kind", "Does"), rows))
    others = [f"[{Path(file.name).stem}]({page_of(file)})" for file in files if not file.service]
    parts.append(f"Messages that services share or that fill a page of their own: {', '.join(others)}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def kind_of(method: MethodDescriptorProto) -> str:
    """unary, or which side streams."""
    kinds = {(False, False): "unary", (True, False): "client stream", (False, True): "server stream"}
    return kinds.get((method.client_streaming, method.server_streaming), "bidirectional stream")


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    for place in range(len(text) - 1):
        if text[place] == "." and text[place + 1] == " " and (place + 2 == len(text) or text[place + 2].isupper()):
            return text[: place + 1]
    return text


def pages() -> dict[str, str]:
    """The text of every page of the reference by its file name."""
    files = described()
    home = homes(files)
    return {"README.md": index(files)} | {page_of(file): Page(file, home).text() for file in files}


def write(out: Path) -> None:
    """Write the reference into the folder `out`; pages of files that are gone are removed."""
    made = pages()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
