"""Profiles in the store: written once, one active per channel, whatever is sent again or at once."""

from __future__ import annotations

import asyncio
import random

import pytest

from invengine.errors import (
    InventoryError,
    RequestMismatch,
    RevisionMismatch,
    StoreFull,
    TooManyProfiles,
    UnknownProfile,
)
from invengine.store import keys
from invengine.store.opening import open_topology
from invengine.store.profiles import CHANNELS_MAX, HISTORY_MAX, PROFILES_MAX, VERSIONS_MAX, Activation, StoredVersion
from invengine.store.records import Replication, StoreSettings
from invengine.store.redis_store import RedisStore
from tests.redis_clusters import RedisCluster
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

MOST = {"profiles": PROFILES_MAX, "versions": VERSIONS_MAX, "channels": CHANNELS_MAX}


async def put(store: RedisStore, name: str, content: str, request_id: str = "", **told: object) -> tuple[int, bool]:
    """A version whose fingerprint is its content."""
    request_id = request_id or f"{name} {content} {told}"
    return await store.profiles.put(name, f"# {content}\tX\n", content, actor="ann", request_id=request_id, **told)  # type: ignore[arg-type]


async def activate(
    store: RedisStore, channel: str, profile: tuple[str, int] | None, request_id: str, **told: object
) -> tuple[Activation, bool]:
    asked = str(told.pop("asked", f"{profile[0]}@{profile[1]}" if profile else ""))
    return await store.profiles.activate(
        channel,
        profile,
        asked=asked,
        actor="ann",
        request_id=request_id,
        **told,  # type: ignore[arg-type]
    )


async def test_there_is_nothing_at_first(world: World) -> None:
    assert await world.store.profiles.board() is None
    assert await world.store.profiles.history("web") == []
    assert await world.store.profiles.versions([]) == []
    with pytest.raises(UnknownProfile):
        await world.store.profiles.versions([("web", 1)])


async def test_other_content_makes_the_next_version(world: World) -> None:
    assert await put(world.store, "web", "A") == (1, True)
    started = world.clock.now_ms
    await world.clock.advance(1000)
    assert await put(world.store, "web", "B") == (2, True)
    assert await world.store.profiles.versions([("web", 2), ("web", 1)]) == [
        StoredVersion("web", 2, "# B\tX\n", started + 1000, "ann"),
        StoredVersion("web", 1, "# A\tX\n", started, "ann"),
    ]


async def test_content_that_was_replaced_is_a_new_version_again(world: World) -> None:
    """Of the newest version only; what a repeated request made it is told again."""
    await put(world.store, "web", "A", "r1")
    await put(world.store, "web", "B", "r2")
    assert await put(world.store, "web", "A", "r3") == (3, True)
    assert await put(world.store, "web", "A", "r4") == (3, False)
    for _ in range(2):
        assert await put(world.store, "web", "A", "r1") == (1, False)
    assert await put(world.store, "web", "B", "r2", expected_version=7) == (2, False)


async def test_a_request_is_for_one_content(world: World) -> None:
    await put(world.store, "web", "A", "r1")
    for name, content in (("web", "B"), ("app", "A")):
        with pytest.raises(RequestMismatch):
            await put(world.store, name, content, "r1")
    board = await world.store.profiles.board()
    assert board is not None
    assert (board.revision, board.newest) == (1, {"web": 1})


async def test_a_version_may_be_put_only_over_the_one_that_was_seen(world: World) -> None:
    assert await put(world.store, "web", "A", expected_version=0) == (1, True)
    with pytest.raises(RevisionMismatch) as refused:
        await put(world.store, "web", "B", expected_version=0)
    assert (refused.value.expected_revision, refused.value.revision) == (0, 1)
    assert await put(world.store, "web", "B", expected_version=1) == (2, True)
    assert await put(world.store, "web", "B", "again", expected_version=9) == (2, False)


async def test_profiles_and_versions_are_limited(world: World) -> None:
    most = MOST | {"profiles": 2, "versions": 3}
    for name, content in (("a", "1"), ("b", "1"), ("b", "2")):
        await put(world.store, name, content, most=most)
    with pytest.raises(TooManyProfiles, match="2 profiles are kept already"):
        await put(world.store, "c", "1", most=most)
    with pytest.raises(TooManyProfiles, match="3 versions of profiles are kept already"):
        await put(world.store, "b", "3", most=most)
    assert await put(world.store, "b", "2", "again", most=most) == (2, False)
    assert await put(world.store, "c", "1", most=MOST) == (1, True), "refused calls remember nothing"


async def test_channels_are_limited(world: World) -> None:
    await put(world.store, "a", "1")
    for n, channel in enumerate("xy"):
        await activate(world.store, channel, ("a", 1), f"r{n}", most=MOST | {"channels": 2})
    with pytest.raises(TooManyProfiles, match="2 channels with an active profile"):
        await activate(world.store, "z", ("a", 1), "r9", most=MOST | {"channels": 2})
    await activate(world.store, "x", None, "r3", most=MOST | {"channels": 2})
    await activate(world.store, "x", ("a", 1), "r4", most=MOST | {"channels": 2})


