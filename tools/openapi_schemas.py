"""Messages of the contract as JSON schemas, in the form that the gateway reads and writes them.

protobuf's JSON mapping: names in lowerCamelCase, 64-bit integers and decimals as strings, enums by name, times in RFC 3339. What
protovalidate demands of a field becomes a keyword where JSON schema has one, else a line of its description.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

Schema = dict[str, Any]
Message = descriptor_pb2.DescriptorProto
Field = descriptor_pb2.FieldDescriptorProto

INTEGERS: Final = {Field.TYPE_INT32, Field.TYPE_SINT32, Field.TYPE_SFIXED32, Field.TYPE_UINT32, Field.TYPE_FIXED32}
LONGS: Final = {Field.TYPE_INT64, Field.TYPE_SINT64, Field.TYPE_SFIXED64, Field.TYPE_UINT64, Field.TYPE_FIXED64}
UNSIGNED: Final = {Field.TYPE_UINT32, Field.TYPE_FIXED32, Field.TYPE_UINT64, Field.TYPE_FIXED64}
WELL_KNOWN: Final[dict[str, Schema]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00.5Z"]},
    ".google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    ".google.protobuf.FieldMask": {"type": "string", "examples": ["name,expireTime"]},
    ".google.protobuf.Empty": {"type": "object"},
    ".google.protobuf.Struct": {"type": "object"},
    ".google.protobuf.Value": {},
    ".google.protobuf.ListValue": {"type": "array"},
    ".google.protobuf.StringValue": {"type": "string"},
    ".google.protobuf.BoolValue": {"type": "boolean"},
    ".google.protobuf.Int32Value": {"type": "integer", "format": "int32"},
    ".google.protobuf.UInt32Value": {"type": "integer", "format": "uint32", "minimum": 0},
    ".google.protobuf.Any": {"$ref": "#/components/schemas/Detail"},
}
FORMATS: Final = {"uuid": "uuid", "email": "email", "uri": "uri", "hostname": "hostname", "ip": "ip"}
# A rule that is nothing but patterns; other expressions can only be told in words.
MATCHES: Final = re.compile(r"this\.matches\('((?:[^'\\]|\\.)*)'\)")


@dataclass(slots=True)
class Contract:
    """The descriptor set by full names, with options and comments."""

    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, descriptor_pb2.EnumDescriptorProto] = field(default_factory=dict)
    services: dict[str, descriptor_pb2.ServiceDescriptorProto] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    pool: descriptor_pool.DescriptorPool = field(default_factory=descriptor_pool.DescriptorPool)

    def options(self, options: Any) -> dict[str, Any]:  # noqa: ANN401  of any kind of descriptor
        """Options as JSON, extensions in brackets: {"[google.api.http]": {...}}."""
        kind = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(options.DESCRIPTOR.full_name))
        found: dict[str, Any] = json_format.MessageToDict(
            kind.FromString(options.SerializeToString()), preserving_proto_field_name=True, descriptor_pool=self.pool
        )
        return found

    def rules(self, options: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401
        """What protovalidate demands of a field, message or oneof."""
        found: dict[str, Any] = self.options(options).get(f"[buf.validate.{kind}]", {})
        return found


def contract(image: bytes) -> Contract:
    """Read a FileDescriptorSet with its imports and source information."""
    found = Contract()
    for file in descriptor_pb2.FileDescriptorSet.FromString(image).file:
        found.pool.Add(file)
        said = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
        prefix = f".{file.package}"
        for at, service in enumerate(file.service):
            name = f"{prefix}.{service.name}"
            found.services[name] = service
            found.comments[name] = prose(said.get((6, at), ""))
            for place, method in enumerate(service.method):
                found.comments[f"{name}.{method.name}"] = prose(said.get((6, at, 2, place), ""))
        for at, enum in enumerate(file.enum_type):
            _enum(found, said, (5, at), prefix, enum)
        for at, message in enumerate(file.message_type):
            _message(found, said, (4, at), prefix, message)
    # Only a pool that knows the extensions' messages reads options whole.
    for file in descriptor_pb2.FileDescriptorSet.FromString(image).file:
        message_factory.GetMessageClassesForFiles([file.name], found.pool)
    return found


def _enum(found: Contract, said: dict[Any, str], path: tuple[int, ...], prefix: str, enum: Any) -> None:  # noqa: ANN401
    name = f"{prefix}.{enum.name}"
    found.enums[name] = enum
    found.comments[name] = prose(said.get(path, ""))
    for at, value in enumerate(enum.value):
        found.comments[f"{name}.{value.name}"] = prose(said.get((*path, 2, at), ""))


def _message(found: Contract, said: dict[Any, str], path: tuple[int, ...], prefix: str, message: Message) -> None:
    name = f"{prefix}.{message.name}"
    found.messages[name] = message
    found.comments[name] = prose(said.get(path, ""))
    for at, each in enumerate(message.field):
        found.comments[f"{name}.{each.name}"] = prose(said.get((*path, 2, at), ""))
    for at, nested in enumerate(message.nested_type):
        _message(found, said, (*path, 3, at), name, nested)
    for at, enum in enumerate(message.enum_type):
        _enum(found, said, (*path, 4, at), name, enum)


def prose(comment: str) -> str:
    """A comment without the spaces before its lines."""
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines()).strip()


def component(name: str) -> str:
    """order.v1.Order of .venue.order.v1.Order."""
    return name.removeprefix(".").removeprefix("venue.")


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component(name)}"}


def reached(contract: Contract, roots: set[str]) -> set[str]:
    """The messages and enums that these messages hold, themselves included."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name in WELL_KNOWN:
            continue
        found.add(name)
        if name in contract.messages:
            waiting += [each.type_name for each in contract.messages[name].field if each.type_name]
    return {name for name in found if name in contract.enums or not is_entry(contract, name)}


