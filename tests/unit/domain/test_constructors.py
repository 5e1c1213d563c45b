"""Classes that say themselves how they are made: as their fields declare it, which is what the decorator would write."""

import inspect
from dataclasses import MISSING, fields

import pytest

from servers.domain.commands import CancelOrder, PlaceOrder
from servers.domain.events import (
    AccountTouched,
    BalanceChanged,
    LevelChanged,
    OrderChanged,
    PositionChanged,
    Posted,
    RequestRemembered,
    Traded,
)
from servers.domain.matching import Plan
from servers.domain.model import Order, Request
from servers.engine.effects import Effects

CLASSES = (
    AccountTouched,
    BalanceChanged,
    CancelOrder,
    Effects,
    LevelChanged,
    Order,
    OrderChanged,
    PlaceOrder,
    Plan,
    PositionChanged,
    Posted,
    Request,
    RequestRemembered,
    Traded,
)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_thing_is_made_as_its_fields_say(kind: type) -> None:
    declared = fields(kind)
    parameters = inspect.signature(kind).parameters.values()
    assert [(p.name, p.annotation) for p in parameters] == [(f.name, f.type) for f in declared]
    empty = inspect.Parameter.empty
    assert [p.default for p in parameters] == [empty if f.default is MISSING else f.default for f in declared]
    values = [object() for _ in declared]
    made = kind(*values)
    assert [getattr(made, f.name) for f in declared] == values
