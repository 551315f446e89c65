"""Whether a server serves, by the health service that every gRPC balancer asks."""

from __future__ import annotations

from grpc_health.v1 import health_pb2, health_pb2_grpc

from invengine.client.connection import Connection


class HealthCalls(Connection):
    """The calls of grpc.health.v1. They need no token."""

    async def is_serving(self, service: str = "") -> bool:
        """Whether the server, or one of its services by its full name, serves. CallFailed: it knows no such service."""
        stub = health_pb2_grpc.HealthStub(self._wire)
        answer = await self._call(stub.Check, health_pb2.HealthCheckRequest(service=service))
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
