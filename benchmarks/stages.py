"""Where does the time of a hot call go? `python -m benchmarks.stages` prints a table, in this process, without gRPC.

Each call is timed whole, from the bytes of the request to the bytes of the answer, and then its stages, each alone and
over and over: what they need is in the caches then. In a server each call comes to cold ones, and costs several times
as much; what a stage is of the whole holds there too. CPU time, the least of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import engine, memory_replica
from benchmarks.delivery_network import document
from benchmarks.promises import basket
from invengine import kernels
from invengine.domain.network import Network
from invengine.domain.transit import NOTHING_LEARNT
from invengine.replica.clock import StoreClock
from invengine.replica.replica import Replica
from invengine.rpc import convert_promises
from invengine.services import promising, promising_board, promising_choice, promising_options
from invengine.services.availability import Availability
from invengine.services.promising import Promising
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import promise_service_pb2

SKUS, LOCATIONS, UNITS, BATCH, QUERIES = 10_000, 10, 1_000, 1_000, 20
ROUNDS, ROUND_SECONDS = 7, 0.05

Work = Callable[[], object]


@dataclass
class Call:
    """A call, what it costs, and what its stages do."""

    name: str
    whole: float
    stages: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Rows of the table; what no stage accounts for is the rest."""
        yield f"| {self.name} | **whole** | **{_us(self.whole)}** | |"
        rest = max(0.0, self.whole - sum(self.stages.values()))
        for stage, seconds in [*self.stages.items(), ("the rest", rest)]:
            yield f"| | {stage} | {_us(seconds)} | {seconds / self.whole:.0%} |"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}"


def cost(work: Work) -> float:
    """Seconds of CPU that it takes."""
    began = time.process_time()
    work()
    times = max(1, int(ROUND_SECONDS / max(1e-7, time.process_time() - began) / 4))
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times)
    return min(rounds)


