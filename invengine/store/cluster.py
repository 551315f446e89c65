"""A Redis Cluster: which primary serves which slot, learnt from the nodes and corrected by what they answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from redis.crc import key_slot
from redis.exceptions import AskError, AuthenticationError, AuthorizationError, MovedError, RedisError, ResponseError

from invengine.redis_url import RedisUrl
from invengine.store import keys
from invengine.store.failures import Unsent
from invengine.store.node import Node
from invengine.store.topology import StoreUnsuitable, Topology, client_of, close_all

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the keys of a slot are: at the node with the id `owner`, and while they move, also at `target`.

    `epoch` is the owner's configuration epoch, which every hand-over of a slot raises.
    """

    owner: str
    target: str
    epoch: int


class Cluster(Topology):
    """The primaries of a Cluster. `redirections` counts MOVED and ASK answers."""

    is_whole = False

    def __init__(self, url: RedisUrl) -> None:
        super().__init__()
        self._url = url
        self._nodes: dict[Address, Node] = {}
        self._slots: dict[int, Node] = {}
        self._slot_of: dict[bytes, int] = {}  # tag -> slot; there are as many as partitions and a few more
        self._changes = 0
        self._turn = 0
        self.redirections: Counter[str] = Counter()

    @property
    def disruptions(self) -> int:
        """Connections made and slot maps taken so far."""
        return self._changes + sum(node.connected for node in self._nodes.values())

    def owner(self, key: str | bytes | None) -> Node:
        """The primary that serves the slot of a key, as far as is known. Unsent when none is known to."""
        node = self._slots.get(self.slot_of(keys.STORE if key is None else key))
        if node is None:
            self.doubt()
            raise Unsent("no node of the Cluster serves the slot of the key")
        return node

    def primaries(self) -> list[Node]:
        """The primaries that serve slots."""
        return list(dict.fromkeys(self._slots.values()))

    def slots_of(self, node: Node) -> str:
        """The slots that a primary serves: `0-5460 5500`."""
        served = [slot for slot in sorted(self._slots) if self._slots[slot] is node]
        first = [slot for slot in served if self._slots.get(slot - 1) is not node]
        last = [slot for slot in served if self._slots.get(slot + 1) is not node]
        return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(first, last, strict=True))

    def slot_of(self, key: str | bytes) -> int:
        """The slot of a key: that of its hash tag."""
        name = key.encode() if isinstance(key, str) else key
        end = name.find(b"}") if name.startswith(b"{") else -1
        if end < 2:
            return key_slot(name)
        tag = name[: end + 1]
        slot = self._slot_of.get(tag)
        if slot is None:
            slot = self._slot_of[tag] = key_slot(tag)
        return slot

    def declared(self, keys_of_call: list[str | bytes]) -> list[str | bytes]:
        """These keys and one that never exists."""
        # While a slot is moved key by key, half of a partition is at the other node. A function would find the keys it
        # did not declare missing, or fail between two writes. With a second declared key that never exists, neither
        # node runs the function before all keys are in one place: both answer TRYAGAIN, and the call is repeated.
        return [*keys_of_call, keys.never(keys_of_call[0])]

    def redirected(self, node: Node, error: AskError) -> Node:
        """The server that `node` named; after MOVED the slot is that one's from now on."""
        host = error.host or node.name.rpartition(":")[0].strip("[]")  # "MOVED 3999 :6381": the host that was asked
        named = self._node((host, int(error.port)))
        if isinstance(error, MovedError):
            self.redirections["MOVED"] += 1
            if self._slots.get(int(error.slot_id)) is not named:
                self._slots[int(error.slot_id)] = named
                self._changes += 1
            self.doubt()  # where one slot went, others may have gone too
        else:
            self.redirections["ASK"] += 1
        return named

    async def aclose(self) -> None:
        """Close all connections."""
        await close_all(self._nodes.values())

    async def _look(self) -> None:
        """Takes the slot map of the first node that answers, another one first each time: one may be cut off."""
        candidates = list(dict.fromkeys([*self.primaries(), *(self._node(address) for address in self._url.hosts)]))
        self._turn += 1
        start = self._turn % len(candidates)
        failures = []
        for node in candidates[start:] + candidates[:start]:
            try:
                (reply,) = await node.exchange([("CLUSTER", "SLOTS")])
            except (AuthenticationError, AuthorizationError):
                raise
            except (Unsent, RedisError, OSError) as error:
                failures.append(str(error))
                continue
            if isinstance(reply, ResponseError):
                if "cluster support disabled" in str(reply):
                    raise StoreUnsuitable(f"{node.name} is no node of a Cluster: its url begins with redis://")
                raise reply
            await self._take(node, reply)
            return
        raise Unsent("; ".join(failures))

    async def _take(self, node: Node, ranges: Iterable[Any]) -> None:
        """Serve from what CLUSTER SLOTS says: [first slot, last slot, [host, port, ...] of the primary, replicas]."""
        slots: dict[int, Node] = {}
        for first, last, primary, *_ in ranges:
            host = primary[0].decode() if primary[0] else ""
            host = host if host not in ("", "?") else node.name.rpartition(":")[0].strip("[]")
            serving = self._node((host, int(primary[1])))
            slots.update(dict.fromkeys(range(first, last + 1), serving))
        if slots != self._slots:
            former = set(self._slots.values()) - set(slots.values())
            self._changes += bool(self._slots)
            self._slots = slots
            for gone in former:
                await gone.drop_idle()

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            node = self._nodes[address] = Node(place, client_of(self._url, host, port), self.greetings)
        return node

    async def layout(self) -> tuple[list[Node], dict[int, Place]]:
        """All masters, those without slots too, and where the keys of each slot are, asked of the masters themselves.

        Unsent and what `Node.exchange` raises, when one of them does not answer.
        """
        self.doubt()
        await self.ready()
        (text,) = await self.owner(None).exchange([("CLUSTER", "NODES")])
        nodes, places = self.primaries(), dict[int, Place]()
        for address in _masters(_text(text)):
            node = self._node(address)
            if node not in nodes:
                nodes.append(node)
        moving: dict[int, tuple[str, str]] = {}
        for node in nodes:
            (text,) = await node.exchange([("CLUSTER", "NODES")])
            _read_own_line(_text(text), places, moving)
        for slot, (source, target) in moving.items():
            place = places.get(slot)
            # the last step is told to one node after the other: where the target has the slot already, the move is over
            if place is not None and place.owner != target:
                places[slot] = Place(source, target, place.epoch)
        return nodes, places


