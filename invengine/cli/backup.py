"""Back-ups of the store: made beside the serving, looked at, restored. They speak to Redis, not to a server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.output import AsJson, NoColor, fail_usage, say, show_json

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Back up the store while it serves; verify and restore back-ups.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the back-up.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data folder of the engine's own Redis.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        help="The Redis that keeps the stock, else that of --data-dir; INVENGINE_REDIS_URL where it holds a password.",
    ),
]


@app.command("make")
def make(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Back up everything as of one instant, while servers serve; of a Cluster each master as of its own.

    Example: invengine backup make /backups/2026-11-22
    """
    settings = _settings(data_dir, redis_url)
    manifest = _done(_make(folder.expanduser().absolute(), settings))
    _show(folder, manifest, json, "Backed up")


@app.command("verify")
def verify(folder: Folder, json: AsJson = False, no_color: NoColor = False) -> None:
    """See whether a back-up is whole: checksums first, then it is loaded into a Redis that is thrown away.

    Example: invengine backup verify /backups/2026-11-22
    """
    from invengine.store.restoring import check_backup

    loaded = _done(check_backup(folder, _settings(None, None).redis_server))
    _show(folder, loaded.manifest, json, f"Whole: {loaded.keys} keys;", keys=loaded.keys)


@app.command("restore")
def restore(folder: Folder, data_dir: DataDir = None, json: AsJson = False, no_color: NoColor = False) -> None:
    """Fill an empty data folder from a back-up; `invengine serve` then goes on from there. No server may use it yet.

    Example: invengine backup restore /backups/2026-11-22 --data-dir ./data
    """
    from invengine.store import restoring

    settings = _settings(data_dir, None)
    loaded = _done(restoring.restore(folder, settings.data_dir.expanduser().absolute(), settings.redis_server))
    _show(folder, loaded.manifest, json, f"Restored {loaded.keys} keys to {settings.data_dir}:", keys=loaded.keys)
    if not json:
        say(
            "Callers' consistency tokens are of the former store; requests sent after the back-up are unknown here. "
            "Start the server, then: invengine check --replay"
        )


async def _make(folder: Path, settings: Any) -> Any:
    from invengine.store.backup import make_backup
    from invengine.store.embedded_source import embedded_url
    from invengine.store.opening import open_topology

    async with embedded_url(settings.redis_url, settings.data_dir, settings.redis_server) as url:
        topology = open_topology(url)
        try:
            return await make_backup(topology, folder)
        finally:
            await topology.aclose()


def _settings(data_dir: Path | None, redis_url: str | None) -> Any:
    from invengine.settings import Settings, SettingsInvalid

    given: dict[str, Any] = {"data_dir": data_dir, "redis_url": redis_url}
    if data_dir is not None and redis_url is None:
        given["redis_url"] = ""  # the folder was meant
    try:
        return Settings.load(**{name: value for name, value in given.items() if value is not None})
    except SettingsInvalid as invalid:
        fail_usage(str(invalid))


def _done(work: Coroutine[Any, Any, T]) -> T:
    from invengine.store.backup import BackupFailed
    from invengine.store.embedded_folder import EmbeddedError
    from invengine.store.topology import StoreUnsuitable

    try:
        return asyncio.run(work)
    except (BackupFailed, EmbeddedError, StoreUnsuitable) as failed:
        say(str(failed))
        raise typer.Exit(ExitCode.FAILURE) from None
    except KeyboardInterrupt:
        say("Interrupted.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _show(folder: Path, manifest: Any, json: bool, what: str, **more: int) -> None:
    if json:
        show_json({"folder": str(folder), **more, **asdict(manifest)})
        return
    size = sum(part.bytes for part in manifest.parts)
    of = "1 server" if len(manifest.parts) == 1 else f"{len(manifest.parts)} masters"
    say(
        f"{what} the store {manifest.store_id} as of {manifest.began_at}, {size:,} bytes of {of} ({manifest.redis}, "
        f"function library {manifest.library})."
    )
