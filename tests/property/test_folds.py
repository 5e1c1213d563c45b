"""What the events tell is everything: books, balances, orders and tables can be made from them alone."""

from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from servers.domain import events as e
from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.model import TradingSession
from servers.domain.state import dump, row
from servers.domain.terms import MarketState, OrderStatus, Side, TransferState
from tests.property.traffic import SYMBOLS, Traffic
from tests.property.whole import opened

COMMANDS = 400
seeds = st.integers(0, 2**32)


def batches(seed: int, commands: int = COMMANDS) -> tuple[Exchange, list[list[e.Event]]]:
    """The machine at the end and the events of each command; what they point to is as of the end."""
    exchange, traffic, opening = opened(seed)
    return exchange, [opening, *(_events(exchange, traffic) for _ in range(commands))]


def _events(exchange: Exchange, traffic: Traffic) -> list[e.Event]:
    try:
        return exchange.execute(traffic.next())
    except VenueError:
        traffic.refused()
        return []


@given(seed=seeds)
def test_nothing_is_breached_after_any_command(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    for _ in range(COMMANDS):
        _events(exchange, traffic)
        assert breaches(exchange) == []


@given(seed=seeds)
def test_levels_folded_from_events_are_the_book_and_never_cross(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    folded: dict[tuple[str, int], dict[int, tuple[int, int]]] = defaultdict(dict)
    for _ in range(COMMANDS):
        for event in _events(exchange, traffic):
            if isinstance(event, e.LevelChanged):
                levels = folded[event.market.symbol, event.side]
                levels.pop(event.ticks, None)
                if event.lots:
                    levels[event.ticks] = (event.lots, event.count)
                assert event.market.book_sequence == exchange.clock.sequence
        for symbol in SYMBOLS:
            bids, asks = folded[symbol, int(Side.BUY)], folded[symbol, int(Side.SELL)]
            trades = exchange.market(symbol).state in {MarketState.OPEN, MarketState.POST_ONLY}
            assert not trades or max(bids, default=0) < min(asks, default=1 << 60)
            for side in (Side.BUY, Side.SELL):
                resting = exchange.floor.books[symbol].side(side).levels.values()
                assert {level.ticks: (level.lots, level.count) for level in resting} == folded[symbol, int(side)]


@given(seed=seeds)
def test_balances_are_the_sum_of_their_postings_and_each_asset_sums_to_zero(seed: int) -> None:
    exchange, batched = batches(seed)
    folded: Counter[tuple[str, str]] = Counter()
    for event in (event for batch in batched for event in batch):
        if isinstance(event, e.Posted):
            assert event.amount > 0
            folded[event.debit.account_id, event.asset] -= event.amount
            folded[event.credit.account_id, event.asset] += event.amount
    balances = [b for account in exchange.ledger.accounts.values() for b in account.balances.values()]
    assert {(b.account.account_id, b.asset): b.available + b.held for b in balances} == {
        (b.account.account_id, b.asset): folded[b.account.account_id, b.asset] for b in balances
    }
    sums: Counter[str] = Counter()
    for (_, asset), amount in folded.items():
        sums[asset] += amount
    assert not any(sums.values())


@given(seed=seeds)
def test_quantities_add_up_on_both_sides_of_every_trade(seed: int) -> None:
    exchange, batched = batches(seed)
    traded: Counter[int] = Counter()
    fees: Counter[int] = Counter()
    orders = {}
    numbers = []
    for event in (event for batch in batched for event in batch):
        match event:
            case e.OrderChanged(order=order):
                orders[order.number] = order
            case e.Traded(number, _, maker, taker, _, lots, _, maker_fee, taker_fee):
                numbers.append(number)
                traded.update({maker.number: lots, taker.number: lots})
                fees.update({maker.number: maker_fee, taker.number: taker_fee})
            case _:
                pass
    assert numbers == list(range(1, exchange.clock.trade_number + 1))
    for number, order in orders.items():
        rest = order.lots - order.filled_lots - order.removed_lots
        assert (order.filled_lots, order.fee_charged) == (traded[number], fees[number])
        assert (number in exchange.floor.orders) == (order.status < OrderStatus.FILLED)
        assert rest > 0 or number not in exchange.floor.orders
        # Of linked orders one holds for all.
        assert not order.held or number in exchange.floor.orders
        assert order.status != OrderStatus.FILLED or (rest == 0 and order.filled_lots)


@given(seed=seeds)
def test_the_events_of_an_account_are_a_chain_without_a_gap(seed: int) -> None:
    exchange, traffic, opening = opened(seed)
    last: dict[str, int] = {}
    for event in opening:
        if isinstance(event, e.AccountTouched):
            last[event.account.account_id] = event.account.last_event_sequence
    for _ in range(COMMANDS):
        events = _events(exchange, traffic)
        touched = {event.account.account_id: event.previous for event in events if isinstance(event, e.AccountTouched)}
        changed = {event.order.account.account_id for event in events if isinstance(event, e.OrderChanged)}
        changed |= {event.balance.account.account_id for event in events if isinstance(event, e.BalanceChanged)}
        assert set(touched) == {
            account_id for account_id in changed if not account_id.startswith(("venue:", "transit:"))
        }
        for account_id, previous in touched.items():
            assert previous == last.get(account_id, 0)
            last[account_id] = exchange.clock.sequence
    assert {a: exchange.ledger.accounts[a].last_event_sequence for a in last} == last


@given(seed=seeds)
def test_an_order_and_a_balance_come_once_a_command(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    for _ in range(COMMANDS):
        things = [
            id(event.order if isinstance(event, e.OrderChanged) else event.balance)
            for event in _events(exchange, traffic)
            if isinstance(event, e.OrderChanged | e.BalanceChanged)
        ]
        assert len(things) == len(set(things))


def _things(event: e.Event) -> list[tuple[str, Hashable, object]]:
    """(kind of row, key, thing) of what an event says was changed."""
    match event:
        case e.OrderChanged(order=order):
            return [("orders", order.number, order)]
        case e.BalanceChanged(balance=balance):
            return [("balances", (balance.account.account_id, balance.asset), balance)]
        case e.AccountTouched(account=account) | e.AccountChanged(account=account):
            return [("accounts", account.account_id, account)]
        case e.Traded(market=market) | e.LevelChanged(market=market) | e.MarketChanged(market=market):
            return [("markets", market.symbol, market)]
        case e.AssetDefined(asset=asset):
            return [("assets", asset.symbol, asset)]
        case e.FeesChanged(fees=fees):
            return [("fees", (fees.symbol, fees.tier), fees)]
        case e.TransferChanged(transfer=transfer):
            return [("transfers", transfer.transfer_id, transfer)]
        case e.RequestRemembered(request=request):
            return [("requests", (request.scope, request.request_id), request)]
        case e.PositionChanged() | e.LimitsChanged() | e.SessionChanged():
            return _standing(event)
        case e.Posted():
            return []


def _standing(event: e.PositionChanged | e.LimitsChanged | e.SessionChanged) -> list[tuple[str, Hashable, object]]:
    if isinstance(event, e.PositionChanged):
        position = event.position
        return [("positions", (position.account.account_id, position.market.symbol), position)]
    if isinstance(event, e.SessionChanged):
        session = event.session
        return [("trading_sessions", (session.account.account_id, session.session_id), session)]
    limits = event.limits
    return [("limits", (limits.account_id, limits.tier, limits.symbol), limits)]


def _write(tables: dict[str, dict[Hashable, dict[str, Any]]], events: list[e.Event]) -> None:
    """Upsert the rows that a snapshot has: open orders, transfers in two phases, everything else."""
    for kind, key, thing in (found for event in events for found in _things(event)):
        new = row(thing)
        at_once = kind == "transfers" and new["state"] != TransferState.PENDING and key not in tables[kind]
        ended = isinstance(thing, TradingSession) and thing.ended
        if ended or (kind == "orders" and new["status"] >= OrderStatus.FILLED):
            tables[kind].pop(key, None)
        elif not at_once:
            tables[kind][key] = new


@given(seed=seeds)
def test_tables_written_from_events_alone_are_the_snapshot(seed: int) -> None:
    exchange, traffic, opening = opened(seed)
    tables: dict[str, dict[Hashable, dict[str, Any]]] = defaultdict(dict)
    _write(tables, opening)
    for _ in range(COMMANDS):
        _write(tables, _events(exchange, traffic))
    requests = tables["requests"]
    while len(requests) > exchange.request_memory:
        del requests[next(iter(requests))]
    snapshot = dump(exchange)
    for kind in (
        "assets",
        "markets",
        "fees",
        "accounts",
        "balances",
        "positions",
        "limits",
        "orders",
        "trading_sessions",
        "transfers",
        "requests",
    ):
        assert sorted(map(_text, tables[kind].values())) == sorted(map(_text, getattr(snapshot, kind))), kind


def _text(columns: Any) -> str:
    return repr(sorted(columns.items()))
