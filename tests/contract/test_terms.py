"""The numbers of the rules are the numbers of the wire."""

from enum import IntEnum

import pytest
from google.protobuf.descriptor import EnumDescriptor

from servers.domain import terms
from tests.contract.descriptors import methods

SHARED = [
    kind
    for kind in vars(terms).values()
    if isinstance(kind, type) and issubclass(kind, IntEnum) and kind is not IntEnum
]


def wire_enums() -> dict[str, EnumDescriptor]:
    contract_files = {method.containing_service.file for method in methods().values()}
    waiting, seen = list(contract_files), {}
    while waiting:
        file = waiting.pop()
        if file.name not in seen:
            seen[file.name] = file
            waiting.extend(file.dependencies)
    return {enum.name: enum for file in seen.values() for enum in file.enum_types_by_name.values()}


def wire_name(kind: str) -> str:
    """MarketState -> MARKET_STATE_"""
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in kind).strip("_") + "_"


@pytest.mark.parametrize("kind", SHARED, ids=lambda kind: kind.__name__)
def test_a_term_has_the_numbers_of_the_wire(kind: type[IntEnum]) -> None:
    wire = wire_enums().get(kind.__name__)
    assert wire is not None
    numbers = {value.name.removeprefix(wire_name(kind.__name__)): value.number for value in wire.values}
    assert {member.name: member.value for member in kind} == numbers
