"""The servers behind a store: one Redis, the master that Sentinels name, or the primaries of a Cluster."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import AskError, ConnectionError, ResponseError

from invengine.redis_url import RedisUrl
from invengine.store.failures import Unsent
from invengine.store.node import Greeting, Node

ANSWER_SECONDS: Final = 5.0
"""How long an answer may take that nobody blocks; a Redis that says nothing for so long counts as away."""

CONNECT_SECONDS: Final = 1.0
"""How long a connection may take to be made where another server may answer in its place."""

DRIVER: Final = DriverInfo()
"""What a connection tells the server of its client: put together once, not anew for every connection."""


class StoreUnsuitable(Exception):
    """The server or its data cannot be used; the message is one sentence for people."""


class Topology(ABC):
    """Which servers there are and which keys each serves."""

    is_whole: ClassVar[bool]
    """Whether one call may span partitions: all keys are on one server. Else a call is atomic within one partition."""

    def __init__(self) -> None:
        self.greetings: list[Greeting] = []
        """Of every connection that is made from now on."""
        self._in_doubt = True
        self._looking = asyncio.Lock()

    async def ready(self) -> None:
        """Make sure that it is known who serves what. Unsent when nobody can be asked."""
        if not self._in_doubt:
            return
        async with self._looking:
            if self._in_doubt:
                self._in_doubt = False  # first: a doubt that comes up while looking counts
                try:
                    await self._look()
                except BaseException:
                    self._in_doubt = True
                    raise

    def doubt(self) -> None:
        """An attempt failed: have `ready` look anew who serves what."""
        self._in_doubt = True

    @property
    @abstractmethod
    def disruptions(self) -> int:
        """Rises when a connection was made or a key got another server: it may be one that lost writes."""

    @abstractmethod
    async def _look(self) -> None:
        """Find out who serves what."""

    @abstractmethod
    def owner(self, key: str | bytes | None) -> Node:
        """The server of a key, or for None that of the store's own key, whose clock is the store's. After `ready`."""

    @abstractmethod
    def primaries(self) -> list[Node]:
        """All servers that take writes. After `ready`."""

    def slots_of(self, node: Node) -> str:
        """The slots that one of them serves, as ranges; nothing where there are none."""
        return ""

    def redirected(self, node: Node, error: AskError) -> Node:
        """The server that `node` named with MOVED or ASK; after MOVED the slot is that one's from now on."""
        raise error  # not a Cluster, so nobody says so

    def declared(self, keys: list[str | bytes]) -> list[str | bytes]:
        """The keys that a function call declares which works with these."""
        return keys

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""


class Standalone(Topology):
    """One Redis."""

    is_whole = True

    def __init__(self, client: Redis) -> None:
        super().__init__()
        self._node = Node("redis", client, self.greetings)

    @property
    def disruptions(self) -> int:
        """Connections made so far."""
        return self._node.connected

    async def _look(self) -> None:
        return

    def doubt(self) -> None:
        """There is nobody else to look for."""
        return

    def owner(self, key: str | bytes | None) -> Node:
        """The one server."""
        return self._node

    def primaries(self) -> list[Node]:
        """The one server."""
        return [self._node]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._node.aclose()


class Watched(Topology):
    """The master of a service that Sentinels watch. They are asked at every new connection, since behind the old
    address there may be a former master that does not know it yet; and after every failed attempt.
    """

    is_whole = True

    def __init__(self, url: RedisUrl) -> None:
        super().__init__()
        self._url = url
        self._sentinels = Sentinel(  # type: ignore[no-untyped-call]
            url.hosts,
            sentinel_kwargs={
                "socket_timeout": CONNECT_SECONDS,
                "driver_info": DRIVER,
                "ssl": url.scheme == "rediss",
                "retry": Retry(NoBackoff(), 0),  # the next one is asked instead
            },
        )
        self._nodes: dict[tuple[str, int], Node] = {}
        self._master: Node | None = None
        self._changes = 0

    @property
    def disruptions(self) -> int:
        """Connections made and masters found so far."""
        return self._changes + sum(node.connected for node in self._nodes.values())

    async def _look(self) -> None:
        try:
            address = await self._discover()
        except ConnectionError as error:  # none answered, or a failover is under way
            raise Unsent(str(error)) from error
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._node(address)
        if node is not self._master:
            former, self._master = self._master, node
            self._changes += 1
            if former is not None:
                await former.drop_idle()

    def owner(self, key: str | bytes | None) -> Node:
        """The master."""
        assert self._master is not None
        return self._master

    def primaries(self) -> list[Node]:
        """The master."""
        return [self.owner(None)]

    async def aclose(self) -> None:
        """Close all connections, those to the Sentinels too."""
        await close_all(self._nodes.values())
        await self._sentinels.aclose()

    async def _discover(self) -> tuple[str, int]:
        try:
            host, port = await self._sentinels.discover_master(self._url.service)
        except ResponseError as error:
            raise StoreUnsuitable(f"the server of redis+sentinel:// is no Sentinel: {error}") from error
        return host, int(port)

    def _node(self, address: tuple[str, int]) -> Node:
        name = f"{address[0]}:{address[1]}"

        async def greeting(connection: Any) -> None:
            if await self._discover() != address:
                raise ConnectionError(f"{name} is no longer the master")
            await connection.send_command("ROLE")
            if (await connection.read_response())[0] != b"master":
                raise ConnectionError(f"{name} is no master yet")

        return Node(name, client_of(self._url, *address), [greeting], self.greetings)


def client_of(url: RedisUrl, host: str, port: int) -> Redis:
    """A client of one of several servers."""
    client: Redis = Redis.from_url(
        url.at(host, port),
        username=url.username or None,
        password=url.password or None,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        driver_info=DRIVER,
    )
    return client


async def close_all(nodes: Iterable[Node]) -> None:
    """Close the connections of all, also when one fails to."""
    failures = [e for e in await asyncio.gather(*(n.aclose() for n in nodes), return_exceptions=True) if e is not None]
    if failures:
        raise failures[0]
