"""What was perhaps meant by a name that nobody knows."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from invengine.cli import known_names

if TYPE_CHECKING:
    from invengine.client import Client

_PATIENCE_SECONDS: Final = 1.0
_LISTED: Final = 3
_OF_NETWORK: Final = {
    "UNKNOWN_CHANNEL": ("channel", "channels"),
    "UNKNOWN_GROUP": ("group", "groups"),
    "UNKNOWN_LOCATION": ("location", "locations"),
    "UNKNOWN_SERVICE": ("service", "services"),
}
"""Where a refusal has the name that is not known, and where the network document lists those that are."""


async def near_names(client: Client, error: Exception) -> list[str]:
    """Names much like the one that the server does not know, the nearest first; none where it cannot say them soon."""
    from invengine.client import CallFailed
    from invengine.errors import InventoryError

    asked = _question(client, error)
    if asked is None:
        return []
    name, ask = asked
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            known = await ask()
    except (TimeoutError, InventoryError, CallFailed):
        return []  # the refusal itself is what has to be told
    return _nearest(name, known)


def _question(client: Client, error: Exception) -> tuple[str, Callable[[], Awaitable[list[str]]]] | None:
    """The name that is not known, and how to ask for those that are."""
    from invengine import errors

    match error:
        case errors.UnknownSku(sku=name):
            return name, lambda: known_names.of_skus(client, {name[:2], name[:2].upper(), name[:2].lower()})
        case errors.UnknownProfile(profile=name):
            return name.partition("@")[0], lambda: known_names.of_profiles(client)
        case errors.NotFound(reason=reason) if reason in _OF_NETWORK:
            field, kind = _OF_NETWORK[reason]
            return error.metadata[field], lambda: known_names.of_network(client, kind)
    return None


def _nearest(name: str, known: list[str]) -> list[str]:
    """Names that differ in letter case only come first."""
    spelled = {each.casefold(): each for each in reversed(known)}
    found = difflib.get_close_matches(name.casefold(), spelled, n=_LISTED, cutoff=0.65)
    return [spelled[each] for each in found if spelled[each] != name]
