"""Bad input, made from the contract: each golden request, with one field after another made wrong.

What is wrong for a field follows from its descriptor and its constraints; what the answer has to be, from what the field means.
"""

import copy
import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from buf.validate import validate_pb2
from tests.contract.descriptors import ROOT, methods
from tests.e2e.people import PASSWORD
from tests.e2e.rest import Json, camel
from venue.option.v1 import access_pb2

GOLDEN = ROOT / "tests" / "contract" / "golden"
WRONG = frozenset({"INVALID_ARGUMENT"})
ABSENT = frozenset({"NOT_FOUND"})
ANONYMOUS = frozenset({"UNAUTHENTICATED"})

DECIMALS = {"amount", "quantity", "price", "stop_price", "quote_amount"}
BAD_DECIMALS = (
    "1e400", "1e-400", "1E5", "1e5", "9" * 10_000, "0." + "0" * 10_000 + "1", "NaN", "nan", "sNaN", "Infinity", "-Infinity",
    "-0", "0", "0.0", "-1", "+1", " 1", "1 ", "1\n", "1_000", "0x10", ",", "1,5", "1,000.5", ".5", "5.", ".", "-", "--1", "1.2.3",
    "١٢٣", "１２３", "1\u200b", "1\x00", "1.0000000000000000001", "1234567890123456789", "½", "∞", "0b1", "1/2", "true",
)  # fmt: skip
# Fields that take what is negative, and what is wrong there in the place of -1.
SIGNED = {("ProposeAdjustment", "amount")}
BAD_NEGATIVES = ("-01", "-1e5", "-.5", "- 1", "-1-", "\u22121", "-1.0000000000000000001", "-1234567890123456789")
HOSTILE = (
    "'; DROP TABLE users; --",
    '" OR ""="', "*)(uid=*))(|(uid=*", "${jndi:ldap://x/a}", "{{7*7}}", "%s%n%x", "a\r\nset-cookie: x=1",
    "nul\x00inside", "\x1b[2J", "\u202egnp.exe", "a\u200db", "раураl", "\ufeffbom", "../../etc/passwd", "A" * 20_000,
)  # fmt: skip
# What a string that names nothing is answered with. Fields that are not here take any text.
STRANGE: dict[str, frozenset[str]] = {
    "account_id": ABSENT,
    "order_id": ABSENT,
    "quote_id": ABSENT,
    "stream_id": ABSENT,
    "symbol": WRONG | ABSENT,
    "symbols": ABSENT,
    "asset": WRONG,
    "client_order_id": WRONG,
    "tag": WRONG,
    "request_id": WRONG,
    "min_position": WRONG,
    "at_position": WRONG,
    "resume_after": WRONG,
    "page_token": WRONG,
    "token": WRONG,
    "refresh_token": ANONYMOUS,
}
# By method too, where a field means something else there.
STRANGE_IN = {
    ("Login", "email"): ANONYMOUS,
    ("Register", "email"): WRONG,
    # Each order of a batch has an outcome of its own.
    ("PlaceOrders", "account_id"): frozenset({"OK"}),
    ("AmendOrders", "account_id"): frozenset({"OK"}),
    ("AmendOrders", "order_id"): frozenset({"OK"}),
    ("CancelOrders", "account_id"): frozenset({"OK"}),
    ("CancelOrders", "order_id"): frozenset({"OK"}),
    # Nothing of one's own is there.
    ("ListDeposits", "account_id"): frozenset({"OK"}),
    ("ListWithdrawals", "account_id"): frozenset({"OK"}),
    # The endpoint is looked at first.
    ("ListDeliveries", "page_token"): ABSENT,
}
# Bytes of a company that signs them, with a secret that the simulated one alone has: tests/integration/funding makes them wrong.
GUARDED = frozenset({"venue.funding.v1.FundingService.ReceiveStripeEvent"})
# Asked of whoever has shown all that the access option demands, which is looked at before the message.
STRONG = frozenset(
    name.removeprefix("venue.")
    for name, method in methods().items()
    if method.GetOptions().Extensions[access_pb2.access].second_factor
)
BAD_NUMBERS = ("1e20", "-1", "1.5", '"x"', "true", "[]", "{}")
OVER_32_BITS = "2147483648"
BAD_ENUMS = ('"buy"', '"SIDE_MOON"', '""', "2147483648", "1e20", "1.5", "true", "[[]]", "{}")
RULES = cast("Any", validate_pb2.field)


