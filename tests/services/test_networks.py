"""The network in force: one step for every server, followed by those that did not make the change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.network import Network
from invengine.errors import (
    InvalidArgument,
    InventoryError,
    NetworkInvalid,
    NetworkMissing,
    RevisionMismatch,
    StoreUnavailable,
)
from invengine.services.networks import Networks
from invengine.store.redis_store import RedisStore

ONE = "locations: {A: {priority: 1}}\n"
TWO = "locations: {A: {priority: 2}}\n"
THREE = "locations: {A: {priority: 3}}\n"


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    client = Redis.from_url(redis_url)
    try:
        yield await RedisStore.open(client, partitions=4)
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def followed(networks: Networks) -> AsyncIterator[None]:
    task = asyncio.create_task(networks.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Seen(list[Network]):
    """A listener that keeps what it hears."""

    def __call__(self, network: Network) -> None:
        self.append(network)

    @property
    def revisions(self) -> list[int]:
        return [network.revision for network in self]


class AwkwardStore:
    """A store in which something happens before each write, or which is away."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.interlopers: list[str] = []
        self.is_away = False
        self.asked_while_away = 0

    async def network(self) -> tuple[str, int] | None:
        if self.is_away:
            self.asked_while_away += 1
            raise StoreUnavailable("gone")
        return await self._store.network()

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        if self.interlopers:
            await self._store.apply_network(self.interlopers.pop(0), None)
        return await self._store.apply_network(document, expected_revision)


@pytest.mark.asyncio
async def test_before_the_first_document_there_is_no_network(store: RedisStore) -> None:
    networks = Networks(store)
    await networks.load()
    assert networks.current is None
    with pytest.raises(NetworkMissing):
        networks.required()


@pytest.mark.asyncio
async def test_an_applied_document_is_in_force_here_at_once_and_elsewhere_after_a_look(store: RedisStore) -> None:
    here, elsewhere = Networks(store), Networks(store)
    await here.load()
    heard = Seen()
    here.add_listener(heard)
    applied = await here.apply(ONE, request_id="r1")
    assert (applied.revision, [change.path for change in applied.changes]) == (1, ["locations.A"])
    assert here.required().revision == 1
    assert here.current is heard[0] is applied.network
    assert (heard[0].document, heard.revisions) == (ONE, [1])
    await elsewhere.load()
    assert elsewhere.required().locations["A"].priority == 1
    applied = await elsewhere.apply(TWO, request_id="r2")
    assert (applied.revision, applied.changes[0].path, applied.changes[0].after_json) == (
        2,
        "locations.A.priority",
        "2",
    )


@pytest.mark.asyncio
async def test_the_document_in_force_sent_again_changes_nothing_whatever_is_expected(store: RedisStore) -> None:
    networks = Networks(store)
    heard = Seen()
    networks.add_listener(heard)
    await networks.apply(ONE, request_id="r1", expected_revision=0)
    for expected in (0, 1, 7, None):
        again = await networks.apply(ONE, request_id="r1", expected_revision=expected)
        assert (again.revision, again.changes) == (1, ())
    assert heard.revisions == [1]


@pytest.mark.asyncio
async def test_the_same_meaning_in_other_words_is_kept_as_written(store: RedisStore) -> None:
    networks = Networks(store)
    await networks.apply(ONE, request_id="r1")
    applied = await networks.apply("# why\n" + ONE, request_id="r2")
    assert (applied.revision, applied.changes) == (2, ())
    assert await store.network() == ("# why\n" + ONE, 2)


@pytest.mark.asyncio
async def test_only_checking_tells_the_changes_and_makes_none(store: RedisStore) -> None:
    networks = Networks(store)
    checked = await networks.apply(ONE, request_id="r1", validate_only=True, expected_revision=0)
    assert (checked.revision, len(checked.changes)) == (0, 1)
    assert await store.network() is None
    assert networks.current is None
    with pytest.raises(RevisionMismatch):
        await networks.apply(ONE, request_id="r1", validate_only=True, expected_revision=1)
    with pytest.raises(NetworkInvalid):
        await networks.apply("locations: 5", request_id="r1", validate_only=True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"document": ONE, "request_id": ""}, InvalidArgument),
        ({"document": ONE, "request_id": "x" * 65}, InvalidArgument),
        ({"document": "", "request_id": "r"}, InvalidArgument),
        ({"document": ONE, "request_id": "r", "expected_revision": -1}, InvalidArgument),
        ({"document": ONE, "request_id": "r", "expected_revision": 2}, RevisionMismatch),
        ({"document": "locations: [", "request_id": "r"}, NetworkInvalid),
    ],
)
async def test_a_refused_document_changes_nothing(
    store: RedisStore, arguments: dict[str, object], refusal: type[InventoryError]
) -> None:
    networks = Networks(store)
    await networks.apply(TWO, request_id="r0")
    heard = Seen()
    networks.add_listener(heard)
    with pytest.raises(refusal):
        await networks.apply(**arguments)  # type: ignore[arg-type]
    assert await store.network() == (TWO, 1)
    assert heard.revisions == [1]


@pytest.mark.asyncio
async def test_a_stale_revision_is_refused_with_the_one_in_force(store: RedisStore) -> None:
    networks, other = Networks(store), Networks(store)
    await networks.apply(ONE, request_id="r1")
    await other.apply(TWO, request_id="r2")
    with pytest.raises(RevisionMismatch) as refused:
        await networks.apply(THREE, request_id="r3", expected_revision=1)
    assert (refused.value.expected_revision, refused.value.revision) == (1, 2)
    assert networks.required().document == TWO