_FLAGS: Final = 2
_EPOCH: Final = 6
_SLOTS: Final = 8


def _text(reply: Any) -> str:
    if isinstance(reply, ResponseError):
        raise reply
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _masters(text: str) -> list[Address]:
    """Addresses of the masters that are alive, by the lines of CLUSTER NODES but the node's own."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        flags = fields[_FLAGS].split(",")
        if "master" in flags and not {"fail", "noaddr", "handshake", "myself"} & set(flags):
            host, _, port = fields[1].partition("@")[0].rpartition(":")
            found.append((host.strip("[]"), int(port)))
    return found


def _read_own_line(text: str, places: dict[int, Place], moving: dict[int, tuple[str, str]]) -> None:
    """What a node's own line in CLUSTER NODES says: slots that it has, and those that leave it or come to it."""
    for line in text.splitlines():
        fields = line.split(" ")
        if "myself" not in fields[_FLAGS] or "master" not in fields[_FLAGS]:
            continue
        own, epoch = fields[0], int(fields[_EPOCH])
        here = Place(own, "", epoch)
        for words in fields[_SLOTS:]:
            if words.startswith("["):
                slot, to, other = words.strip("[]").partition("->-")
                if to:
                    moving[int(slot)] = (own, other)
                else:
                    slot, _, other = words.strip("[]").partition("-<-")
                    moving.setdefault(int(slot), (other, own))
            else:
                first, _, last = words.partition("-")
                served = range(int(first), int(last or first) + 1)
                # two may claim a slot for a moment; the newer one has it
                elsewhere = {n: places[n] for n in served if n in places and places[n].epoch >= epoch}
                places.update(dict.fromkeys(served, here) | elsewhere)
