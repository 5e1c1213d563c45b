"""A quick answer to "is this message certainly valid?", made from the same constraints that protovalidate reads.

Good requests are nearly all there are, and protovalidate takes about 50 us of a busy server for one order. So for each kind of
message one Python expression is made of its constraints when it is first seen. It only ever says yes when every constraint
holds; a no, and a constraint that is not known here, mean: let protovalidate decide, which also finds the words.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from keyword import iskeyword
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2

Sure = Callable[[Message], bool]

UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
TOKEN = re.compile(r"\s*(\|\||&&|==|!=|[!?:().,\[\]]|'[^'\\]*'|[0-9]+|[A-Za-z_][A-Za-z0-9_]*)")
# The one rule in CEL that fields have, alone or several joined by `&&`; it says in words what a pattern only says to machines.
MATCHES = re.compile(r"this\.matches\('([^'\\]*)'\)")
# Rules on texts that come again and again, as labels and ids of requests do not: a text that was looked at lately is not again.
OFTEN: Final = {"symbol", "decimal.positive"}
REMEMBERED: Final = 4_096
# What nearly every message of a kind says, and all that it says: the others of its fields need not be looked at then.
USUAL: Final = {
    "venue.order.v1.PlaceOrderRequest": (
        *("account_id", "symbol", "side", "type", "time_in_force", "quantity", "price"),
        *("post_only", "client_order_id", "request_id", "self_trade_prevention"),
    ),
}
FIELD_RULES = cast("Any", validate_pb2.field)
MESSAGE_RULES = cast("Any", validate_pb2.message)
ONEOF_RULES = cast("Any", validate_pb2.oneof)


class Unknown(Exception):
    """A constraint that only protovalidate understands."""


def sure_check(kind: Descriptor) -> Sure | None:
    """The quick check of a kind of message; None where protovalidate must always be asked."""
    try:
        return _Maker(()).make(kind)
    except Unknown:
        return None


class _Maker:
    """Writes one expression over `m`, the message, and the constants it needs."""

    def __init__(self, outer: tuple[str, ...]) -> None:
        self._outer = outer
        self._constants: dict[str, object] = {}
        # Fields whose values stand under a name of their own by the time that rules of the whole message are looked at.
        self._named: set[str] = set()

    def make(self, kind: Descriptor) -> Sure:
        if kind.full_name in self._outer:
            raise Unknown("a message within itself")
        self._outer = (*self._outer, kind.full_name)
        terms = [*self._fields(kind), *self._oneofs(kind), *self._rules(kind, {})]
        checks = [" and ".join(terms) or "True"]
        if kind.full_name in USUAL:
            checks.insert(0, " and ".join(self._usual(kind, USUAL[kind.full_name])))
        source = f"lambda m: {' or '.join(checks)}"
        names = {**self._constants, "__builtins__": {"len": len, "set": set, "all": all, "map": map}}
        # The source is made of nothing but the contract that this program was built with.
        check: Sure = eval(source, names)  # noqa: S307  # nosec B307
        return check

    def _constant(self, value: object) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def _fields(self, kind: Descriptor) -> Iterator[str]:
        for field in kind.fields:
            rules = field.GetOptions().Extensions[FIELD_RULES]
            if not field.name.isidentifier() or iskeyword(field.name):
                raise Unknown(field.full_name)
            if field.message_type is not None:
                yield from self._message(field, field.message_type, rules)
            elif field.is_repeated:
                yield from self._repeated(field, rules)
            elif rules.ListFields():
                yield self._scalar(field, rules)

    def _message(self, field: FieldDescriptor, kind: Descriptor, rules: Any) -> Iterator[str]:  # noqa: ANN401
        if kind.GetOptions().map_entry:
            raise Unknown(field.full_name)
        value = f"m.{field.name}"
        known = {"repeated"} if field.is_repeated else {"required", "duration"}
        _only(rules, known)
        sub = self._constant(_Maker(self._outer).make(kind))
        if field.is_repeated:
            if rules.HasField("repeated"):
                _only(rules.repeated, {"min_items", "max_items"})
                yield from _bounds(f"len({value})", rules.repeated, "items")
            yield f"all(map({sub}, {value}))"
        else:
            absent = "" if rules.required else f"not m.HasField('{field.name}') or "
            if rules.required:
                yield f"m.HasField('{field.name}')"
            holds = (
                [f"{sub}({value})", *_span(value, rules.duration)]
                if rules.HasField("duration")
                else [f"{sub}({value})"]
            )
            yield f"({absent}{' and '.join(holds)})"

    def _repeated(self, field: FieldDescriptor, rules: Any) -> Iterator[str]:  # noqa: ANN401
        _only(rules, {"repeated"})
        value = f"m.{field.name}"
        _only(rules.repeated, {"min_items", "max_items", "unique", "items"})
        yield from _bounds(f"len({value})", rules.repeated, "items")
        if rules.repeated.unique:
            yield f"len(set({value})) == len({value})"
        if rules.repeated.HasField("items"):
            each = self._value("v", field, rules.repeated.items)
            yield f"all([{each} for v in {value}])"

    def _scalar(self, field: FieldDescriptor, rules: Any) -> str:  # noqa: ANN401
        if field.has_presence:
            raise Unknown(field.full_name)
        name = f"m_{field.name}"
        self._named.add(field.name)
        holds = self._value(name, field, rules)
        if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE or self._allows(holds, name, field.default_value):
            # Most fields of most messages are empty.
            return f"(not ({name} := m.{field.name}) or {holds})"
        return f"(({name} := m.{field.name}) is not None and {holds})"

    def _allows(self, holds: str, name: str, value: object) -> bool:
        return bool(eval(holds, {**self._constants, name: value}))  # noqa: S307  # nosec B307  as in `make`

    def _value(self, name: str, field: FieldDescriptor, rules: Any) -> str:  # noqa: ANN401
        """An expression that is true where the value `name` keeps the rules of a scalar."""
        _only(rules, {"ignore", "string", "enum", "int32", "cel"})
        if rules.ignore not in {validate_pb2.IGNORE_UNSPECIFIED, validate_pb2.IGNORE_IF_ZERO_VALUE}:
            raise Unknown(field.full_name)
        terms: list[str] = []
        if rules.HasField("string"):
            _only(rules.string, {"min_len", "max_len", "pattern", "uuid"})
            terms += _bounds(f"len({name})", rules.string, "len")
            terms += [f"{self._constant(match)}({name}) is not None" for match in _patterns(rules.string)]
        for rule in rules.cel:
            if rule.id in OFTEN:
                terms.append(f"{self._constant(_remembered(rule.expression))}({name})")
            else:
                terms += [f"{self._constant(match)}({name}) is not None" for match in _matchers(rule.expression)]
        if rules.HasField("enum"):
            _only(rules.enum, {"defined_only", "not_in"})
            if not rules.enum.defined_only or field.enum_type is None:
                raise Unknown(field.full_name)
            allowed = frozenset(field.enum_type.values_by_number) - frozenset(rules.enum.not_in)
            terms.append(f"{name} in {self._constant(allowed)}")
        if rules.HasField("int32"):
            _only(rules.int32, {"gte", "lte"})
            terms.append(f"{name} >= {rules.int32.gte}")
            if rules.int32.HasField("lte"):
                terms.append(f"{name} <= {rules.int32.lte}")
        return f"({' and '.join(terms) or 'True'})"

    def _usual(self, kind: Descriptor, names: Sequence[str]) -> Iterator[str]:
        """Terms that hold only where no other field is set: the named ones, texts, enumerations and flags, take all the bytes."""
        taken = []
        for field in (kind.fields_by_name[name] for name in names):
            assert field.number < 16, f"{field.full_name} takes more than a byte for its number"
            yield self._scalar(field, field.GetOptions().Extensions[FIELD_RULES])
            value = f"m_{field.name}"
            taken.append(f"({f'2 + len({value})' if field.type == field.TYPE_STRING else 2} if {value} else 0)")
        # A text that is longer or not ASCII takes more.
        yield f"{' + '.join(taken)} == m.ByteSize()"
        absent = {field.name: field.default_value for field in kind.fields if field.name not in names}
        yield from self._rules(kind, absent)

    @staticmethod
    def _oneofs(kind: Descriptor) -> Iterator[str]:
        for oneof in kind.oneofs:
            rules = oneof.GetOptions().Extensions[ONEOF_RULES]
            _only(rules, {"required"})
            if rules.required:
                yield f"m.WhichOneof('{oneof.name}') is not None"

    def _rules(self, kind: Descriptor, absent: Mapping[str, object]) -> Iterator[str]:
        rules = kind.GetOptions().Extensions[MESSAGE_RULES]
        _only(rules, {"cel"})
        for rule in rules.cel:
            yield f"({_Translator(rule.expression, kind, self._named, absent).translated()}) is True"


class _Translator:
    """Turns the small part of CEL that the contract uses into Python, by recursive descent."""

    def __init__(self, expression: str, kind: Descriptor, named: Container[str], absent: Mapping[str, object]) -> None:
        """`named` fields stand under a name of their own; `absent` ones are known not to be set, and as what they read then."""
        self._kind = kind
        self._named = named
        self._absent = absent
        self._tokens: list[str] = []
        place = 0
        while place < len(expression.rstrip()):
            token = TOKEN.match(expression, place)
            if token is None:
                raise Unknown(expression)
            self._tokens.append(token[1])
            place = token.end()
        self._tokens.append("")

    def translated(self) -> str:
        python = self._choice()
        self._take("")
        return python

    def _take(self, *expected: str) -> str:
        token = self._tokens[0]
        if expected and token not in expected:
            raise Unknown(token)
        del self._tokens[0]
        return token

    def _choice(self) -> str:
        condition = self._joined("||", "or", lambda: self._joined("&&", "and", self._relation))
        if self._tokens[0] != "?":
            return condition
        self._take("?")
        held = self._choice()
        self._take(":")
        return f"({held} if {condition} else {self._choice()})"

    def _joined(self, sign: str, word: str, part: Callable[[], str]) -> str:
        parts = [part()]
        while self._tokens[0] == sign:
            self._take(sign)
            parts.append(part())
        return parts[0] if len(parts) == 1 else f"({f' {word} '.join(parts)})"

    def _relation(self) -> str:
        left = self._value()
        if self._tokens[0] not in {"==", "!=", "in"}:
            return left
        return f"({left} {self._take()} {self._value()})"

    def _value(self) -> str:
        token = self._take()
        match token:
            case "!":
                return f"(not {self._value()})"
            case "(":
                inner = self._choice()
                self._take(")")
                return f"({inner})"
            case "[":
                items = [self._value()]
                while self._take(",", "]") == ",":
                    items.append(self._value())
                return f"({', '.join(items)},)"
            case "has":
                self._take("(")
                field = self._field()
                self._take(")")
                if field.message_type is None or field.is_repeated:
                    raise Unknown(field.full_name)
                return "False" if field.name in self._absent else f"m.HasField('{field.name}')"
            case "this":
                self._tokens.insert(0, token)
                field = self._field()
                if field.message_type is not None or field.is_repeated:
                    raise Unknown(field.full_name)
                if field.name in self._absent:
                    return repr(self._absent[field.name])
                return f"m_{field.name}" if field.name in self._named else f"m.{field.name}"
        if token.isdigit() or token.startswith("'"):
            return token
        raise Unknown(token)

    def _field(self) -> FieldDescriptor:
        self._take("this")
        self._take(".")
        name = self._take()
        if name not in self._kind.fields_by_name:
            raise Unknown(name)
        field: FieldDescriptor = self._kind.fields_by_name[name]
        return field


def _only(rules: Any, known: set[str]) -> None:  # noqa: ANN401  rules are messages of many kinds
    """Raises Unknown where other rules are set."""
    others = {field.name for field, _ in rules.ListFields()} - known
    if others:
        raise Unknown(", ".join(sorted(others)))


def _bounds(value: str, rules: Any, what: str) -> Iterator[str]:  # noqa: ANN401
    if rules.HasField(f"min_{what}"):
        yield f"{value} >= {getattr(rules, f'min_{what}')}"
    if rules.HasField(f"max_{what}"):
        yield f"{value} <= {getattr(rules, f'max_{what}')}"


def _span(value: str, rules: Any) -> Iterator[str]:  # noqa: ANN401
    """A time that is not negative, within its bounds; one whose two parts differ in sign is left to protovalidate."""
    _only(rules, {"gte", "lte"})
    yield f"0 <= {value}.nanos < 1000000000 and {value}.seconds >= 0"
    for bound, sign in ((rules.gte, ">="), (rules.lte, "<=")):
        if bound.seconds or bound.nanos:
            yield f"({value}.seconds, {value}.nanos) {sign} ({bound.seconds}, {bound.nanos})"


def _patterns(rules: Any) -> Iterator[Callable[[str], object]]:  # noqa: ANN401
    if rules.HasField("pattern"):
        yield _matcher(rules.pattern)
    if rules.uuid:
        yield re.compile(UUID).fullmatch


def _matchers(expression: str) -> Iterator[Callable[[str], object]]:
    """What all match a text that keeps a rule in CEL."""
    for part in expression.split(" && "):
        written = MATCHES.fullmatch(part)
        if written is None:
            raise Unknown(expression)
        yield _matcher(written[1])


@cache
def _remembered(expression: str) -> Callable[[str], bool]:
    """Whether a text keeps a rule in CEL; fields with the same rule share what is remembered."""
    matchers = list(_matchers(expression))
    return lru_cache(REMEMBERED)(lambda text: all(match(text) for match in matchers))


def _matcher(pattern: str) -> Callable[[str], object]:
    if not (pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$")):
        raise Unknown(pattern)
    # Whole, and ASCII as in RE2: `$` alone would let a line end through.
    return re.compile(pattern[1:-1], re.ASCII).fullmatch
