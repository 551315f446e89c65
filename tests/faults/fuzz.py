"""Bytes that were messages once: good requests with bits turned, bytes put in, taken out, doubled and exchanged.

    python -m tests.faults.fuzz [--bodies 100000] [--seed 1]

sends so many to a server process and tells what came of it. Ends with 1 when the server answered UNKNOWN or INTERNAL,
logged a fault, or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tests.cli.servers import Server
from tests.faults import shop
from tests.faults.calls import Calls
from tests.faults.good_requests import METHODS, good_requests, named
from tests.faults.memory import resident_bytes
from tests.rpc.engines import client

AT_ONCE = 16
FAULTS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
NEVER_MESSAGES = (
    b"\xff",
    b"\x0a\x05ab",
    b"\x0a\x02\xff\xfe",
    b"\x0b" * 200,
    b"\x80" * 40,
    b"\x0a\xff\xff\xff\xff\x7f",
    b"\x00\x00",
)
"""Cut off, not UTF-8, endless groups and varints, longer than there is, a field without a number."""

ODD_BYTES = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x01",
    b"\xc0\xaf",
)


def bent(body: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The bytes after one to four small accidents."""
    made = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(8):
            case 0 | 1 if made:  # one bit
                made[at % len(made)] ^= 1 << chance.randrange(8)
            case 2 if made:  # one byte
                made[at % len(made)] = chance.randrange(256)
            case 3:
                made[at:at] = chance.choice(ODD_BYTES)
            case 4:
                made[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 5:
                del made[at : at + chance.randrange(1, 9)]
            case 6:  # a part of another message
                other = chance.choice(others)
                begin = chance.randrange(len(other) + 1)
                made[at:at] = other[begin : begin + chance.randrange(1, 40)]
            case _:  # a part of its own once more
                made[at:at] = made[at : at + chance.randrange(1, 40)]
    return bytes(made[: chance.randrange(len(made))] if made and chance.random() < 0.05 else made)


def is_a_message(path: str, body: bytes) -> bool:
    """Whether protobuf reads these bytes as a request of the method."""
    try:
        GetMessageClass(METHODS[path].input_type).FromString(body)
    except DecodeError:
        return False
    return True


@dataclass
class Fuzzed:
    """What came of it."""

    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Fuzzer:
    """Sends bent requests of all methods, in turns; the same seed sends the same."""

    def __init__(self, calls: Calls, plan_id: str, seed: int) -> None:
        self._calls = calls
        self._chance = random.Random(seed)
        goods = list(good_requests(plan_id))
        self.goods = {
            path: [named(good, "f").SerializeToString() for its, good in goods if its == path] for path in METHODS
        }
        self._others = [body for bodies in self.goods.values() for body in bodies if body]
        self.fuzzed = Fuzzed()

    async def run(self, bodies: int) -> Fuzzed:
        """So many requests; some of the first are no messages by their first byte."""
        paths = list(METHODS)
        queue = iter(
            (path, self._drawn(path, number // len(paths)))
            for number, path in ((number, paths[number % len(paths)]) for number in range(bodies))
        )

        async def send() -> None:
            for path, body in queue:
                await self.send(path, body)

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))
        return self.fuzzed

    def _drawn(self, path: str, number: int) -> bytes:
        if number < len(NEVER_MESSAGES):
            return NEVER_MESSAGES[number]
        if self._chance.random() < 0.05:
            return self._chance.randbytes(self._chance.randrange(1, 60))
        return bent(self._chance.choice(self.goods[path]), self._chance, self._others)

    async def send(self, path: str, body: bytes) -> None:
        """One request; what must not come of it becomes a fault."""
        told = await self._calls.send(path, body)
        its_code = told.raw or (told.refused.code if told.refused else grpc.StatusCode.OK)
        self.fuzzed.codes[its_code.name] += 1
        if problem := self._problem(path, body, told.raw, its_code, told.refused.reason if told.refused else ""):
            self.fuzzed.faults.append(f"{METHODS[path].name} {body.hex()}: {problem}")

    def _problem(self, path: str, body: bytes, raw: grpc.StatusCode | None, code: grpc.StatusCode, reason: str) -> str:
        if raw is not None or code in FAULTS:
            return f"was answered {code.name} {reason}"
        if is_a_message(path, body):
            return "is a message, and was called none" if reason == "MALFORMED_MESSAGE" else ""
        if code is not grpc.StatusCode.INVALID_ARGUMENT:  # a field that is missing may be told before the rest is read
            return f"is no message, and was answered {code.name} {reason}"
        return ""


async def against_a_server(folder: Path, bodies: int, seed: int, grown_max: int) -> list[str]:
    """Fuzzes a server process; what is wrong, and lines about it on stdout."""
    server = Server(folder)
    try:
        await asyncio.to_thread(server.wait)
        async with client(server.address) as stubs:
            fuzzer = Fuzzer(Calls(stubs), await shop.prepare(stubs), seed)
            await fuzzer.run(bodies // 5)  # what is loaded once is loaded
            before = resident_bytes(server.process.pid)
            fuzzed = await fuzzer.run(bodies - bodies // 5)
            grown = resident_bytes(server.process.pid) - before
            print(
                f"seed {seed}: {fuzzed.codes.total()} requests, {dict(fuzzed.codes)}, server grown by {grown >> 10} KiB"
            )
    finally:
        exit_code = server.stop()
    wrong = fuzzed.faults[:20]
    if grown > grown_max:
        wrong.append(f"the server has grown by {grown} bytes")
    log = (folder / "server.log").read_text()
    if exit_code or "Traceback" in log or "incident" in log:
        wrong.append(log[-5000:])
    return wrong


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = asyncio.run(against_a_server(Path(folder), given.bodies, given.seed, 20 << 20))
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