@dataclass(frozen=True, slots=True)
class Case:
    """One field of one request made wrong. `codes` are the right answers; `field` is what BadRequest must name, if anything.

    A value that is `raw` is JSON text and can be sent over REST only.
    """

    method: str
    path: tuple[str | int, ...]
    value: Any
    codes: frozenset[str]
    raw: bool = False

    @property
    def field(self) -> str:
        """The path as BadRequest writes it."""
        written = ""
        for part in self.path:
            written += f"[{part}]" if isinstance(part, int) else f"{'.' if written else ''}{snake(part)}"
        return written

    @property
    def name(self) -> str:
        shown = str(self.value)
        return f"{self.field}={shown[:24]!a}{'...' if len(shown) > 24 else ''}"


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def public() -> list[str]:
    """Every RPC that the gateway serves to everybody (administration has a port of its own), without `venue.`."""
    elsewhere = ("venue.engine.", "venue.admin.")
    served = (name for name in methods() if not name.startswith(elsewhere) and name not in GUARDED)
    return sorted(name.removeprefix("venue.") for name in served)


@cache
def unserved() -> frozenset[str]:
    lines = (Path(GOLDEN).parent / "unimplemented.txt").read_text().split("\n")
    return frozenset(line.removeprefix("venue.") for line in lines if line.startswith("venue."))