async def test_an_activation_is_kept_with_who_and_when(world: World) -> None:
    await put(world.store, "a", "1")
    await put(world.store, "a", "2")
    activation, is_new = await activate(world.store, "web", ("a", 2), "r1")
    assert (activation, is_new) == (Activation("web", 3, world.clock.now_ms, "a@2", "ann"), True)
    board = await world.store.profiles.board()
    assert board is not None
    assert (board.activations, board.revision) == ({"web": activation}, 3)
    await world.clock.advance(5000)
    ended, _ = await activate(world.store, "web", None, "r2")
    assert ended == Activation("web", 4, world.clock.now_ms, "", "ann")
    assert await world.store.profiles.history("web") == [ended, activation]
    assert await world.store.profiles.history("app") == []


async def test_what_is_active_already_stays(world: World) -> None:
    await put(world.store, "a", "1")
    first, _ = await activate(world.store, "web", ("a", 1), "r1", expected_revision=0)
    for request_id, expected in (("r1", None), ("r1", 7), ("r2", None), ("r3", 9)):
        again = await activate(world.store, "web", ("a", 1), request_id, expected_revision=expected)
        assert again == (first, False)
    assert await activate(world.store, "app", None, "r1") == (Activation("app", 0, 0, "", ""), False)
    assert await world.store.profiles.history("web") == [first]


async def test_a_repeated_activation_does_not_undo_a_later_one(world: World) -> None:
    """Also where the profile was named without a version and has a newer one by now."""
    await put(world.store, "a", "1")
    first, _ = await activate(world.store, "web", ("a", 1), "r1", asked="a")
    await put(world.store, "a", "2")
    second, _ = await activate(world.store, "web", ("a", 2), "r2", asked="a")
    assert await activate(world.store, "web", ("a", 2), "r1", asked="a") == (first, False)
    with pytest.raises(RequestMismatch):
        await activate(world.store, "web", ("a", 1), "r1", asked="a@1")
    with pytest.raises(RequestMismatch):
        await activate(world.store, "web", None, "r2")
    assert await world.store.profiles.history("web") == [second, first]


async def test_an_activation_may_be_bound_to_the_one_that_was_seen(world: World) -> None:
    """Two planners who both saw nothing active: one of them is told."""
    await put(world.store, "a", "1")
    await put(world.store, "b", "1")
    outcomes = await asyncio.gather(
        *(activate(world.store, "web", (name, 1), name, expected_revision=0) for name in "ab"), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, RevisionMismatch)]
    assert (len(won), [refusal.revision for refusal in lost]) == (1, [won[0][0].revision])
    assert await world.store.profiles.history("web") == [won[0][0]]
    ended, _ = await activate(world.store, "web", None, "c", expected_revision=won[0][0].revision)
    assert ended.profile == ""


async def test_a_version_that_is_not_there_is_not_activated(world: World) -> None:
    await put(world.store, "a", "1")
    with pytest.raises(UnknownProfile, match="'a@2'"):
        await activate(world.store, "web", ("a", 2), "r1")
    board = await world.store.profiles.board()
    assert board is not None
    assert board.activations == {}


async def test_a_history_is_short(world: World) -> None:
    await put(world.store, "a", "1")
    for n in range(HISTORY_MAX + 2):
        await activate(world.store, "web", ("a", 1) if n % 2 == 0 else None, f"r{n}")
    history = await world.store.profiles.history("web")
    assert [entry.revision for entry in history] == [*range(HISTORY_MAX + 3, 3, -1)]


async def test_names_and_channels_stay_apart_whatever_they_are_called(world: World) -> None:
    """A profile called as a field, a channel as a key."""
    for name in ("revision", "active", "é @"):
        await put(world.store, name, "1")
    for channel in ("versions", "newest", "web}:x", "é"):
        await activate(world.store, channel, ("active", 1), channel)
    board = await world.store.profiles.board()
    assert board is not None
    assert board.newest == {"revision": 1, "active": 1, "é @": 1}
    assert {name: entry.profile for name, entry in board.activations.items()} == dict.fromkeys(
        ("versions", "newest", "web}:x", "é"), "active@1"
    )
    assert [entry.channel for entry in await world.store.profiles.history("web}:x")] == ["web}:x"]


async def test_a_board_that_is_known_is_not_read_again(world: World) -> None:
    """Every server looks every second. The same revision of an emptied store is another board."""
    await put(world.store, "a", "1")
    board = await world.store.profiles.board()
    await world.client.hset(keys.PROFILES, "newest\tpast the engine", 1)
    assert await world.store.profiles.board() is board
    await world.client.delete(keys.PROFILES, keys.PROFILE_VERSIONS, "{invengine:profiles}:requests")
    assert await world.store.profiles.board() is None
    await world.clock.advance(1000)
    await put(world.store, "b", "1")
    other = await world.store.profiles.board()
    assert board is not None
    assert other is not None
    assert (other.newest, other.revision, other.made_at_ms) == ({"b": 1}, 1, board.made_at_ms + 1000)