def is_entry(contract: Contract, name: str) -> bool:
    """Whether a message is what maps are made of."""
    return contract.messages[name].options.map_entry


def enum_schema(contract: Contract, name: str) -> Schema:
    """By name, each with its meaning."""
    names = [value.name for value in contract.enums[name].value]
    meanings = [f"* `{each}`: {contract.comments[f'{name}.{each}']}" for each in names]
    return {"type": "string", "enum": names, "description": "\n".join([contract.comments[name], "", *meanings])}


def message_schema(contract: Contract, name: str, *, asked: bool, without: frozenset[str] = frozenset()) -> Schema:
    """An object. `asked`: as a part of requests; answers then promise nothing, else every field that is always written.

    `without` names fields that the path of a call carries.
    """
    message = contract.messages[name]
    shown = [each for each in message.field if each.name not in without]
    rules = contract.rules(message.options, "message")
    lines = [contract.comments[name], *(f"* {each['message']}" for each in rules.get("cel", []))]
    for at, oneof in enumerate(message.oneof_decl):
        members = [each.json_name for each in shown if each.HasField("oneof_index") and each.oneof_index == at]
        if len(members) > 1:
            needed = contract.rules(oneof.options, "oneof").get("required")
            lines.append(f"* {'exactly' if needed else 'at most'} one of {', '.join(members)}")
    schema: Schema = {"type": "object", "description": "\n".join(line for line in lines if line)}
    if shown:
        schema["properties"] = {each.json_name: field_schema(contract, name, each, asked=asked) for each in shown}
    needs = needed_of if asked else written_of
    required = [each.json_name for each in shown if needs(contract, each)]
    return schema | ({"required": required} if required else {})


def written_of(_: Contract, each: Field) -> bool:
    """Whether the gateway writes the field whatever it holds: all but those that know whether they are set."""
    if each.label == Field.LABEL_REPEATED:
        return True
    return each.type != Field.TYPE_MESSAGE and not each.HasField("oneof_index")


def needed_of(contract: Contract, each: Field) -> bool:
    """Whether a request without the field breaks a constraint."""
    rules = contract.rules(each.options, "field")
    if rules.get("required"):
        return True
    if each.HasField("oneof_index") or rules.get("ignore"):
        return False
    if each.label == Field.LABEL_REPEATED:
        return int(rules.get("repeated", {}).get("min_items", 0)) > 0
    if each.type == Field.TYPE_ENUM:
        return 0 in rules.get("enum", {}).get("not_in", [])
    if each.type != Field.TYPE_STRING:
        return False
    of = rules.get("string", {})
    patterns = [*patterns_of(rules), *([of["pattern"]] if "pattern" in of else [])]
    short = int(of.get("min_len", 0)) > 0 or int(of.get("len", 0)) > 0 or any(of.get(name) for name in FORMATS)
    return short or any(re.search(pattern, "") is None for pattern in patterns)


def patterns_of(rules: dict[str, Any]) -> Iterator[str]:
    """The patterns of expressions that are nothing else."""
    for cel in rules.get("cel", []):
        if re.fullmatch(rf"\s*{MATCHES.pattern}(\s*&&\s*{MATCHES.pattern})*\s*", cel["expression"]):
            for pattern in MATCHES.findall(cel["expression"]):
                yield pattern.replace("\\\\", "\\")


