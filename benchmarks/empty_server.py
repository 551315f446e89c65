"""A gRPC server that does nothing, on the engine's own stack: the limit that a Python handler can reach here.

`python -m benchmarks.empty_server` prints its address and serves until its standard input closes. Every unary method
answers the bytes given by `--answer-bytes`; methods named `Stream...` answer each message with them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from invengine.rpc.server import server_options
from invengine.settings import Settings


class EmptyHandlers(grpc.GenericRpcHandler):
    """Answers any method with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        async def unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return answer

        async def stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            async for _ in requests:
                yield answer

        self._unary = grpc.unary_unary_rpc_method_handler(unary)
        self._stream = grpc.stream_stream_rpc_method_handler(stream)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """The handler of any method."""
        name = str(handler_call_details.method).rpartition("/")[2]
        return self._stream if name.startswith("Stream") else self._unary


async def serve(answer: bytes) -> None:
    """Serve until standard input closes."""
    server = grpc.aio.server(handlers=[EmptyHandlers(answer)], options=server_options(Settings.load()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer-bytes", type=int, default=0)
    uvloop.run(serve(bytes(parser.parse_args().answer_bytes)))
