"""Bytes that are no message, on every method of the contract: refused as such, never UNKNOWN or INTERNAL."""

from __future__ import annotations

import random
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from invengine.rpc import servicers
from tests.rpc.engines import Stubs, taken_apart

METHODS = dict(servicers.methods())
SEED = 20_261_122
OURS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAVAILABLE,  # a token of a state that never comes
}


def filled(kind: type[Message], chance: random.Random, depth: int = 0) -> Message:
    """A message with most of its fields set, to values that often make sense."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if depth > 3 or chance.random() < 0.2:
            continue
        if field.message_type is not None:
            if field.is_repeated:
                for _ in range(chance.randrange(3)):
                    getattr(message, field.name).append(filled(GetMessageClass(field.message_type), chance, depth + 1))
            else:
                getattr(message, field.name).CopyFrom(filled(GetMessageClass(field.message_type), chance, depth + 1))
            continue
        value: object
        if field.type == FieldDescriptor.TYPE_STRING:
            value = chance.choice(["LAMP", "DC", "web", "1", "x" * 70, "\n", "", "ü"])
        elif field.type == FieldDescriptor.TYPE_BOOL:
            value = chance.random() < 0.5
        elif field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM):
            value = chance.choice([0, 1, 2, 3, -1, 2**31 - 1])
        else:
            value = chance.choice([0, 1, 5, -1, 2**53, 2**63 - 1, -(2**63)])
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def bodies(kind: type[Message], chance: random.Random) -> Iterator[bytes]:
    """Noise, cut and bent messages, strings that are not UTF-8, wrong wire types, endless groups and varints."""
    yield b"\xff"
    yield b"\x0a\x05ab"
    yield b"\x0a\x02\xff\xfe"
    yield b"\x0b" * 200
    yield b"\x80" * 40
    yield b"\x0a\xff\xff\xff\xff\x7f"
    yield b"\x00\x00"
    for _ in range(20):
        yield chance.randbytes(chance.randrange(1, 60))
    for _ in range(40):
        whole = bytearray(filled(kind, chance).SerializeToString())
        yield bytes(whole)
        if whole:
            yield bytes(whole[: chance.randrange(len(whole))])
            for _ in range(chance.randrange(1, 4)):
                whole[chance.randrange(len(whole))] = chance.randrange(256)
            yield bytes(whole)


def is_a_message(kind: type[Message], body: bytes) -> bool:
    try:
        kind.FromString(body)
    except DecodeError:
        return False
    return True


@pytest.mark.asyncio
@pytest.mark.parametrize("path", METHODS)
async def test_no_bytes_are_a_fault_of_ours(stubs: Stubs, path: str) -> None:
    await stubs.receive("LAMP", 5)
    method = METHODS[path]
    kind = GetMessageClass(method.input_type)
    chance = random.Random(f"{SEED} {path}")
    if method.client_streaming:
        open_stream = stubs.channel.stream_stream(path)
    else:
        call = stubs.channel.unary_unary(path)
    malformed = 0
    for body in bodies(kind, chance):
        try:
            if method.client_streaming:
                async for _ in open_stream(iter([body]), timeout=10):
                    pass
            else:
                await call(body, timeout=10)
        except grpc.aio.AioRpcError as error:
            why = taken_apart(error)
            assert why.code in OURS, (body, why)
            if is_a_message(kind, body):
                assert why.reason != "MALFORMED_MESSAGE", (body, why)
            else:  # a missing field may be told before the rest is read
                assert why.code is grpc.StatusCode.INVALID_ARGUMENT, (body, why)
            malformed += why.reason == "MALFORMED_MESSAGE"
        else:
            assert is_a_message(kind, body), body
    assert malformed > 10
    assert (await stubs.position("LAMP"))[0] >= 0
