"""Where the stock is kept: the url of one Redis, of a master that Sentinels watch, or of a Cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote, urlsplit

FORMS: Final = (
    "must be redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE "
    "or redis+cluster://HOST:PORT,HOST:PORT"
)


class Kind(Enum):
    """What a url leads to."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: Final = {
    "redis": (Kind.STANDALONE, "redis"),
    "rediss": (Kind.STANDALONE, "rediss"),
    "unix": (Kind.STANDALONE, "unix"),
    "redis+sentinel": (Kind.SENTINEL, "redis"),
    "rediss+sentinel": (Kind.SENTINEL, "rediss"),
    "redis+cluster": (Kind.CLUSTER, "redis"),
    "rediss+cluster": (Kind.CLUSTER, "rediss"),
}
_DEFAULT_PORTS: Final = {Kind.STANDALONE: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A checked url, taken apart.

    hosts     the servers that it names: the one Redis, the Sentinels, or some nodes of the Cluster; none for unix
    service   the name by which the Sentinels know the master
    database  its number
    """

    kind: Kind
    text: str
    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    username: str = ""
    password: str = ""
    service: str = ""
    database: int = 0
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """The parts of a url. ValueError says what is wrong, and never repeats the url: it may hold a password."""
        parts = urlsplit(text)
        if parts.scheme not in _SCHEMES:
            raise ValueError(FORMS)
        kind, scheme = _SCHEMES[parts.scheme]
        if scheme == "unix":
            if not parts.path:
                raise ValueError(FORMS)
            return cls(kind, text, scheme)
        userinfo, _, places = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        hosts = tuple(_host(place, _DEFAULT_PORTS[kind]) for place in places.split(","))
        if kind is Kind.STANDALONE and len(hosts) > 1:
            raise ValueError("names several servers: they need redis+sentinel:// or redis+cluster://")
        service, database = _path(kind, parts.path)
        return cls(kind, text, scheme, hosts, unquote(username), unquote(password), service, database, parts.query)

    def at(self, host: str, port: int) -> str:
        """The url of one server of this set-up, without user and password."""
        place = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{place}:{port}/{self.database}" + (f"?{self.query}" if self.query else "")


def _host(place: str, default_port: int) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, str(default_port)
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(FORMS)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError("a port of it is not a number of 1 to 65535")
    return host.strip("[]"), int(port)


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Service and number of the database."""
    names = [unquote(name) for name in path.strip("/").split("/") if name]
    service = ""
    if kind is Kind.SENTINEL:
        if not names:
            raise ValueError("lacks the name of the master: redis+sentinel://HOST:PORT/SERVICE")
        service = names.pop(0)
    if kind is Kind.CLUSTER and names not in ([], ["0"]):
        raise ValueError("names a database, and a Cluster has only one")
    if len(names) > 1 or (names and not (names[0].isascii() and names[0].isdigit())):
        raise ValueError("ends with what is not the number of a database")
    return service, int(names[0]) if names else 0
