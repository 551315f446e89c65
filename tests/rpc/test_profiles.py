"""Sourcing profiles over the wire: put, read, made active, followed by another server, kept over a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import profile_pb2 as pb
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import NETWORK, Stubs, engine, refused

pytestmark = pytest.mark.asyncio

DOCUMENT = """\
name: web
description: fewest parcels
costs: {parcel: 4.5}
rules: {exclude: [stores]}
"""


def put(document: str = DOCUMENT, request_id: str = "r", **more: Any) -> pb.PutProfileRequest:
    return pb.PutProfileRequest(request_id=request_id, document=document, **more)


def activate(profile: str, request_id: str = "r", channel: str = "web", **more: Any) -> pb.ActivateProfileRequest:
    return pb.ActivateProfileRequest(request_id=request_id, channel=channel, profile=profile, **more)


async def listed(stubs: Stubs) -> tuple[list[str], dict[str, str]]:
    answer = await stubs.allocation.ListProfiles(pb.ListProfilesRequest())
    versions = [f"{profile.name}@{profile.version}" for profile in answer.profiles]
    return versions, {active.channel: active.profile for active in answer.activations}


async def test_a_profile_is_checked_put_and_read_back(stubs: Stubs) -> None:
    why = await refused(stubs.allocation.PutProfile(put("name: web\ncosts:\n  parcels: 1\nrule: {}\n")))
    assert (why.code, why.reason, why.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "PROFILE_INVALID",
        ["document:3", "document:4"],
    )
    assert why.metadata == {
        "faults": "2",
        "line": "3",
        "path": "costs.parcels",
        "problem": "not a known field; parcel is meant?",
    }
    looked = await stubs.allocation.PutProfile(put(validate_only=True, expected_version=0))
    assert (looked.name, looked.version, looked.is_new) == ("web", 1, True)
    assert (await stubs.allocation.ListProfiles(pb.ListProfilesRequest())) == pb.ListProfilesResponse()
    done = await stubs.allocation.PutProfile(put(actor="ann", expected_version=0))
    assert done.consistency_token
    done.consistency_token = looked.consistency_token
    assert done == looked
    assert [(change.term, change.before, change.after) for change in done.changes] == [
        ("description", "", "fewest parcels"),
        ("costs.parcel", "0.00", "4.50"),
        ("rules.exclude", "", "stores"),
    ]
    again = await stubs.allocation.PutProfile(put(expected_version=0))
    assert (again.version, again.is_new, list(again.changes)) == (1, False, [])
    why = await refused(stubs.allocation.PutProfile(put("name: web", "r2", expected_version=0)))
    assert (why.code, why.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    why = await refused(stubs.allocation.PutProfile(put("name: web", "r")))
    assert (why.code, why.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISMATCH")
    second = await stubs.allocation.PutProfile(put("costs: {parcel: 5}", "r2", name="web"))
    assert (second.version, [change.term for change in second.changes]) == (
        2,
        ["description", "costs.parcel", "rules.exclude"],
    )
    found = await stubs.allocation.GetProfile(pb.GetProfileRequest(profile="web@1"))
    assert found.document == DOCUMENT
    profile = found.profile
    assert (profile.name, profile.version, profile.description, profile.actor) == ("web", 1, "fewest parcels", "ann")
    assert timedelta(0) <= datetime.now(UTC) - profile.create_time.ToDatetime(UTC) < timedelta(minutes=5)
    terms = {term.term: term.value for term in profile.terms}
    assert len(terms) == 17
    assert (terms["costs.parcel"], terms["weights.lane"], terms["rules.exclude"]) == ("4.50", "100", "stores")
    newest = await stubs.allocation.GetProfile(pb.GetProfileRequest(profile="web"))
    assert newest.profile.version == 2
    for text, reason in (("web@3", "UNKNOWN_PROFILE"), ("app", "UNKNOWN_PROFILE"), ("web@", "INVALID_ARGUMENT")):
        why = await refused(stubs.allocation.GetProfile(pb.GetProfileRequest(profile=text)))
        assert why.reason == reason
    why = await refused(stubs.allocation.ListProfiles(pb.ListProfilesRequest(name="app")))
    assert (why.code, why.reason, why.metadata) == (
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_PROFILE",
        {"profile": "app"},
    )


async def test_a_profile_is_active_for_a_channel_and_its_history_is_kept(stubs: Stubs) -> None:
    await stubs.allocation.PutProfile(put())
    first = await stubs.allocation.ActivateProfile(activate("web", actor="ann", expected_revision=0))
    assert (first.activation.profile, first.activation.actor, first.is_new) == ("web@1", "ann", True)
    assert first.activation.is_channel_known
    assert first.consistency_token
    again = await stubs.allocation.ActivateProfile(activate("web", actor="bob"))
    assert (again.activation, again.is_new) == (first.activation, False)
    found = await stubs.allocation.GetProfile(pb.GetProfileRequest(profile="web"))
    assert list(found.profile.active_channels) == ["web"]
    listing = await stubs.allocation.ListProfiles(pb.ListProfilesRequest(name="web"))
    assert (list(listing.activations), list(listing.profiles[0].active_channels)) == ([first.activation], ["web"])
    await stubs.allocation.PutProfile(put("name: web", "r2"))
    looked = await stubs.allocation.ActivateProfile(activate("web", "r9", validate_only=True))
    assert (looked.activation.profile, looked.is_new, looked.profile_before) == ("web@2", True, "web@1")
    assert not looked.activation.HasField("time")
    assert [change.term for change in looked.changes] == ["description", "costs.parcel", "rules.exclude"]
    ended = await stubs.allocation.ActivateProfile(activate("", "r2", expected_revision=first.activation.revision))
    history = await stubs.allocation.ListProfileActivations(pb.ListProfileActivationsRequest(channel="web"))
    assert list(history.activations) == [ended.activation, first.activation]
    assert (ended.activation.profile, ended.activation.revision) == ("", first.activation.revision + 2)
    none = await stubs.allocation.ActivateProfile(activate("", "r3", channel="closed"))
    assert (none.activation.revision, none.activation.HasField("time"), none.is_new) == (0, False, False)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (put(request_id=""), "request_id"),
        (put(request_id="x" * 65), "request_id"),
        (put(""), "document"),
        (put(name="a@1"), "name"),
        (put(name="x" * 65), "name"),
        (put(actor=" a"), "actor"),
        (put(expected_version=-1), "expected_version"),
        (put("x" * 65_537), "document"),
    ],
)
async def test_a_bad_field_is_named(stubs: Stubs, request_: pb.PutProfileRequest, field: str) -> None:
    why = await refused(stubs.allocation.PutProfile(request_))
    assert (why.code, why.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert await listed(stubs) == ([], {})


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (activate("web", channel="shop"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHANNEL"),
        (activate("", channel="shop"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHANNEL"),
        (activate("web@2"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROFILE"),
        (activate("web@two"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (activate("web", ""), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (activate("web", channel=""), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (activate("web", actor="\t"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (activate("web", expected_revision=-1), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (activate("web", expected_revision=5), grpc.StatusCode.ABORTED, "REVISION_MISMATCH"),
    ],
)
async def test_what_cannot_be_active_is_refused(
    stubs: Stubs, request_: pb.ActivateProfileRequest, code: grpc.StatusCode, reason: str
) -> None:
    await stubs.allocation.PutProfile(put())
    why = await refused(stubs.allocation.ActivateProfile(request_))
    assert (why.code, why.reason) == (code, reason)
    assert await listed(stubs) == (["web@1"], {})


async def test_a_profile_that_excludes_what_the_network_lost_is_not_made_active(stubs: Stubs) -> None:
    await stubs.allocation.PutProfile(put())
    await stubs.apply_network(NETWORK.replace("stores", "shops"), "n2")
    why = await refused(stubs.allocation.ActivateProfile(activate("web")))
    assert (why.reason, why.fields) == ("PROFILE_INVALID", ["document:4"])
    assert why.metadata["problem"] == "the network has no location or group 'stores'"
    done = await stubs.allocation.ActivateProfile(activate("web", allow_unknown_places=True))
    assert done.is_new


async def test_without_a_network_no_profile_is_active(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.allocation.PutProfile(put())
        why = await refused(stubs.allocation.ActivateProfile(activate("web")))
        assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NETWORK_MISSING")


@pytest.mark.parametrize("atomicity", Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def test_another_server_sees_it_and_a_restart_keeps_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, atomicity: Atomicity
) -> None:
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=atomicity))
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
    async with engine(redis_url) as (_, one), engine(redis_url) as (_, two):
        await one.allocation.PutProfile(put())
        answer = await one.allocation.ActivateProfile(activate("web", expected_revision=0))
        assert await listed(two) == (["web@1"], {"web": "web@1"})
        why = await refused(two.allocation.ActivateProfile(activate("", "r2", expected_revision=0)))
        assert why.reason == "REVISION_MISMATCH"
        again = await two.allocation.ActivateProfile(activate("web"))
        assert (again.activation, again.is_new) == (answer.activation, False)
    async with engine(redis_url) as (_, stubs):
        assert await listed(stubs) == (["web@1"], {"web": "web@1"})
        found = await stubs.allocation.GetProfile(pb.GetProfileRequest(profile="web"))
        assert found.document == DOCUMENT
        history = await stubs.allocation.ListProfileActivations(pb.ListProfileActivationsRequest(channel="web"))
        assert list(history.activations) == [answer.activation]


async def test_on_a_cluster_profiles_are_put_and_made_active(valkey_cluster: RedisCluster) -> None:
    async with engine(valkey_cluster.url, partitions=3) as (_, one):
        await one.apply_network()
        async with engine(valkey_cluster.url, partitions=3) as (_, two):
            await one.allocation.PutProfile(put())
            assert (await two.allocation.ActivateProfile(activate("web"))).is_new
            assert await listed(one) == (["web@1"], {"web": "web@1"})
            history = await one.allocation.ListProfileActivations(pb.ListProfileActivationsRequest(channel="web"))
            assert [entry.profile for entry in history.activations] == ["web@1"]
