"""What every command that talks to a server shares: the options, the client, the way it ends."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NoReturn, ParamSpec

import typer

from invengine.cli import completion, connection, output
from invengine.cli.connection import Connection
from invengine.cli.exits import ExitCode, advice_for, exit_code_of, sentence
from invengine.cli.near import near_names
from invengine.cli.output import Form, fail_usage, printing, say

if TYPE_CHECKING:
    from invengine.client import Client

P = ParamSpec("P")

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


def fail(error: Exception, as_json: bool, *, near: Sequence[str] = (), request_id: str = "") -> NoReturn:
    """End the command with the sentence of the error on stderr, what to do next, and the exit code of its kind.

    `near` are names much like one that nobody knows; `request_id` is that of the write.
    """
    advice = advice_for(error, near=near, request_id=request_id)
    if as_json:
        facts = getattr(error, "metadata", {})
        reason = getattr(error, "reason", "") or getattr(error, "code", "") or "SERVER_UNREACHABLE"
        told = {"reason": reason, "message": str(error), "metadata": facts, "advice": advice}
        say(json.dumps(told, ensure_ascii=False))
    else:
        say(sentence(error))
        if advice:
            say(advice)
    raise typer.Exit(exit_code_of(error))


def command(
    app: typer.Typer,
    name: str,
    *,
    timeout_seconds: float = 10.0,
    retry_seconds: float = 2.0,
    has_table: bool = True,
    arguments_may_start_with_dash: bool = False,
) -> Callable[[Callable[Concatenate[Session, P], Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Register a coroutine as a command: it gets a Session, the command line gets the common options after its own.

    A write that was not given a `request_id` gets a new one here, so that what was cut short can be named.
    """

    def register(body: Callable[Concatenate[Session, P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(body)
        def run(*, json: bool, no_color: bool, csv: bool = False, **own: Any) -> None:
            where = connection.taken(own, retry_seconds)
            if "request_id" in own and not own["request_id"]:
                own["request_id"] = uuid.uuid4().hex
            with printing(json=json, csv=csv, no_color=no_color) as form:
                try:
                    asyncio.run(_run(body, own, where, form))
                except KeyboardInterrupt:
                    _end_interrupted(own)

        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        parameters = [
            *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
            *connection.options(timeout_seconds),
            *output.options(has_table=has_table),
        ]
        parameters = [completion.completed(parameter) for parameter in parameters]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # its annotations are not those of the command
        settings = {"ignore_unknown_options": True} if arguments_may_start_with_dash else {}
        app.command(name, context_settings=settings)(run)
        return run

    return register


def _end_interrupted(own: dict[str, Any]) -> NoReturn:
    """Say that the command was cut short, and how a write is finished that may have been done or not."""
    say("Interrupted.")
    if own.get("request_id"):
        say(f"If it was done is not known: again with --request-id {own['request_id']}, nothing is done twice.")
    raise typer.Exit(ExitCode.INTERRUPTED) from None


async def _run(
    body: Callable[..., Coroutine[Any, Any, None]],
    own: dict[str, Any],
    where: Connection,
    form: Form,
) -> None:
    from invengine.client import CallFailed
    from invengine.errors import InventoryError

    async with where.client() as client:
        try:
            await body(Session(client, where.channel, form is Form.JSON), **own)
        except (InventoryError, CallFailed) as error:
            fail(error, form is Form.JSON, near=await near_names(client, error), request_id=own.get("request_id", ""))
