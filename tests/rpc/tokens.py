"""A server that asks who calls, and tokens for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from invengine import bootstrap
from invengine.bootstrap import Running
from invengine.client import Client, Tls
from tests.rpc.engines import settings_for

ROLES = ("read", "reserve", "feed", "plan", "admin")


class Guarded:
    """The server, and a client of its first administrator."""

    def __init__(self, running: Running, admin: Client, admin_token: str) -> None:
        self.running = running
        self.address = running.address
        self.admin = admin
        self.admin_token = admin_token

    async def token(self, name: str, *roles: str, **more: Any) -> str:
        """A new token, `<id>.<secret>`."""
        return (await self.admin.issue_token(name, roles=roles, **more)).secret

    def client(self, token: str, **options: Any) -> Client:
        """A client with this token."""
        return Client(self.address, token=token, **{"retry_seconds": 0.0, **options})


@asynccontextmanager
async def guarded(redis_url: str, folder: Path, tls: Tls | None = None, **given: Any) -> AsyncIterator[Guarded]:
    """A server of a new store that asks who calls; its first token is in `folder`."""
    settings = settings_for(redis_url, **{"authentication": True, "data_dir": folder, **given})
    async with bootstrap.running(settings) as running:
        token = (folder / "admin.token").read_text().strip()
        async with Client(running.address, token=token, tls=tls) as admin:
            yield Guarded(running, admin, token)


def authorization(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    return (("authorization", f"Bearer {token}"),)
