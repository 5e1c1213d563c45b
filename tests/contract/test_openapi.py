"""The OpenAPI documents say what the contract says: every REST path, schemas that hold, and the golden requests pass them."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from google.protobuf.descriptor import MethodDescriptor

from tests.contract.descriptors import ROOT, methods, rest
from tests.contract.test_golden import GOLDEN
from venue.option.v1 import access_pb2

FOLDER = ROOT / "gen" / "openapi"
ADMINISTRATION = "venue.admin.v1.AdminService"


@cache
def document(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def of(method: MethodDescriptor) -> Any:
    """The document that a method stands in."""
    return document("administration" if method.containing_service.full_name == ADMINISTRATION else "venue")


def operations(name: str) -> Iterator[tuple[str, Any]]:
    for path, verbs in document(name)["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def operation_of(method: MethodDescriptor, route: str) -> Any:
    verb, _, path = route.partition(" ")
    return of(method)["paths"][re.sub(r"=[^}]*", "", path)][verb.lower()]


def test_every_rest_path_of_the_contract_is_described_and_no_other() -> None:
    described = sorted(name for each in ("venue", "administration") for name, _ in operations(each))
    said = [route for method in methods().values() for route in rest(method)]
    assert described == sorted(re.sub(r"=[^}]*", "", route) for route in said)


def test_who_may_call_is_said() -> None:
    wrong = []
    for method in methods().values():
        scope = method.GetOptions().Extensions[access_pb2.access].scope
        for route in rest(method):
            operation = dict(operations("administration" if of(method) is document("administration") else "venue"))[
                route
            ]
            keys = scope not in {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_ACCOUNT, access_pb2.SCOPE_ADMIN}
            named = [] if scope == access_pb2.SCOPE_PUBLIC else ["bearer", *(["apiKey"] if keys else [])]
            if operation["security"] != [{name: []} for name in named]:
                wrong.append(route)
    assert wrong == []


@pytest.mark.parametrize("name", ["venue", "administration"])
def test_every_schema_is_one_and_every_reference_leads_somewhere(name: str) -> None:
    text = json.dumps(document(name))
    for pointer in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found = document(name)
        for part in pointer.split("/"):
            found = found[part]
    for schema in document(name)["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    ids = [operation["operationId"] for _, operation in operations(name)]
    assert len(ids) == len(set(ids))


def test_golden_requests_pass_the_schemas_of_their_bodies_and_broken_ones_do_not() -> None:
    refused: dict[str, list[str]] = {}
    checked = 0
    for name, method in methods().items():
        routes = rest(method)
        if not routes:
            continue
        operation = operation_of(method, routes[0])
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if not ("$ref" in schema or "properties" in schema):
            continue
        asked = json.loads((GOLDEN / f"{name.removeprefix('venue.')}.json").read_text())
        whole = {**schema, "components": of(method)["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        if found := [error.message for error in validator.iter_errors(asked)]:
            refused[name] = found
        broken = {key: [{"no": "such"}] if isinstance(value, str) else "" for key, value in asked.items()}
        assert broken == {} or not validator.is_valid(broken), name
        checked += 1
    assert (refused, checked > 30) == ({}, True)


def test_numbers_are_told_as_the_gateway_writes_them() -> None:
    order = document("venue")["components"]["schemas"]["order.v1.Order"]
    assert order["properties"]["quantity"]["type"] == "string"
    assert (order["properties"]["sequence"]["type"], order["properties"]["sequence"]["format"]) == ("string", "uint64")
    # What is always written is promised; what may be absent is not.
    assert {"orderId", "quantity", "status"} <= set(order["required"])
    assert "createTime" not in order["required"]
