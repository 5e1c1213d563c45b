"""A gRPC server of the venue: services behind one guard, health, reflection, and an end that says goodbye."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2

from servers.transport.core import CoreServer, Route
from servers.transport.guard import Guard, refuse_unknown
from servers.transport.limits_servicer import LimitsServicer
from servers.transport.papers import Papers
from servers.transport.reflection import mirrors
from venue.engine.v1 import limits_service_pb2

# The guard refuses a message above its own bound with a reason; what is larger than this gRPC itself cuts off, without one.
BYTES_RECEIVED_MAX = 4 * 1024 * 1024
BYTES_SENT_MAX = 64 * 1024 * 1024
# More than the gateway lets in and adds, as gRPC's own refusal of long headers lists their names to the caller.
HEADER_BYTES_MAX = 128 * 1024
# Of one connection. What is more, core hands to a thread of its own, whose calls the loop would find only by looking.
REQUESTS_A_READ = 256
GOODBYE_S = 2.0
# Reflection is asked through the gateway's public port, which does not serve this.
ADMINISTRATION = "venue.admin."

USE = limits_service_pb2.DESCRIPTOR.services_by_name["LimitsService"]
Service = tuple[ServiceDescriptor, object]


def missing_methods(service: ServiceDescriptor, servicer: object) -> list[str]:
    """The RPCs of a service that the servicer has no method for; they answer UNIMPLEMENTED."""
    return [f"{service.full_name}.{method.name}" for method in service.methods if not hasattr(servicer, method.name)]


class Server:
    """Made by `build_server`."""

    def __init__(self, inner: CoreServer, guard: Guard, status: health.aio.HealthServicer) -> None:
        self._inner = inner
        self._guard = guard
        self._status = status

    def add_insecure_port(self, address: str) -> int:
        """Plain HTTP/2: for loopback only. Raises RuntimeError where the port is taken."""
        return self._inner.add_insecure_port(address)

    def add_port(self, address: str, papers: Papers | None) -> int:
        """Plain for loopback, or for those alone that have papers too. Raises RuntimeError where the port is taken."""
        if papers is None:
            return self.add_insecure_port(address)
        return self._inner.add_secure_port(address, papers.to_answer())

    async def start(self) -> None:
        await self._inner.start()
        await self._status.set("", health_pb2.HealthCheckResponse.SERVING)

    async def retire(self, within_s: float = GOODBYE_S) -> None:
        """Streams say goodbye and end, as far as their readers do so in time; calls go on. `stop` does the rest."""
        await self._status.enter_graceful_shutdown()
        self._guard.end_streams("SHUTDOWN")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._guard.wait_quiet(), within_s)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Streams say goodbye and end, then calls get `grace_s` seconds."""
        await self.retire(min(GOODBYE_S, grace_s))
        await self._inner.stop(grace_s)

    async def wait_for_termination(self) -> None:
        await self._inner.wait_for_termination()


def build_server(
    services: Sequence[Service],
    guard: Guard,
    *,
    internal: bool = False,
    mirrored: Sequence[str] = (),
    options: Sequence[tuple[str, Any]] = (),
) -> Server:
    """A server that is not started and has no port yet.

    `internal` allows services between servers of the venue; `mirrored` are services of other processes that reflection tells of.
    Raises ValueError where a method may not be served.
    """
    handlers: dict[str, Route] = {}
    for service, servicer in services:
        for method in service.methods:
            handlers[f"/{service.full_name}/{method.name}"] = guard.bind(method, servicer, internal=internal)
    for method in USE.methods:
        handlers[f"/{USE.full_name}/{method.name}"] = guard.bind(method, LimitsServicer(guard.limits), internal=True)
    status = health.aio.HealthServicer()
    names = [service.full_name for service, _ in services if not service.full_name.startswith(ADMINISTRATION)]
    handlers.update(_health(status))
    handlers.update(mirrors([*names, *mirrored, health.SERVICE_NAME]))
    inner = CoreServer(
        handlers,
        refuse_unknown(guard.metrics),
        (
            ("grpc.max_receive_message_length", BYTES_RECEIVED_MAX),
            ("grpc.max_send_message_length", BYTES_SENT_MAX),
            ("grpc.max_metadata_size", HEADER_BYTES_MAX),
            ("grpc.absolute_max_metadata_size", HEADER_BYTES_MAX),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.max_requests_per_read", REQUESTS_A_READ),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            *options,
        ),
    )
    return Server(inner, guard, status)


def _health(status: health.aio.HealthServicer) -> dict[str, Route]:
    check, answer = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    return {
        f"/{health.SERVICE_NAME}/Check": grpc.unary_unary_rpc_method_handler(
            status.Check, check.FromString, answer.SerializeToString
        ),
        f"/{health.SERVICE_NAME}/Watch": grpc.unary_stream_rpc_method_handler(
            status.Watch, check.FromString, answer.SerializeToString
        ),
    }
