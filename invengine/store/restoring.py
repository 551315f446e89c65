"""Back-ups put to use: loaded into a Redis of their own, to see whether they are good, or to be served from then on."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from invengine.store import keys
from invengine.store.backup import BackupFailed, Manifest, check_files
from invengine.store.embedded import EmbeddedRedis
from invengine.store.embedded_folder import EmbeddedError
from invengine.store.startup import FORMAT, as_dict

_LOG_FOLDER: Final = "appendonlydir"
_BASE: Final = "appendonly.aof.1.base.rdb"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a back-up turned out to hold. `store_id` is None where none of its parts has the store's own key."""

    manifest: Manifest
    keys: int
    store_id: str | None


async def check_backup(folder: Path, server: Path | None = None) -> Loaded:
    """Load each part of a back-up into a Redis that is thrown away. BackupFailed says what is wrong."""
    manifest = check_files(folder)
    count, store_id = 0, None
    for part in manifest.parts:
        with tempfile.TemporaryDirectory(prefix="invengine-backup-") as name:
            data_dir = Path(name) / "data"
            found, there = await _load(folder / part.file, data_dir, server)
            count += there
            store_id = found or store_id
    if store_id != manifest.store_id:
        raise BackupFailed(f"{folder} is of the store {manifest.store_id}, and its data are of {store_id or 'none'}")
    return Loaded(manifest, count, store_id)


async def restore(folder: Path, data_dir: Path, server: Path | None = None) -> Loaded:
    """Make `data_dir` hold what a back-up holds, as a store with an id of its own: tokens of what came after the
    back-up are no tokens of it. BackupFailed; then `data_dir` is as it was.
    """
    _refuse_what_is_there(data_dir)
    manifest = check_files(folder)
    if manifest.store_format > FORMAT:
        raise BackupFailed(
            f"the back-up has data of format {manifest.store_format} of a newer release; this one reads up to {FORMAT}"
        )
    if len(manifest.parts) != 1:
        raise BackupFailed(
            f"{folder} is of a Cluster of {len(manifest.parts)} masters: each part goes back to a node of its own "
            "(docs/cluster.md says how)"
        )
    growing = data_dir.with_name(data_dir.name + ".restoring")
    shutil.rmtree(growing, ignore_errors=True)  # of one that was interrupted
    try:
        new_id = secrets.token_hex(8)
        found, count = await _load(folder / manifest.parts[0].file, growing, server, new_id)
        if found != manifest.store_id:
            raise BackupFailed(f"{folder} is of the store {manifest.store_id}, and its data are of {found or 'none'}")
        growing.rename(data_dir)
    except OSError as error:
        raise BackupFailed(f"the data folder {data_dir} cannot be written: {error}") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return Loaded(manifest, count, new_id)


def _refuse_what_is_there(data_dir: Path) -> None:
    if data_dir.exists() and any(data_dir.iterdir()):
        raise BackupFailed(f"the data folder {data_dir} is not empty: move it aside, or name another one")


def _lay_out(part: Path, data_dir: Path) -> None:
    """A data folder whose log begins with the part and has nothing behind it."""
    log_folder = data_dir / _LOG_FOLDER
    log_folder.mkdir(parents=True)
    data_dir.chmod(0o700)
    shutil.copyfile(part, log_folder / _BASE)
    (log_folder / "appendonly.aof.manifest").write_text(f"file {_BASE} seq 1 type b\n")


async def _load(part: Path, data_dir: Path, server: Path | None, new_id: str = "") -> tuple[str | None, int]:
    """Have a Redis load a part in a new data folder, and end; the store's id there, and how many keys there are."""
    _lay_out(part, data_dir)
    embedded = EmbeddedRedis(data_dir, server=server)
    try:
        url = await embedded.start()
    except EmbeddedError as refused:
        raise BackupFailed(f"{part} cannot be loaded: {refused}") from refused
    try:
        async with Redis.from_url(url) as client:
            stored = as_dict(await client.execute_command("HGETALL", keys.STORE))  # type: ignore[no-untyped-call]
            count = int(await client.dbsize())
            if new_id and stored:
                await client.execute_command("HSET", keys.STORE, "store_id", new_id)  # type: ignore[no-untyped-call]
    finally:
        await embedded.stop()
    store_id = stored.get(b"store_id")
    return (store_id.decode() if store_id else None), count
