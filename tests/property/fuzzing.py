"""Messages of any kind, made from the descriptors of the contract: plausible here and there, hurtful everywhere else."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.property.traffic import ACCOUNTS, ASSETS, PARTITION, SYMBOLS

Drawn = TypeVar("Drawn")
UUIDS: Final = (
    "00000000-0000-4000-8000-000000000001",
    "018bcfe5-6848-7932-91dc-59efeb21a3f6",
    "FFFFFFFF-0000-7000-8000-0",
)
DECIMALS: Final = ("1", "0.01", "1.00", "0.5", "10", "100", "0", "-1", "0.000000000000000001", "999999999999999999")
NO_DECIMALS: Final = (
    *("1e400", "1e-400", "9" * 10_000, "NaN", "Infinity", "-0", "+1", " 1", "1_000", "0x10", ",", "\u0661\u0662", "1."),
    *("1.000000001", "0." + "0" * 40 + "1", "\uff11", "1\n", "--1", str(2**127)),
)
WEIRD: Final = (
    "\u202e\u200dabc",
    "a\x00b",
    "\U0001f4a3" * 50,
    "x" * 5_000,
    "'; DROP TABLE journal; --",
    "${jndi:ldap://x}",
    "\r\n",
)
INTEGERS: Final = (0, 1, -1, 2, 7, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
# Seconds and nanoseconds of times and lengths of time; those of the first row are good.
MOMENTS: Final = (
    (1_700_000_000, 0),
    (1_700_000_010, 5),
    (0, 0),
    (-1, 999_999_999),
    (10**18, 0),
    (0, -1),
    (253_402_300_800, 0),
)
NAMES: Final[dict[str, Sequence[str]]] = {
    "symbol": (*SYMBOLS, *ASSETS, "NO-SUCH"),
    "asset": (*ASSETS, "NONE"),
    "base_asset": tuple(ASSETS),
    "quote_asset": tuple(ASSETS),
    "account_id": (*ACCOUNTS, "venue:fees", "demo-new", "live-1"),
    "user_id": (*("user of " + account for account in ACCOUNTS[:2]), "", "nobody"),
    "request_id": ("", *UUIDS),
    "transfer_id": ("t-1", "t-2", ""),
    "tier": ("default", "vip", ""),
    "session_id": ("s-1", ""),
}


def messages(kind: Descriptor, depth: int = 3) -> "st.SearchStrategy[Message]":
    """Messages of a kind; of a union one field at a time, as the last one set counts."""
    made = GetMessageClass(kind)
    if kind.full_name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
        return st.sampled_from(MOMENTS).map(lambda moment: made(seconds=moment[0], nanos=moment[1]))
    fields = [f for f in kind.fields if depth or f.message_type is None]
    chosen = st.fixed_dictionaries({}, optional={f.name: values(f, depth) for f in fields})
    return chosen.map(lambda values: _built(made, values))


def _built(made: Callable[[], Message], values: dict[str, Any]) -> Message:
    message = made()
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def values(field: FieldDescriptor, depth: int) -> "st.SearchStrategy[Any]":
    """Values of a field."""
    one = messages(field.message_type, depth - 1) if field.message_type is not None else _scalars(field)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _scalars(field: FieldDescriptor) -> "st.SearchStrategy[Any]":
    match field.type:
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_ENUM:
            assert field.enum_type is not None
            numbers = [value.number for value in field.enum_type.values]
            return st.sampled_from([*numbers, *numbers, 99, -1, 2**31 - 1])
        case FieldDescriptor.TYPE_STRING:
            return _texts(field.name)
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=64)
        case FieldDescriptor.TYPE_INT32 | FieldDescriptor.TYPE_SINT32:
            return st.sampled_from([n for n in INTEGERS if -(2**31) <= n < 2**31])
        case FieldDescriptor.TYPE_UINT32:
            return st.sampled_from([n for n in INTEGERS if 0 <= n < 2**32])
        case FieldDescriptor.TYPE_UINT64:
            return st.sampled_from([n for n in INTEGERS if n >= 0])
        case _:
            return st.sampled_from([n for n in INTEGERS if n < 2**63])


def _texts(name: str) -> "st.SearchStrategy[str]":
    known = NAMES.get(name) or next((NAMES[end] for end in NAMES if name.endswith(end)), None)
    if name.endswith("order_id") and not name.startswith("client"):
        known = (*(f"{PARTITION}-{n}" for n in range(10, 170, 2)), "9-1", "2--1", "2-1e3")
    if known is None:
        known = DECIMALS
    usual = st.sampled_from([*known, *known, *known])
    return usual | usual | st.sampled_from((*NO_DECIMALS, *WEIRD)) | st.text(max_size=20)


def fields_of(kind: Descriptor, path: str = "") -> Iterator[str]:
    """The paths of all fields of a message and of what is in it."""
    for field in kind.fields:
        yield path + field.name
        if field.message_type is not None:
            yield from fields_of(field.message_type, f"{path}{field.name}.")


def drawn(strategy: "st.SearchStrategy[Drawn]", count: int) -> list[Drawn]:
    """So many of them, the same ones every time."""
    found: list[Drawn] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Drawn) -> None:
        found.append(value)

    collect()
    return found
