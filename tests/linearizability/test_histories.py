"""Concurrent histories through the whole engine: one order of all calls explains every answer.

What is recorded are the calls of clients of the gRPC API to two engines on one Redis, and the ledgers at the end.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.linearizability.answers import Moved, Refusal, Violation, items_of
from tests.linearizability.faults import IN_LIBRARY, Fault
from tests.linearizability.forgeries import FORGERIES, Forgery
from tests.linearizability.histories import History, in_processes, in_this_process
from tests.linearizability.witness import check
from tests.redis_servers import RunningRedis

ANSWERS = int(os.environ.get("HISTORY_ANSWERS", "20000"))
SEED = int(os.environ.get("HISTORY_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
SMALL_SEED = 5
PAUSE_SECONDS = 2.1  # longer than clients hold units for


def words_of(history: History) -> Counter[str]:
    """How often each refusal and repeat was answered."""
    words: Counter[str] = Counter()
    for call in history.calls:
        for item in items_of(call):
            refusal = item.answer.refusal if isinstance(item.answer, Moved) else item.answer
            words[refusal.reason if isinstance(refusal, Refusal) else ""] += 1
            words["REPEATED"] += item.replayed
    return words


@pytest.mark.timeout(300 + ANSWERS // 200)
def test_a_history_of_many_answers_has_an_order_that_explains_them_all(redis_url: str) -> None:
    """All verbs, a tenth of it retries; two engines, two processes of clients, a store that they share."""
    print(f"seed {SEED}")
    history = asyncio.run(in_processes(redis_url, SEED, ANSWERS, clients=24, units=150))
    witness = check(history)
    assert witness.answers >= ANSWERS
    words = words_of(history)
    hard = {
        "INSUFFICIENT_STOCK",
        "RESERVATION_EXPIRED",
        "RESERVATION_CLOSED",
        "RESERVATION_CONFIRMED",
        "RESERVATION_NOT_CONFIRMED",
        "RESERVATION_EXISTS",
        "REVISION_MISMATCH",
        "REQUEST_MISMATCH",
        "COVERED_BY_COUNT",
    }
    assert hard <= set(words), f"the history was not a hard one: {words}"
    assert words["REPEATED"] > ANSWERS // 100


@pytest.fixture(scope="module")
def sound(redis_of_kind: Callable[[str], RunningRedis]) -> History:
    """A small history of a sound engine."""
    server = redis_of_kind("valkey")
    server.empty()
    return asyncio.run(small(server.url, SMALL_SEED, 5000))


async def small(url: str, seed: int, answers: int, pause_seconds: float = 0) -> History:
    """A history in which stock is short."""
    return await in_this_process(url, seed, answers, clients=12, units=10, pause_seconds=pause_seconds)


def test_a_small_history_passes(sound: History) -> None:
    """What the faults below are planted into holds without them."""
    check(sound)


def is_seen(fault: Fault, server: RunningRedis, seed: int) -> bool:
    """Whether the history of an engine that runs a faulty library does not pass."""
    server.empty()
    with server.client() as client:
        client.function_load(fault.planted())
    try:
        check(asyncio.run(small(server.url, seed, fault.answers, PAUSE_SECONDS if fault.by_time else 0)))
    except Violation:
        return True
    return False


@pytest.mark.parametrize("fault", IN_LIBRARY, ids=lambda fault: fault.name)
def test_a_fault_of_the_functions_is_seen(fault: Fault, redis_of_kind: Callable[[str], RunningRedis]) -> None:
    """Mostly in the first history; not in each of them comes up what the fault does wrong."""
    assert any(is_seen(fault, redis_of_kind("valkey"), SMALL_SEED + n) for n in range(5))


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_forged_history_is_seen(forgery: Forgery, sound: History) -> None:
    """Wherever a fault is put into a sound history, it does not pass any more."""
    for place in range(2):
        forged = forgery(sound, random.Random(place))
        with pytest.raises(Violation):
            check(forged)
