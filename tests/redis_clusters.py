"""Clusters and Sentinel sets that belong to the suite, and what can happen to them: failovers, cut links, moving slots.

Every run of the suite has a loopback address of its own, so that runs beside each other do not meet. Methods block:
call them with `asyncio.to_thread` from a test whose load runs on the event loop.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from invengine.store.topology import DRIVER
from tests.redis_servers import CHILD, PLACE, START_SECONDS, binary

SLOTS = 16384
WAIT_SECONDS = 25.0
PRIMARIES = 3
SERVICE = "stock"
_REPLICATION_USER = "repl"


def own_address() -> str:
    """127.x.y.z of this process where the whole net is loopback (Linux), else 127.0.0.1."""
    pid = os.getpid()
    return f"127.{64 + pid % 128}.{pid >> 7 & 255}.{1 + (pid >> 15)}" if sys.platform == "linux" else "127.0.0.1"


_taken: set[int] = set()


def free_port() -> int:
    """A port of the own address that nobody listens on, below those that clients get."""
    for port in range(20000, 30000):
        if port in _taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((own_address(), port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise RuntimeError("no port is free")


def wait_until(is_so: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Asks other processes until it is so; what cannot be asked yet is not so."""
    deadline = time.monotonic() + seconds
    failure: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if is_so():
                return
        except (redis.RedisError, OSError) as error:
            failure = error
        time.sleep(0.01)  # other processes: there is nothing to await but their answers
    raise TimeoutError(f"not so after {seconds} s: {what} ({failure})")


