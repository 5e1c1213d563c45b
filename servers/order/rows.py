"""Rows of the tables as messages, in the same form as the machine's own orders have."""

from db.orders import OrderRecord
from db.trades import FillRecord
from servers.domain.identifiers import order_id, trade_id
from servers.domain.model import Account, Market, Order
from servers.domain.money import format_units
from servers.domain.terms import Side
from servers.engine.messages import order_message, price_text, quantity_text, timestamp
from venue.order.v1 import order_pb2

_NOT_STORED = ("partition", "account_id", "symbol")


def order_of_row(row: OrderRecord, market: Market) -> order_pb2.Order:
    """An order of the tables as clients see it."""
    account = Account(row.account_id, "", 0, "", "", "", 0, 0, 0)
    stored = {name: value for name, value in row._asdict().items() if name not in _NOT_STORED}
    return order_message(row.partition, Order(account=account, market=market, **stored))


def fill_of_row(partition: int, row: FillRecord, market: Market) -> order_pb2.Fill:
    """A fill of the tables as clients see it."""
    return order_pb2.Fill(
        trade_id=trade_id(partition, row.number),
        order_id=order_id(partition, row.order_number),
        client_order_id=row.client_order_id,
        account_id=row.account_id,
        symbol=row.symbol,
        side=int(Side(row.side)),  # type: ignore[arg-type]  # the domain's numbers are the wire's
        price=price_text(market, row.ticks),
        quantity=quantity_text(market, row.lots),
        fee=format_units(row.fee, market.quote_scale),
        fee_asset=market.quote_asset,
        liquidity=row.liquidity,  # type: ignore[arg-type]
        trade_time=timestamp(row.time),
        sequence=row.sequence,
    )
