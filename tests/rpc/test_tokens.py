"""Tokens over the wire: whom a call is of, what it may, when it ends, and that nobody sees a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.exposition import generate_latest
from redis.asyncio import Redis

from invengine import bootstrap
from invengine.bootstrap.first_token import FILE
from invengine.client import Client, Line, LineUnits, Movement
from invengine.errors import (
    ChannelNotAllowed,
    InvalidArgument,
    RateLimited,
    RequestMismatch,
    RoleMissing,
    TokenNotFound,
    Unauthenticated,
)
from invengine.store import keys
from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import availability_service_pb2
from tests.rpc.engines import NETWORK, refused, settings_for, taken_apart
from tests.rpc.tokens import Guarded, authorization, guarded

pytestmark = pytest.mark.asyncio

RECEIPT, SALE, RING_FENCE = 1, 2, 6
PATIENCE_SECONDS = 30.0
"""Where something is said to happen within 5 seconds: the machine may be busy."""


def received(event_id: str, quantity: int = 100, **more: Any) -> Movement:
    """Units of LAMP that arrived."""
    return Movement(
        **{
            "source": "wms",
            "event_id": event_id,
            "kind": RECEIPT,
            "sku": "LAMP",
            "location": "DC",
            "quantity": quantity,
            **more,
        }
    )


async def ledger(client: Client, **which: Any) -> list[tuple[str, str, str]]:
    """Kind, actor and source of what changed LAMP, the oldest first."""
    answer = await client.list_movements("LAMP", **which)
    return [(entry.kind, entry.actor, entry.source) for entry in reversed(answer.entries)]


# Who calls


async def test_whatever_stands_in_the_header_only_a_token_lets_in(redis_url: str, tmp_path: Path) -> None:
    """Bent tokens, other schemes, noise, two headers: UNAUTHENTICATED, and the same words for all of them."""
    chance = random.Random(7)
    async with guarded(redis_url, tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        token = server.admin_token
        token_id, _, secret = token.partition(".")
        visible = [chr(code) for code in range(0x20, 0x7F)]
        noise = ["".join(chance.choices(visible, k=chance.randrange(200))) for _ in range(60)]
        bent = [token[:at] + chance.choice("AZaz09-_.") + token[at + 1 :] for at in range(0, len(token), 3)]
        headers = [
            *noise,
            *(f"Bearer {text}" for text in (*noise[:20], *(one for one in bent if one != token))),
            f"bearer {token}",
            f"Bearer  {token}",
            f"Bearer {token} ",
            f"Bearer {token}.",
            f"Bearer {token_id}.",
            f"Bearer .{secret}",
            f"Bearer {token_id}{secret}",
            f"Bearer {token}, Bearer {token}",
            token,
            "Bearer",
            "Bearer ",
            "",
            "A" * 8000,
        ]
        call = channel.unary_unary("/invengine.v1.AdminService/ListTokens")
        told = set()
        for header in headers:
            answer = await refused(call(b"", metadata=(("authorization", header),)))
            told.add((answer.code, answer.reason, answer.message, str(answer.metadata)))
        first_counts = (("authorization", "Bearer x"), *authorization(token))
        answer = await refused(call(b"", metadata=first_counts))
        told.add((answer.code, answer.reason, answer.message, str(answer.metadata)))
        binary = (("authorization-bin", f"Bearer {token}".encode()),)
        answer = await refused(call(b"", metadata=binary))
        told.add((answer.code, answer.reason, answer.message, str(answer.metadata)))
        assert told == {(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "no valid token came with the call", "{}")}
        assert await call(b"", metadata=authorization(token))


async def test_health_is_open_to_everybody(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_token_speaks_for_its_channel_and_one_without_for_any(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        web = server.client(await server.token("shop", "reserve", "feed", channel="web"))
        anyone = server.client(await server.token("agent", "reserve"))
        async with web, anyone:
            await web.post_movements([received("e1")])
            held = (await web.reserve([Line(sku="LAMP", quantity=2)])).reservation
            assert held.channel == "web"
            assert (await web.get_availability("LAMP")).available == 98
            many = await web.reserve_many([web.create_request([Line(sku="LAMP", quantity=1)])])
            assert many.outcomes[0].reservation.channel == "web"
            assert [a.available async for a in web.stream_availability(["LAMP"])] == [97]
            assert (await web.confirm(held.reservation_id)).reservation.channel == "web"
            for call in (
                web.get_availability("LAMP", channel="closed"),
                web.batch_get_availability(["LAMP"], channel="closed"),
                web.reserve([Line(sku="LAMP", quantity=1)], channel="closed"),
                web.reserve_many([web.create_request([Line(sku="LAMP", quantity=1)], channel="closed")]),
                web.release(held.reservation_id, channel="closed"),
                web.post_movements([received("e2", 1, kind=SALE, channel="closed")]),
                web.post_movements([received("e3", 1, kind=RING_FENCE, channel="closed")]),
                anext(web.stream_availability(["LAMP"], channel="closed")),
            ):
                with pytest.raises(ChannelNotAllowed):
                    await call
            await web.post_movements([received("e4", 1, kind=RING_FENCE, channel="web")])
            assert (await web.list_reservations(channel="closed")).reservations == []  # a filter
            with pytest.raises(InvalidArgument):
                await anyone.reserve([Line(sku="LAMP", quantity=1)])
            made = await anyone.reserve([Line(sku="LAMP", quantity=1)], channel="web")
            assert made.reservation.channel == "web"
            with pytest.raises(RoleMissing, match="has not the role feed"):
                await anyone.post_movements([received("e5")])


async def test_two_channels_in_one_message_are_the_last_one_for_everybody(redis_url: str, tmp_path: Path) -> None:
    """What is served is what was looked at: the field of a message that names two channels is the later one."""
    kind = availability_service_pb2.GetAvailabilityRequest
    async with guarded(redis_url, tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        await server.admin.apply_network(NETWORK)
        await server.admin.post_movements([received("e1")])
        call = channel.unary_unary("/invengine.v1.AvailabilityService/GetAvailability")
        metadata = authorization(await server.token("shop", "read", channel="web"))
        first, last = kind(sku="LAMP", channel="closed"), kind(channel="web")
        assert await call(first.SerializeToString() + last.SerializeToString(), metadata=metadata)
        told = await refused(call(last.SerializeToString() + first.SerializeToString(), metadata=metadata))
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CHANNEL_NOT_ALLOWED")
        malformed = await refused(call(b"\x12\x03we", metadata=metadata))
        assert malformed.reason == "MALFORMED_MESSAGE"


# What a token did bears its name


@pytest.mark.parametrize("atomicity", Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def test_the_ledger_names_the_token_whoever_shared_the_call(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomicity: Atomicity
) -> None:
    """Group commit has the requests of many callers share one call to Redis; each row bears its caller's name."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=atomicity))
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        feed = server.client(await server.token("warehouse", "feed"))
        names = [f"shop {number}" for number in range(8)]
        shops = [server.client(await server.token(name, "reserve", channel="web")) for name in names]
        async with feed:
            await feed.post_movements([received("e1", 500)])
            made = await asyncio.gather(
                *(shop.reserve([Line(sku="LAMP", quantity=1)]) for shop in shops for _ in range(4)),
                feed.post_movements([received("e2", 1)]),
            )
            found = await ledger(feed)
            assert found[0] == ("RECEIPT", "warehouse", "wms")
            assert sorted(found[1:]) == sorted(
                [("RECEIPT", "warehouse", "wms"), *([("RESERVE", name, "web") for name in names] * 4)]
            )
            # Each changes a reservation that another one made.
            ids = [answer.reservation.reservation_id for answer in made[:32:4]]
            await asyncio.gather(*(shop.confirm(one) for shop, one in zip(shops, ids[1:] + ids[:1], strict=True)))
            await asyncio.gather(*(shop.fulfil(one) for shop, one in zip(shops, ids[1:] + ids[:1], strict=True)))
            fulfilled = [row for row in await ledger(feed) if row[0] == "FULFIL"]
            assert sorted(fulfilled) == [("FULFIL", name, "web") for name in names]
            assert await ledger(feed, actor="shop 3") == [("RESERVE", "shop 3", "web")] * 4 + [
                ("FULFIL", "shop 3", "web")
            ]
            assert len(await ledger(feed, actor="web")) == 40  # by the channel too, as before
        for shop in shops:
            await shop.close()


