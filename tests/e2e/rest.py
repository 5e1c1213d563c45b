"""The REST form of a call, read from the contract's own annotations."""

import re
from typing import Any, cast
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor

Query = list[tuple[str, str | int | float | bool | None]]
Json = dict[str, Any]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def rules(method: MethodDescriptor) -> list[Any]:
    """The HTTP rules of a method, the first one first; none for those that only gRPC serves."""
    options, http = method.GetOptions(), cast("Any", annotations_pb2.http)
    if not options.HasExtension(http):
        return []
    first = options.Extensions[http]
    return [first, *first.additional_bindings]


def form(method: MethodDescriptor, request: Json) -> tuple[str, str, Query, Json | None]:
    """Verb, path, query and body of a request given as JSON. Takes the first rule whose path the request can fill."""
    for rule in rules(method):
        verb = rule.WhichOneof("pattern")
        path = getattr(rule, verb)
        names = [camel(name) for name in re.findall(r"\{(\w+)\}", path)]
        if all(request.get(name) for name in names):
            break
    else:
        raise LookupError(f"{method.full_name} with {sorted(request)}")
    rest = dict(request)
    for name in names:
        path = re.sub(r"\{\w+\}", quote(str(rest.pop(name)), safe=""), path, count=1)
    if rule.body:
        return verb.upper(), path, [], rest
    return verb.upper(), path, [pair for name, value in rest.items() for pair in pairs(name, value)], None


def pairs(name: str, value: Any) -> Query:
    """A field as query parameters. Lists repeat the name."""
    values = value if isinstance(value, list) else [value]
    return [(name, str(each).lower() if isinstance(each, bool) else str(each)) for each in values]
