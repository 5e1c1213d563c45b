"""The OpenAPI 3.1 documents of the REST interface as the gateway serves it: written from the descriptor image by `make gen`.

Paths are those of google.api.http, schemas those of openapi_schemas.py, credentials those of the access
option. Administration has a port of its own, and so a document of its own.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, cast

from openapi_schemas import (
    Contract,
    Field,
    Schema,
    component,
    contract,
    enum_schema,
    field_schema,
    is_entry,
    message_schema,
    needed_of,
    reached,
    reference,
)

ADMINISTRATION: Final = ".venue.admin.v1.AdminService"
HTTP_BODY: Final = ".google.api.HttpBody"
STATUS: Final = ".google.rpc.Status"
# What errors carry, beside what messages hold.
DETAILS: Final = ("ErrorInfo", "BadRequest", "RequestInfo", "RetryInfo", "QuotaFailure", "PreconditionFailure")
ABOUT: Final = """\
Every number that is money, a price or a quantity is a decimal in plain notation as a string: `"50000.25"`. 64-bit integers are
strings too. Times are RFC 3339 in UTC. Names are lowerCamelCase.

A mutation takes a `requestId` (a UUID, best version 7): the same id and body again is answered as the first time, with `replayed`
true. After 500, 503 and 504 the outcome is unknown: repeat with the same id.

Every error is a `google.rpc.Status`: `code`, `message` and `details`, among them always an `ErrorInfo` with a `reason`, and a
`BadRequest` with each wrong field. An order that the venue rejects is no error: its `status` is `ORDER_STATUS_REJECTED`.

A stream is a JSON object a line, or Server-Sent Events where `accept: text/event-stream` is sent. An access token comes from
`POST /v1/auth/login`."""
ABOUT_ADMINISTRATION: Final = """\
On a port of its own, to allowed addresses. Its tokens come from `POST /v1/admin/token`, to be had with an access token of the
public port. Numbers, times, `requestId` and errors are as on the public port."""
# Of google.rpc codes, as the gateway maps them.
ERRORS: Final = {
    400: "The request breaks the contract, or cannot be carried out as things stand.",
    401: "No credential, or one that is not valid.",
    403: "The credential does not suffice.",
    404: "No such thing, or somebody else's.",
    409: "It is there already, or changed meanwhile.",
    413: "The body is larger than 256 KiB.",
    429: "Too many calls: come again after `RetryInfo.retryDelay`.",
    500: "An error of the venue's own. The outcome is unknown.",
    503: "A server does not answer. The outcome is unknown.",
    504: "The deadline passed. The outcome is unknown.",
}


def documents(image: bytes) -> dict[str, str]:
    """The JSON text of each document by its file name."""
    read = contract(image)
    outside = [name for name in sorted(read.services) if name.startswith(".venue.") and routed(read, name)]
    public = [name for name in outside if name != ADMINISTRATION]
    title, about = "venue", ABOUT
    made = {
        "venue.json": document(read, public, title, about),
        "administration.json": document(read, [ADMINISTRATION], f"{title}: administration", ABOUT_ADMINISTRATION),
    }
    return {name: json.dumps(each, indent=1, ensure_ascii=False) + "\n" for name, each in made.items()}


def routed(read: Contract, service: str) -> bool:
    """Whether callers from outside reach the service."""
    return any(access_of(read, method).get("scope") != "SCOPE_INTERNAL" for method in read.services[service].method)


def access_of(read: Contract, method: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = read.options(method.options).get("[venue.option.v1.access]", {})
    return found


def document(read: Contract, services: list[str], title: str, about: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    asked: set[str] = set()
    answered: set[str] = {STATUS, ".venue.error.v1.Reason", *(f".google.rpc.{name}" for name in DETAILS)}
    for service in services:
        for method in read.services[service].method:
            bindings = list(bindings_of(read, method))
            for number, (verb, path, body) in enumerate(bindings):
                operation = operation_of(read, service, method, path, body)
                if number:
                    operation["operationId"] += f"_{number + 1}"
                paths.setdefault(re.sub(r"=[^}]*", "", path), {})[verb] = operation
            if bindings:
                asked |= {each.type_name for each in read.messages[method.input_type].field if each.type_name}
                if not told_by(read, method):
                    answered.add(method.output_type)
                if any(body == "*" and "{" not in path for _, path, body in bindings):
                    asked.add(method.input_type)
    return {
        "openapi": "3.1.1",
        "info": {"title": title, "version": "v1", "description": about},
        "servers": [{"url": "/", "description": "The gateway that this document comes from"}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag(name), "description": read.comments[name]} for name in services],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "`id.secret`"},
            },
            "responses": {HTTPStatus(code).phrase.replace(" ", ""): error(code) for code in ERRORS},
            "schemas": dict(sorted(schemas(read, asked, answered))),
        },
    }


def tag(service: str) -> str:
    return service.rpartition(".")[2]


def bindings_of(read: Contract, method: Any) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401
    """(verb, path, body) of each REST binding; body is "*", a field's name, or empty."""
    rule = read.options(method.options).get("[google.api.http]")
    if rule is None:
        return
    for each in (rule, *rule.get("additional_bindings", [])):
        verb = next(name for name in ("get", "post", "put", "patch", "delete") if name in each)
        yield verb, each[verb], each.get("body", "")


