"""Messages made as bytes directly, beside the messages themselves."""

from dataclasses import fields, replace
from typing import Any

import pytest

from db.projecting import ORDERS
from servers.domain.events import Traded
from servers.domain.model import Order, Position
from servers.engine.lines import order_line
from servers.engine.messages import balance_message, fill_message, order_message, price_text, quantity_text, timestamp
from servers.engine.standing import position_message
from servers.engine.wire import balance_wire, fill_wire, is_plain, order_wire, position_wire, trade_wire
from tests.integration.replica.leader import ACCOUNTS, MARKETS, PARTITION, Leader, definitions, openings
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

NUMBER: dict[type, Any] = {int: 3, bool: True, str: "näher—\U0001f4c8" * 20}
# What the short ways write of an order: all that is not its links and not set of few orders only.
LINKS = {"account", "market", "before", "after"}
TOLD = {
    *("number", "side", "type", "time_in_force", "price", "quantity", "post_only", "self_trade_prevention"),
    *("client_order_id", "request_id", "create_time", "update_time", "update_sequence", "priority", "ticks", "lots"),
    *("filled_lots", "removed_lots", "notional", "maker_rate", "taker_rate", "fee_accrued", "fee_charged", "held"),
    *("status", "reject_reason", "cancel_reason"),
}


@pytest.fixture(scope="module")
def machine() -> Leader:
    made = Leader(None, 3)  # type: ignore[arg-type]  # it commits nothing
    for message in [*definitions(), *openings()]:
        assert made.execute(message)
    return made


def order(machine: Leader) -> Order:
    exchange = machine.exchange
    account, market = exchange.ledger.accounts[ACCOUNTS[0]], exchange.floor.markets[MARKETS[0]]
    made = Order(
        7, account, market, 1, 2, 1, 10**20, 10**16, 0, False, False, 1, "", "", 0, 1_785_000_000_000_001
    )  # fmt: skip
    made.lots, made.status, made.update_time, made.update_sequence = 100, 1, 1_785_000_000_000_000, 300
    return made


def changed(made: Order, name: str) -> Order:
    """The order with another value in a field."""
    return replace(made, **{name: NUMBER[type(getattr(made, name))]})


def check(made: Order) -> None:
    expected = order_message(PARTITION, made).SerializeToString(deterministic=True)
    assert order_wire(PARTITION, made).encode("latin-1") == expected


def same_line(made: Order) -> None:
    assert order_line(PARTITION, made) == ORDERS.line(PARTITION, made)


def test_an_order_is_plain_until_something_is_set_that_no_short_way_tells(machine: Leader) -> None:
    plain = order(machine)
    assert is_plain(plain)
    kept = {name for name in TOLD if is_plain(changed(plain, name))}
    assert kept == TOLD
    others = {field.name for field in fields(Order)} - TOLD - LINKS
    assert [name for name in sorted(others) if is_plain(changed(plain, name))] == []


def test_an_order_s_line_is_its_columns_whatever_it_has(machine: Leader) -> None:
    plain = order(machine)
    same_line(plain)
    for name in {field.name for field in fields(Order)} - LINKS:
        same_line(changed(plain, name))
    same_line(
        replace(plain, client_order_id="tab\tback\\slash", request_id="line\nbreak\r", fee_charged=-7, held=10**30)
    )
    account = replace(plain.account, account_id="a\tb\\")
    same_line(replace(plain, account=account))


def test_an_order_is_told_whatever_it_has(machine: Leader) -> None:
    plain = order(machine)
    check(plain)
    for field in fields(Order):
        value = getattr(plain, field.name)
        if type(value) not in NUMBER:
            continue
        other = changed(plain, field.name)
        if other.status < 4:
            check(other)
            check(replace(other, filled_lots=40, notional=4 * 10**9, fee_charged=4_000))
    for status in range(1, 7):
        check(replace(plain, status=status, filled_lots=100, notional=10**10, fee_charged=-5))
    check(
        replace(plain, side=0, type=0, time_in_force=0, self_trade_prevention=0, create_time=0, update_sequence=2**40)
    )


def trade_message(partition: int, traded: Traded, sequence: int, time_us: int) -> marketdata_pb2.Trade:
    """A trade as everybody may see it."""
    market = traded.market
    return marketdata_pb2.Trade(
        trade_id=f"{partition}-t{traded.number}",
        symbol=market.symbol,
        price=price_text(market, traded.ticks),
        quantity=quantity_text(market, traded.lots),
        taker_side=traded.taker.side,  # type: ignore[arg-type]
        trade_time=timestamp(time_us),
        sequence=sequence,
    )


def test_both_sides_of_a_trade_and_the_trade(machine: Leader) -> None:
    maker, taker = order(machine), replace(order(machine), number=8, side=2, client_order_id="ä" * 80)
    traded = Traded(10**7, maker.market, maker, taker, 9_999, 55, 10**9, -3, 10**12)
    for side in (maker, taker):
        message = fill_message(PARTITION, traded, side, 9, 1_785_000_000_500_000)
        assert fill_wire(PARTITION, traded, side, 9, 1_785_000_000_500_000).encode("latin-1") == (
            message.SerializeToString()
        )
    record = engine_pb2.MarketRecord(trades=[trade_message(PARTITION, traded, 9, 1_000_000)])
    assert engine_pb2.MarketRecord.FromString(trade_wire(PARTITION, traded, 9, 1_000_000)) == record


def test_balances_of_all_sizes(machine: Leader) -> None:
    balance = machine.exchange.ledger.accounts[ACCOUNTS[0]].balances["USD"]
    for available, held in ((0, 0), (1, 0), (10**8, 10**7), (10**26, 1)):
        changed = replace(balance, available=available, held=held)
        expected = balance_message(machine.exchange, changed).SerializeToString()
        assert balance_wire(changed, machine.exchange.ledger.assets["USD"].scale).encode("latin-1") == expected


def test_positions_of_all_kinds(machine: Leader) -> None:
    account = machine.exchange.ledger.accounts[ACCOUNTS[0]]
    market = order(machine).market
    day = 20_000
    for lots, cost, realized, sequence in (
        (0, 0, 0, 0),
        (0, 0, -7, 1),
        (3, 1, 0, 127),
        (-3, -(10**9), 10**12, 128),
        (10**9, 10**26, -(10**26), 2**40),
    ):
        position = Position(account, market)
        position.lots, position.cost, position.realized, position.update_sequence = lots, cost, realized, sequence
        position.day, position.day_start = day - sequence % 2, 5
        expected = position_message(position, day).SerializeToString(deterministic=True)
        assert position_wire(position, day).encode("latin-1") == expected
