"""grpc.health.v1: whether the server serves. Watches end when the server stops, after they have told so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the package has no types
    """One status for the server, named "", and for each of its services."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._status = Response.NOT_SERVING
        self._stopping = False
        self._changed = asyncio.Event()

    def serve(self) -> None:
        """Says SERVING."""
        self._change(Response.SERVING)

    def stop(self) -> None:
        """Says NOT_SERVING for good, and ends the watches."""
        self._stopping = True
        self._change(Response.NOT_SERVING)

    async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """The status now."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return Response(status=self._status)

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """The status now and whenever it changes."""
        known = request.service in self._services
        told = None
        while True:
            changed = self._changed
            status = self._status if known else Response.SERVICE_UNKNOWN
            if status != told:
                await context.write(Response(status=status))
                told = status
                continue  # it may have changed meanwhile
            if self._stopping:
                return
            await changed.wait()

    def _change(self, status: int) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()
