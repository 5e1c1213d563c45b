"""Reads of the machine's memory, between two commands. The caller waits until what was seen is durable."""

from servers.domain.definitions import tiers
from servers.domain.errors import AccountNotFound, OrderNotFound
from servers.domain.exchange import Exchange
from servers.domain.identifiers import find_order, position_text
from servers.domain.model import Order
from servers.engine.messages import (
    account_message,
    balance_message,
    book_message,
    market_message,
    order_message,
)
from servers.engine.previews import preview_message
from servers.engine.standing import asset_messages, fees_messages, limits_messages, position_messages
from venue.engine.v1 import engine_pb2 as pb


def read(exchange: Exchange, request: pb.QueryRequest, durable: int) -> pb.QueryResponse:
    """Answer a query from memory as of now. Raises AccountNotFound, OrderNotFound, MarketNotFound.

    The sequence is that of the last command. Open orders are as they are since something changed them or their account: of them
    it is that, or `durable`, the last durable one, where nothing did since. So their reader does not wait for what others do.
    """
    kind = request.WhichOneof("query")
    sequence, order = exchange.clock.sequence, None
    if kind == "open_orders":
        wanted = request.open_orders
        if wanted.order_id or wanted.client_order_id:
            order = _order(exchange, wanted)
            sequence = max(order.update_sequence, durable)
        else:
            sequence = max(exchange.ledger.account(wanted.account_id, wanted.user_id).last_event_sequence, durable)
    response = pb.QueryResponse(
        sequence=sequence, position=position_text(exchange.partition, exchange.clock.epoch, sequence)
    )
    if kind == "accounts":
        _accounts(exchange, request.accounts, response)
    elif kind == "balances":
        query = request.balances
        account = exchange.ledger.account(query.account_id, query.user_id)
        response.account_sequence = account.last_event_sequence
        for asset in sorted(account.balances):
            response.balances.append(balance_message(exchange, account.balances[asset]))
        response.positions.extend(position_messages(exchange, account))
    elif kind == "positions":
        account = exchange.ledger.account(request.positions.account_id, request.positions.user_id)
        response.account_sequence = account.last_event_sequence
        response.positions.extend(position_messages(exchange, account))
    elif order is not None:
        response.orders.append(order_message(exchange.partition, order))
    elif kind == "open_orders":
        _open_orders(exchange, request.open_orders, response)
    elif kind == "book":
        response.book.CopyFrom(book_message(exchange, request.book.symbol, request.book.depth))
    elif kind == "preview":
        response.preview.CopyFrom(preview_message(exchange, request.preview))
        response.preview.position = response.position
    elif kind == "request":
        request_id = request.request.request_id.lower()
        known = exchange.requests.get((request.request.user_id, request_id))
        response.request_sequence = 0 if known is None else known.sequence
    else:
        _rulebook(exchange, kind, response)
    return response


def _rulebook(exchange: Exchange, kind: str | None, response: pb.QueryResponse) -> None:
    """What holds for everybody."""
    if kind == "limits":
        response.limits.extend(limits_messages(exchange))
    elif kind == "definitions":
        response.assets.extend(asset_messages(exchange))
        response.fees.extend(fees_messages(exchange))
    elif kind == "markets":
        markets = exchange.floor.markets
        response.markets.extend(market_message(exchange, markets[symbol]) for symbol in sorted(markets))


def _accounts(exchange: Exchange, query: pb.AccountsQuery, response: pb.QueryResponse) -> None:
    if query.account_id:
        account = exchange.ledger.account(query.account_id, query.user_id)
        response.accounts.append(account_message(account))
        response.account_sequence = account.last_event_sequence
        if not query.user_id:
            response.tiers.extend(sorted(tiers(exchange.floor)))
        return
    if not query.user_id:
        raise AccountNotFound("")
    mine = list(exchange.ledger.by_user.get(query.user_id, ()))
    mine.sort(key=lambda account: (account.create_time, account.account_id))
    response.accounts.extend(account_message(account) for account in mine)


def _open_orders(exchange: Exchange, query: pb.OpenOrdersQuery, response: pb.QueryResponse) -> None:
    account = exchange.ledger.account(query.account_id, query.user_id)
    response.account_sequence = account.last_event_sequence
    response.orders.extend(
        order_message(exchange.partition, order)
        for order in account.orders.values()
        if not query.symbol or order.market.symbol == query.symbol
    )


def _order(exchange: Exchange, query: pb.OpenOrdersQuery) -> Order:
    number = 0
    if query.order_id:
        found = find_order(query.order_id)
        if found is None:
            raise OrderNotFound(query.order_id)
        number = found[1]
    return exchange.order(number, query.account_id, query.client_order_id, query.user_id)