async def test_every_kind_of_write_is_named(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        feed = server.client(await server.token("warehouse", "feed"))
        shop = server.client(await server.token("till", "reserve", channel="web"))
        plan = server.client(await server.token("planner", "plan"))
        async with feed, shop, plan:
            await feed.post_movements([received("e1")])
            async with aclosing(feed.feed([received("e2", 5)], name="nightly")) as acknowledged:
                async for _ in acknowledged:
                    pass
            today = datetime.now(UTC).date()
            await feed.set_incoming("PO-1", "LAMP", "DC", quantity=10, expected_date=today)
            await feed.receive_incoming("PO-1", "LAMP", "DC", quantity=10)
            held = (await shop.reserve([Line(sku="LAMP", quantity=4)], order_ref="o-1")).reservation
            await shop.release(held.reservation_id, lines=[LineUnits(line_id="1", quantity=1)])
            await shop.confirm(held.reservation_id)
            await shop.fulfil(held.reservation_id)
            sent = await plan.create_transfer("DC", "LON", {"LAMP": 2}, expected_date=today)
            await feed.ship_transfer(sent.transfer.transfer_id)
            assert [(kind, actor) for kind, actor, _ in await ledger(feed)] == [
                ("RECEIPT", "warehouse"),
                ("RECEIPT", "warehouse"),
                ("RECEIVE", "warehouse"),
                ("RESERVE", "till"),
                ("RELEASE", "till"),
                ("FULFIL", "till"),
                ("RESERVE", "planner"),
                ("TRANSFER_OUT", "warehouse"),
            ]
            put = await plan.put_profile("name: soon\ncosts: {parcel: 1}\n", actor="somebody else")
            found = await plan.list_profiles()
            assert (put.version, [one.actor for one in found.profiles]) == (1, ["planner"])


async def test_what_the_engine_does_by_itself_has_no_name(redis_url: str, tmp_path: Path) -> None:
    """A hold that is over is given back by whoever meets it: that one did not do it."""
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        await server.admin.post_movements([received("e1", 3)])
        await server.admin.reserve([Line(sku="LAMP", quantity=3)], channel="web", time_to_live_seconds=1)
        other = server.client(await server.token("other", "reserve", channel="web"), retry_seconds=0.0)
        async with other, asyncio.timeout(PATIENCE_SECONDS):
            while (await other.get_availability("LAMP")).available < 3:
                await asyncio.sleep(0.05)
            await other.reserve([Line(sku="LAMP", quantity=3)])
            assert await ledger(other) == [
                ("RECEIPT", "first-admin", "wms"),
                ("RESERVE", "first-admin", "web"),
                ("EXPIRE", "web", ""),
                ("RESERVE", "other", "web"),
            ]


# Issued, revoked, over


async def read_all(stream: Any) -> None:
    """Reads until the stream ends, or is ended."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_a_revoked_token_ends_its_streams(redis_url: str, tmp_path: Path) -> None:
    """Watches, question streams and feeds that are open; those of others go on."""
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        issued = await server.admin.issue_token("partner", roles=["read", "feed"], channel="web")
        async with grpc.aio.insecure_channel(server.address) as channel:
            metadata = authorization(issued.secret)
            question = availability_service_pb2.StreamAvailabilityRequest(sku="LAMP").SerializeToString()
            asking = channel.stream_stream("/invengine.v1.AvailabilityService/StreamAvailability")(metadata=metadata)
            await asking.write(question)
            assert await asking.read()
            feeding = channel.stream_stream("/invengine.v1.StockService/StreamMovements")(metadata=metadata)
            await feeding.write(b"")
            assert await feeding.read() is not grpc.aio.EOF
            watch = availability_service_pb2.WatchAvailabilityRequest(skus=["LAMP"]).SerializeToString()
            watching = channel.unary_stream("/invengine.v1.AvailabilityService/WatchAvailability")(
                watch, metadata=metadata
            )
            await watching.read()
            others = channel.stream_stream("/invengine.v1.AvailabilityService/StreamAvailability")(
                metadata=authorization(await server.token("other", "read", channel="web"))
            )
            await others.write(question)
            assert await others.read()
            await server.admin.revoke_token(issued.token.token_id)
            async with asyncio.timeout(PATIENCE_SECONDS):
                for stream in (asking, feeding, watching):
                    told = await refused(read_all(stream))
                    assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
            await others.write(question)
            assert await others.read()
            await others.done_writing()


async def test_a_token_that_is_over_ends_its_stream(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        expires = datetime.now(UTC) + timedelta(seconds=2)
        token = await server.token("short", "read", channel="web", expires=expires)
        async with server.client(token) as client, asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(Unauthenticated):
                async for _ in client.watch(["LAMP"]):
                    pass


async def test_every_server_follows(redis_url: str, tmp_path: Path) -> None:
    """What one issues another takes a second later; what one revokes it refuses; an emptied store lets nobody in."""
    other_settings = settings_for(redis_url, authentication=True, data_dir=tmp_path / "other")
    async with guarded(redis_url, tmp_path) as server, bootstrap.running(other_settings) as other:
        assert not (tmp_path / "other" / FILE).exists()
        issued = await server.admin.issue_token("agent", roles=["read"])

        async def until(taken: bool, token: str) -> None:
            async with Client(other.address, token=token, retry_seconds=0.0) as client:
                while True:
                    try:
                        await client.list_feeds()
                        found = True
                    except Unauthenticated:
                        found = False
                    if found is taken:
                        return
                    await asyncio.sleep(0.05)

        async with asyncio.timeout(PATIENCE_SECONDS):
            await until(True, issued.secret)
            await server.admin.revoke_token(issued.token.token_id)
            await until(False, issued.secret)
            await until(True, server.admin_token)
            async with Redis.from_url(redis_url) as redis:
                await redis.delete(keys.TOKENS)
            await until(False, server.admin_token)


async def test_a_request_is_answered_once_and_its_secret_told_once(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        first = await server.admin.issue_token("shop", roles=["read"], request_id="r1")
        again = await server.admin.issue_token("shop", roles=["read"], request_id="r1")
        assert (again.token.token_id, again.secret, again.replayed) == (first.token.token_id, "", True)
        with pytest.raises(RequestMismatch):
            await server.admin.issue_token("shop", roles=["read", "plan"], request_id="r1")
        only = await server.admin.issue_token("shop", roles=["read"], validate_only=True)
        assert (only.secret, only.token.token_id) == ("", "")
        gone = await server.admin.revoke_token(first.token.token_id)
        assert (gone.replayed, (await server.admin.revoke_token(first.token.token_id)).replayed) == (False, True)
        with pytest.raises(TokenNotFound):
            await server.admin.revoke_token("nothing")
        listed = await server.admin.list_tokens()
        assert [one.name for one in listed.tokens] == ["first-admin"]
        assert listed.tokens[0].HasField("last_use_time")
        ended = await server.admin.list_tokens(include_ended=True)
        assert [(one.name, one.HasField("revoke_time")) for one in ended.tokens] == [
            ("first-admin", False),
            ("shop", True),
        ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "tab\there"}, "name"),
    ({"name": "n" * 65}, "name"),
    ({"roles": []}, "roles"),
    ({"channel": " web"}, "channel"),
    ({"requests_per_second": -1}, "requests_per_second"),
    ({"requests_per_second": float("nan")}, "requests_per_second"),
    ({"requests_per_second": 2e6}, "requests_per_second"),
    ({"burst": 5}, "burst"),
    ({"burst": -1, "requests_per_second": 1}, "burst"),
    ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "expire_time"),
    ({"certificate_uri": "no uri"}, "certificate_uri"),
    ({"request_id": "\n"}, "request_id"),
]


async def test_a_token_that_cannot_be_names_its_field(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        for wrong, field in WRONG:
            with pytest.raises(InvalidArgument) as fault:
                await server.admin.issue_token(**{"name": "shop", "roles": ["read"], **wrong})
            assert (wrong, fault.value.field) == (wrong, field)
        assert [one.name for one in (await server.admin.list_tokens()).tokens] == ["first-admin"]


async def test_a_token_makes_no_more_calls_than_it_may(redis_url: str, tmp_path: Path) -> None:
    """Calls beyond its rate are told when to come again; a stream is slowed down, and every message answered."""
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        slow = await server.token("slow", "read", requests_per_second=0.01, burst=2)
        async with server.client(slow, channel="web") as client:
            await client.list_feeds()
            await client.list_feeds()
            with pytest.raises(RateLimited) as limited:
                await client.list_feeds()
            assert 50_000 < limited.value.retry_after_ms <= 100_000
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = channel.unary_unary("/invengine.v1.StockService/ListFeeds")
            told = await refused(call(b"", metadata=authorization(slow)))
            assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
            assert told.retry_seconds is not None
            assert told.retry_seconds > 50
        brisk = await server.token("brisk", "read", requests_per_second=40, burst=1)
        question = availability_service_pb2.StreamAvailabilityRequest(sku="LAMP", channel="web").SerializeToString()
        async with grpc.aio.insecure_channel(server.address) as channel:
            path = "/invengine.v1.AvailabilityService/StreamAvailability"
            asking = channel.stream_stream(path)(metadata=authorization(brisk))
            begun = asyncio.get_running_loop().time()
            for _ in range(20):
                await asking.write(question)
                assert await asking.read()
            assert asyncio.get_running_loop().time() - begun > 19 / 40 * 0.9  # never sooner, however fast the machine
            await asking.done_writing()


# The first token


async def test_the_first_token_is_written_once_and_never_shown(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with guarded(redis_url, tmp_path / "new") as server:
        token = server.admin_token
    file = tmp_path / "new" / FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(file) in caplog.text
    assert token.partition(".")[2] not in caplog.text
    async with guarded(redis_url, tmp_path / "new") as server:  # there is one: none is made
        assert server.admin_token == token
        assert len((await server.admin.list_tokens()).tokens) == 1
        await server.admin.revoke_token(token.partition(".")[0])
    async with guarded(redis_url, tmp_path / "new") as server:  # nobody can issue any more: another one
        assert server.admin_token != token
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


async def test_of_servers_that_start_at_once_one_writes_it(redis_url: str, tmp_path: Path) -> None:
    settings = [settings_for(redis_url, authentication=True, data_dir=tmp_path / str(n)) for n in range(2)]
    async with bootstrap.running(settings[0]) as one, bootstrap.running(settings[1]):
        (file,) = tmp_path.glob(f"*/{FILE}")
        async with Client(one.address, token=file.read_text().strip()) as client:
            assert len((await client.list_tokens()).tokens) == 1


async def test_a_folder_that_cannot_be_written_is_named(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(bootstrap.Broken, match="first token cannot be written"):
        async with bootstrap.running(settings_for(redis_url, authentication=True, data_dir=tmp_path / "file")):
            pass
    async with guarded(redis_url, tmp_path):  # and none was made that nobody has
        pass


async def test_a_token_whose_server_died_before_it_had_its_name_is_found(redis_url: str, tmp_path: Path) -> None:
    async with guarded(redis_url, tmp_path) as server:
        token = server.admin_token
    (tmp_path / FILE).rename(tmp_path / f".{FILE}.4711")
    async with guarded(redis_url, tmp_path) as server:
        assert server.admin_token == token


# What is told to whom


async def test_reflection_needs_a_token_where_calls_do(redis_url: str, tmp_path: Path) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="")

    async def asked(server: Guarded, metadata: Any) -> Any:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(iter([question]), metadata=metadata)
            return [answer async for answer in call]

    async with guarded(redis_url, tmp_path) as server:
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await asked(server, authorization(server.admin_token))
        assert fault.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with guarded(redis_url, tmp_path, reflection=True) as server:
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await asked(server, ())
        assert taken_apart(fault.value).reason == "UNAUTHENTICATED"
        (answer,) = await asked(server, authorization(server.admin_token))
        assert "invengine.v1.AdminService" in str(answer)


async def test_secrets_are_nowhere_to_be_seen(
    start_redis: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of tokens and the password of Redis: logs, refusals, metrics, settings, tokens that are listed, Redis itself."""
    caplog.set_level(logging.DEBUG)
    password = "hush-hush-of-redis"
    server_url = start_redis().url
    async with Redis.from_url(server_url) as client:
        await client.config_set("requirepass", password)
    url = server_url.replace("unix://", f"unix://:{password}@")
    async with guarded(url, tmp_path, access_log=True) as server:
        await server.admin.apply_network(NETWORK)
        issued = await server.admin.issue_token("shop", roles=["reserve"], channel="web", requests_per_second=1000)
        seen = [str(await server.admin.list_tokens(include_ended=True)), repr(issued.token)]
        async with server.client(issued.secret) as shop:
            for call in (
                shop.list_tokens(),
                shop.get_availability("LAMP", channel="closed"),
                shop.get_availability("LAMP", locations=["nowhere"]),
            ):
                with pytest.raises(Exception) as fault:  # noqa: PT011  # whatever it is
                    await call
                seen += [repr(fault.value), str(fault.value), str(fault.value.__cause__)]
        async with server.client(issued.secret[:-4]) as guess:
            with pytest.raises(Unauthenticated) as refusal:
                await guess.list_tokens()
            seen.append(repr(refusal.value))
        seen.append(generate_latest(server.running.metrics.registry).decode())
        settings = settings_for(url, authentication=True)
        seen += [repr(settings), str(settings)]
        async with Redis.from_url(url) as client:
            seen.append(str(await client.hgetall(keys.TOKENS)))
        token_id, _, secret = issued.secret.partition(".")
        assert any(token_id in text for text in seen), "what is searched has tokens in it"
    seen.append(caplog.text)
    for hidden in (secret, secret[:-4], server.admin_token.partition(".")[2], password):
        assert [text for text in seen if hidden in text] == []


async def test_each_accepted_write_has_a_line_and_nothing_else_has(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        shop = server.client(await server.token("shop", "reserve", "feed", channel="web"))
        caplog.clear()
        with caplog.at_level(logging.INFO, "invengine.audit"):
            async with shop:
                await shop.post_movements([received("e1")])
                held = await shop.reserve([Line(sku="LAMP", quantity=1)], request_id="r-1", customer_ref="Ms. Private")
                await shop.reserve([Line(sku="LAMP", quantity=1)], request_id="r-1", customer_ref="Ms. Private")
                await shop.get_availability("LAMP")
                await shop.get_reservation(held.reservation.reservation_id)
                with pytest.raises(RoleMissing):
                    await shop.apply_network(NETWORK)
                with pytest.raises(Exception, match="RUG"):
                    await shop.reserve([Line(sku="RUG", quantity=1)])
                async for _ in shop.feed([received("e2"), received("e3")]):
                    pass
                async with asyncio.timeout(PATIENCE_SECONDS):  # the line is written behind the end of the stream
                    while "StreamMovements" not in caplog.text:
                        await asyncio.sleep(0.02)
            await server.admin.apply_network(NETWORK, validate_only=True)
        lines = [json.loads(record.message) for record in caplog.records if record.name == "invengine.audit"]
        told = [(line["token"], line["channel"], line["method"].rpartition("/")[2], line["code"]) for line in lines]
        assert told == [
            ("shop", "web", "PostMovements", "OK"),
            ("shop", "web", "CreateReservation", "OK"),
            ("shop", "web", "CreateReservation", "OK"),
            ("shop", "web", "StreamMovements", "OK"),
        ]
        assert [line["request_id"] for line in lines][1:3] == ["r-1", "r-1"]
        assert set(lines[0]) == {"time", "token", "token_id", "channel", "method", "request_id", "messages", "code"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", lines[0]["time"])
        assert "Private" not in caplog.text


async def test_with_authentication_off_nothing_changes(redis_url: str, tmp_path: Path) -> None:
    """No token is needed, one that comes is not looked at, none is written, and the ledger says the channel."""
    settings = settings_for(redis_url, data_dir=tmp_path)
    assert not settings.asks_who_calls
    async with bootstrap.running(settings) as running, Client(running.address, token="x.y") as client:
        await client.apply_network(NETWORK)
        await client.post_movements([received("e1")])
        await client.reserve([Line(sku="LAMP", quantity=1)], channel="web")
        assert await ledger(client) == [("RECEIPT", "wms", ""), ("RESERVE", "web", "")]
        issued = await client.issue_token("early", roles=["read"])  # to have it when calls need one
        assert issued.secret
    assert not (tmp_path / FILE).exists()