async def test_a_full_store_keeps_what_it_has(world: World) -> None:
    await put(world.store, "a", "1")
    await world.client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreFull):
            await put(world.store, "a", "2")
    finally:
        await world.client.config_set("maxmemory", "0")
    board = await world.store.profiles.board()
    assert board is not None
    assert board.newest == {"a": 1}


class Model:
    """The same in plain Python."""

    def __init__(self) -> None:
        self.revision = 0
        self.versions: dict[str, list[str]] = {}
        self.made: dict[str, tuple[str, str, int]] = {}
        self.histories: dict[str, list[tuple[int, str]]] = {}
        self.asked: dict[tuple[str, str], tuple[str, tuple[int, str]]] = {}

    def put(self, name: str, content: str, request_id: str, expected: int | None) -> object:
        versions = self.versions.get(name, [])
        if request_id in self.made:
            *of, version = self.made[request_id]
            return (version, False) if of == [name, content] else "REQUEST_MISMATCH"
        if versions and versions[-1] == content:
            return len(versions), False
        if expected not in (None, len(versions)):
            return "REVISION_MISMATCH"
        self.versions[name] = [*versions, content]
        self.made[request_id] = (name, content, len(versions) + 1)
        self.revision += 1
        return len(versions) + 1, True

    def activate(self, channel: str, name: str, version: int, request_id: str, expected: int | None) -> object:
        profile = f"{name}@{version}" if name else ""
        history = self.histories.get(channel, [])
        if (channel, request_id) in self.asked:
            asked, made = self.asked[channel, request_id]
            return (*made, False) if asked == profile else "REQUEST_MISMATCH"
        if name and version > len(self.versions.get(name, [])):
            return "UNKNOWN_PROFILE"
        standing = history[0] if history else (0, "")
        if standing[1] == profile:
            return (*standing, False)
        if expected not in (None, standing[0]):
            return "REVISION_MISMATCH"
        self.revision += 1
        made = self.revision, profile
        self.histories[channel] = [made, *history][:HISTORY_MAX]
        self.asked[channel, request_id] = profile, made
        return (*made, True)


@pytest.mark.parametrize("seed", range(3))
async def test_any_calls_do_what_they_do_in_plain_python(world: World, seed: int) -> None:
    draw, model, store = random.Random(seed), Model(), world.store
    outcomes = set()
    for _ in range(400):
        request_id, name = f"r{draw.randrange(150)}", draw.choice("abc")
        expected = draw.choice([None, None, draw.randrange(8)])
        if draw.random() < 0.4:
            content = draw.choice("XYZ")
            wanted = model.put(name, content, request_id, expected)
            call = store.profiles.put(
                name, content, content, actor="", request_id=request_id, expected_version=expected
            )
        else:
            channel, version = draw.choice(["web", "app"]), draw.randint(1, 6)
            name = draw.choice([name, name, ""])
            if expected is not None and channel in model.histories:
                expected = draw.choice([expected, model.histories[channel][0][0]])
            wanted = model.activate(channel, name, version, request_id, expected)
            asked = f"{name}@{version}" if name else ""
            call = store.profiles.activate(
                channel,
                (name, version) if name else None,
                asked=asked,
                actor="",
                request_id=request_id,
                expected_revision=expected,
            )
        try:
            first, is_new = await call
            told: object = (first, is_new)
            if isinstance(first, Activation):
                told = (first.revision, first.profile, is_new)
        except InventoryError as refusal:
            told = refusal.reason
        assert told == wanted
        outcomes.add(wanted if isinstance(wanted, str) else wanted[-1])
    assert outcomes == {"REQUEST_MISMATCH", "REVISION_MISMATCH", "UNKNOWN_PROFILE", True, False}
    board = await store.profiles.board()
    assert board is not None
    assert board.revision == model.revision
    assert board.newest == {name: len(versions) for name, versions in model.versions.items()}
    for channel, history in model.histories.items():
        assert [(entry.revision, entry.profile) for entry in await store.profiles.history(channel)] == history
        assert (board.activations[channel].revision, board.activations[channel].profile) == history[0]
    every = [(name, n) for name, versions in model.versions.items() for n in range(1, len(versions) + 1)]
    assert [one.document for one in await store.profiles.versions(every)] == [
        content for versions in model.versions.values() for content in versions
    ]


async def test_on_a_cluster_all_of_it_lies_together(redis_cluster: RedisCluster) -> None:
    """Also behind writes that wait for replicas."""
    settings = StoreSettings(retry_seconds=20.0, replication=Replication(1, 5.0))
    topology = open_topology(redis_cluster.url)
    try:
        store = await RedisStore.open(topology, partitions=3, settings=settings)
        assert await put(store, "a", "1") == (1, True)
        assert await put(store, "a", "1") == (1, False)
        activation, _ = await activate(store, "web", ("a", 1), "r")
        other = await RedisStore.open(topology, partitions=3, settings=settings)
        board = await other.profiles.board()
        assert board is not None
        assert (board.newest, board.activations) == ({"a": 1}, {"web": activation})
        assert [version.document for version in await other.profiles.versions([("a", 1)])] == ["# 1\tX\n"]
        assert await other.profiles.history("web") == [activation]
    finally:
        await topology.aclose()
