"""A preview as its message: what a placement would come to, read from memory."""

from servers.domain.checks import Check
from servers.domain.commands import PlaceOrder
from servers.domain.exchange import Exchange
from servers.domain.money import format_units
from servers.domain.previewing import Preview, checks_of, preview
from servers.domain.terms import Side
from servers.engine.codec import decode_placement
from servers.engine.messages import average_price, order_message, price_text, quantity_text, timestamp
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2


def preview_message(exchange: Exchange, query: pb.PreviewQuery) -> order_service_pb2.PreviewOrderResponse:
    """Preview an order as the next command. Raises AccountNotFound, MarketNotFound."""
    clock = exchange.clock
    stamp = pb.Command(sequence=clock.sequence + 1, time_us=max(query.time_us, clock.time), user_id=query.user_id)
    placing = decode_placement(stamp, query.order)
    account = exchange.ledger.account(placing.account_id, placing.user_id)
    return _message(exchange.partition, preview(exchange.floor, placing, account, exchange.market(placing.symbol)))


def add_failed_check(exchange: Exchange, command: PlaceOrder, response: order_service_pb2.PlaceOrderResponse) -> None:
    """Say in an answer which check a placement failed, right after it was rejected: that changes nothing which is checked."""
    floor = exchange.floor
    account, market = exchange.ledger.accounts[command.account_id], floor.markets[command.symbol]
    failed = next((check for check in checks_of(floor, command, account, market) if not check.passed), None)
    if failed is not None:
        response.failed_check.CopyFrom(check_message(failed))


def check_message(check: Check) -> order_service_pb2.PreviewCheck:
    """A check as its owner is told of it."""
    return order_service_pb2.PreviewCheck(
        check=int(check.reason),  # type: ignore[arg-type]  # the domain's numbers are the wire's
        passed=check.passed,
        limit=check.limit,
        now=check.now,
        after=check.after,
    )


def _message(partition: int, found: Preview) -> order_service_pb2.PreviewOrderResponse:
    order, market = found.order, found.order.market
    message = order_message(partition, order)
    message.order_id = message.root_order_id = ""
    hold_asset, scale = market.base_asset, market.base_scale
    if order.side == int(Side.BUY):
        hold_asset, scale = market.quote_asset, market.quote_scale
    fills = [
        order_pb2.Fill(
            client_order_id=order.client_order_id,
            account_id=order.account.account_id,
            symbol=market.symbol,
            side=order.side,  # type: ignore[arg-type]  # the domain's numbers are the wire's
            price=price_text(market, ticks),
            quantity=quantity_text(market, lots),
            fee=format_units(fee, market.quote_scale),
            fee_asset=market.quote_asset,
            liquidity=order_pb2.LIQUIDITY_TAKER,
            trade_time=timestamp(order.create_time),
        )
        for ticks, lots, fee in found.fills
    ]
    return order_service_pb2.PreviewOrderResponse(
        order=message,
        fills=fills,
        checks=[check_message(check) for check in found.checks],
        estimated_fee=format_units(found.fee, market.quote_scale),
        average_price=average_price(order),
        remaining_quantity=message.remaining_quantity,
        hold=format_units(found.hold, scale),
        hold_asset=hold_asset,
    )