def operation_of(read: Contract, service: str, method: Any, path: str, body: str) -> dict[str, Any]:  # noqa: ANN401
    access = access_of(read, method)
    said = read.comments[f"{service}.{method.name}"]
    rule = f"{access['scope']}, {access['bucket']}" + (
        ", a fresh authentication" if access.get("second_factor") else ""
    )
    roles = ", ".join(access.get("roles", []))
    operation: dict[str, Any] = {
        "operationId": f"{tag(service)}_{method.name}",
        "tags": [tag(service)],
        "summary": re.split(r"(?<=[.:;])\s", said.replace("\n", " "), maxsplit=1)[0].rstrip(".:;"),
        "description": f"{said}\n\nAccess: {rule}{f'; roles {roles}' if roles else ''}.",
        "security": security(access),
    }
    names = re.findall(r"\{(\w+)[}=]", path)
    if parameters := list(parameters_of(read, method.input_type, names, query=not body)):
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body_of(read, method.input_type, names, body)}
    operation["responses"] = {"200": answer_of(read, method)} | {
        str(code): {"$ref": f"#/components/responses/{HTTPStatus(code).phrase.replace(' ', '')}"} for code in ERRORS
    }
    return operation


def security(access: dict[str, Any]) -> list[dict[str, list[str]]]:
    """Which credentials will do. API keys cannot manage the identity that they belong to."""
    if access["scope"] == "SCOPE_PUBLIC":
        return []
    bearer: dict[str, list[str]] = {"bearer": []}
    return [bearer] if access["scope"] in {"SCOPE_ACCOUNT", "SCOPE_ADMIN"} else [bearer, {"apiKey": []}]


def parameters_of(read: Contract, name: str, in_path: list[str], *, query: bool) -> Iterator[dict[str, Any]]:
    for each in read.messages[name].field:
        schema = field_schema(read, name, each, asked=True)
        said = schema.pop("description", "")
        told = {"description": said} if said else {}
        if each.name in in_path:
            # A path's segment is never empty, and holds no slash.
            short = {"minLength": 1} if schema.get("type") == "string" else {}
            yield {"name": each.name, "in": "path", "required": True, **told, "schema": short | schema}
        elif query and each.type == Field.TYPE_MESSAGE and "$ref" in schema:
            yield from nested(read, each, told)
        elif query:
            needed = {"required": True} if needed_of(read, each) else {}
            yield {"name": each.json_name, "in": "query", **needed, **told, "schema": schema}


def nested(read: Contract, each: Field, told: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The fields of a message that stands in the query, with a dot between."""
    for inner in read.messages[each.type_name].field:
        schema = field_schema(read, each.type_name, inner, asked=True)
        yield {"name": f"{each.json_name}.{inner.json_name}", "in": "query", **told, "schema": schema}


def body_of(read: Contract, name: str, in_path: list[str], body: str) -> dict[str, Any]:
    if body != "*":
        held = next(each for each in read.messages[name].field if each.name == body)
        if held.type_name == HTTP_BODY:
            return {"application/json": {"schema": {"description": read.comments[f"{name}.{body}"]}}}
        return {"application/json": {"schema": field_schema(read, name, held, asked=True)}}
    if in_path:
        schema = message_schema(read, name, asked=True, without=frozenset(in_path))
        return {"application/json": {"schema": schema}}
    return {"application/json": {"schema": reference(name)}}


def told_by(read: Contract, method: Any) -> str:  # noqa: ANN401
    """The field of the answer that alone is written, where the rule names one."""
    rule = read.options(method.options).get("[google.api.http]", {})
    return str(rule.get("response_body", ""))


def answer_of(read: Contract, method: Any) -> dict[str, Any]:  # noqa: ANN401
    """The answer, a file, or the frames of a stream."""
    schema, kind = reference(method.output_type), method.output_type
    if name := told_by(read, method):
        held = next(each for each in read.messages[method.output_type].field if each.name == name)
        schema, kind = field_schema(read, method.output_type, held, asked=False), held.type_name
    if kind == HTTP_BODY:
        return {"description": "The file", "content": {"*/*": {"schema": {"type": "string"}}}}
    if not method.server_streaming:
        return {"description": "Done", "content": {"application/json": {"schema": schema}}}
    lines = "The frames as they come: a JSON object a line, or an event each where Server-Sent Events are asked for."
    shown = {"application/json": {"schema": schema}, "text/event-stream": {"schema": schema}}
    return {"description": lines, "content": shown}


def error(code: int) -> dict[str, Any]:
    return {"description": ERRORS[code], "content": {"application/json": {"schema": reference(STATUS)}}}


def schemas(read: Contract, asked: set[str], answered: set[str]) -> Iterator[tuple[str, Schema]]:
    """A schema for each message and enum. What requests hold promises nothing about answers, where it stands in both."""
    in_requests, in_answers = reached(read, asked), reached(read, answered)
    for name in in_requests | in_answers:
        if name == HTTP_BODY or (name in read.messages and is_entry(read, name)):
            continue
        if name in read.enums:
            yield component(name), enum_schema(read, name)
            continue
        yield component(name), message_schema(read, name, asked=name in in_requests)
    yield "Detail", detail(read)


def detail(read: Contract) -> Schema:
    """What stands in `details`: a message with its type."""
    kinds = []
    for name in DETAILS:
        marked = {"properties": {"@type": {"const": f"type.googleapis.com/google.rpc.{name}"}}, "required": ["@type"]}
        kinds.append({"allOf": [reference(f".google.rpc.{name}"), marked]})
    reasons = cast("dict[str, Any]", kinds[0])["allOf"][1]["properties"]
    named = [value.name.removeprefix("REASON_") for value in read.enums[".venue.error.v1.Reason"].value[1:]]
    reasons["reason"] = {"enum": named, "description": "See venue.error.v1.Reason"}
    return {"description": "A detail of an error, by its `@type`.", "anyOf": kinds}
