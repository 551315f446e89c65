"""What every command that talks to a server shares: the options, the client, the way it ends."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NoReturn, ParamSpec

import typer

from invengine.cli import connection
from invengine.cli.connection import Connection
from invengine.cli.exits import ExitCode, advice_for, exit_code_of, sentence

if TYPE_CHECKING:
    from invengine.client import Client

P = ParamSpec("P")
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, with the field names of proto JSON.", rich_help_panel=connection.PANEL),
]
RequestId = Annotated[
    str, typer.Option("--request-id", help="Name of this write: sent again, it does nothing twice. Default: a new one.")
]


@dataclass
class Session:
    """A connected client and how to print."""

    client: Client
    channel: str
    json: bool

    def needs_channel(self) -> str:
        """The channel, or the end of the command when none was named; empty where the server may know it by a token."""
        if not self.channel and not self.client.is_signed:
            fail_usage("Name the channel that asks: --channel web, or set INVENGINE_CHANNEL.")
        return self.channel


def fail_usage(message: str) -> NoReturn:
    """End the command because its arguments or its input cannot be used."""
    typer.echo(message, err=True)
    raise typer.Exit(ExitCode.USAGE)


def fail(error: Exception, as_json: bool) -> NoReturn:
    """End the command with the sentence of the error on stderr, what to do next, and the exit code of its kind."""
    advice = advice_for(error)
    if as_json:
        facts = getattr(error, "metadata", {})
        reason = getattr(error, "reason", "") or getattr(error, "code", "") or "SERVER_UNREACHABLE"
        told = {"reason": reason, "message": str(error), "metadata": facts, "advice": advice}
        typer.echo(json.dumps(told, ensure_ascii=False), err=True)
    else:
        typer.echo(sentence(error), err=True)
        if advice:
            typer.echo(advice, err=True)
    raise typer.Exit(exit_code_of(error))


def command(
    app: typer.Typer,
    name: str,
    *,
    timeout_seconds: float = 10.0,
    retry_seconds: float = 2.0,
    arguments_may_start_with_dash: bool = False,
) -> Callable[[Callable[Concatenate[Session, P], Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Register a coroutine as a command: it gets a Session, the command line gets the common options after its own."""

    def register(body: Callable[Concatenate[Session, P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(body)
        def run(*, json: bool, **given: Any) -> None:
            where = connection.taken(given, retry_seconds)
            try:
                asyncio.run(_run(body, given, where, json))
            except KeyboardInterrupt:
                typer.echo("Interrupted.", err=True)
                raise typer.Exit(ExitCode.INTERRUPTED) from None

        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        parameters = [
            *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
            *connection.options(timeout_seconds),
            inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # its annotations are not those of the command
        settings = {"ignore_unknown_options": True} if arguments_may_start_with_dash else {}
        app.command(name, context_settings=settings)(run)
        return run

    return register


async def _run(
    body: Callable[..., Coroutine[Any, Any, None]],
    own: dict[str, Any],
    where: Connection,
    as_json: bool,
) -> None:
    from invengine.client import CallFailed
    from invengine.errors import InventoryError

    async with where.client() as client:
        try:
            await body(Session(client, where.channel, as_json), **own)
        except (InventoryError, CallFailed) as error:
            fail(error, as_json)
