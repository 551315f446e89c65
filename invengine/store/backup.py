"""Back-ups: what every server of a store holds, each as of one instant, in a folder of files that Redis can read.

A server sends its data as it sends them to a new replica (PSYNC): a snapshot of one moment, made by a fork beside the
serving, functions and all. So a back-up needs no access to the server's files, and ends nothing.

backup.json      what the back-up is of, and size and SHA-256 of each part
stock-0.rdb ...  one part per server: one, or one per master of a Cluster

The folder has its name only when it is whole: it is written under another one, flushed to the disk, and renamed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from redis.exceptions import RedisError, ResponseError

from invengine import __version__
from invengine.store import keys
from invengine.store.failures import Unsent
from invengine.store.library import ANSWERS_VERSION
from invengine.store.node import Node
from invengine.store.startup import as_dict
from invengine.store.topology import Topology

MANIFEST: Final = "backup.json"
LAYOUT: Final = 1
"""Of backup.json; raised when a reader of the former one would misread it."""

_CHUNK_BYTES: Final = 1 << 20
_MARK_BYTES: Final = 40


class BackupFailed(Exception):
    """A back-up cannot be made, read or restored; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Part:
    """The data of one server. `slots`: those that it served, as ranges; of a Cluster only."""

    file: str
    bytes: int
    sha256: str
    server: str
    slots: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a back-up is of. Times are ISO 8601, UTC, by the clock of the store."""

    layout: int
    began_at: str
    ended_at: str
    invengine: str
    redis: str
    store_id: str
    store_format: int
    partitions: int
    retention_seconds: int
    library: int
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a back-up. BackupFailed when it is none."""
        try:
            stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if stored["layout"] > LAYOUT:
                raise BackupFailed(f"{folder} was made by a newer release: use that to read it")
            parts = tuple(Part(**part) for part in stored.pop("parts"))
            return cls(**stored, parts=parts)
        except FileNotFoundError:
            raise BackupFailed(f"{folder} is no back-up: it has no {MANIFEST}") from None
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise BackupFailed(f"{folder / MANIFEST} cannot be read: {error}") from error


async def make_backup(topology: Topology, folder: Path) -> Manifest:
    """Back up the store behind `topology` into a new folder. BackupFailed; then there is no such folder."""
    partial = folder.with_name(folder.name + ".partial")
    try:
        _begin(folder, partial)
        manifest = await _made(topology, partial)
        _write(partial / MANIFEST, json.dumps(asdict(manifest), indent=2).encode() + b"\n")
        partial.rename(folder)
        _sync(folder.parent)
    except (RedisError, Unsent) as error:
        raise BackupFailed(f"Redis did not give its data: {error}") from error
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def check_files(folder: Path) -> Manifest:
    """The manifest of a back-up whose parts are what was written. BackupFailed says which is not."""
    manifest = Manifest.read(folder)
    for part in manifest.parts:
        path = folder / part.file
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            size = path.stat().st_size
        except OSError as error:
            raise BackupFailed(f"{path} cannot be read: {error}") from error
        if size != part.bytes:
            raise BackupFailed(f"{path} is damaged: it has {size} bytes, not {part.bytes}")
        if found != part.sha256:
            raise BackupFailed(f"{path} is damaged: its checksum is another one than when it was written")
    return manifest


async def _made(topology: Topology, folder: Path) -> Manifest:
    await topology.ready()
    (stored, time, info, library) = await topology.owner(None).exchange(
        [("HGETALL", keys.STORE), ("TIME",), ("INFO", "server"), ("FCALL_RO", ANSWERS_VERSION, 0)]
    )
    for reply in (stored, time, info):
        if isinstance(reply, ResponseError):
            raise reply
    identity = {name.decode(): value.decode() for name, value in as_dict(stored).items()}
    if not identity:
        raise BackupFailed("there is no store in this Redis")
    parts = await asyncio.gather(
        *(_part(node, folder, number, topology.slots_of(node)) for number, node in enumerate(topology.primaries()))
    )
    (ended,) = await topology.owner(None).exchange([("TIME",)])
    return Manifest(
        layout=LAYOUT,
        began_at=_instant(time),
        ended_at=_instant(ended),
        invengine=__version__,
        redis=_server(info),
        store_id=identity["store_id"],
        store_format=int(identity["format"]),
        partitions=int(identity["partitions"]),
        retention_seconds=int(identity["retention_seconds"]),
        library=0 if isinstance(library, ResponseError) else int(library),
        parts=tuple(parts),
    )


async def _part(node: Node, folder: Path, number: int, slots: str) -> Part:
    path = folder / f"stock-{number}.rdb"
    digest, size = hashlib.sha256(), 0
    with _PartFile(path) as file:

        def take(chunk: bytes) -> None:
            nonlocal size
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)

        await node.alone(lambda connection: _snapshot(connection, take))
    return Part(path.name, size, digest.hexdigest(), node.name, slots)


class _PartFile:
    """A new file that is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


async def _snapshot(connection: Any, take: Any) -> None:
    """Have the server send a snapshot as to a new replica, without what it writes from then on."""
    for words in (("REPLCONF", "capa", "eof"), ("REPLCONF", "rdb-only", "1")):
        await connection.send_command(*words)
        await connection.read_response()
    # From here on the connection speaks another protocol than its parser: the bytes are read as they come.
    await connection.send_command("PSYNC", "?", "-1")
    reader = connection._reader
    line = await _line(reader)
    if not line.startswith(b"+FULLRESYNC"):
        raise BackupFailed(f"Redis did not give its data: {line.decode(errors='replace').lstrip('-')}")
    head = await _line(reader)
    if head.startswith(b"$EOF:"):
        await _until(reader, head[len(b"$EOF:") :], take)
        return
    left = int(head.removeprefix(b"$"))
    while left:
        chunk = await reader.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise BackupFailed("the connection to Redis was lost before the end of its data")
        left -= len(chunk)
        take(chunk)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line that is not empty: a server that prepares its data sends line feeds meanwhile."""
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise BackupFailed("the connection to Redis was lost before its data came")
        if line.strip():
            return line.strip()


async def _until(reader: asyncio.StreamReader, mark: bytes, take: Any) -> None:
    """Everything before `mark`, which ends the data and stands nowhere in them."""
    kept = b""
    while True:
        chunk = await reader.read(_CHUNK_BYTES)
        if not chunk:
            raise BackupFailed("the connection to Redis was lost before the end of its data")
        kept += chunk
        if kept.endswith(mark):
            take(kept[:-_MARK_BYTES])
            return
        take(kept[:-_MARK_BYTES])
        kept = kept[-_MARK_BYTES:]


def _begin(folder: Path, partial: Path) -> None:
    if folder.exists():
        raise BackupFailed(f"{folder} is there already: name a new folder")
    shutil.rmtree(partial, ignore_errors=True)  # of one that was interrupted
    partial.mkdir(parents=True, mode=0o700)


def _write(path: Path, content: bytes) -> None:
    with _PartFile(path) as file:
        file.write(content)


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _instant(time: Any) -> str:
    seconds, microseconds = (int(part) for part in time)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds).isoformat(timespec="milliseconds")


def _server(info: Any) -> str:
    """Kind and version, by INFO."""
    lines = (info.decode() if isinstance(info, bytes) else str(info)).splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts.get('redis_version', 'of no version')}"
