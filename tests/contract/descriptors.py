"""The contract as its descriptors say it, comments included."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

# Imported for what they register with the pool.
from venue.account.v1 import account_pb2 as _account  # noqa: F401
from venue.admin.v1 import admin_pb2 as _admin  # noqa: F401
from venue.auth.v1 import auth_pb2 as _auth  # noqa: F401
from venue.engine.v1 import engine_pb2 as _engine  # noqa: F401
from venue.engine.v1 import limits_service_pb2 as _limits  # noqa: F401
from venue.error.v1 import reason_pb2 as _reason  # noqa: F401
from venue.funding.v1 import funding_pb2 as _funding  # noqa: F401
from venue.marketdata.v1 import marketdata_pb2 as _marketdata  # noqa: F401
from venue.notify.v1 import notify_pb2 as _notify  # noqa: F401
from venue.option.v1 import access_pb2 as _access  # noqa: F401
from venue.order.v1 import order_service_pb2 as _order  # noqa: F401
from venue.webhook.v1 import webhook_pb2 as _webhook  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent.parent
DESCRIPTOR_SET = ROOT / "gen" / "venue.binpb"
BASELINE = ROOT / "proto" / "baseline.binpb"


@cache
def files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The files of the contract itself, with source information."""
    everything = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    return [file for file in everything.file if file.package.startswith("venue.")]


@cache
def methods() -> dict[str, MethodDescriptor]:
    """Every RPC by its full name."""
    pool = descriptor_pool.Default()
    names = [
        f"{file.package}.{service.name}.{method.name}"
        for file in files()
        for service in file.service
        for method in service.method
    ]
    return {name: pool.FindMethodByName(name) for name in names}


def rest(method: MethodDescriptor) -> list[str]:
    """The REST routes of a method, like "GET /v1/orders"; empty where it has none."""
    options, http = method.GetOptions(), cast("Any", annotations_pb2.http)
    if not options.HasExtension(http):
        return []
    first = options.Extensions[http]
    rules = [first, *first.additional_bindings]
    return [f"{rule.WhichOneof('pattern').upper()} {getattr(rule, rule.WhichOneof('pattern'))}" for rule in rules]


def uncommented(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """The names of a file's parts that have no comment."""
    said = {
        tuple(location.path)
        for location in file.source_code_info.location
        if location.leading_comments.strip() or location.trailing_comments.strip()
    }
    for path, name in _parts(file):
        if path not in said:
            yield f"{file.package}.{name}"


Part = tuple[tuple[int, ...], str]


def _parts(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Part]:
    for number, service in enumerate(file.service):
        yield (6, number), service.name
        for place, method in enumerate(service.method):
            yield (6, number, 2, place), f"{service.name}.{method.name}"
    for number, enum in enumerate(file.enum_type):
        yield from _of_enum((5, number), enum, enum.name)
    for number, message in enumerate(file.message_type):
        yield from _of_message((4, number), message, message.name)


def _of_message(path: tuple[int, ...], message: descriptor_pb2.DescriptorProto, name: str) -> Iterator[Part]:
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, 2, number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _of_message((*path, 3, number), nested, f"{name}.{nested.name}")
    for number, enum in enumerate(message.enum_type):
        yield from _of_enum((*path, 4, number), enum, f"{name}.{enum.name}")
    for number, oneof in enumerate(message.oneof_decl):
        yield (*path, 8, number), f"{name}.{oneof.name}"


def _of_enum(path: tuple[int, ...], enum: descriptor_pb2.EnumDescriptorProto, name: str) -> Iterator[Part]:
    yield path, name
    for number, value in enumerate(enum.value):
        yield (*path, 2, number), f"{name}.{value.name}"
