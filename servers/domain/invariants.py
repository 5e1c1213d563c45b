"""The whole truth about a machine, checked from scratch: for tests, recovery and the nightly job, not for every command."""

from collections import defaultdict

from servers.domain.book import BookSide
from servers.domain.conditions import met, reference
from servers.domain.exchange import Exchange
from servers.domain.linking import need
from servers.domain.losses import lost_today
from servers.domain.positions import day_loss
from servers.domain.reducing import reducible, rest_of
from servers.domain.terms import MarketState, OrderStatus, Side

# States in which a book is never crossed.
_TRADING = {MarketState.OPEN, MarketState.POST_ONLY}


def breaches(exchange: Exchange) -> list[str]:
    """What is wrong, in words; empty if nothing is: funds conserved, none negative, holds equal needs, books sound."""
    return [
        *_funds(exchange),
        *_holds(exchange),
        *_waiting(exchange),
        *_books(exchange),
        *_positions(exchange),
    ]


def _funds(exchange: Exchange) -> list[str]:
    found: list[str] = []
    sums: dict[str, int] = defaultdict(int)
    for account in exchange.ledger.accounts.values():
        for balance in account.balances.values():
            sums[balance.asset] += balance.available + balance.held
            if balance.held < 0 or (balance.available < 0 and account.user_id):
                found.append(
                    f"{account.account_id} {balance.asset}: {balance.available} available, {balance.held} held"
                )
    return found + [f"{asset}: all balances sum to {total}" for asset, total in sorted(sums.items()) if total]


def _holds(exchange: Exchange) -> list[str]:
    found: list[str] = []
    holds: dict[tuple[str, str], int] = defaultdict(int)
    for order in exchange.floor.orders.values():
        market = order.market
        holds[order.account.account_id, market.quote_asset if order.side == int(Side.BUY) else market.base_asset] += (
            order.held
        )
        if not exchange.floor.links.members(order) and order.held != need(order):
            found.append(f"order {order.number} holds {order.held} and needs {need(order)}")
    for number, members in exchange.floor.links.lists.items():
        held = [order.held for order in members]
        if held != [exchange.floor.links.wanted(members), *[0] * (len(members) - 1)]:
            found.append(f"list {number} holds {held}")
        if any(exchange.floor.orders.get(order.number) is not order for order in members):
            found.append(f"list {number} has an order that is not open")
    for transfer in exchange.transfers.pending.values():
        holds[transfer.debit_account_id, transfer.asset] += transfer.amount
    for account in exchange.ledger.accounts.values():
        for balance in account.balances.values():
            expected = holds.pop((account.account_id, balance.asset), 0)
            if balance.held != expected:
                found.append(f"{account.account_id} {balance.asset}: {balance.held} held, {expected} needed")
    return found + [f"{key}: {amount} needed, no balance" for key, amount in sorted(holds.items()) if amount]


def _waiting(exchange: Exchange) -> list[str]:
    """Orders that wait: each is watched, and in an open market none has its condition met."""
    found: list[str] = []
    counts: dict[tuple[str, int], int] = defaultdict(int)
    watches = exchange.floor.triggers.watches
    for order in exchange.floor.orders.values():
        if order.status != int(OrderStatus.PENDING_TRIGGER):
            continue
        market, key = order.market, (order.market.symbol, order.trigger_source)
        counts[key] += 1
        if not any(order.number == entry[2] for heap in watches[key].stops.values() for entry in heap):
            found.append(f"order {order.number} waits and nobody watches")
        if market.state == int(MarketState.OPEN) and met(order, reference(market, order.trigger_source)):
            found.append(f"order {order.number} waits for {order.stop_price}, which has come")
    if counts != {key: watch.count for key, watch in watches.items()}:
        found.append("watches and waiting orders differ")
    return found


def _books(exchange: Exchange) -> list[str]:
    found: list[str] = []
    resting: set[int] = set()
    for symbol, book in exchange.floor.books.items():
        if book.crossed() and exchange.floor.markets[symbol].state in _TRADING:
            found.append(f"{symbol}: book is crossed")
        for side in (book.bids, book.asks):
            found += _side(symbol, side, resting)
    waiting = int(OrderStatus.PENDING_TRIGGER)
    if resting != {order.number for order in exchange.floor.orders.values() if order.status != waiting}:
        found.append("books and open orders differ")
    listed = {number for account in exchange.ledger.accounts.values() for number in account.orders}
    if listed != set(exchange.floor.orders):
        found.append("accounts' lists and open orders differ")
    for account in exchange.ledger.accounts.values():
        if account.labels != {o.client_order_id: o for o in account.orders.values() if o.client_order_id}:
            found.append(f"{account.account_id}: labels and open orders differ")
    return found


def _positions(exchange: Exchange) -> list[str]:
    """What rests is the open orders; every lot bought was sold by another; nothing reduces more than there is."""
    found: list[str] = []
    sums: dict[str, int] = defaultdict(int)
    for account in exchange.ledger.accounts.values():
        for position in account.positions.values():
            name = f"{account.account_id} {position.market.symbol}"
            sums[position.market.symbol] += position.lots
            orders = [
                order
                for order in account.orders.values()
                if order.market is position.market and order.status != OrderStatus.PENDING_TRIGGER
            ]
            resting = [sum(rest_of(order) for order in orders if order.side == side) for side in (0, 1, 2)]
            if position.resting != resting:
                found.append(f"{name}: {position.resting} lots rest, really {resting}")
            reducing = {order.number: order for order in orders if order.reduce_only}
            if position.reducing != reducing:
                found.append(f"{name}: reduce-only orders and open orders differ")
            for side in (Side.BUY, Side.SELL):
                lots = sum(rest_of(order) for order in reducing.values() if order.side == side)
                if lots > reducible(position, side):
                    found.append(f"{name}: {lots} lots would reduce {position.lots}")
            if (position.cost > 0) != (position.lots > 0) or (position.cost < 0) != (position.lots < 0):
                found.append(f"{name}: {position.lots} lots cost {position.cost}")
        for quote_asset, kept in account.day_profits.items():
            market = next(market for market in exchange.floor.markets.values() if market.quote_asset == quote_asset)
            if lost_today(account, market, kept.day) != day_loss(account, quote_asset, kept.day):
                found.append(f"{account.account_id}: the loss of the day in {quote_asset} is not that of its positions")
    return found + [f"{symbol}: all positions sum to {lots} lots" for symbol, lots in sorted(sums.items()) if lots]


def _side(symbol: str, side: BookSide, resting: set[int]) -> list[str]:
    found: list[str] = []
    best = min(side.levels, key=lambda ticks: ticks * side.sign, default=None)
    if best != (None if side.top is None else side.top.ticks):
        found.append(f"{symbol}: the best level is {best}, and not taken for it")
    for level in side.levels.values():
        lots = hidden = count = last = 0
        order = level.first
        while order is not None:
            shown = order.lots - order.filled_lots - order.removed_lots - order.hidden_lots
            lots += shown
            hidden += order.hidden_lots
            if order.hidden_lots < 0 or not shown > 0 or (order.hidden_lots and not order.display_quantity):
                found.append(f"{symbol}: order {order.number} shows {shown} lots and hides {order.hidden_lots}")
            count += 1
            resting.add(order.number)
            if order.ticks != level.ticks or order.priority <= last:
                found.append(f"{symbol}: order {order.number} is out of its place")
            last = order.priority
            order = order.after
        if (lots, hidden, count) != (level.lots, level.hidden, level.count) or not count:
            found.append(f"{symbol} {level.ticks}: {level.lots} lots of {level.count} orders, really {lots} of {count}")
    return found