def field_schema(contract: Contract, owner: str, each: Field, *, asked: bool) -> Schema:
    """A field: a list, a map or a single value, with its comment."""
    rules = contract.rules(each.options, "field")
    said = contract.comments.get(f"{owner}.{each.name}", "")
    words = [cel["message"] for cel in rules.get("cel", []) if not list(patterns_of({"cel": [cel]}))]
    if each.type_name in contract.messages and is_entry(contract, each.type_name):
        value = contract.messages[each.type_name].field[1]
        schema: Schema = {"type": "object", "additionalProperties": single(contract, value, {}, asked=asked)}
    elif each.label == Field.LABEL_REPEATED:
        of = rules.get("repeated", {})
        schema = {"type": "array", "items": single(contract, each, of.get("items", {}), asked=asked)}
        bounds = {"minItems": "min_items", "maxItems": "max_items", "uniqueItems": "unique"}
        schema |= {keyword: number(of[name]) for keyword, name in bounds.items() if name in of}
    else:
        schema = single(contract, each, rules, asked=asked)
        words += [f"{kind} {bound}: {value}" for kind, bound, value in spans(rules)]
    described = "\n".join([said, *(f"* {word}" for word in words)]).strip()
    return schema | ({"description": described} if described else {})


def spans(rules: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Bounds that a JSON schema cannot say: of 64-bit numbers, which are strings, and of times."""
    for kind in ("int64", "uint64", "duration", "timestamp"):
        for bound, value in rules.get(kind, {}).items():
            yield kind, bound, json.dumps(value) if isinstance(value, bool | list) else str(value)


def single(contract: Contract, each: Field, rules: dict[str, Any], *, asked: bool) -> Schema:
    """One value. A string that counts as absent when it is empty may be empty, whatever is demanded else."""
    if each.type_name in WELL_KNOWN:
        return dict(WELL_KNOWN[each.type_name])
    if each.type == Field.TYPE_MESSAGE:
        return reference(each.type_name)
    if each.type == Field.TYPE_ENUM:
        refused = asked and 0 in rules.get("enum", {}).get("not_in", [])
        unsaid = contract.enums[each.type_name].value[0].name
        return reference(each.type_name) | ({"not": {"const": unsaid}} if refused else {})
    if each.type == Field.TYPE_STRING:
        return text(rules) if asked else {"type": "string"}
    if each.type == Field.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    if each.type == Field.TYPE_BOOL:
        return {"type": "boolean"}
    if each.type in LONGS:
        sign = "" if each.type in UNSIGNED else "-?"
        return {"type": "string", "format": "uint64" if not sign else "int64", "pattern": f"^{sign}[0-9]{{1,20}}$"}
    if each.type in INTEGERS:
        return integer(each, rules)
    return {"type": "number"}


def integer(each: Field, rules: dict[str, Any]) -> Schema:
    unsigned = each.type in UNSIGNED
    of = rules.get("uint32" if unsigned else "int32", {})
    schema: Schema = {"type": "integer", "format": "uint32" if unsigned else "int32"}
    schema |= {"minimum": 0 if unsigned else -(2**31), "maximum": 2**32 - 1 if unsigned else 2**31 - 1}
    bounds = {"minimum": "gte", "exclusiveMinimum": "gt", "maximum": "lte", "exclusiveMaximum": "lt"}
    return schema | {keyword: number(of[name]) for keyword, name in bounds.items() if name in of}


def text(rules: dict[str, Any]) -> Schema:
    of = rules.get("string", {})
    schema: Schema = {"type": "string"}
    for name, (least, most) in {"len": ("minLength", "maxLength")}.items():
        if name in of:
            schema |= {least: number(of[name]), most: number(of[name])}
    schema |= {"minLength": number(of["min_len"])} if "min_len" in of else {}
    schema |= {"maxLength": number(of["max_len"])} if "max_len" in of else {}
    schema |= next(({"format": form} for name, form in FORMATS.items() if of.get(name)), {})
    patterns = [*([of["pattern"]] if "pattern" in of else []), *patterns_of(rules)]
    schema |= {"pattern": patterns[0]} if patterns else {}
    if len(patterns) > 1:
        schema["allOf"] = [{"pattern": pattern} for pattern in patterns[1:]]
    if of.get("in"):
        schema["enum"] = list(of["in"])
    plain = set(schema) == {"type"}
    may_be_empty = rules.get("ignore") and not plain
    return {"anyOf": [{"const": ""}, schema]} if may_be_empty else schema


def number(value: Any) -> Any:  # noqa: ANN401
    """Bounds of 64 bits are strings in JSON."""
    return int(value) if isinstance(value, str) else value
