"""Profiles: kept in versions, active per channel, and the same on every server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.profiles import Difference, Profile
from invengine.errors import (
    InvalidArgument,
    NetworkMissing,
    ProfileInvalid,
    RequestMismatch,
    RevisionMismatch,
    StoreUnavailable,
    UnknownChannel,
    UnknownProfile,
)
from invengine.services.networks import Networks
from invengine.services.profile_versions import ProfileStore
from invengine.services.profiles import Profiles
from invengine.store import keys
from invengine.store.profiles import ProfileBoard
from invengine.store.redis_store import RedisStore

pytestmark = pytest.mark.asyncio

NETWORK = (
    "locations: {A: {}, B: {}}\ngroups: {all: [A, B], few: [B]}\nchannels: {web: {groups: [all]}, app: {groups: [all]}}"
)
CHEAP = "name: cheap\ncosts: {parcel: 4.5}\n"
DEAR = "name: cheap\ncosts: {parcel: 5}\nrules: {exclude: [few]}\n"


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    connection = Redis.from_url(redis_url)
    yield connection
    await connection.aclose()


@pytest_asyncio.fixture
async def store(client: Redis) -> RedisStore:
    return await RedisStore.open(client, partitions=4)


@pytest_asyncio.fixture
async def networks(store: RedisStore) -> Networks:
    found = Networks(store)
    await found.apply(NETWORK, request_id="n")
    return found


@pytest_asyncio.fixture
async def profiles(store: RedisStore, networks: Networks) -> Profiles:
    """Of one server; nothing follows."""
    return Profiles(store.profiles, networks)


@contextlib.asynccontextmanager
async def followed(profiles: Profiles) -> AsyncIterator[None]:
    task = asyncio.create_task(profiles.run())
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


async def test_before_the_first_profile_there_is_none(profiles: Profiles) -> None:
    await profiles.load()
    assert profiles.active("web") is None
    assert profiles.of_request("", "web") is None
    for text in ("web", "web@1"):
        with pytest.raises(UnknownProfile):
            profiles.get(text)
    assert (await profiles.listing()).versions == {}
    assert await profiles.history("web") == []


async def test_a_profile_that_is_put_is_named_with_its_version_or_without(profiles: Profiles) -> None:
    first = await profiles.put(CHEAP, request_id="r1", actor="ann")
    assert (first.profile, first.is_new) == (Profile("cheap", 1, parcel_cost=45_000), True)
    assert first.changes == (Difference("costs.parcel", "0.00", "4.50"),)
    second = await profiles.put(DEAR, request_id="r2")
    assert second.profile == Profile("cheap", 2, parcel_cost=50_000, excluded=("few",))
    assert second.changes == (
        Difference("costs.parcel", "4.50", "5.00"),
        Difference("rules.exclude", "", "few"),
    )
    assert profiles.get("cheap") == profiles.get("cheap@2") == profiles.of_request("cheap", "web") == second.profile
    assert profiles.get("cheap@1") == first.profile
    for text in ("cheap@3", "dear", "dear@1"):
        with pytest.raises(UnknownProfile, match=text):
            profiles.get(text)
    for text in ("", "cheap@", "cheap@0", "@1"):
        with pytest.raises(InvalidArgument) as refused:
            profiles.get(text)
        assert refused.value.field == "profile"


async def test_the_same_terms_in_other_words_are_the_version_that_there_is(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1")
    again = await profiles.put("# why\ncosts: {parcel: 4.50, unit: 0}\n", name="cheap", request_id="r2")
    assert (again.profile.version, again.is_new, again.changes) == (1, False, ())
    _, document = await profiles.find("cheap")
    assert document == CHEAP


async def test_a_request_sent_again_tells_the_version_that_it_made(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1")
    await profiles.put(DEAR, request_id="r2")
    again = await profiles.put(CHEAP, request_id="r1")
    assert (again.profile, again.is_new) == (profiles.get("cheap@1"), False)
    with pytest.raises(RequestMismatch):
        await profiles.put(DEAR, request_id="r1")


async def test_only_checking_says_what_would_be_new_and_keeps_nothing(profiles: Profiles, store: RedisStore) -> None:
    checked = await profiles.put(CHEAP, request_id="r", validate_only=True)
    assert (checked.profile.version, checked.is_new, len(checked.changes)) == (1, True, 1)
    assert await store.profiles.board() is None
    await profiles.put(CHEAP, request_id="r")
    checked = await profiles.put(DEAR, request_id="r", validate_only=True, expected_version=1)
    assert (checked.profile.version, checked.is_new) == (2, True)
    assert [change.term for change in checked.changes] == ["costs.parcel", "rules.exclude"]
    checked = await profiles.put(CHEAP, request_id="r", validate_only=True, expected_version=7)
    assert (checked.profile.version, checked.is_new) == (1, False)
    with pytest.raises(RevisionMismatch) as refused:
        await profiles.put(DEAR, request_id="r", validate_only=True, expected_version=0)
    assert (refused.value.expected_revision, refused.value.revision) == (0, 1)
    with pytest.raises(RevisionMismatch):
        await profiles.put(DEAR, request_id="r2", expected_version=0)
    assert profiles.get("cheap").version == 1


async def test_a_profile_with_faults_is_not_kept(profiles: Profiles, store: RedisStore) -> None:
    with pytest.raises(ProfileInvalid) as refused:
        await profiles.put("name: a\ncosts:\n  parcel: -1\nrules: {exclude: [few, C]}", request_id="r")
    assert [(fault.line, fault.path) for fault in refused.value.faults] == [
        (3, "costs.parcel"),
        (4, "rules.exclude[1]"),
    ]
    for document, name, field in (("", "", "document"), ("{}", "a@1", "name"), ("{}", " a", "name")):
        with pytest.raises(InvalidArgument) as bad:
            await profiles.put(document, name=name, request_id="r")
        assert bad.value.field == field
    assert await store.profiles.board() is None


async def test_places_of_tomorrow_are_taken_where_it_is_said(profiles: Profiles, networks: Networks) -> None:
    """They are looked for once more when the profile becomes active; its document has the lines."""
    document = "name: a\nrules:\n  exclude: [A, C]"
    with pytest.raises(ProfileInvalid):
        await profiles.put(document, request_id="r")
    await profiles.put(document, request_id="r", allow_unknown_places=True)
    with pytest.raises(ProfileInvalid) as refused:
        await profiles.activate("web", "a", request_id="r")
    assert [str(fault) for fault in refused.value.faults] == [
        "line 3: rules.exclude[1]: the network has no location or group 'C'"
    ]
    assert profiles.active("web") is None
    await profiles.activate("web", "a", request_id="r", allow_unknown_places=True)
    active = profiles.active("web")
    assert active is not None
    assert active.excluded_locations(networks.required()) == {"A"}


async def test_without_a_network_a_profile_can_be_put_but_not_made_active(store: RedisStore) -> None:
    profiles = Profiles(store.profiles, Networks(store))
    await profiles.put(DEAR, request_id="r")
    with pytest.raises(NetworkMissing):
        await profiles.activate("web", "cheap", request_id="r")


async def test_one_profile_is_active_per_channel(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1")
    activated = await profiles.activate("web", "cheap", request_id="r2", actor="ann")
    assert (activated.activation.profile, activated.is_new, activated.is_known) == ("cheap@1", True, True)
    assert profiles.active("web") == profiles.of_request("", "web") == profiles.get("cheap@1")
    assert profiles.active("app") is None
    await profiles.put(DEAR, request_id="r3")
    assert profiles.active("web") == profiles.get("cheap@1"), "a newer version is not active by itself"
    again = await profiles.activate("web", "cheap@1", request_id="r4", expected_revision=99)
    assert (again.activation, again.is_new) == (activated.activation, False)
    changed = await profiles.activate("web", "cheap", request_id="r5", expected_revision=again.activation.revision)
    assert profiles.active("web") == profiles.get("cheap@2")
    with pytest.raises(RevisionMismatch):
        await profiles.activate("web", "cheap@1", request_id="r6", expected_revision=again.activation.revision)
    ended = await profiles.activate("web", "", request_id="r7", actor="bob")
    assert profiles.active("web") is None
    history = await profiles.history("web")
    assert history == [ended.activation, changed.activation, activated.activation]
    assert [(entry.profile, entry.actor) for entry in history] == [("", "bob"), ("cheap@2", ""), ("cheap@1", "ann")]


async def test_an_activation_says_what_it_changes_and_only_checking_makes_none(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1")
    await profiles.put(DEAR, request_id="r2")
    checked = await profiles.activate("web", "cheap@1", request_id="r3", validate_only=True, expected_revision=0)
    assert (checked.activation.profile, checked.activation.revision, checked.activation.at_ms) == ("cheap@1", 0, 0)
    assert (checked.is_new, checked.before, checked.changes) == (True, "", ())
    assert await profiles.history("web") == []
    first = await profiles.activate("web", "cheap@1", request_id="r3")
    assert (first.before, first.changes) == ("", ())
    checked = await profiles.activate("web", "cheap", request_id="r4", validate_only=True)
    assert (checked.activation.profile, checked.activation.revision) == ("cheap@2", first.activation.revision)
    assert (checked.is_new, checked.before) == (True, "cheap@1")
    assert [change.term for change in checked.changes] == ["costs.parcel", "rules.exclude"]
    assert profiles.active("web") == profiles.get("cheap@1")
    with pytest.raises(RevisionMismatch):
        await profiles.activate("web", "cheap", request_id="r4", validate_only=True, expected_revision=0)
    same = await profiles.activate("web", "cheap@1", request_id="r4", validate_only=True, expected_revision=0)
    assert (same.activation, same.is_new, same.before, same.changes) == (first.activation, False, "", ())
    second = await profiles.activate("web", "cheap", request_id="r4")
    assert (second.before, second.changes) == (checked.before, checked.changes)
    ended = await profiles.activate("web", "", request_id="r5")
    assert (ended.before, ended.changes) == ("cheap@2", ())
    again = await profiles.activate("web", "cheap", request_id="r4")
    assert (again.activation, again.is_new, again.before, again.changes) == (second.activation, False, "", ())


async def test_an_activation_sent_again_undoes_no_later_one(profiles: Profiles) -> None:
    """Also where the newest version was asked for, and there is a newer one by then."""
    await profiles.put(CHEAP, request_id="p1")
    first = await profiles.activate("web", "cheap", request_id="r1")
    await profiles.put(DEAR, request_id="p2")
    await profiles.activate("web", "cheap@2", request_id="r2")
    again = await profiles.activate("web", "cheap", request_id="r1")
    assert (again.activation, again.is_new) == (first.activation, False)
    assert profiles.active("web") == profiles.get("cheap@2")
    with pytest.raises(RequestMismatch):
        await profiles.activate("web", "", request_id="r1")


async def test_what_is_not_there_cannot_be_active(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1")
    for channel, text, kind in (
        ("shop", "cheap", UnknownChannel),
        ("shop", "", UnknownChannel),
        ("web", "dear", UnknownProfile),
        ("web", "cheap@2", UnknownProfile),
        ("web", "cheap@x", InvalidArgument),
        ("", "cheap", InvalidArgument),
        (" ", "cheap", InvalidArgument),
    ):
        with pytest.raises(kind):
            await profiles.activate(channel, text, request_id="r")
    with pytest.raises(UnknownChannel):
        await profiles.history("shop")
    for wrong in ({"request_id": ""}, {"request_id": "r", "actor": "x" * 65}):
        with pytest.raises(InvalidArgument):
            await profiles.activate("web", "cheap", **wrong)
    with pytest.raises(InvalidArgument):
        await profiles.activate("web", "cheap", request_id="r", expected_revision=-1)
    assert (await profiles.listing()).activations == ()


async def test_a_channel_that_the_network_loses_keeps_its_profile(profiles: Profiles, networks: Networks) -> None:
    """It does nothing meanwhile, is listed as such, can be ended, and is in force again when the channel is back."""
    await profiles.put(CHEAP, request_id="r1")
    await profiles.activate("app", "cheap", request_id="r2")
    await networks.apply(NETWORK.replace(", app: {groups: [all]}", ""), request_id="n2")
    (listed,) = (await profiles.listing()).activations
    assert (listed.activation.channel, listed.activation.profile, listed.is_known) == ("app", "cheap@1", False)
    with pytest.raises(UnknownChannel):
        await profiles.activate("app", "cheap@1", request_id="r3")
    assert len(await profiles.history("app")) == 1
    await networks.apply(NETWORK, request_id="n3")
    assert profiles.active("app") == profiles.get("cheap@1")
    await networks.apply(NETWORK.replace(", app: {groups: [all]}", ""), request_id="n4")
    ended = await profiles.activate("app", "", request_id="r4")
    assert (ended.activation.profile, ended.is_known) == ("", False)
    assert profiles.active("app") is None


async def test_profiles_are_listed_with_what_they_are_active_for(profiles: Profiles) -> None:
    await profiles.put(CHEAP, request_id="r1", actor="ann")
    await profiles.put(DEAR, request_id="r2")
    await profiles.put("name: bare", request_id="r3")
    await profiles.activate("web", "cheap@2", request_id="r4")
    await profiles.activate("app", "bare", request_id="r5")
    listing = await profiles.listing()
    assert {name: [(one.number, one.actor) for one in of] for name, of in listing.versions.items()} == {
        "bare": [(1, "")],
        "cheap": [(1, "ann"), (2, "")],
    }
    assert [one.activation.channel for one in listing.activations] == ["app", "web"]
    only = await profiles.listing("cheap")
    assert (list(only.versions), [one.activation.channel for one in only.activations]) == (["cheap"], ["web"])
    assert profiles.channels_of(only.versions["cheap"][1]) == ["web"]
    assert profiles.channels_of(only.versions["cheap"][0]) == []
    with pytest.raises(UnknownProfile):
        await profiles.listing("dear")


async def test_another_server_follows(store: RedisStore, networks: Networks, profiles: Profiles) -> None:
    elsewhere = Profiles(store.profiles, networks, poll_seconds=0.01)
    async with followed(elsewhere):
        await profiles.put(CHEAP, request_id="r1")
        await profiles.activate("web", "cheap", request_id="r2")
        await until(lambda: elsewhere.active("web") == Profile("cheap", 1, parcel_cost=45_000))
        await profiles.put(DEAR, request_id="r3")
        await profiles.activate("web", "", request_id="r4")
        await until(lambda: elsewhere.active("web") is None)
    assert elsewhere.get("cheap").version == 2
    started = Profiles(store.profiles, networks)
    await started.load()
    assert started.get("cheap@1") == profiles.get("cheap@1")


async def test_two_servers_do_not_make_one_version_twice(store: RedisStore, networks: Networks) -> None:
    servers = [Profiles(store.profiles, networks) for _ in range(2)]
    puts = await asyncio.gather(
        *(servers[n % 2].put(f"name: a\ncosts: {{parcel: {n}}}", request_id=f"r{n}") for n in range(1, 9))
    )
    assert sorted(put.profile.version for put in puts) == list(range(1, 9))
    for server in servers:
        await server.load()
        assert [server.get(str(put.profile)) for put in puts] == [put.profile for put in puts]


class AwkwardStore:
    """A store that is away at times."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        self.is_away = False
        self.asked_while_away = 0

    async def board(self) -> ProfileBoard | None:
        if self.is_away:
            self.asked_while_away += 1
            raise StoreUnavailable("gone")
        return await self._store.board()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def test_what_is_active_stays_while_the_store_is_away(
    store: RedisStore, networks: Networks, profiles: Profiles, caplog: pytest.LogCaptureFixture
) -> None:
    away = AwkwardStore(store.profiles)
    elsewhere = Profiles(away, networks, poll_seconds=0.01)  # type: ignore[arg-type]  # the rest is the store's
    await profiles.put(CHEAP, request_id="r1")
    await profiles.activate("web", "cheap", request_id="r2")
    async with followed(elsewhere):
        await until(lambda: elsewhere.active("web") is not None)
        away.is_away = True
        await until(lambda: away.asked_while_away > 2)
        assert elsewhere.active("web") == profiles.active("web")
        assert caplog.text.count("the profiles cannot be followed for now") == 1
        away.is_away = False
        await profiles.activate("web", "", request_id="r3")
        await until(lambda: elsewhere.active("web") is None)


