"""Every method of the contract, every role, every kind of bad token, over real sockets: the table is what holds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from invengine.domain.tokens import INCLUDES, Role
from invengine.errors import Unauthenticated
from invengine.metrics import Metrics
from invengine.rpc import permissions, servicers
from invengine.rpc.endpoints import Streams
from invengine.rpc.permissions import PERMISSIONS
from tests.rpc.engines import NETWORK, taken_apart
from tests.rpc.tokens import ROLES, Guarded, authorization, guarded

GARBAGE = b"\xff\xff\xff"
"""No message of any method: whoever decodes it says so."""

NOBODY = grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"
MAY_NOT = grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING"
LET_IN = grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE"

METHODS = dict(servicers.methods())


async def told(channel: grpc.aio.Channel, path: str, metadata: Any) -> tuple[grpc.StatusCode, str]:
    """The code and the reason that a call with garbage ends with."""
    method = METHODS[path]
    try:
        if method.client_streaming and method.server_streaming:
            call = channel.stream_stream(path)(metadata=metadata)
        elif method.client_streaming:
            call = channel.stream_unary(path)(metadata=metadata)
        elif method.server_streaming:
            call = channel.unary_stream(path)(GARBAGE, metadata=metadata)
        else:
            return grpc.StatusCode.OK, str(await channel.unary_unary(path)(GARBAGE, metadata=metadata))
        if method.client_streaming:
            try:
                await call.write(GARBAGE)
                await call.done_writing()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass  # refused before it was written: the answer says so
        if method.server_streaming:
            async for _ in call:
                pass
            return await call.code(), ""
        return grpc.StatusCode.OK, str(await call)
    except grpc.aio.AioRpcError as error:
        refused = taken_apart(error)
        return refused.code, refused.reason


async def tokens_that_do_not_count(server: Guarded) -> dict[str, Any]:
    """Metadata of callers that nobody knows, by what is wrong with them."""
    now = datetime.now(UTC)
    issued = await server.admin.issue_token("revoked", roles=["admin"])
    await server.admin.revoke_token(issued.token.token_id)
    later = await server.token("later", "admin", not_before=now + timedelta(hours=1))
    short = await server.token("short", "admin", expires=now + timedelta(milliseconds=1500))
    whole = await server.token("whole", "admin")
    token_id, _, secret = whole.partition(".")
    async with server.client(short) as client:
        with suppress(Unauthenticated):
            while await client.list_tokens():  # until it is over
                await asyncio.sleep(0.05)
    return {
        "none": (),
        "expired": authorization(short),
        "not yet": authorization(later),
        "revoked": authorization(issued.secret),
        "wrong secret": authorization(f"{token_id}.{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}"),
        "unknown id": authorization(f"{'0' * 16}.{secret}"),
        "id alone": authorization(token_id),
        "another scheme": (("authorization", f"Basic {whole}"),),
    }


@pytest.mark.asyncio
async def test_each_role_may_what_the_table_says_and_nothing_else(redis_url: str, tmp_path: Path) -> None:
    """The message is garbage, so that a call which is let in says MALFORMED_MESSAGE, and others never decode it."""
    assert {role.value for role in Role} == set(ROLES)
    async with guarded(redis_url, tmp_path) as server:
        await server.admin.apply_network(NETWORK)
        with_roles = {role: authorization(await server.token(role, role)) for role in ROLES}
        bad = await tokens_that_do_not_count(server)
        wrong = []
        async with grpc.aio.insecure_channel(server.address) as channel:
            for path in METHODS:
                expected = {
                    role: LET_IN if PERMISSIONS[path].role in INCLUDES[Role(role)] else MAY_NOT for role in ROLES
                } | dict.fromkeys(bad, NOBODY)
                callers = [*(with_roles | bad).items()]
                found = await asyncio.gather(*(told(channel, path, metadata) for _, metadata in callers))
                wrong += [
                    (path, who, answer)
                    for (who, _), answer in zip(callers, found, strict=True)
                    if answer != expected[who]
                ]
        assert wrong == []


def test_every_method_has_a_permission_and_no_other() -> None:
    assert set(PERMISSIONS) == set(METHODS)


def test_a_method_without_a_permission_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody is asked who calls: it would be open on the day that somebody is."""
    from prometheus_client import CollectorRegistry

    class Anything:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    known = dict(permissions.PERMISSIONS)
    del known["/invengine.v1.StockService/GetPosition"]
    monkeypatch.setattr(servicers, "PERMISSIONS", known)
    everything = dict.fromkeys(servicers.SERVICES, Anything())
    with pytest.raises(KeyError, match="GetPosition"):
        servicers.handlers(everything, Streams(), Metrics(CollectorRegistry()))


def channels_in(message: Descriptor, place: str = "", seen: frozenset[str] = frozenset()) -> set[str]:
    """The places of the fields of a request that name a channel."""
    found = set()
    for field in message.fields:
        if field.name in ("channel", "to_channel"):
            found.add(place + field.name)
        inner = field.message_type
        if inner is not None and inner.full_name.startswith("invengine") and inner.full_name not in seen:
            found |= channels_in(inner, f"{place}{field.name}.", seen | {inner.full_name})
    return found


@pytest.mark.parametrize(("path", "method"), METHODS.items(), ids=list(METHODS))
def test_what_every_channel_of_a_request_means_is_written_down(path: str, method: MethodDescriptor) -> None:
    """A field that nobody thought of would let a token speak for any channel."""
    assert {place for place, _ in PERMISSIONS[path].channels} == channels_in(method.input_type)


@pytest.mark.parametrize(("path", "method"), METHODS.items(), ids=list(METHODS))
def test_writes_are_known_as_such(path: str, method: MethodDescriptor) -> None:
    """What has a request_id writes and stands in the audit log; and what says who did it is signed by the token."""
    permission, fields = PERMISSIONS[path], set(method.input_type.fields_by_name)
    carries_many = {"BatchCreateReservations", "StreamMovements"}
    assert permission.writes == ("request_id" in fields or method.name in carries_many)
    assert permission.is_signed == ("actor" in fields and permission.writes)
