"""The command that runs the server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from invengine.cli.demo import COMPILING
from invengine.cli.exits import ExitCode
from invengine.cli.output import fail_usage, say, table
from invengine.compiling import in_company

_SECRETS: Final = frozenset({"redis_url"})


class Durability(StrEnum):
    """What a write that is answered has behind it."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    REPLICATED = "replicated"


class LogLevel(StrEnum):
    """The least severe message that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    app.command("serve")(serve)


def serve(
    *,
    listen: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT|unix:PATH", help="Where the gRPC API listens; may repeat.")
    ] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where /metrics and /readyz listen; empty: nowhere.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the Redis that is started.")] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            help="Redis or Valkey to use instead (redis://, redis+sentinel://, redis+cluster://, unix://); "
            "set INVENGINE_REDIS_URL where it holds a password."
        ),
    ] = None,
    durability: Annotated[
        Durability | None,
        typer.Option(help="When a write is answered: on disk, up to a second before, or once replicas have it."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve the address; each has a copy of the stock.")
    ] = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of a store that is made new.")] = None,
    log_level: Annotated[LogLevel | None, typer.Option(case_sensitive=False, help="Least severe message.")] = None,
    log_json: Annotated[bool | None, typer.Option("--log-json", help="One JSON object per log line.")] = None,
    listen_beyond_loopback: Annotated[
        bool | None, typer.Option("--listen-beyond-loopback", help="Allow addresses that other machines reach.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Encrypt the gRPC API: its certificate (PEM), read again when it changes.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The key of that certificate (PEM).")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Who vouches for clients (PEM): every client must bring a certificate.")
    ] = None,
    authentication: Annotated[
        bool | None,
        typer.Option(
            "--authentication/--no-authentication",
            help="Ask who calls (tokens).",
            show_default="where other machines reach the gRPC API",
        ),
    ] = None,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="Print every setting with its value and end.")
    ] = False,
) -> None:
    """Run the engine until SIGTERM or Ctrl-C. Every setting is an environment variable; options go first.

    Example: invengine serve --listen 127.0.0.1:50051 --data-dir ./data
    """
    from invengine.settings import Settings, SettingsInvalid

    given: dict[str, Any] = {
        "listen": tuple(listen) if listen else None,
        "metrics_listen": metrics_listen,
        "data_dir": data_dir,
        "redis_url": redis_url,
        "durability": durability.value if durability else None,
        "workers": workers,
        "partitions": partitions,
        "log_level": log_level.value if log_level else None,
        "log_json": log_json,
        "listen_beyond_loopback": listen_beyond_loopback,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "authentication": authentication,
    }
    try:
        settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    except SettingsInvalid as invalid:
        fail_usage(str(invalid))
    if list_settings:
        _list(settings)
        return
    _run(settings)


def _list(settings: Any) -> None:
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        told = "(set)" if name in _SECRETS and value else ",".join(value) if isinstance(value, tuple) else value
        rows.append((f"INVENGINE_{name.upper()}", "" if told is None else str(told), field.description or ""))
    table(("variable", "value", "meaning"), rows)


def _run(settings: Any) -> None:
    import os

    from invengine.settings import Settings
    from invengine.workers.link import Broken

    for warning in Settings.unknown_variables(os.environ):
        say(warning)
    try:
        if settings.workers > 1:
            from invengine.workers.supervisor import supervise

            supervise(settings, on_compiling=lambda: say(COMPILING))
        else:
            _serve_alone(settings)
    except Broken as fault:
        say(str(fault))
        raise typer.Exit(ExitCode.FAILURE) from None


def _serve_alone(settings: Any) -> None:
    import gc

    gc.disable()  # what is imported stays: looking through it for garbage is an eighth of the start
    with in_company(lambda: say(COMPILING)):
        from invengine import bootstrap  # which compiles the kernels, or loads them
    gc.enable()
    bootstrap.serve(settings)