@pytest.mark.asyncio
async def test_the_difference_told_is_the_one_to_the_document_replaced(store: RedisStore) -> None:
    """Another server's document comes between looking and writing: the change is told against that one."""
    awkward = AwkwardStore(store)
    networks = Networks(awkward)
    await networks.apply(ONE, request_id="r1")
    awkward.interlopers = [TWO]
    applied = await networks.apply(THREE, request_id="r2")
    assert (applied.revision, applied.changes[0].before_json, applied.changes[0].after_json) == (3, "2", "3")


@pytest.mark.asyncio
async def test_the_caller_hears_of_a_race_where_it_named_the_revision(store: RedisStore) -> None:
    awkward = AwkwardStore(store)
    networks = Networks(awkward)
    await networks.apply(ONE, request_id="r1")
    awkward.interlopers = [TWO]
    with pytest.raises(RevisionMismatch) as refused:
        await networks.apply(THREE, request_id="r2", expected_revision=1)
    assert refused.value.revision == 2
    assert await store.network() == (TWO, 2)


@pytest.mark.asyncio
async def test_documents_of_many_servers_at_once_come_into_force_one_after_the_other(store: RedisStore) -> None:
    servers = [Networks(store) for _ in range(3)]
    heard = [Seen() for _ in servers]
    for server, listener in zip(servers, heard, strict=True):
        server.add_listener(listener)
    documents = [f"locations: {{A: {{priority: {place}}}}}\n" for place in range(9)]
    applied = await asyncio.gather(
        *(servers[place % 3].apply(document, request_id=f"r{place}") for place, document in enumerate(documents))
    )
    assert sorted(one.revision for one in applied) == list(range(1, 10))
    for server, listener in zip(servers, heard, strict=True):
        await server.load()
        assert server.required().revision == 9
        assert listener.revisions == sorted(set(listener.revisions))


@pytest.mark.asyncio
async def test_a_running_server_follows_what_others_apply(store: RedisStore) -> None:
    follower, other = Networks(store, poll_seconds=0.02), Networks(store)
    heard = Seen()
    follower.add_listener(heard)
    async with followed(follower):
        await other.apply(ONE, request_id="r1")
        await until(lambda: heard.revisions == [1])
        await other.apply(TWO, request_id="r2")
        await until(lambda: heard.revisions == [1, 2])
    assert follower.required().document == TWO


@pytest.mark.asyncio
async def test_a_server_without_a_network_looks_for_its_first_one_often(store: RedisStore) -> None:
    """Else what is done next through another server is refused for want of a network."""
    networks = Networks(store)
    before = networks.pause_seconds
    await networks.apply(ONE, request_id="first")
    assert (before, networks.pause_seconds) == (0.05, 1.0)


@pytest.mark.asyncio
async def test_a_woken_server_looks_without_waiting(store: RedisStore) -> None:
    follower, other = Networks(store, poll_seconds=3600), Networks(store)
    await other.apply(ONE, request_id="r1")
    await follower.load()
    async with followed(follower):
        await other.apply(TWO, request_id="r2")
        assert follower.required().document == ONE
        follower.wake()
        await until(lambda: follower.required().document == TWO)


@pytest.mark.asyncio
async def test_following_survives_a_store_that_is_away(store: RedisStore, caplog: pytest.LogCaptureFixture) -> None:
    """The network in force stays in force meanwhile, and the log says it once."""
    awkward = AwkwardStore(store)
    follower, other = Networks(awkward, poll_seconds=0.01), Networks(store)
    await follower.apply(ONE, request_id="r1")
    async with followed(follower):
        awkward.is_away = True
        await until(lambda: awkward.asked_while_away > 3)
        assert follower.required().document == ONE
        await other.apply(TWO, request_id="r2")
        awkward.is_away = False
        await until(lambda: follower.required().document == TWO)
    assert caplog.text.count("cannot be followed") == 1


@pytest.mark.asyncio
async def test_a_stored_document_of_a_newer_version_is_left_alone(
    store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    """This server serves on with what it has, says so, and a document that it can read may replace it."""
    networks = Networks(store)
    await networks.apply(ONE, request_id="r1")
    await store.apply_network("locations: {A: {colour: blue}}\n", None)
    await networks.load()
    await networks.load()
    assert networks.required().document == ONE
    assert caplog.text.count("network revision 2 cannot be read") == 1
    assert "colour: not a known field" in caplog.text
    applied = await networks.apply(TWO, request_id="r2", expected_revision=2)
    assert (applied.revision, networks.required().revision) == (3, 3)


@pytest.mark.asyncio
async def test_an_emptied_store_takes_a_first_document_again(store: RedisStore, redis_url: str) -> None:
    networks = Networks(store)
    await networks.apply(ONE, request_id="r1")
    async with Redis.from_url(redis_url) as client:
        await client.delete("invengine:network")
    await networks.load()
    assert networks.required().document == ONE
    assert (await networks.apply(TWO, request_id="r2", expected_revision=0)).revision == 1
    assert networks.required().document == TWO


@pytest.mark.asyncio
async def test_a_late_listener_hears_of_the_network_in_force(store: RedisStore) -> None:
    networks = Networks(store)
    await networks.apply(ONE, request_id="r1")
    heard = Seen()
    networks.add_listener(heard)
    assert heard.revisions == [1]
