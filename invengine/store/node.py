"""One Redis server and the connections to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from weakref import WeakSet

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, ConnectionError, ResponseError, TimeoutError

from invengine.store.failures import Unsent

Command = Sequence[str | bytes | int]
Greeting = Callable[[Any], Awaitable[object]]
"""Called with every new connection before it is used; a ConnectionError of its own makes that one fail, and False has
it closed behind its first exchange."""

BLOCKED_SECONDS: Final = 5.0
"""How much longer than a command may block its answer is waited for."""


class Node:
    """A server: exchanges commands and replies over its pool of connections, each exchange on one of them.

    client     is only asked for its connections; they answer bytes (decode_responses off)
    greetings  of every connection that is made from now on, also those that the list gets later
    """

    def __init__(self, name: str, client: Redis, *greetings: Sequence[Greeting]) -> None:
        client.set_retry(
            Retry(NoBackoff(), 0)
        )  # repeating is decided in `Calls`: there it is known what a repeat means
        self.name = name
        self.connected = 0
        """Connections made so far. Those that are older than a moment lead to the process that was there then: no
        connection outlives its server. Behind a newer one may be a server that lost writes.
        """
        self._client, self._greetings = client, greetings
        self._pool = client.connection_pool
        self._pool.connection_kwargs["redis_connect_func"] = self._greet
        self._for_once: WeakSet[Any] = WeakSet()

    def __repr__(self) -> str:
        return f"<{self.name}>"

    async def exchange(self, commands: Sequence[Command], block_seconds: float = 0.0) -> list[Any]:
        """The replies; where Redis answered a command with an error, that ResponseError stands in its place.

        Unsent when there was no connection; ConnectionError, TimeoutError when there is one no more: then nobody knows
        which commands were executed.
        """
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError):
            raise
        except (ConnectionError, TimeoutError, OSError) as error:
            raise Unsent(f"{self.name}: {error}") from error
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    if block_seconds:
                        replies.append(await connection.read_response(timeout=block_seconds + BLOCKED_SECONDS))
                    else:
                        replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            await connection.disconnect(nowait=True)  # replies may be under way that belong to nobody
            raise
        finally:
            if connection in self._for_once:
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)
        return replies

    async def alone(self, use: Callable[[Any], Awaitable[None]]) -> None:
        """Let `use` have a connection that is closed behind it. Unsent when there is none, else what `use` raises."""
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError):
            raise
        except (ConnectionError, TimeoutError, OSError) as error:
            raise Unsent(f"{self.name}: {error}") from error
        try:
            await use(connection)
        finally:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        await self._pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _greet(self, connection: Any) -> None:
        self.connected += 1
        try:
            await connection.on_connect()
            self._for_once.discard(connection)
            for greetings in self._greetings:
                for greet in greetings:
                    if await greet(connection) is False:
                        self._for_once.add(connection)
        except BaseException:
            await connection.disconnect(nowait=True)  # half greeted it must not go back into the pool as a good one
            raise
