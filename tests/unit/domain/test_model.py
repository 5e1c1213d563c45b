"""Every field of the model says how it survives a restart, and the snapshot has exactly the stored ones."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain import model
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.state import KINDS, dump, load, state_hash, stored
from servers.domain.terms import AccountStatus, Environment, MarketState, Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, PARTITION, SYMBOL, Desk


def columns(kind: Any) -> tuple[tuple[str, str], ...]:
    """(field, column) of what is stored of a class."""
    return stored(kind)


CLASSES: list[type[Any]] = [thing for thing in vars(model).values() if isinstance(thing, type) and is_dataclass(thing)]
# Derived and constant: what `load` makes again, field by field.
MADE_AGAIN = {
    model.Market: {"lot_units", "tick_value", "base_scale", "quote_scale", "schedule", "moves", "pays"},
    model.Account: {"balances", "orders", "labels", "positions", "day_profits"},
    model.Position: {"resting", "reducing", "bounds"},
    model.Balance: {"touched"},
    model.Order: {"born", "before", "after"},
    model.TradingSession: {"ended"},
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_field_is_stored_derived_or_constant(kind: type[Any]) -> None:
    assert {f.metadata.get("kept") for f in fields(kind)} <= {"stored", "derived", "constant"}
    assert {f.name for f in fields(kind) if f.metadata["kept"] != "stored"} == MADE_AGAIN.get(kind, set())


def test_every_class_of_the_model_is_a_kind_of_row() -> None:
    assert set(CLASSES) == set(KINDS.values())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_stored_names_are_unique(kind: type[Any]) -> None:
    names = [column for _, column in columns(kind)]
    assert len(names) == len(set(names))


def busy() -> Desk:
    """A machine with something of every kind in it."""
    desk = Desk(request_memory=4, maker="-0.0001", taker="0.0002")
    desk.run(c.LeaderStarted, 3)
    desk.fees("0", "0.0001", tier="vip")
    desk.limit("demo-ann", position="1000000", symbols="BTC-USD")
    desk.open("dee", tier="vip", group="family")
    for number in range(6):
        desk.buy("ann", "1", f"{90 + number}", request_id=f"r{number}", label=f"l{number}")
    desk.run(c.OpenSession, "s1", "demo-dee", user="dee")
    desk.buy("dee", "1", "95", life=TimeInForce.GTD, expires=MIDNIGHT_US + 10**9)
    desk.sell("ben", "1.5", "95")
    desk.transfer("demo-ben", "venue:external", "10", transfer_id="pending", pending=True)
    desk.transfer("demo-ben", "venue:external", "10", transfer_id="posted", pending=True)
    desk.run(c.ResolveTransfer, "posted", False, 10**18)
    desk.run(c.SetAccountStatus, "demo-cem", int(AccountStatus.FROZEN))
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.CANCEL_ONLY))
    return desk


def loaded(exchange: Exchange) -> Exchange:
    return load(PARTITION, Environment.DEMO, dump(exchange), exchange.request_memory)


def test_a_loaded_machine_holds_what_the_dumped_one_held() -> None:
    desk = busy()
    again = loaded(desk.exchange)
    assert dump(again) == dump(desk.exchange)
    assert (state_hash(again), breaches(again)) == (state_hash(desk.exchange), [])
    assert again.next_deadline() == MIDNIGHT_US + 10**9
    assert again.ledger.accounts["demo-ann"].labels.keys() == desk.exchange.ledger.accounts["demo-ann"].labels.keys()


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "machine"])
def test_the_state_hash_sees_every_kind_and_every_column(kind: str) -> None:
    exchange = busy().exchange
    before = state_hash(exchange)
    things: dict[str, Any] = {
        "assets": exchange.ledger.assets["BTC"],
        "markets": exchange.market(SYMBOL),
        "fees": exchange.floor.fees[SYMBOL, "vip"],
        "accounts": exchange.ledger.accounts["demo-ann"],
        "balances": exchange.ledger.accounts["demo-ann"].balances["USD"],
        "positions": exchange.ledger.accounts["demo-ben"].positions[SYMBOL],
        "limits": exchange.floor.limits.rows["demo-ann", "", ""],
        "orders": next(iter(exchange.floor.orders.values())),
        "trading_sessions": exchange.sessions.held["demo-dee", "s1"],
        "transfers": exchange.transfers.pending["pending"],
        "requests": next(iter(exchange.requests.values())),
    }
    thing = things[kind]
    seen = set()
    for name, column in columns(type(thing)):
        value = getattr(thing, name)
        if name == column:
            more: Any = 1 if isinstance(value, int) else "x" if isinstance(value, str) else b"x"
            setattr(thing, name, value + more)
            seen.add(state_hash(exchange))
            setattr(thing, name, value)
    assert before not in seen
    assert len(seen) == sum(name == column for name, column in columns(type(thing)))
    assert state_hash(exchange) == before


def test_the_state_hash_sees_the_clockwork() -> None:
    exchange = busy().exchange
    before = state_hash(exchange)
    for name, _ in stored(model.Clockwork):
        setattr(exchange.clock, name, getattr(exchange.clock, name) + 1)
        assert state_hash(exchange) != before
        setattr(exchange.clock, name, getattr(exchange.clock, name) - 1)
    assert state_hash(exchange) == before


def test_a_loaded_book_keeps_the_queue() -> None:
    desk = Desk()
    first, second = desk.sell("ann", "1", "100"), desk.sell("ben", "1", "100")
    desk.buy("cem", "0.5", "100")
    again = loaded(desk.exchange)
    level = again.floor.books[SYMBOL].side(Side.SELL).top
    assert level is not None
    assert level.first is not None
    assert level.last is not None
    assert (level.first.number, level.last.number) == (first.number, second.number)
    assert (level.lots, level.count) == (1_500, 2)
