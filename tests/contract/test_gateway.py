"""The gateway's configuration says by hand what is open, what streams and what is translated; the contract says it too."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2  # noqa: F401  details are read by type

from servers.transport import refusals  # noqa: F401  classes are known once they are imported
from servers.transport.errors import NUMBERS, classes
from tests.e2e.gateway import ADMINISTRATION, ROOT, Ports, http_filters, render, routes
from tests.e2e.rest import rules
from venue.account.v1 import account_pb2
from venue.admin.v1 import admin_pb2
from venue.auth.v1 import auth_pb2
from venue.engine.v1 import engine_pb2, limits_service_pb2
from venue.error.v1 import reason_pb2
from venue.funding.v1 import funding_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.notify.v1 import notify_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2
from venue.webhook.v1 import webhook_pb2

FILES: list[FileDescriptor] = [
    account_pb2.DESCRIPTOR,
    admin_pb2.DESCRIPTOR,
    auth_pb2.DESCRIPTOR,
    engine_pb2.DESCRIPTOR,
    funding_pb2.DESCRIPTOR,
    limits_service_pb2.DESCRIPTOR,
    marketdata_pb2.DESCRIPTOR,
    notify_pb2.DESCRIPTOR,
    order_service_pb2.DESCRIPTOR,
    webhook_pb2.DESCRIPTOR,
]
# Not of this contract: health and reflection, open to everybody.
COMPANIONS = {
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
# Answers of the gateway to gRPC callers that it words itself.
# 424 stands for the limit of log-ins in here, and is 429 outside.
WITHOUT_A_MESSAGE = (401, 403, 404, 405, 408, 424, 429, 431, 501, 503, 504)
CONTENT_TYPES = ("application/grpc", "application/grpc+proto", "application/grpc-web+proto", "application/json", "")
# Streams that end by themselves, of which there are never many.
ENDING = {"/venue.account.v1.AccountService/StreamStatement"}
NEVER = {
    "timeout": "0s",
    "idle_timeout": "0s",
    "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
}


def services() -> list[ServiceDescriptor]:
    return [service for file in FILES for service in file.services_by_name.values()]


def scope(method: MethodDescriptor) -> int:
    return method.GetOptions().Extensions[access_pb2.access].scope


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def is_internal(service: ServiceDescriptor) -> bool:
    return all(scope(method) == access_pb2.SCOPE_INTERNAL for method in service.methods)


def administration() -> ServiceDescriptor:
    return admin_pb2.DESCRIPTOR.services_by_name["AdminService"]


def outside() -> list[ServiceDescriptor]:
    """What the public port serves."""
    return [service for service in services() if not is_internal(service) and service != administration()]


def served() -> list[MethodDescriptor]:
    return [method for service in outside() for method in service.methods]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("gateway")
    # Every value is read as JSON by a second parser, so the text is JSON after the change that changes nothing.
    return json.loads(render(Ports(1, 2, 3, 4, 5, 6), folder, lambda tree: None).read_text())


def test_every_service_of_the_contract_is_looked_at() -> None:
    written = {
        line.split()[1]
        for file in (ROOT / "proto" / "venue").rglob("*.proto")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("service ")
    }
    assert {service.name for service in services()} == written


def test_only_public_methods_need_no_token(tree: Any) -> None:
    rules = http_filters(tree)["jwt_authn"]["rules"]
    *public, with_key, everything_else = rules
    assert {rule["match"]["path"] for rule in public} - COMPANIONS == {
        path(method) for method in served() if scope(method) == access_pb2.SCOPE_PUBLIC
    }
    assert [list(rule) for rule in public] == [["match"]] * len(public)
    assert with_key == {"match": {"prefix": "/", "headers": [{"name": "x-api-key", "present_match": True}]}}
    assert everything_else == {"match": {"prefix": "/"}, "requirement_name": "user"}


def test_every_stream_runs_without_a_clock_and_nothing_else_does(tree: Any) -> None:
    streams = {path(method) for method in served() if method.server_streaming or method.client_streaming}
    timeless = {
        route["match"].get("path", route["match"].get("prefix"))
        for route in routes(tree)
        if "route" in route and NEVER.items() <= route["route"].items()
    }
    assert timeless == streams | {"/grpc.health.v1.Health/Watch", "/grpc.reflection."}


def test_a_stream_is_not_compressed_and_an_answer_is(tree: Any) -> None:
    plain = re.compile(
        next(
            route["match"]["safe_regex"]["regex"]
            for route in routes(tree)
            if "safe_regex" in route["match"]
            and "envoy.filters.http.compressor" in route.get("typed_per_filter_config", {})
        )
    )
    for method in served():
        for rule in rules(method):
            where = re.sub(r"{[^}]+}", "x", getattr(rule, rule.WhichOneof("pattern")))
            assert bool(plain.fullmatch(where)) == method.server_streaming, where


def test_every_service_is_translated_and_routed_but_the_inner_ones(tree: Any) -> None:
    names = sorted(service.full_name for service in outside())
    translators = [http_filters(tree)["grpc_json_transcoder"]] + [
        found
        for route in routes(tree)
        if (found := route.get("typed_per_filter_config", {}).get("envoy.filters.http.grpc_json_transcoder"))
        and "disabled" not in found
    ]
    assert [sorted(each["services"]) for each in translators] == [names, names]
    routed = {route["match"]["prefix"] for route in routes(tree) if "route" in route and "prefix" in route["match"]}
    assert {f"/{name}/" for name in names} == {prefix for prefix in routed if prefix.startswith("/venue.")}


def test_a_native_stream_passes_the_same_gates_by_a_shorter_way(tree: Any) -> None:
    streams = {path(method) for method in served() if method.server_streaming or method.client_streaming} - ENDING
    native = [route for route in routes(tree) if "headers" in route["match"] and route["match"].get("path") in streams]
    others = {route["match"].get("path"): route for route in routes(tree) if "headers" not in route["match"]}
    assert {route["match"]["path"] for route in native} == streams
    off = {name for name, said in native[0]["typed_per_filter_config"].items() if said["disabled"]}
    assert off == {
        f"envoy.filters.http.{name}"
        for name in (
            "body_size_limit", "compressor", "file_server", "grpc_json_transcoder", "grpc_web", "health_check", "lua",
        )
    } | {"files_compressor"}  # fmt: skip
    for route in native:
        assert route["route"] == others[route["match"]["path"]]["route"]
        assert route["typed_per_filter_config"] == native[0]["typed_per_filter_config"]
        assert [header["name"] for header in route["match"]["headers"]] == ["content-type"]
        kind = re.compile(route["match"]["headers"][0]["string_match"]["safe_regex"]["regex"])
        assert [kind.fullmatch(name) is not None for name in CONTENT_TYPES] == [True, True, False, False, False]
    # Before those that take everything, or they would never be met.
    order = [route["match"]["path"] for route in routes(tree) if route["match"].get("path") in streams]
    assert set(order[: len(streams)]) == streams


def test_every_path_that_takes_a_body_has_it_checked(tree: Any) -> None:
    with_body = [rule for method in served() for rule in rules(method) if rule.body]
    assert with_body
    for rule in with_body:
        path = getattr(rule, rule.WhichOneof("pattern"))
        led = [each for each in routes(tree) if path.startswith(each["match"].get("prefix", " ")) and "route" in each]
        names = [each["typed_per_filter_config"]["envoy.filters.http.lua"]["name"] for each in led]
        # What companies send is never asked for as events.
        assert names == ["strict_json"] * (1 if path.startswith("/webhooks/") else 2), path
    assert list(http_filters(tree)["lua"]["source_codes"]) == ["strict_json"]


def test_s14_every_path_of_rest_has_the_body_hashed_that_its_caller_signed(tree: Any) -> None:
    led = [each for each in routes(tree) if "/v1/" in str(each["match"]) and "route" in each]
    assert len(led) == 3
    assert [each["typed_per_filter_config"]["body_digest"]["name"] for each in led] == ["body_digest"] * 3


def test_a_stream_leads_to_the_server_of_its_service(tree: Any) -> None:
    led = {
        (match := route["match"]).get("path", match.get("prefix")): route["route"]["cluster"]
        for route in routes(tree)
        if "route" in route
    }
    streams = [method for method in served() if method.server_streaming]
    assert {path(method): led[path(method)] for method in streams} == {
        path(method): led[f"/{method.containing_service.full_name}/"] for method in streams
    }


def test_the_public_port_knows_nothing_of_administration(tree: Any) -> None:
    public = json.dumps([http_filters(tree), routes(tree)])
    assert "/v1/" in public
    assert not any(name in public for name in ("venue.admin", "AdminService", "/v1/admin", "venue-admin"))


# What the page of administration calls beside it: to log in, and to see the markets.
OF_ITS_PAGE = (
    "/venue.auth.v1.AuthService/Login",
    "/venue.auth.v1.AuthService/Refresh",
    "/venue.marketdata.v1.MarketDataService/ListMarkets",
)


def test_the_port_of_administration_serves_that_alone_to_allowed_addresses(tree: Any) -> None:
    filters, led = http_filters(tree, ADMINISTRATION), routes(tree, ADMINISTRATION)
    assert next(iter(filters)) == "rbac"
    (policy,) = filters["rbac"]["rules"]["policies"].values()
    assert [list(principal) for principal in policy["principals"]] == [["direct_remote_ip"]]
    name = administration().full_name
    per_route = [
        found
        for route in led
        if (found := route.get("typed_per_filter_config", {}).get("envoy.filters.http.grpc_json_transcoder"))
        and "disabled" not in found
    ]
    assert [each["services"] for each in [filters["grpc_json_transcoder"], *per_route]] == [[name], [name]]
    prefixes = {route["match"].get("prefix", route["match"].get("path")) for route in led if "route" in route}
    assert prefixes == {f"/{name}/", f"/{name}/StreamSystem", "/v1/admin/"} | set(OF_ITS_PAGE)
    assert led[-1] == {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    streams = [path(method) for method in administration().methods if method.server_streaming]
    timeless = [route["match"]["path"] for route in led if "route" in route and NEVER.items() <= route["route"].items()]
    assert timeless == streams


def test_administration_wants_tokens_of_its_own_audience_but_for_getting_one(tree: Any) -> None:
    filters = http_filters(tree, ADMINISTRATION)["jwt_authn"]
    first, *page, rest = filters["rules"]
    assert page == [{"match": {"path": of_its_page}} for of_its_page in OF_ITS_PAGE]
    audiences = {name: provider["audiences"] for name, provider in filters["providers"].items()}
    assert audiences == {"venue": ["venue-api"], "administration": ["venue-admin"]}
    wanted = {name: requirement["provider_name"] for name, requirement in filters["requirement_map"].items()}
    buying = f"/{administration().full_name}/CreateAdminToken"
    assert (first["match"], wanted[first["requirement_name"]]) == ({"path": buying}, "venue")
    assert (rest["match"], wanted[rest["requirement_name"]]) == ({"prefix": "/"}, "administration")
    scopes = {method.name: scope(method) for method in administration().methods}
    assert {name for name, found in scopes.items() if found != access_pb2.SCOPE_ADMIN} == {"CreateAdminToken"}


def mappers(tree: Any) -> list[Any]:
    manager = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    found: list[Any] = manager["local_reply_config"]["mappers"]
    return found


def conditions(mapper: Any) -> list[Any]:
    found: list[Any] = mapper["filter"].get("and_filter", {"filters": [mapper["filter"]]})["filters"]
    return found


def status_code(mapper: Any) -> int:
    """401 too where the gateway has no keys to judge a token by."""
    first = conditions(mapper)[0]
    if "or_filter" in first:
        first = first["or_filter"]["filters"][-1]
    code: int = first.get("status_code_filter", {"comparison": {"value": {"default_value": 401}}})["comparison"][
        "value"
    ]["default_value"]
    return code


def is_keyless(mapper: Any) -> bool:
    return "extension_filter" in conditions(mapper)[0]


def test_without_the_keys_whoever_calls_is_told_that_nobody_answers(tree: Any) -> None:
    """In each of the three ways, before a token is said to be bad: the same as where a server does not answer."""
    ways: dict[str, list[Any]] = {"rest": [], "web": [], "native": []}
    for mapper in mappers(tree):
        override = mapper["body_format_override"]
        content = override.get("content_type", "")
        way = "rest" if "json_format" in override else "web" if "grpc-web" in content else "native"
        ways[way].append(mapper)
    for way, found in ways.items():
        at = [number for number, mapper in enumerate(found) if is_keyless(mapper)]
        assert len(at) == 1, way
        assert at[0] < next(n for n, each in enumerate(found) if not is_keyless(each) and status_code(each) == 401)
        (away,) = (each for each in found if not is_keyless(each) and status_code(each) == 503)
        said = {name: value for name, value in found[at[0]].items() if name != "filter"}
        expected = {name: value for name, value in away.items() if name != "filter"}
        assert said == {**expected, **({"status_code": 503} if way == "native" else {})}, way


def status_of(value: str) -> dict[str, Any]:
    """The header as gRPC clients read it, base64 that may lack its padding; in the JSON that REST callers get."""
    status = status_pb2.Status.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
    read = json_format.MessageToDict(status, always_print_fields_with_no_presence=True)
    read["details"] = read.get("details", [])
    return read


def full(body: dict[str, Any]) -> dict[str, Any]:
    """The same with every field of its details, as `status_of` shows them."""
    return status_of(base64.b64encode(json_format.ParseDict(body, status_pb2.Status()).SerializeToString()).decode())


def trailers(frame: bytes) -> dict[str, str]:
    """What a frame of gRPC-web says that ends a call."""
    assert frame[0] == 0x80
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 5
    return dict(line.split(":", 1) for line in frame[5:].decode().split("\r\n")[:-1])


def test_the_gateway_says_the_same_to_everybody(tree: Any) -> None:
    to_rest, to_web, to_native = {}, {}, {}
    for mapper in mappers(tree):
        text = mapper["body_format_override"]
        if is_keyless(mapper):
            continue
        if "json_format" in text:
            if "or_filter" not in mapper["filter"]["and_filter"]["filters"][0]:
                to_rest[status_code(mapper)] = text["json_format"]
        elif "inline_bytes" in text["text_format_source"]:
            said = trailers(base64.b64decode(text["text_format_source"]["inline_bytes"]))
            packed = said.get("grpc-status-details-bin")
            plain = {"code": int(said["grpc-status"]), "message": said["grpc-message"], "details": []}
            to_web[status_code(mapper)] = status_of(packed) if packed else plain
            assert (plain["code"], plain["message"]) == (
                to_web[status_code(mapper)]["code"],
                to_web[status_code(mapper)]["message"],
            )
        else:
            to_native[status_code(mapper)] = status_of(mapper["headers_to_add"][0]["header"]["value"])
            assert to_native[status_code(mapper)]["message"] == text["text_format_source"]["inline_string"]
    assert {401, 403, 429} <= set(to_rest)
    to_rest[503] = next(
        mapper["body_format_override"]["json_format"]
        for mapper in mappers(tree)
        if mapper["body_format_override"].get("json_format", {}).get("code") == 14
    )
    assert to_web == {code: full(to_rest[code]) for code in WITHOUT_A_MESSAGE}
    # What has no path is UNIMPLEMENTED in gRPC; Envoy sends that whatever stands in the details, and the two must agree.
    to_rest[404] = to_rest[404] | {"code": 12}
    assert to_native == {code: full(to_rest[code]) for code in WITHOUT_A_MESSAGE}


def test_reasons_of_the_gateway_are_those_of_the_contract(tree: Any) -> None:
    known = {name.removeprefix("REASON_") for name in reason_pb2.Reason.DESCRIPTOR.values_by_name}
    bodies = [body for mapper in mappers(tree) if (body := mapper["body_format_override"].get("json_format"))]
    assert [body for body in bodies if body["details"][:1] == []] == []
    given = {detail["reason"] for body in bodies for detail in body["details"] if "reason" in detail}
    promised = {kind.reason: NUMBERS[kind.code] for kind in classes().values()}
    assert {body["code"] for body in bodies if body["code"] != promised[body["details"][0]["reason"]]} == set()
    assert {"UNAUTHENTICATED", "UNAVAILABLE", "RATE_LIMITED"} <= given <= known


def test_the_page_asks_no_other_host() -> None:
    for file in (ROOT / "gateway" / "web" / "public").iterdir():
        foreign = [
            line for line in file.read_text(encoding="utf-8").splitlines() if "://" in line and "www.w3.org" not in line
        ]
        assert foreign == [], Path(file).name
