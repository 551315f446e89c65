"""Every method, every field, every bad value: a typed refusal that names the field, and a store that is as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.v1 import common_pb2
from tests.faults import shop
from tests.faults.bad_values import ALWAYS_BAD, Bad, bad_requests
from tests.faults.calls import Calls, Told
from tests.faults.contents import Contents
from tests.faults.good_requests import METHODS, good_requests, named
from tests.rpc.engines import engine

FAULTS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
ANYTHING = {
    "CheckIntegrity.violations_max": set(),
    "WhatIf.seed": {"2^53", "the largest", "the least"},
    "StreamAvailability.query_id": {"2^53", "the largest", "the least"},
    "StreamMovements.position": {"2^53", "the largest"},
    "*.page_size": {"the largest"},  # becomes as large as pages are
    "*.reason": {"65 bytes"},  # up to 128 are taken
}
"""What is taken of what no other field takes."""

DOCUMENTS = {"NETWORK_INVALID", "TRANSIT_INVALID", "PROFILE_INVALID"}
"""What is said instead of INVALID_ARGUMENT of a document, which has names of its own for what is in it."""

ONE_THING = {"Date", "Timestamp", "Duration", "Consistency"}
"""Messages that are one value: a refusal names the whole."""

BETWEEN_FIELDS = {"missing", "empty", "zero", "not set", "the other"}
"""What can be bad only together with another field, which may then be named instead."""


STEPS = {"ReceiveReturn", "DisposeReturn"}
"""Made in steps, each with an id of its own. One that is refused is noted: whoever goes on with it is told the same."""


@dataclass
class Refusal:
    """A refusal of a call, or of an item in its answer; `fields` as the request spells them."""

    reason: str
    fields: list[str]
    message: str


def refusals(told: Told) -> list[Refusal]:
    """All of them, of the call and in the answers."""
    if told.refused is not None:
        return [Refusal(told.refused.reason, told.refused.fields, told.refused.message)]
    found = []
    for answer in told.answers:
        holders: list[Any] = [*getattr(answer, "outcomes", ()), answer]
        for holder in holders:
            if "refusal" in holder.DESCRIPTOR.fields_by_name and holder.HasField("refusal"):
                refusal = holder.refusal
                reason = common_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
                found.append(Refusal(reason, [refusal.metadata["field"]], refusal.message))
    return found


def is_taken(method: str, bad: Bad) -> bool:
    """Whether the field takes this, which no other does."""
    name = bad.field.rpartition(".")[2]
    return bad.what in ANYTHING.get(f"{method}.{bad.field}", set()) | ANYTHING.get(f"*.{name}", set())


def names(refusal: Refusal, bad: Bad, is_item: bool) -> bool:
    """Whether the refusal names the field, or the one with which it does not go. An item of a stream is told
    by itself.
    """
    (field,) = refusal.fields
    asked = bad.field.removeprefix("movements[0].") if is_item else bad.field
    if field == asked:
        return True
    whole, _, part = asked.rpartition(".")
    if field == whole and part in ("year", "month", "day", "seconds", "nanos"):
        return True
    if bad.what.endswith(" elements"):  # of many empty elements the first may be told, or how many there are in all
        return field.startswith((asked, asked.partition("[")[0]))
    return bad.what in BETWEEN_FIELDS and (
        field.startswith((f"{asked}.", f"{part}."))  # what is in it, or in what counts where it says nothing
        or field.rpartition(".")[0] in (whole, whole.rpartition(".")[0])
    )


def wrong(method: str, bad: Bad, told: Told) -> str:
    """What is wrong with what the caller was told; empty when nothing is."""
    if told.raw is not None:  # gRPC itself, before the message is ours
        return "" if told.raw is grpc.StatusCode.RESOURCE_EXHAUSTED and len(bad.body) > 4 << 20 else str(told.raw)
    if told.refused is not None and told.refused.code in FAULTS:
        return str(told.refused)
    found = refusals(told)
    if bad.what == "not UTF-8":
        return "" if [refusal.reason for refusal in found] == ["MALFORMED_MESSAGE"] else f"{found}"
    if bad.what in ALWAYS_BAD and not is_taken(method, bad):
        if not found:
            return f"was taken: {str(told.answers)[:200]}"
        if any(refusal.reason not in ("INVALID_ARGUMENT", *DOCUMENTS) for refusal in found):
            return f"{found}"
    unnamed = [
        one for one in found if one.reason == "INVALID_ARGUMENT" and not names(one, bad, method == "StreamMovements")
    ]
    return f"another field is named: {unnamed}" if unnamed else ""


def is_noted(contents: Contents, known: dict[bytes, bytes]) -> bool:
    """Whether since then steps were noted as refused, and nothing else was written."""
    now = contents.everything()
    changed = [key for key in now.keys() | known.keys() if now.get(key) != known.get(key)]
    return all(b":events:" in key and b"!" in contents.fields(key).values() for key in changed)


def cases(plan_id: str) -> Iterator[tuple[str, list[Bad]]]:
    """All that can be made of each good request; what is the same in two of a method, once."""
    seen: set[tuple[str, str, str]] = set()
    for number, (path, good) in enumerate(good_requests(plan_id)):
        bads = [bad for bad in bad_requests(good, f"bad {number}") if (path, bad.field, bad.what) not in seen]
        seen |= {(path, bad.field, bad.what) for bad in bads}
        yield path, bads


@pytest_asyncio.fixture
async def made(redis_url: str) -> AsyncIterator[tuple[Calls, str]]:
    """An engine with the shop, and the id of its plan."""
    async with engine(redis_url) as (_, stubs):
        plan_id = await shop.prepare(stubs)
        yield Calls(stubs), plan_id


@pytest.mark.asyncio
async def test_good_requests_of_every_method_are_understood(made: tuple[Calls, str]) -> None:
    calls, plan_id = made
    for number, (path, good) in enumerate(good_requests(plan_id)):
        told = await calls.send(path, named(good, f"good {number}").SerializeToString())
        assert told.raw is None
        assert [one for one in refusals(told) if one.reason == "INVALID_ARGUMENT"] == [], path


@pytest.mark.asyncio
async def test_every_field_with_every_bad_value(
    made: tuple[Calls, str], redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls, plan_id = made
    faults, tried, without_effect = [], 0, 0
    with Contents(redis_url) as contents:
        for path, bads in cases(plan_id):
            method = METHODS[path].name
            has_steps = method in STEPS
            changes, known = contents.changes(), contents.everything() if has_steps else {}
            for bad in bads:
                told = await calls.send(path, bad.body)
                tried += 1
                if problem := wrong(method, bad, told):
                    faults.append(f"{method} {bad.field}, {bad.what}: {problem}")
                changed, changes = changes, contents.changes()
                if told.refused is None and told.raw is None:
                    known = contents.everything() if has_steps else {}
                elif changed != changes and not (has_steps and is_noted(contents, known)):
                    faults.append(f"{method} {bad.field}, {bad.what}: was refused, and the store has changed")
                else:
                    without_effect += 1
    assert not faults, "\n".join(faults)
    assert tried > 3000
    assert without_effect > 2000
    assert not [record for record in caplog.records if record.exc_info], "a fault of ours was logged"
