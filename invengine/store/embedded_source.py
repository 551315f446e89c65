"""Reaching the Redis of a data folder from another process than its engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from invengine.store.backup import BackupFailed
from invengine.store.embedded import EmbeddedRedis
from invengine.store.embedded_folder import DataFolder, FolderUnusable


@asynccontextmanager
async def embedded_url(redis_url: str, data_dir: Path, server: Path | None) -> AsyncIterator[str]:
    """`redis_url`, or where there is none the url of the Redis of a data folder: the one that its engine runs, else one
    that runs for so long. BackupFailed, EmbeddedError.
    """
    if redis_url:
        yield redis_url
        return
    folder = DataFolder(data_dir)
    if not (folder.path / "appendonlydir").is_dir():
        raise BackupFailed(f"there is no store in the data folder {folder.path}")
    embedded = EmbeddedRedis(data_dir, server=server)
    try:
        url = await embedded.start()
    except FolderUnusable:
        if not folder.socket_file.exists():
            raise
        socket = folder.socket_file.read_text(errors="surrogateescape")  # of the engine that uses it
        yield f"unix://{quote(socket)}"
        return
    try:
        yield url
    finally:
        await embedded.stop()
