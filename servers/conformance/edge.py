"""What every deployment shows at its edge: errors alike in both tongues, headers, and doors that are shut."""

from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servers.conformance.visit import CALL_S, Visit, demand, expect
from venue.order.v1 import order_service_pb2
from venue.order.v1.order_service_pb2_grpc import OrderServiceStub
from venue_sdk.errors import error_of

FOREIGN = "https://elsewhere.example"
FORGED = "01234567-89ab-cdef-0123-456789abcdef"


async def grpc_says_what_rest_says(visit: Visit) -> None:
    refusal = await visit.refused("POST", "/v1/orders", visit.order(price="1e3"))
    request = ParseDict(visit.order(price="1e3"), order_service_pb2.PlaceOrderRequest())
    try:
        await OrderServiceStub(visit.channel).PlaceOrder(request, metadata=visit.metadata, timeout=CALL_S)
    except grpc.aio.AioRpcError as raw:
        error = error_of(raw)
        wrong = tuple(each.field for each in error.violations)
        expect("over gRPC", (raw.code().value[0], error.reason, wrong), (refusal.code, refusal.reason, refusal.fields))
        expect("the field", wrong, ("price",))
    else:
        demand("it was taken over gRPC", holds=False)


async def unknown_parameters_are_refused(visit: Visit) -> None:
    refusal = await visit.refused("GET", f"/v1/orders?accountId={visit.account_id}&nonsense=1")
    expect("the refusal", (refusal.status, refusal.code, refusal.domain), (400, 3, "venue"))


async def limits_are_told(visit: Visit) -> None:
    answer = await visit.ask("GET", "/v1/auth/me")
    names = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
    expect("missing headers", [name for name in names if not answer.headers.get(name, "").strip()], [])


async def requests_have_ids_of_the_edge(visit: Visit) -> None:
    headers = dict(visit.headers) | {"x-request-id": FORGED}
    answer = await visit.rest.get("/v1/auth/me", headers=headers)
    demand("no x-request-id, or the caller's own", holds=answer.headers.get("x-request-id", FORGED) != FORGED)


async def other_pages_may_not_read(visit: Visit) -> None:
    asked = {
        "origin": FOREIGN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    preflight = await visit.rest.options("/v1/orders", headers=asked)
    answer = await visit.rest.get("/v1/auth/me", headers=dict(visit.headers) | {"origin": FOREIGN})
    allowed = [each.headers.get("access-control-allow-origin") for each in (preflight, answer)]
    expect("access-control-allow-origin for a foreign page", allowed, [None, None])


async def answers_are_what_they_say(visit: Visit) -> None:
    answer = await visit.ask("GET", f"/v1/markets/{visit.symbol}")
    expect("x-content-type-options", answer.headers.get("x-content-type-options"), "nosniff")
    expect("content-type", answer.headers.get("content-type", "").partition(";")[0], "application/json")


async def it_is_healthy(visit: Visit) -> None:
    expect("/healthz", (await visit.rest.get("/healthz")).status_code, 200)
    ask = visit.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    answer = await ask(health_pb2.HealthCheckRequest(), timeout=CALL_S)
    expect("grpc.health.v1", answer.status, health_pb2.HealthCheckResponse.SERVING)


async def it_describes_itself(visit: Visit) -> None:
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="venue.order.v1.OrderService")
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(visit.channel)  # type: ignore[arg-type]  # its types know no aio
    call = stub.ServerReflectionInfo(iter([asked]), timeout=CALL_S)
    async for answer in call:
        files = [FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto]
        services = [service.name for each in files for service in each.service]
        demand(f"OrderService is not among {services}", holds="OrderService" in services)
        return
    demand("no answer", holds=False)


async def the_engine_is_not_reached(visit: Visit) -> None:
    ask: Any = visit.channel.unary_unary("/venue.engine.v1.EngineService/Query")
    try:
        await ask(b"", metadata=visit.metadata, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        codes = {"UNIMPLEMENTED", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED"}
        demand(f"it answered {error.code().name}", holds=error.code().name in codes)
    else:
        demand("it answered", holds=False)
