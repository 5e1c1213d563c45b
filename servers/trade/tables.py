"""Orders, balances and books as tables."""

from collections.abc import Sequence

from rich.table import Table

from venue.account.v1 import account_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2


def side_text(order: order_pb2.Order) -> str:
    return type_pb2.Side.Name(order.side).removeprefix("SIDE_").lower()


def status_text(order: order_pb2.Order) -> str:
    return order_pb2.OrderStatus.Name(order.status).removeprefix("ORDER_STATUS_").lower().replace("_", " ")


def order_table(order: order_pb2.Order, fills: Sequence[order_pb2.Fill]) -> Table:
    """One order, and what it was filled with."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("order", order.order_id)
    table.add_row("status", status_text(order))
    price = f" at {order.price}" if order.price else ""
    if order.stop_price:
        source = order_pb2.TriggerSource.Name(order.trigger_source).removeprefix("TRIGGER_SOURCE_").lower()
        table.add_row("waits for", f"{source} price {order.stop_price}")
    table.add_row(side_text(order), f"{order.quantity} {order.symbol}{price}")
    table.add_row("filled", order.filled_quantity + (f" at {order.average_price}" if order.average_price else ""))
    table.add_row("remaining", order.remaining_quantity)
    if fills:
        table.add_row("fee", f"{order.fee} {order.fee_asset}")
    for fill in fills:
        table.add_row("fill", f"{fill.quantity} at {fill.price}  {fill.trade_id}")
    return table


def orders_table(orders: Sequence[order_pb2.Order]) -> Table:
    table = Table("order", "market", "side", "quantity", "price", "filled", "status", "label")
    for order in orders:
        table.add_row(
            order.order_id,
            order.symbol,
            side_text(order),
            order.quantity,
            order.price or (f"stop {order.stop_price}" if order.stop_price else ""),
            order.filled_quantity,
            status_text(order),
            order.client_order_id,
        )
    return table


def balances_table(balances: Sequence[account_pb2.Balance]) -> Table:
    table = Table("asset")
    for name in ("available", "held", "total"):
        table.add_column(name, justify="right")
    for balance in balances:
        table.add_row(balance.asset, balance.available, balance.held, balance.total)
    return table


def book_table(
    symbol: str, bids: Sequence[marketdata_pb2.BookLevel], asks: Sequence[marketdata_pb2.BookLevel], depth: int
) -> Table:
    """Bids on the left, asks on the right, best first."""
    table = Table(title=symbol, title_justify="left", title_style="bold")
    for name, style in (("orders", "dim"), ("quantity", ""), ("bid", "green"), ("ask", "red"), ("quantity", "")):
        table.add_column(name, justify="right", style=style)
    table.add_column("orders", justify="right", style="dim")
    for index in range(min(depth, max(len(bids), len(asks)))):
        bid, ask = _cells(bids, index), _cells(asks, index)
        table.add_row(*bid, *reversed(ask))
    return table


def _cells(levels: Sequence[marketdata_pb2.BookLevel], index: int) -> tuple[str, str, str]:
    if index >= len(levels):
        return "", "", ""
    level = levels[index]
    return str(level.order_count), level.quantity, level.price
