"""Completion in the shell of what only a running server knows: channels, locations, groups, profiles.

Whoever presses TAB waits for the answer: it has half a second, and where none comes there is nothing to choose from.
"""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

import typer
from typer.models import ParameterInfo

from invengine.cli import connection, known_names

if TYPE_CHECKING:
    from invengine.client import Client

_PATIENCE_SECONDS: Final = 0.5

_DEFAULTS: Final = {parameter.name: parameter.default for parameter in connection.options(_PATIENCE_SECONDS)}
_KINDS: Final = {
    "channel": "channels",
    "for_channel": "channels",
    "from_location": "locations",
    "group": "groups",
    "location": "locations",
    "of_channel": "channels",
    "pickup": "locations",
    "profile": "profiles",
    "profiles": "profiles",
    "service": "services",
    "store": "locations",
    "to_channel": "channels",
    "to_group": "groups",
    "to_location": "locations",
    "waiting_channel": "channels",
    "waiting_group": "groups",
    "zone": "zones",
}
"""What is completed, by the name of the parameter."""


def completed(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter of a command, completed by what the server knows where its name says of which kind it is."""
    kind = _KINDS.get(parameter.name)
    if kind is None or get_origin(parameter.annotation) is not Annotated:
        return parameter
    of_type, *extras = get_args(parameter.annotation)
    told = []
    for extra in extras:
        info = copy(extra)
        if isinstance(info, ParameterInfo):
            info.autocompletion = _completer(kind)
        told.append(info)
    return parameter.replace(annotation=Annotated[(of_type, *told)])


def _completer(kind: str) -> Callable[[typer.Context, str], list[str]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return [name for name in _ask(ctx.params, kind) if name.startswith(incomplete)]

    return complete


def _ask(given: dict[str, Any], kind: str) -> list[str]:
    """What the server says within the time; nothing where it cannot be reached or refuses."""
    try:
        where = connection.taken({**_DEFAULTS, **{name: value for name, value in given.items() if value}}, 0)
        with redirect_stderr(io.StringIO()):
            return asyncio.run(asyncio.wait_for(_names(where, kind), _PATIENCE_SECONDS))
    except Exception:  # noqa: BLE001  # a shell that completes shows no error of any kind
        return []


async def _names(where: connection.Connection, kind: str) -> list[str]:
    async with where.client() as client:
        return await _question(client, kind)


def _question(client: Client, kind: str) -> Awaitable[list[str]]:
    return known_names.of_profiles(client) if kind == "profiles" else known_names.of_network(client, kind)