@dataclass(eq=False)
class Member:
    """One process of a cluster or a Sentinel set."""

    kind: str
    folder: Path
    config: list[str]
    arguments: tuple[str, ...] = ()
    host: str = field(default_factory=own_address)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.address}>"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A new blocking client."""
        with redis.Redis(self.host, self.port, protocol=3, socket_timeout=10, driver_info=DRIVER) as client:
            yield client

    def do(self, *words: Any) -> Any:
        """The answer to one command."""
        with self.client() as client:
            return client.execute_command(*words)

    def facts(self, section: str) -> dict[str, Any]:
        """INFO of this section."""
        with self.client() as client:
            return client.info(section)

    def spawn(self) -> None:
        """Start the process; again, on the same data, after it was killed."""
        file = self.folder / "server.conf"
        if not file.exists():  # servers write what they learn into it
            self.folder.mkdir(parents=True, exist_ok=True)
            own = [f"port {self.port}", f"bind {self.host}", f"dir {self.folder}", f"logfile {self.folder}/log"]
            file.write_text("\n".join([*own, *self.config]) + "\n")
        program = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(binary(self.kind)), str(file)]
        self.process = subprocess.Popen(
            [*program, *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def wait_up(self) -> None:
        """Until it answers."""
        wait_until(lambda: self.do("PING"), f"{self} answers", START_SECONDS)

    def kill(self) -> None:
        """Kill -9; the data stay."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class _Group:
    """Members in one folder, gone with the suite."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.is_whole = True  # no member was killed
        self._folder = Path(tempfile.mkdtemp(prefix="inv-", dir=PLACE))
        self.members: list[Member] = []

    def _member(self, name: str, config: Iterable[str], *arguments: str) -> Member:
        member = Member(self.kind, self._folder / name, list(config), arguments)
        self.members.append(member)
        return member

    def _data_member(self, name: str, *config: str) -> Member:
        # replication has its own user, so that it can be cut while clients stay: see `cut_replica_link`
        return self._member(
            name,
            [
                'save ""',
                "appendonly yes",
                "appendfsync everysec",
                "maxmemory-policy noeviction",
                "repl-diskless-sync-delay 0",
                "repl-timeout 5",
                f"bind-source-addr {own_address()}",  # others learn from it where this one is
                f"user {_REPLICATION_USER} on >secret ~* &* +@all",
                f"masteruser {_REPLICATION_USER}",
                "masterauth secret",
                *config,
            ],
        )

    def kill(self, member: Member) -> None:
        """Kill -9."""
        self.is_whole = False
        member.kill()

    def restart(self, member: Member) -> None:
        """Start a killed member on its data, and wait until it answers."""
        member.spawn()
        member.wait_up()

    def cut_replica_link(self, primary: Member) -> None:
        """No write reaches a replica of this one any more; its clients notice nothing."""
        primary.do("ACL", "SETUSER", _REPLICATION_USER, "off")
        primary.do("CLIENT", "KILL", "USER", _REPLICATION_USER)
        wait_until(lambda: primary.facts("replication")["connected_slaves"] == 0, f"{primary} has no replica")

    def heal_replica_link(self, primary: Member) -> None:
        """Replicas may connect again."""
        primary.do("ACL", "SETUSER", _REPLICATION_USER, "on")

    def stop(self) -> None:
        """Kill all and remove their data."""
        for member in self.members:
            member.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class RedisCluster(_Group):
    """3 primaries with a replica each."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        for n in range(2 * PRIMARIES):
            self._cluster_member(f"n{n}")
        try:
            self._form()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """What the store is opened with: two of the nodes."""
        return "redis+cluster://" + ",".join(member.address for member in self.members[:2])

    def _cluster_member(self, name: str) -> Member:
        return self._data_member(
            name,
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            "cluster-node-timeout 1000",
            f"cluster-port {free_port()}",
            "cluster-replica-validity-factor 0",  # a replica whose link was cut takes over all the same
            "cluster-allow-replica-migration no",
        )

    def _form(self) -> None:
        for member in self.members:
            member.spawn()
        for n, member in enumerate(self.members):
            member.wait_up()
            member.do("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for n in range(PRIMARIES):
            first, last = n * SLOTS // PRIMARIES, (n + 1) * SLOTS // PRIMARIES - 1
            self.members[n].do("CLUSTER", "ADDSLOTSRANGE", first, last)
        for member in self.members[1:]:
            self._meet(member)
        self._wait_known(len(self.members))
        for n in range(PRIMARIES):
            master = self.id_of(self.members[n])
            replica = self.members[PRIMARIES + n]
            wait_until(lambda r=replica, m=master: r.do("CLUSTER", "REPLICATE", m), f"{replica} replicates")
        self.wait_ok()

    def _meet(self, member: Member) -> None:
        bus = next(line.split()[1] for line in member.config if line.startswith("cluster-port"))
        self.members[0].do("CLUSTER", "MEET", member.host, member.port, bus)

    def _wait_known(self, count: int) -> None:
        running = [member for member in self.members if member.is_running]
        known = f"cluster_known_nodes:{count}"
        wait_until(lambda: all(known in _state(member) for member in running), f"{count} nodes know each other")

    @staticmethod
    def id_of(member: Member) -> str:
        """The node id."""
        return _text(member.do("CLUSTER", "MYID"))

    def own_line(self, member: Member) -> list[str]:
        """What a node says of itself in CLUSTER NODES, as fields."""
        lines = _lines(member.do("CLUSTER", "NODES"))
        return next(line.split(" ") for line in lines if "myself" in line.split(" ")[2])

    def primaries(self) -> list[Member]:
        """The running nodes that say that they are masters with slots."""
        found = []
        for member in self.members:
            if member.is_running:
                fields = self.own_line(member)
                if "master" in fields[2] and len(fields) > 8:
                    found.append(member)
        return found

    def replicas_of(self, primary: Member) -> list[Member]:
        """The running replicas of a node."""
        master = self.id_of(primary)
        running = [member for member in self.members if member.is_running]
        return [member for member in running if self.own_line(member)[3] == master]

    def primary_of(self, key: str) -> Member:
        """The primary that serves the slot of a key."""
        slot = int(self.members[0].do("CLUSTER", "KEYSLOT", key)) if self.members[0].is_running else None
        if slot is None:
            slot = int(self.primaries()[0].do("CLUSTER", "KEYSLOT", key))
        return next(member for member in self.primaries() if slot in self.slots_of(member))

    def slots_of(self, member: Member) -> set[int]:
        """The slots that a node serves."""
        found: set[int] = set()
        for words in self.own_line(member)[8:]:
            if not words.startswith("["):
                first, _, last = words.partition("-")
                found.update(range(int(first), int(last or first) + 1))
        return found

    def wait_ok(self) -> None:
        """Until every running node says that the cluster is well, and every replica follows its primary."""
        running = [member for member in self.members if member.is_running]

        def is_ok() -> bool:
            for member in running:
                replication = member.facts("replication")
                if "cluster_state:ok" not in _state(member):
                    return False
                if replication["role"] == "slave" and replication["master_link_status"] != "up":
                    return False
            views = {tuple(sorted(self._view(member).items())) for member in running}
            return len(views) == 1

        wait_until(is_ok, "the cluster is well")

    @staticmethod
    def _view(member: Member) -> dict[str, str]:
        """Node id -> slots, as this node sees it."""
        lines = [line.split(" ") for line in _lines(member.do("CLUSTER", "NODES"))]
        return {
            fields[0]: " ".join(w for w in fields[8:] if w[0] != "[") for fields in lines if "fail" not in fields[2]
        }

    def wait_promoted(self, replica: Member) -> None:
        """Until this one is a primary that serves."""
        wait_until(
            lambda: replica.facts("replication")["role"] == "master" and "cluster_state:ok" in _state(replica),
            f"{replica} is promoted",
        )

    def restore(self) -> None:
        """Start what was killed, end moves that a test left behind, spread the slots again; wait until all is well."""
        for member in self.members:
            if not member.is_running:
                member.spawn()
        for member in self.members:
            member.wait_up()
            member.do("ACL", "SETUSER", _REPLICATION_USER, "on")
        self._end_moves()
        self.wait_ok()
        self._spread()

    def _spread(self) -> None:
        """A third of the slots for each primary, as in the beginning: the third that it has most of."""
        served = {primary: self.slots_of(primary) for primary in self.primaries()}
        thirds = [set(range(n * SLOTS // PRIMARIES, (n + 1) * SLOTS // PRIMARIES)) for n in range(PRIMARIES)]
        for third in thirds:
            home = max(served, key=lambda primary: len(served[primary] & third))
            del served[home]
            for other in self.primaries():
                if other is not home:
                    self.migrate_slots(other, home, sorted(self.slots_of(other) & third))

    def _end_moves(self) -> None:
        for member in self.members:
            for words in self.own_line(member)[8:]:
                if words.startswith("["):
                    slot, to, other = words.strip("[]").partition("->-")
                    if to:
                        target = next(each for each in self.members if self.id_of(each) == other)
                        self.finish_move(member, target, int(slot))
        for member in self.members:
            for words in self.own_line(member)[8:]:
                if words.startswith("["):
                    member.do("CLUSTER", "SETSLOT", words.strip("[").partition("-")[0], "STABLE")

    def empty(self) -> None:
        """Forget all data and functions."""
        for primary in self.primaries():
            primary.do("FLUSHALL")
            primary.do("FUNCTION", "FLUSH")

    # --- moving slots key by key ------------------------------------------------------------------------------------

    def begin_move(self, source: Member, target: Member, slot: int) -> None:
        """From now on the slot is on its way."""
        target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, source: Member, target: Member, slot: int, count: int = 10) -> int:
        """Move up to so many keys of the slot; how many were left to move."""
        names = source.do("CLUSTER", "GETKEYSINSLOT", slot, count)
        self.move_named(source, target, names)
        return len(names)

    def move_named(self, source: Member, target: Member, names: Sequence[bytes | str]) -> None:
        """Move these keys."""
        if names:
            source.do("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *names)

    def finish_move(self, source: Member, target: Member, slot: int) -> None:
        """Move the rest of the slot; from now on it is the target's."""
        while self.move_keys(source, target, slot):
            pass
        for member in (target, source, *self.primaries()):
            member.do("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def migrate_slots(
        self, source: Member, target: Member, slots: Iterable[int], pause: Callable[[], object] = lambda: None
    ) -> None:
        """Move slots one after the other, as redis-cli does; `pause` is called between the steps."""
        for slot in slots:
            self.begin_move(source, target, slot)
            pause()
            while self.move_keys(source, target, slot, 3):
                pause()
            self.finish_move(source, target, slot)

    @contextmanager
    def one_more_primary(self) -> Iterator[Member]:
        """A node without slots, data and library; in the end its slots go back to the first primary."""
        member = self._cluster_member(f"n{len(self.members)}-{time.monotonic_ns()}")
        self.restart(member)
        try:
            self._meet(member)
            self._wait_known(len(self.members))
            self.wait_ok()
            yield member
        finally:
            home, name = self.primaries()[0], self.id_of(member)
            self.migrate_slots(member, home, sorted(self.slots_of(member)))
            self.members.remove(member)
            member.kill()
            for other in self.members:
                other.do("CLUSTER", "FORGET", name)
            self.wait_ok()


class SentinelSet(_Group):
    """A master with 2 replicas, and 3 Sentinels that watch it."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.data = [self._data_member(f"d{n}") for n in range(3)]
        master = self.data[0]
        for replica in self.data[1:]:
            replica.config.append(f"replicaof {master.host} {master.port}")
        self.sentinels = [
            self._member(
                f"s{n}",
                [
                    f"sentinel monitor {SERVICE} {master.host} {master.port} 2",
                    f"sentinel down-after-milliseconds {SERVICE} 1000",
                    f"sentinel failover-timeout {SERVICE} 3000",
                    f"sentinel parallel-syncs {SERVICE} 2",
                    f"sentinel announce-ip {own_address()}",
                ],
                "--sentinel",
            )
            for n in range(3)
        ]
        try:
            for member in self.data:
                self.restart(member)
            followed = "connected_slaves"  # by the time that the Sentinels look, which they do every 10 s
            wait_until(lambda: self.data[0].facts("replication")[followed] == 2, "replicas follow")
            for sentinel in self.sentinels:
                self.restart(sentinel)
            self.wait_ok()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """What the store is opened with."""
        return f"redis+sentinel://{','.join(member.address for member in self.sentinels)}/{SERVICE}"

    def master(self) -> Member:
        """The master that the first Sentinel names."""
        host, port = (_text(word) for word in self.sentinels[0].do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE))
        return next(member for member in self.data if (member.host, str(member.port)) == (host, port))

    def wait_ok(self) -> None:
        """Until the Sentinels know each other and one master that is up, and its replicas follow it."""

        def is_ok() -> bool:
            master = self.master()
            for sentinel in self.sentinels:
                with sentinel.client() as client:
                    state = client.sentinel_master(SERVICE)
                if (state["ip"], state["port"], set(state["flags"])) != (master.host, master.port, {"master"}):
                    return False
                if (state["num-other-sentinels"], state["num-slaves"]) != (2, 2):
                    return False
            replication = master.facts("replication")
            followers = [replication.get(f"slave{n}", {}).get("state") for n in range(2)]
            return replication["role"] == "master" and followers == ["online", "online"]

        wait_until(is_ok, "the Sentinels agree and replicas follow")

    def wait_promoted(self, former: Member) -> None:
        """Until the Sentinels name another master, and it takes writes."""
        wait_until(
            lambda: self.master() is not former and self.master().facts("replication")["role"] == "master",
            f"another master than {former}",
        )

    def empty(self) -> None:
        """Forget all data and functions."""
        self.master().do("FLUSHALL")
        self.master().do("FUNCTION", "FLUSH")


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _lines(reply: Any) -> list[str]:
    """The lines of CLUSTER NODES, which redis-py takes apart unless told otherwise."""
    if isinstance(reply, dict):
        raise TypeError("CLUSTER NODES was taken apart")
    return _text(reply).splitlines()


def _state(member: Member) -> str:
    reply = member.do("CLUSTER", "INFO")
    return "\n".join(f"{name}:{value}" for name, value in reply.items()) if isinstance(reply, dict) else _text(reply)
