"""The methods of the contract, and how they are wired to their servicers, each one a module of its own.

`handlers` finds them by the service descriptors, so a method of the contract that nobody serves fails the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message_factory import GetMessageClass

from invengine.rpc.calls import QUIET, Observing
from invengine.rpc.endpoints import Streams, raw_unary, unary
from invengine.rpc.permissions import PERMISSIONS
from invengine.v1 import (
    admin_service_pb2,
    allocation_service_pb2,
    availability_service_pb2,
    incoming_service_pb2,
    network_service_pb2,
    promise_service_pb2,
    reservation_service_pb2,
    return_service_pb2,
    stock_service_pb2,
    transfer_service_pb2,
)

if TYPE_CHECKING:
    import grpc
    from google.protobuf.descriptor import MethodDescriptor

    from invengine.metrics import Metrics
    from invengine.rpc.admission import Admission

FILES: Final = (
    admin_service_pb2,
    allocation_service_pb2,
    availability_service_pb2,
    incoming_service_pb2,
    network_service_pb2,
    promise_service_pb2,
    reservation_service_pb2,
    return_service_pb2,
    stock_service_pb2,
    transfer_service_pb2,
)

SERVICES: Final = tuple(
    sorted(service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values())
)


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every method of the contract by its path, `/invengine.v1.StockService/GetPosition`."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method


def handlers(
    servicers: Mapping[str, object],
    streams: Streams,
    metrics: Metrics,
    *,
    admission: Admission | None = None,
    observing: Observing = QUIET,
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Every method of the contract, wrapped, by its path. `servicers` by the names of their services.

    A method is found by its name; what it takes and gives is told by its kind: a bidirectional one opens a stream, one
    that is marked `exchanges` one that reads and writes at its own pace; one with a stream of requests gets messages,
    one that answers with a stream and one that is marked `takes_bytes` get and give bytes, all others messages. What
    the servicer has in `at_once` under the name of one that takes bytes is tried first.

    `admission` lets callers in; None: everybody may. A method whose permission nobody wrote down fails the start.
    """
    found: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for path, method in methods():
        service = method.containing_service.full_name
        function = getattr(servicers[service], method.name)
        decode = GetMessageClass(method.input_type).FromString
        is_stream = method.client_streaming or method.server_streaming
        observed = observing.method(path, decode, is_stream=is_stream)
        permission = PERMISSIONS[path]
        gate = None if admission is None else admission.gate(path, method, permission)
        if method.client_streaming and not method.server_streaming:
            series = metrics.method("client_stream", service, method.name)
            found[path] = streams.wrap_inbound(observed, decode, function, series, metrics, gate=gate)
            continue
        if method.client_streaming:
            series = metrics.method("bidi_stream", service, method.name)
            wrap = streams.wrap_exchange if getattr(function, "exchanges", False) else streams.wrap
            found[path] = wrap(observed, function, series, metrics, gate=gate)
            continue
        if method.server_streaming:
            series = metrics.method("server_stream", service, method.name)
            found[path] = streams.wrap_answers(observed, function, series, metrics, gate=gate)
            continue
        series = metrics.method("unary", service, method.name)
        if getattr(function, "takes_bytes", False):
            at_once = getattr(servicers[service], "at_once", {}).get(method.name)
            found[path] = raw_unary(observed, function, series, metrics, gate=gate, at_once=at_once)
        else:
            found[path] = unary(observed, decode, function, series, metrics, gate=gate)
    return found
