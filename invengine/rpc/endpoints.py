"""One wrapper around every method: decode, count, time, refuse, and never let a surprise out.

A wrapped method takes and gives bytes: grpc.aio answers UNKNOWN when a deserializer of its own raises, so messages are
decoded here and what cannot be decoded is MALFORMED_MESSAGE. The wrapping happens once, at registration; interceptors
would cost 4-5 % of a call each.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from invengine.errors import InternalError, InventoryError, MalformedMessage, ShuttingDown, Unauthenticated
from invengine.rpc.calls import METADATA, REQUEST_ID, Call
from invengine.rpc.errors import CODE_NAMES, caller_was_gone, refusal_to_status

if TYPE_CHECKING:
    from invengine.metrics import MethodMetrics, Metrics
    from invengine.rpc.admission import Gate, Visit
    from invengine.rpc.calls import Observed

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Message | bytes]]
"""A method that takes a message, and gives one or the bytes of one."""

RawUnary = Callable[[bytes, Context], Awaitable[bytes]]
"""A method that takes and gives the bytes of messages."""

AtOnce = Callable[[bytes], bytes | None]
"""The answer to a request that needs nothing waited for; None for others."""

Inbound = Callable[[AsyncIterator[Any], Context], Awaitable[Message]]
"""A method that takes a stream of messages and gives one message."""

StreamStep = Callable[[bytes], bytes]
"""One message of a stream in, its answer out, at once."""

Read = Callable[[], Awaitable[bytes | None]]
"""The next message of a stream; None when the caller has sent its last one."""

Write = Callable[[bytes], Awaitable[None]]
"""Sends a message; waits while the caller does not read."""


class Exchange(Protocol):
    """A stream that reads and writes at its own pace."""

    async def serve(self, read: Read, write: Write) -> None:
        """Until both sides have said everything; what ends it early is raised."""

    def stop(self) -> None:
        """Reads nothing more, answers what it took, and raises ShuttingDown."""


ServerStream = Callable[[bytes, Context], AsyncGenerator[bytes, None]]
"""A method that takes the bytes of a message and gives those of many."""

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def takes_bytes(method: MethodT) -> MethodT:
    """Marks a method that takes and gives the bytes of messages."""
    method.takes_bytes = True  # type: ignore[attr-defined]
    return method


def exchanges(method: MethodT) -> MethodT:
    """Marks a bidirectional method that opens an `Exchange`; others answer message by message."""
    method.exchanges = True  # type: ignore[attr-defined]
    return method


def refusal_of(fault: Exception, method: str) -> InventoryError:
    """The refusal to answer with: a refusal as it is; all else is a fault of ours, logged whole and told neutrally."""
    if isinstance(fault, InventoryError):
        return fault
    incident = secrets.token_hex(6)
    logger.error("incident %s in %s", incident, method, exc_info=fault)
    return InternalError(incident)


async def _abort(context: Context, refusal: InventoryError, call: Call | None = None) -> NoReturn:
    await context.abort_with_status(refusal_to_status(refusal, () if call is None else call.trailing()))
    raise AssertionError("abort_with_status returned")


def _end(call: Call, outcome: tuple[str, str], seconds: float, series: MethodMetrics) -> None:
    """Counts a call that is over."""
    code, reason = outcome
    series.handled[code] += 1
    series.seconds.observe(seconds)
    call.method.end(call, code, reason, seconds)


def _echo(call: Call, context: Context) -> None:
    """Has the answer carry the id that the caller gave its call, where it gave one."""
    for name, _ in call.metadata:
        if name == REQUEST_ID and (sent := call.sent_id()):
            context.set_trailing_metadata(((REQUEST_ID, sent),))


def _ended_early(context: Context) -> str:
    """Why a handler was cancelled: its deadline passed or its caller went away."""
    remaining = context.time_remaining()
    return "DeadlineExceeded" if remaining is not None and remaining <= 0 else "Canceled"


async def _check_ended_well(context: Context) -> None:
    """CancelledError where a stream of requests was broken off: that is read as its end too, at times before the
    handler is cancelled. Sending something tells: it works only while there is a caller.
    """
    try:
        await context.send_initial_metadata(())
    except Exception as fault:
        raise asyncio.CancelledError from fault


def unary(
    method: Observed,
    decode: Callable[[bytes], Any],
    handler: Unary,
    series: MethodMetrics,
    metrics: Metrics,
    *,
    gate: Gate | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """A method of messages, wrapped. `gate` lets callers in before anything is decoded; None: everybody may."""

    async def raw(request: bytes, context: Context) -> bytes:
        try:
            message = decode(request)
        except DecodeError:
            raise MalformedMessage(method.path) from None
        answer = await handler(message, context)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    return raw_unary(method, raw, series, metrics, gate=gate)


def raw_unary(
    method: Observed,
    handler: RawUnary,
    series: MethodMetrics,
    metrics: Metrics,
    *,
    gate: Gate | None = None,
    at_once: AtOnce | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """A method of bytes, wrapped. What `at_once` answers costs no coroutine; behind a gate it is not asked."""
    if gate is not None:
        handler, at_once = gate.unary(handler), None
    begin, end_seconds = method.begin, method.end_seconds

    async def serve(request: bytes, context: Context) -> bytes:
        call = Call(method, request)
        begin(call)
        code, reason, response, begun = "OK", "", b"", perf_counter()
        series.started += 1
        series.received += 1
        try:
            answer = at_once(request) if at_once is not None else None
            response = await handler(request, context) if answer is None else answer
        except asyncio.CancelledError:
            code = _ended_early(context)
            raise
        except Exception as fault:  # noqa: BLE001  # logged in refusal_of
            refusal = refusal_of(fault, method.path)
            metrics.count_refusals((refusal.reason,))
            code, reason = CODE_NAMES[refusal.reason], refusal.reason
            if isinstance(refusal, Unauthenticated):
                call.request = None  # not even its id is read
            await _abort(context, refusal, call)
        else:
            series.sent += 1
            if METADATA.get():
                _echo(call, context)
            return response
        finally:  # as _end, written out: most calls come by here
            seconds = perf_counter() - begun
            series.handled[code] += 1
            series.seconds.observe(seconds)
            if seconds >= end_seconds or code != "OK":
                call.bytes_out = len(response)
                method.end(call, code, reason, seconds)
            call.ended = True

    return grpc.unary_unary_rpc_method_handler(serve)


class Streams:
    """The streams that are open. They never end by themselves, so a server that stops ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._exchanges: set[Exchange] = set()
        self._stopping = False

    def wrap(
        self,
        method: Observed,
        open_stream: Callable[[Context], StreamStep],
        series: MethodMetrics,
        metrics: Metrics,
        *,
        gate: Gate | None = None,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A bidirectional method: each message is answered before the next is read."""

        async def talk(context: Context, visit: Visit | None) -> None:
            step = open_stream(context)
            while (request := await context.read()) is not grpc.aio.EOF:
                series.received += 1
                if visit is not None:
                    request = await visit.take(request)
                await context.write(step(request))
                series.sent += 1

        async def serve(_: Any, context: Context) -> None:
            await self._serve(method, partial(talk, context), context, (series, metrics), gate)

        return grpc.stream_stream_rpc_method_handler(serve)

    def wrap_exchange(
        self,
        method: Observed,
        open_exchange: Callable[[Context], Exchange],
        series: MethodMetrics,
        metrics: Metrics,
        *,
        gate: Gate | None = None,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A bidirectional method that reads and writes at its own pace."""

        async def talk(context: Context, visit: Visit | None) -> None:
            async def read() -> bytes | None:
                message = await context.read()
                if message is grpc.aio.EOF:
                    return None
                series.received += 1
                assert isinstance(message, bytes)
                return message if visit is None else await visit.take(message)

            async def write(message: bytes) -> None:
                await context.write(message)
                series.sent += 1

            exchange = open_exchange(context)
            self._exchanges.add(exchange)
            try:
                await exchange.serve(read, write)
            finally:
                self._exchanges.discard(exchange)

        async def serve(_: Any, context: Context) -> None:
            await self._serve(method, partial(talk, context), context, (series, metrics), gate, is_exchange=True)

        return grpc.stream_stream_rpc_method_handler(serve)

    def wrap_inbound(
        self,
        method: Observed,
        decode: Callable[[bytes], Any],
        handler: Inbound,
        series: MethodMetrics,
        metrics: Metrics,
        *,
        gate: Gate | None = None,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A client-streaming method: many messages in, one answer when the stream has ended.

        The end of the messages is the end that the caller wanted: a stream that is broken off cancels the handler.
        """

        async def messages(context: Context, visit: Visit | None) -> AsyncGenerator[Any, None]:
            while (request := await context.read()) is not grpc.aio.EOF:
                series.received += 1
                if visit is not None:
                    request = await visit.take(request)
                try:
                    yield decode(request)
                except DecodeError:
                    raise MalformedMessage(method.path) from None
            await _check_ended_well(context)

        async def serve(_: Any, context: Context) -> bytes:
            answers: list[bytes] = []

            async def talk(visit: Visit | None) -> None:
                async with aclosing(messages(context, visit)) as requests:
                    answers.append((await handler(requests, context)).SerializeToString())
                series.sent += 1

            await self._serve(method, talk, context, (series, metrics), gate)
            return answers[0]

        return grpc.stream_unary_rpc_method_handler(serve)

    def wrap_answers(
        self,
        method: Observed,
        handler: ServerStream,
        series: MethodMetrics,
        metrics: Metrics,
        *,
        gate: Gate | None = None,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A method that answers one message with many, each when the connection has taken the one before."""

        async def talk(request: bytes, context: Context, visit: Visit | None) -> None:
            series.received += 1
            if visit is not None:
                request = await visit.take(request)
            async with aclosing(handler(request, context)) as answers:
                async for answer in answers:
                    await context.write(answer)
                    series.sent += 1

        async def serve(request: bytes, context: Context) -> None:
            await self._serve(method, partial(talk, request, context), context, (series, metrics), gate)

        return grpc.unary_stream_rpc_method_handler(serve)

    async def _serve(
        self,
        method: Observed,
        talk: Callable[[Visit | None], Coroutine[Any, Any, None]],
        context: Context,
        counts: tuple[MethodMetrics, Metrics],
        gate: Gate | None,
        *,
        is_exchange: bool = False,
    ) -> None:
        """One stream from its beginning to its end, counted; whatever ends it early is told. `is_exchange`: it ends by
        itself when the server stops, and is not cancelled then.
        """
        call, code, reason, begun = method.begun(), "OK", "", perf_counter()
        series, metrics = counts
        series.started += 1
        task = asyncio.current_task()
        assert task is not None
        if not is_exchange:
            self._tasks.add(task)
        visit: Visit | None = None
        try:
            if self._stopping:
                raise ShuttingDown
            if gate is None:
                await talk(None)
            else:
                with gate.visit(context) as visit:
                    await talk(visit)
        except asyncio.CancelledError:
            ended = visit.refusal if visit is not None else None
            if ended is None and self._stopping and not is_exchange:
                ended = ShuttingDown()
            if ended is None:
                code = _ended_early(context)
                raise
            code, reason = CODE_NAMES[ended.reason], ended.reason
            await _abort(context, ended, call)
        except Exception as fault:
            if caller_was_gone(fault):  # noticed by sending before gRPC says so
                code = _ended_early(context)
                raise asyncio.CancelledError from fault
            refusal = refusal_of(fault, method.path)
            metrics.count_refusals((refusal.reason,))
            code, reason = CODE_NAMES[refusal.reason], refusal.reason
            await _abort(context, refusal, call)
        finally:
            self._tasks.discard(task)
            _end(call, (code, reason), perf_counter() - begun, series)

    def end(self) -> None:
        """Ends every stream with SHUTTING_DOWN: its caller opens another elsewhere."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        for exchange in self._exchanges:
            exchange.stop()


def refusing(refusal: InventoryError) -> grpc.RpcMethodHandler[Any, Any]:
    """Refuses a call of any kind, before its message is looked at."""

    async def serve(_: Any, context: Context) -> None:
        await _abort(context, refusal)

    return grpc.stream_stream_rpc_method_handler(serve)
