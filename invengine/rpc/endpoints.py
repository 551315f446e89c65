"""One wrapper around every method: decode, count, time, refuse, and never let a surprise out.

A wrapped method takes and gives bytes: grpc.aio answers UNKNOWN when a deserializer of its own raises, so messages are
decoded here and what cannot be decoded is MALFORMED_MESSAGE. The wrapping happens once, at registration; interceptors
would cost 4-5 % of a call each.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from invengine.errors import InternalError, InventoryError, MalformedMessage, ShuttingDown
from invengine.rpc.errors import STATUS_CODES, code_name, refusal_to_status

if TYPE_CHECKING:
    from invengine.metrics import MethodMetrics, Metrics

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Message | bytes]]
"""A method that takes a message, and gives one or the bytes of one."""

RawUnary = Callable[[bytes, Context], Awaitable[bytes]]
"""A method that takes and gives the bytes of messages."""

Inbound = Callable[[AsyncIterator[Any], Context], Awaitable[Message]]
"""A method that takes a stream of messages and gives one message."""

StreamStep = Callable[[bytes], Awaitable[bytes]]
"""One message of a stream in, its answer out."""

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def takes_bytes(method: MethodT) -> MethodT:
    """Marks a method that takes and gives the bytes of messages."""
    method.takes_bytes = True  # type: ignore[attr-defined]
    return method


_CODE_NAMES = {reason: code_name(code) for reason, code in STATUS_CODES.items()}


def refusal_of(fault: Exception, method: str) -> InventoryError:
    """The refusal to answer with: a refusal as it is; all else is a fault of ours, logged whole and told neutrally."""
    if isinstance(fault, InventoryError):
        return fault
    incident = secrets.token_hex(6)
    logger.error("incident %s in %s", incident, method, exc_info=fault)
    return InternalError(incident)


async def _abort(context: Context, refusal: InventoryError) -> NoReturn:
    await context.abort_with_status(refusal_to_status(refusal))
    raise AssertionError("abort_with_status returned")


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
    method: str, decode: Callable[[bytes], Any], handler: Unary, series: MethodMetrics, metrics: Metrics
) -> grpc.RpcMethodHandler[Any, Any]:
    """A method of messages, wrapped."""

    async def raw(request: bytes, context: Context) -> bytes:
        try:
            message = decode(request)
        except DecodeError:
            raise MalformedMessage(method) from None
        answer = await handler(message, context)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    return raw_unary(method, raw, series, metrics)


def raw_unary(
    method: str, handler: RawUnary, series: MethodMetrics, metrics: Metrics
) -> grpc.RpcMethodHandler[Any, Any]:
    """A method of bytes, wrapped."""

    async def serve(request: bytes, context: Context) -> bytes:
        begun = perf_counter()
        series.started += 1
        series.received += 1
        try:
            response = await handler(request, context)
        except asyncio.CancelledError:
            series.handled[_ended_early(context)] += 1
            raise
        except Exception as fault:  # noqa: BLE001  # logged in refusal_of
            refusal = refusal_of(fault, method)
            metrics.count_refusals((refusal.reason,))
            series.handled[_CODE_NAMES[refusal.reason]] += 1
            await _abort(context, refusal)
        else:
            series.handled["OK"] += 1
            series.sent += 1
            return response
        finally:
            series.seconds.observe(perf_counter() - begun)

    return grpc.unary_unary_rpc_method_handler(serve)


class Streams:
    """The streams that are open. They never end by themselves, so a server that stops ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def wrap(
        self,
        method: str,
        open_stream: Callable[[Context], StreamStep],
        series: MethodMetrics,
        metrics: Metrics,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A bidirectional method: each message is answered before the next is read."""

        async def serve(_: Any, context: Context) -> None:
            begun = perf_counter()
            series.started += 1
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            step = open_stream(context)
            try:
                if self._stopping:
                    raise ShuttingDown
                while (request := await context.read()) is not grpc.aio.EOF:
                    series.received += 1
                    await context.write(await step(request))
                    series.sent += 1
            except asyncio.CancelledError:
                if not self._stopping:
                    series.handled[_ended_early(context)] += 1
                    raise
                series.handled["Unavailable"] += 1
                await _abort(context, ShuttingDown())
            except Exception as fault:  # noqa: BLE001  # logged in refusal_of
                refusal = refusal_of(fault, method)
                metrics.count_refusals((refusal.reason,))
                series.handled[_CODE_NAMES[refusal.reason]] += 1
                await _abort(context, refusal)
            else:
                series.handled["OK"] += 1
            finally:
                self._tasks.discard(task)
                series.seconds.observe(perf_counter() - begun)

        return grpc.stream_stream_rpc_method_handler(serve)

    def wrap_inbound(
        self,
        method: str,
        decode: Callable[[bytes], Any],
        handler: Inbound,
        series: MethodMetrics,
        metrics: Metrics,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A client-streaming method: many messages in, one answer when the stream has ended.

        The end of the messages is the end that the caller wanted: a stream that is broken off cancels the handler.
        """

        async def messages(context: Context) -> AsyncIterator[Any]:
            while (request := await context.read()) is not grpc.aio.EOF:
                series.received += 1
                try:
                    yield decode(request)
                except DecodeError:
                    raise MalformedMessage(method) from None
            await _check_ended_well(context)

        async def serve(_: Any, context: Context) -> bytes:
            begun = perf_counter()
            series.started += 1
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                if self._stopping:
                    raise ShuttingDown
                response = (await handler(messages(context), context)).SerializeToString()
            except asyncio.CancelledError:
                if not self._stopping:
                    series.handled[_ended_early(context)] += 1
                    raise
                series.handled["Unavailable"] += 1
                await _abort(context, ShuttingDown())
            except Exception as fault:  # noqa: BLE001  # logged in refusal_of
                refusal = refusal_of(fault, method)
                metrics.count_refusals((refusal.reason,))
                series.handled[_CODE_NAMES[refusal.reason]] += 1
                await _abort(context, refusal)
            else:
                series.handled["OK"] += 1
                series.sent += 1
                return response
            finally:
                self._tasks.discard(task)
                series.seconds.observe(perf_counter() - begun)

        return grpc.stream_unary_rpc_method_handler(serve)

    def end(self) -> None:
        """Ends every stream with SHUTTING_DOWN: its caller opens another elsewhere."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()


def refusing(refusal: InventoryError) -> grpc.RpcMethodHandler[Any, Any]:
    """Refuses a call of any kind, before its message is looked at."""

    async def serve(_: Any, context: Context) -> None:
        await _abort(context, refusal)

    return grpc.stream_stream_rpc_method_handler(serve)