def done(call: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that waits for nothing returns."""
    try:
        call.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("the call waits for something")


def get(availability: Availability, replica: Replica) -> Call:
    """GetAvailability of one SKU at 10 locations."""
    request = pb.GetAvailabilityRequest(sku=engine.sku(7), channel=engine.CHANNEL).SerializeToString()
    answer = pb.GetAvailabilityResponse.FromString(done(availability.get_bytes(request)))
    if answer.available != LOCATIONS * UNITS - 1:
        raise RuntimeError(f"wrong answer: {answer}")
    single, clock, questions = availability._single, availability._clock, availability._questions
    columns = replica.columns
    length = request[1]
    question = questions.kept_get(request[2 + length :])
    assert question is not None
    selection = question.selection
    arrays = (
        single._name,
        length,
        columns.index.slots,
        columns.index.arena,
        columns.positions,
        columns.skus,
        columns.fences,
        selection.block,
        selection.nothing_ignored,
        selection.names,
        selection.name_ends,
        selection.thresholds,
        single._terms,
        single._out,
        single._partition,
    )
    stages = {
        "the question, as it was asked before": cost(lambda: questions.kept_get(request[2 + length :])),
        "the store's clock, holds that are over": cost(lambda: replica.advance(clock.now_ms())),
        "kernel: find the SKU, work out its positions, write them": cost(lambda: kernels.answer_sku(*arrays)),
        "consistency token and staleness": cost(lambda: single._state_fields(7)),
    }
    return Call("GetAvailability", cost(lambda: availability.get_at_once(request)), stages)


def stream(availability: Availability) -> Iterator[Call]:
    """StreamAvailability, a message of one query and of 20."""
    step = availability.open_stream(lambda refusal: b"")
    queries = [pb.AvailabilityQuery(query_id=n + 1, sku=engine.sku(n)) for n in range(QUERIES)]
    one = pb.StreamAvailabilityRequest(query_id=1, sku=engine.sku(0)).SerializeToString()
    many = pb.StreamAvailabilityRequest(queries=queries).SerializeToString()
    step(pb.StreamAvailabilityRequest(sku=engine.sku(0), channel=engine.CHANNEL).SerializeToString())
    step(one)
    if pb.StreamAvailabilityResponse.FromString(step(many)).answers[-1].available != LOCATIONS * UNITS - 1:
        raise RuntimeError("wrong answer")
    of_stream = step.__self__  # type: ignore[attr-defined]
    for name, message in (("one query", one), (f"{QUERIES} queries", many)):
        kernel = partial(of_stream._at_once, message, of_stream._selection)
        yield Call(
            f"StreamAvailability, a message of {name}",
            cost(partial(step, message)),
            {"clock, and kernel: read, find, work out, write": cost(kernel)},
        )


def batch(availability: Availability, replica: Replica) -> Iterator[Call]:
    """BatchGetAvailability of 1,000 SKUs, by name and by handle, totals and positions."""
    skus = [engine.sku(int(number)) for number in np.random.default_rng(7).permutation(SKUS)[:BATCH]]
    columns, splitter = replica.columns, availability._splitter
    for totals_only in (True, False):
        named = pb.BatchGetAvailabilityRequest(skus=skus, channel=engine.CHANNEL, totals_only=totals_only)
        asked = pb.BatchGetAvailabilityRequest(want_handles=True)
        asked.MergeFrom(named)
        told = pb.BatchGetAvailabilityResponse.FromString(done(availability.batch(asked.SerializeToString())))
        handled = pb.BatchGetAvailabilityRequest(handles=told.handles, handle_epoch=told.handle_epoch)
        handled.MergeFrom(named)
        handled.ClearField("skus")
        for how, request in (("by name", named), ("by handle", handled)):
            message = request.SerializeToString()
            answer = pb.BatchGetAvailabilityResponse.FromString(done(availability.batch(message)))
            if list(answer.available) != list(told.available):
                raise RuntimeError("the answers differ")
            found, rest = splitter.split_batch(message)
            question = availability._questions.of_batch(rest)
            batches = availability._batches
            numbers = batches._find(found, question).numbers
            block, status = question.selection.block, np.empty(BATCH, np.uint8)
            totals, counts = np.empty(BATCH, np.int64), np.empty(BATCH, np.int32)
            index, units = np.empty(BATCH * LOCATIONS, np.int32), np.empty(BATCH * LOCATIONS, np.int64)
            arrays = numbers, columns.positions, columns.skus, columns.fences, block, status, totals
            more = () if totals_only else (counts, index, units)
            work_out: Any = kernels.available_totals if totals_only else kernels.available_rows
            stages = {
                "kernel: the message taken apart": cost(partial(splitter.split_batch, message)),
                "kernel: the numbers of the SKUs": cost(partial(batches._find, found, question)),
                "kernel: what can be taken": cost(partial(work_out, *arrays, *more)),
            }
            whole = cost(lambda message=message: done(availability.batch(message)))  # type: ignore[misc]
            what = "totals" if totals_only else "positions"
            yield Call(f"BatchGetAvailability, {what} of {BATCH:,} SKUs {how}", whole, stages)


def promise() -> Call:
    """GetPromise of 3 lines, 20 locations, 4 services."""
    replica = Replica(memory_replica.PARTITIONS, bytes(8))
    memory_replica.fill(replica, SKUS // 10, 20, UNITS)
    network = Network.parse(document(20, 4), 1)
    replica.set_network(network)
    replica.caught_up(monotonic())
    clock, now = StoreClock(), monotonic()
    clock.observe(1_800_000_000_000, now, now)
    networks, transit = SimpleNamespace(required=lambda: network), SimpleNamespace(times=NOTHING_LEARNT)
    service = Promising(None, replica, clock, networks, transit=transit)  # type: ignore[arg-type]
    request = basket(3).SerializeToString()

    def call() -> bytes:
        message = promise_service_pb2.GetPromiseRequest.FromString(request)
        return convert_promises.promise_to_proto(done(service.get(message))).SerializeToString()

    if len(promise_service_pb2.GetPromiseResponse.FromString(call()).options) != 4:
        raise RuntimeError("wrong answer")
    whole = cost(call)
    seconds: dict[str, float] = {}
    with (
        _watched(promising, "check_get", seconds, "the request checked"),
        _watched(promising_board.Board, "__init__", seconds, "what each location could have, and when"),
        _watched(promising_options.Options, "_date", seconds, "of this: dates of all locations and services"),
        _watched(promising_choice.Chooser, "choose", seconds, "the best combination, for each service"),
        _watched(promising_options.Options, "_promised", seconds, "the options told"),
        _watched(convert_promises, "promise_to_proto", seconds, "the message filled"),
    ):
        rounds = 100
        for _ in range(rounds):
            call()
    dates = "of this: dates of all locations and services"
    stages = {name: total / rounds for name, total in seconds.items()}
    stages["what each location could have, and when"] -= stages[dates]
    stages["dates of all locations and services"] = stages.pop(dates)
    return Call("GetPromise, 3 lines x 20 locations x 4 services", whole, stages)


@contextmanager
def _watched(holder: Any, name: str, seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds up what a function costs, inside other work."""
    function = getattr(holder, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - began

    setattr(holder, name, timed)
    try:
        yield
    finally:
        setattr(holder, name, function)


def main() -> None:
    """Print the table."""
    replica, availability = memory_replica.availability(SKUS, LOCATIONS, UNITS)
    print("| Call | Stage | us | Of the whole |\n|---|---|---|---|")
    for call in (
        get(availability, replica),
        *stream(availability),
        *batch(availability, replica),
        promise(),
    ):
        print("\n".join(call.lines()), flush=True)


if __name__ == "__main__":
    main()