async def test_an_emptied_store_keeps_what_is_active_until_there_is_something_else(
    store: RedisStore, client: Redis, profiles: Profiles
) -> None:
    """Then nothing of before is taken for what has the same name."""
    await profiles.put(CHEAP, request_id="r1")
    await profiles.activate("web", "cheap", request_id="r2")
    await client.delete(*[key async for key in client.scan_iter(match="*invengine:profiles*")])
    await profiles.load()
    assert profiles.active("web") == Profile("cheap", 1, parcel_cost=45_000)
    await profiles.put(DEAR, request_id="r1")
    assert profiles.get("cheap@1") == Profile("cheap", 1, parcel_cost=50_000, excluded=("few",))
    assert profiles.active("web") is None
    with pytest.raises(UnknownProfile):
        profiles.get("cheap@2")


async def test_what_a_newer_engine_wrote_is_told_and_not_active_here(
    store: RedisStore, client: Redis, networks: Networks, profiles: Profiles, caplog: pytest.LogCaptureFixture
) -> None:
    await profiles.put(CHEAP, request_id="r1")
    await store.profiles.put("cheap", "name: cheap\nmagic: 1\n", "?", actor="", request_id="r2")
    await profiles.put(CHEAP, request_id="r3")
    await store.profiles.activate("web", ("cheap", 2), asked="cheap@2", actor="", request_id="r4")
    await profiles.load()
    assert "profile cheap@2 cannot be read by this version" in caplog.text
    assert "magic: not a known field" in caplog.text
    assert profiles.active("web") is None
    assert [profiles.get(text).version for text in ("cheap", "cheap@1")] == [3, 1]
    with pytest.raises(ProfileInvalid):
        profiles.get("cheap@2")
    found, document = await profiles.find("cheap@2")
    assert (found.profile, document) == (None, "name: cheap\nmagic: 1\n")
    assert profiles.channels_of(found) == ["web"]
    assert await client.hlen(keys.PROFILE_VERSIONS) == 3