def request_of(method: str, account_id: str, order_id: str) -> Json:
    """The golden request for somebody's own account and order, without the marks of another venue's answers."""
    text = (GOLDEN / f"{method}.json").read_text()
    made: Json = personal(json.loads(text), account_id, order_id)
    if method.endswith("PlaceOrders"):
        del made["orders"][1:]
    if method.endswith("AuthService.Register"):
        made |= {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    return made


def personal(value: Any, account_id: str, order_id: str) -> Any:
    if isinstance(value, list):
        return [personal(each, account_id, order_id) for each in value]
    if not isinstance(value, dict):
        return value
    own = {"accountId": account_id, "orderId": order_id, "requestId": str(uuid.uuid4())}
    dropped = {"pageToken", "minPosition", "resumeAfter"}
    return {
        name: own.get(name, personal(each, account_id, order_id)) for name, each in value.items() if name not in dropped
    }


def changed(request: Json, path: tuple[str | int, ...], value: Any) -> Json:
    """A copy with the value at the path, under an id of its own: a batch of another body is no repetition."""
    made = copy.deepcopy(request)
    if "requestId" in made:
        made["requestId"] = str(uuid.uuid4())
    place: Any = made
    for part, following in itertools.pairwise(path):
        empty: Any = [{}] if isinstance(following, int) else {}
        place = place.setdefault(part, empty) if isinstance(place, dict) else place[part]
    place[path[-1]] = value
    return made


def cases(method: str) -> Iterator[Case]:
    """Everything that can be wrong with one field of the method's request."""
    described = methods()[f"venue.{method}"]
    chosen = others_of(described.input_type, json.loads((GOLDEN / f"{method}.json").read_text()))
    for case in of_message(described, described.input_type, ()):
        if case.path[0] not in chosen:
            yield Case(method, case.path, case.value, case.codes, case.raw)


def others_of(kind: Descriptor, request: Json) -> set[str]:
    """Fields that cannot be set beside one of the request."""
    given = [[camel(field.name) for field in each.fields] for each in kind.oneofs]
    return {name for names in given if set(names) & set(request) for name in names} - set(request)


def of_message(method: MethodDescriptor, kind: Descriptor, path: tuple[str | int, ...]) -> Iterator[Case]:
    for field in kind.fields:
        here = (*path, camel(field.name))
        message = field.message_type
        if message is not None and message.file.package.startswith("venue."):
            if field.containing_oneof is None:
                yield from of_message(method, message, (*here, 0) if field.is_repeated else here)
        elif message is not None:
            words = () if message.name == "StringValue" else ('"yesterday"', '{"seconds": "x"}')
            yield from (Case("", here, value, WRONG, raw=True) for value in (*words, "1", "[]"))
        else:
            yield from of_scalar(method, field, (*here, 0) if field.is_repeated else here)
        if field.is_repeated:
            yield from of_list(field, here)


def of_scalar(method: MethodDescriptor, field: FieldDescriptor, path: tuple[str | int, ...]) -> Iterator[Case]:
    rules = field.GetOptions().Extensions[RULES]
    rules = rules.repeated.items if field.is_repeated else rules
    if field.enum_type is not None:
        yield from (Case("", path, value, WRONG) for value in (99, -1, 2**31 - 1))
        yield from (
            Case("", path, value, WRONG, raw=True)
            for value in ('"buy"', '"SIDE_MOON"', "2147483648", "1e20", "1.5", "true")
        )
        if 0 in rules.enum.not_in and not field.is_repeated:
            yield Case("", path, 0, WRONG)
    elif field.type == field.TYPE_STRING:
        yield from of_text(method, field, rules.string, path)
    elif field.type == field.TYPE_BOOL:
        yield from (Case("", path, value, WRONG, raw=True) for value in ('"maybe"', "2", "[]"))
    elif field.type == field.TYPE_BYTES:
        yield from (Case("", path, value, WRONG, raw=True) for value in ('"%%%"', "true", "1", "[[]]", "{}"))
    else:
        # A number without a sign cannot even be put into a message: only JSON can say it.
        signed = field.type not in {field.TYPE_UINT32, field.TYPE_UINT64}
        for value in (-1, -(2**31)):
            yield Case("", path, value if signed else str(value), WRONG, raw=not signed)
        over = () if field.type in {field.TYPE_INT64, field.TYPE_UINT64} else (OVER_32_BITS,)
        yield from (Case("", path, value, WRONG, raw=True) for value in (*BAD_NUMBERS, *over))


def of_text(
    method: MethodDescriptor, field: FieldDescriptor, rules: Any, path: tuple[str | int, ...]
) -> Iterator[Case]:
    if field.name in DECIMALS:
        signed = (method.name, field.name) in SIGNED
        numbers = {*BAD_DECIMALS, *BAD_NEGATIVES} - {"-1"} if signed else BAD_DECIMALS
        yield from (Case("", path, value, WRONG) for value in sorted(numbers))
        return
    if rules.min_len:
        yield Case("", path, "", WRONG)
    if rules.max_len:
        yield Case("", path, "a" * (rules.max_len + 1), WRONG)
        yield Case("", path, "é" * (rules.max_len + 1), WRONG)
    if rules.HasField("pattern") and not field.name.endswith("symbol"):
        # An address has lines.
        lines = () if field.name == "address" else ("a\nb",)
        yield from (Case("", path, value, WRONG) for value in (*lines, "a\x00b", "a\x1bb"))
    codes = STRANGE_IN.get((method.name, field.name), STRANGE.get(field.name))
    if codes is not None:
        for value in HOSTILE:
            too_long = rules.max_len and len(value) > rules.max_len
            yield Case("", path, value, WRONG if too_long else codes)


def of_list(field: FieldDescriptor, path: tuple[str | int, ...]) -> Iterator[Case]:
    rules = field.GetOptions().Extensions[RULES].repeated
    if field.enum_type is not None:
        items: list[Any] = [1] * (rules.max_items + 1)
    elif field.message_type is not None:
        items = [{}] * (rules.max_items + 1)
    else:
        items = [f"M{number}-USD" for number in range(rules.max_items + 1)]
    yield Case("", path, items, WRONG)
    if rules.min_items:
        yield Case("", path, [], WRONG)
