"""Who may be served, decided from the contract when a server is built."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from prometheus_client import CollectorRegistry

from servers.transport.access import Rule, rule_of
from servers.transport.guard import Guard
from servers.transport.identity import ANONYMOUS, Identity, TokenVerifier
from servers.transport.limits import Limits
from servers.transport.refusals import NotAuthenticated, NotPermitted
from servers.transport.server import build_server, missing_methods
from servers.transport.telemetry import Metrics
from tests.unit.transport.conftest import SERVICE, Keys, Orders
from venue.engine.v1 import engine_pb2
from venue.option.v1 import access_pb2

USER = Identity("u", "s", access_pb2.ROLE_USER, frozenset({access_pb2.SCOPE_READ}), True, "a@example.com", 0.0)
ENGINE = engine_pb2.DESCRIPTOR.services_by_name["EngineService"]


def method_with(access: access_pb2.Access | None) -> MethodDescriptor:
    """A method of a contract made for the test."""
    file = descriptor_pb2.FileDescriptorProto(
        name="test.proto", package="test", dependency=["venue/option/v1/access.proto"]
    )
    file.message_type.add(name="Empty")
    method = file.service.add(name="TestService").method.add(
        name="Try", input_type=".test.Empty", output_type=".test.Empty"
    )
    if access is not None:
        method.options.Extensions[access_pb2.access].CopyFrom(access)
    pool = descriptor_pool.DescriptorPool()
    for name in ("google/protobuf/descriptor.proto", "venue/option/v1/access.proto"):
        pool.AddSerializedFile(descriptor_pool.Default().FindFileByName(name).serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found: MethodDescriptor = pool.FindMethodByName("test.TestService.Try")
    return found


def access(**fields: object) -> access_pb2.Access:
    return access_pb2.Access(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        None,
        access(scope=access_pb2.SCOPE_READ),
        access(bucket=access_pb2.BUCKET_READ),
        access(scope=access_pb2.SCOPE_INTERNAL, bucket=access_pb2.BUCKET_INTERNAL),
        access(scope=access_pb2.SCOPE_PUBLIC, bucket=access_pb2.BUCKET_READ, second_factor=True),
    ],
)
def test_a_method_that_nobody_may_serve_stops_the_start(option: access_pb2.Access | None) -> None:
    with pytest.raises(ValueError, match=r"test\.TestService\.Try"):
        rule_of(method_with(option), internal=False)


def test_the_rule_is_the_option() -> None:
    option = access(scope=access_pb2.SCOPE_ADMIN, bucket=access_pb2.BUCKET_ADMIN, roles=[access_pb2.ROLE_ADMIN])
    rule = Rule(access_pb2.SCOPE_ADMIN, frozenset({access_pb2.ROLE_ADMIN}), access_pb2.BUCKET_ADMIN)
    assert rule_of(method_with(option), internal=False) == rule


def test_everybody_may_what_is_public() -> None:
    Rule(access_pb2.SCOPE_PUBLIC, frozenset(), access_pb2.BUCKET_PUBLIC).check(ANONYMOUS)


def test_a_rule_wants_somebody_with_the_scope_and_the_role() -> None:
    with pytest.raises(NotAuthenticated):
        Rule(access_pb2.SCOPE_READ, frozenset(), access_pb2.BUCKET_READ).check(ANONYMOUS)
    Rule(access_pb2.SCOPE_READ, frozenset(), access_pb2.BUCKET_READ).check(USER)
    with pytest.raises(NotPermitted):
        Rule(access_pb2.SCOPE_TRADE, frozenset(), access_pb2.BUCKET_ORDER).check(USER)
    with pytest.raises(NotPermitted):
        Rule(access_pb2.SCOPE_READ, frozenset({access_pb2.ROLE_ADMIN}), access_pb2.BUCKET_READ).check(USER)


async def test_the_inside_is_served_by_inside_servers_only() -> None:
    guard = Guard(TokenVerifier(Keys().public), Limits(), Metrics(CollectorRegistry()))
    with pytest.raises(ValueError, match="for servers of the venue only"):
        build_server([(ENGINE, object())], guard)
    build_server([(ENGINE, object())], guard, internal=True)


def test_methods_without_code_are_listed() -> None:
    missing = missing_methods(SERVICE, Orders())
    assert "venue.order.v1.OrderService.PreviewOrder" in missing
    assert "venue.order.v1.OrderService.PlaceOrder" not in missing
