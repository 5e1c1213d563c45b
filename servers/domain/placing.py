"""Placing and ending orders: decide first, then carry out what may not fail any more.

Invariant: between two commands every open order is in its book or waits for its price (triggers.py), is in its account's list
and holds exactly what its rest may cost (a buy: the rest at its limit, or at its first stop price while it waits without one,
and the worse fee on it; a sell: the rest of the base).
"""

from typing import Final

from servers.domain.book import Book, Level
from servers.domain.commands import PlaceOrder
from servers.domain.conditions import TRIGGERED, begin, set_condition
from servers.domain.events import LevelChanged, MarketChanged
from servers.domain.fees import buy_need
from servers.domain.iceberg import hide, show_more, shows_nothing
from servers.domain.identifiers import age
from servers.domain.ledger import InvariantBreach, Ledger
from servers.domain.limits import Bounds, LimitBook
from servers.domain.linking import Links, need, set_exits
from servers.domain.matching import CANCEL_MAKER, FILL, Plan, budget_of, end_of, plan
from servers.domain.model import Account, Clockwork, Fees, Market, Moves, Order, Position
from servers.domain.record import Record
from servers.domain.reducing import cut, cut_to_room, enter, give_way, leave
from servers.domain.risk import check, check_exposure, expire_time, price_limit
from servers.domain.settling import deal
from servers.domain.terms import (
    CancelReason,
    MarketState,
    OrderStatus,
    RejectReason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from servers.domain.triggers import Triggers

_BUY: Final = int(Side.BUY)
_FOK: Final = int(TimeInForce.FOK)
_DAY: Final = int(TimeInForce.DAY)
_PENDING: Final = int(OrderStatus.PENDING_TRIGGER)
_PRE_OPEN: Final = int(MarketState.PRE_OPEN)
_OPEN: Final = int(OrderStatus.OPEN)
_PARTIALLY_FILLED: Final = int(OrderStatus.PARTIALLY_FILLED)
_FILLED: Final = int(OrderStatus.FILLED)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_REJECTED: Final = int(OrderStatus.REJECTED)
_UNFILLED: Final = int(CancelReason.UNFILLED)
_SELF_TRADE: Final = int(CancelReason.SELF_TRADE)
_OPEN_MARKET: Final = int(MarketState.OPEN)
_CANCEL_NEWEST: Final = int(SelfTradePrevention.CANCEL_NEWEST)


class Floor:
    """The books of a partition and what happens on them."""

    __slots__ = (
        "books", "clock", "collecting", "fees", "ledger", "limits", "links", "markets", "moves", "orders", "partition", "record",
        "shrunk", "triggers",
    )  # fmt: skip

    def __init__(self, partition: int, clock: Clockwork, record: Record, ledger: Ledger) -> None:
        self.partition = partition
        self.clock = clock
        self.record = record
        self.ledger = ledger
        self.markets: dict[str, Market] = {}
        self.books: dict[str, Book] = {}
        self.fees: dict[tuple[str, str], Fees] = {}
        # By quote asset.
        self.moves: dict[str, Moves] = {}
        # Markets that are PRE_OPEN.
        self.collecting: dict[str, Market] = {}
        self.limits = LimitBook(record)
        # Open orders by number.
        self.orders: dict[int, Order] = {}
        # Positions that were traded into while reduce-only orders rested on them.
        self.shrunk: list[Position] = []
        self.triggers = Triggers(self)
        self.links = Links(self)

    def add_market(self, market: Market) -> None:
        """Take in a market, its book empty."""
        market.moves = self.moves.setdefault(market.quote_asset, Moves())
        market.pays = ("", market.quote_asset, market.base_asset)
        self.markets[market.symbol] = market
        self.books[market.symbol] = Book()

    def place(self, command: PlaceOrder, account: Account, market: Market) -> Order:
        """Accept or reject an order and match it."""
        order, found = self.decide(command, account, market, None)
        if found is None:
            self.record.order(order)
            self.record.fold(order.number, order.reject_reason)
            return order
        self.accept(order, found)
        return order

    def decide(
        self, command: PlaceOrder, account: Account, market: Market, instead_of: Order | None
    ) -> tuple[Order, Plan | None]:
        """The order as it would be accepted, and what it would do; or rejected, and None. Changes nothing.

        `instead_of` is an open order of the account, market and side that would be gone: its hold is free, and its label.
        """
        order = self.draft(command, account, market)
        bounds = self.limits.of(account, market)
        gone = () if instead_of is None else self.links.gone_with(instead_of)
        reason = check(command, account, market, bounds, order.expire_time, gone)
        if not reason:
            found = self.planned(order, bounds, gone)
            if (order.reduce_only or not bounds.plain) and not order.trigger_source:
                reason = check_exposure(order, found, bounds, gone)
            reason = reason or self.refusal(order, found, 0 if instead_of is None else self.links.freed(instead_of))
            if not reason:
                return order, found
        order.status = _REJECTED
        order.reject_reason = reason
        return order, None

    def planned(self, order: Order, bounds: Bounds, gone: tuple[Order, ...]) -> Plan:
        """Fill in a new order's size and rates, and what it would do to the book."""
        market = order.market
        order.ticks = order.price // market.tick_size
        order.lots = order.quantity // market.lot_size
        fees = self.fees.get((market.symbol, order.account.tier)) or self.fees[market.symbol, "default"]
        order.maker_rate, order.taker_rate = fees.maker_rate, fees.taker_rate
        if order.trigger_source:
            begin(order)
            return Plan([], 0, 0, False, False)
        if order.reduce_only:
            cut_to_room(order, gone)
        if market.state == _PRE_OPEN:
            return Plan([], 0, 0, False, False)
        limit = order.ticks or price_limit(order, bounds)
        budget = budget_of(order) if order.quote_amount else -1
        return plan(order, self.books[market.symbol].opposite[order.side], limit, order.lots, budget)

    def draft(self, command: PlaceOrder, account: Account, market: Market) -> Order:
        """The order of a command, nothing decided yet."""
        order = Order(
            command.sequence,
            account,
            market,
            command.side,
            command.type,
            command.time_in_force,
            command.price,
            command.quantity,
            command.quote_amount,
            command.post_only,
            command.reduce_only,
            command.self_trade_prevention or _CANCEL_NEWEST,
            command.client_order_id,
            command.request_id,
            expire_time(command, market) if command.time_in_force == _DAY else command.expire_time,
            command.time,
        )
        # Set where they are given: a field more to hand over costs every order.
        if command.tag:
            order.tag = command.tag
        if command.display_quantity:
            order.display_quantity = command.display_quantity
        if command.session_id:
            order.session_id = command.session_id
        if command.type in TRIGGERED:
            set_condition(order, command)
        if command.take_profit is not None or command.stop_loss is not None:
            set_exits(order, command)
        return order

    def refusal(self, order: Order, found: Plan, freed: int) -> int:
        """Reasons that the book and the funds give, in order of their numbers; 0: none. Fills in what the order holds.

        `freed` is what becomes available beside what is. An order that waits asks for its funds only.
        """
        if order.trigger_source and not order.trigger_time:
            return self._afford(order, found, freed)
        if order.post_only and self.would_trade(order):
            return int(RejectReason.POST_ONLY_WOULD_TRADE)
        if not order.ticks:
            if not found.filled_lots and not found.steps and not found.stopped:
                return int(RejectReason.QUANTITY_TOO_SMALL if found.spent else RejectReason.NO_LIQUIDITY)
            if order.quote_amount:
                order.lots = found.filled_lots
                reason = self._amount_refusal(order, found)
                if reason:
                    return reason
        if order.time_in_force == _FOK and found.filled_lots != order.lots:
            return int(RejectReason.NOT_FILLABLE)
        return self._afford(order, found, freed)

    def _afford(self, order: Order, found: Plan, freed: int) -> int:
        need = self.first_need(order, found)
        balance = order.account.balances.get(order.market.pays[order.side])
        if need > (0 if balance is None else balance.available) + freed:
            return int(RejectReason.INSUFFICIENT_FUNDS)
        order.held = need
        return 0

    def _amount_refusal(self, order: Order, found: Plan) -> int:
        """Why a quote amount is refused: what it buys or sells is known only now."""
        if found.spent and not found.stopped and order.lots < order.market.min_lots:
            return int(RejectReason.QUANTITY_TOO_SMALL)
        if order.lots > self.limits.of(order.account, order.market).lots_max:
            return int(RejectReason.QUANTITY_TOO_LARGE)
        if order.time_in_force == _FOK and (found.stopped or not found.spent):
            return int(RejectReason.NOT_FILLABLE)
        return 0

    def would_trade(self, order: Order) -> bool:
        """Whether the best order of the other side meets an order's limit."""
        best = self.books[order.market.symbol].opposite[order.side].top
        if best is None:
            return False
        return best.ticks <= order.ticks if order.side == _BUY else best.ticks >= order.ticks

    def first_need(self, order: Order, found: Plan) -> int:
        """What the order must hold at first: at its limit, or for a market order what its plan costs."""
        if order.side != _BUY:
            return (order.lots if order.ticks else found.filled_lots) * order.market.lot_units
        if order.ticks:
            return buy_need(order, order.lots)
        return found.notional + max(-(-order.taker_rate * found.notional // 10**8), 0)

    def accept(self, order: Order, found: Plan) -> None:
        """Take its hold and match it, or let it wait."""
        order.status = _OPEN
        record = self.record
        record.order(order)
        if order.held:
            # What is held and what is left is in the digest with that.
            self.ledger.hold(order.account, order.market.pays[order.side], order.held)
        else:
            record.fold(order.number, 0)
        if order.trigger_source:
            self.triggers.wait(order)
        else:
            self.match(order, found)

    def match(self, order: Order, found: Plan) -> None:
        """Carry out the plan of an order that holds what it needs, then end it or let its rest rest."""
        for kind, maker, lots in found.steps:
            if kind == FILL:
                self._trade(maker, order, lots)
            elif kind == CANCEL_MAKER:
                self.end(maker, _CANCELLED, _SELF_TRADE)
            else:
                self._decrement(maker, order, lots)
        if self.shrunk:
            cut(self)
        if order.quote_amount:
            order.quantity = order.lots * order.market.lot_size
        status, reason = end_of(order, found)
        if status:
            self.finish(order, status, reason)
        else:
            self.rest(order)

    def rest(self, order: Order) -> None:
        """Put an order into its book, its account's list and the open orders, and hold no more than it needs."""
        if order.display_quantity:
            hide(order)
        if order.reduce_only and order.trigger_time:
            give_way(self, order)
        order.priority = self.next_place()
        if order.filled_lots or order.removed_lots or order.list_number:
            self.rehold(order)
        enter(order)
        level = self.books[order.market.symbol].sides[order.side].add(order)
        self.enlist(order)
        self.tell_level(order.market, order.side, level)

    def enlist(self, order: Order) -> None:
        """Put an order among the open ones."""
        account = order.account
        # A list's further orders may come to life after younger ones: every walk has to go by age.
        last = next(reversed(account.orders), 0) if order.list_number else 0
        self.orders[order.number] = account.orders[order.number] = order
        if order.client_order_id:
            account.labels[order.client_order_id] = order
        if last and age(last) > age(order.number):
            account.orders = dict(sorted(account.orders.items(), key=lambda item: age(item[0])))

    def next_place(self) -> int:
        """The last place of all queues: greater than any given before, also by the same command."""
        clock = self.clock
        place, sequence = clock.place + 1, self.record.sequence
        # Spelled out: a call of max() costs every order that rests.
        if place < sequence:  # noqa: PLR1730
            place = sequence
        clock.place = place
        return place

    def end(self, order: Order, status: int, reason: int) -> None:
        """Take an open order out of its book, or from where it waits, and end it."""
        self._leave(order)
        self.record.order(order)
        self.finish(order, status, reason)

    def _leave(self, order: Order) -> None:
        if order.status == _PENDING:
            self.triggers.drop(order)
        else:
            self.withdraw(order)
        self.forget(order)

    def withdraw(self, order: Order) -> None:
        """Take a resting order out of its level; it stays among the open ones."""
        leave(order)
        shown = order.lots - order.filled_lots - order.removed_lots - order.hidden_lots
        level = self.books[order.market.symbol].sides[order.side].remove(order, shown)
        order.hidden_lots = 0
        self.tell_level(order.market, order.side, level)

    def forget(self, order: Order) -> None:
        """Take an order off the open ones."""
        del self.orders[order.number], order.account.orders[order.number]
        if order.client_order_id:
            del order.account.labels[order.client_order_id]

    def finish(self, order: Order, status: int, reason: int) -> None:
        order.status = status
        order.cancel_reason = reason if status == _CANCELLED else 0
        self.record.fold(order.number, status)
        if order.list_number:
            self.links.ended(order)
        if order.held:
            self.ledger.hold(order.account, order.market.pays[order.side], -order.held)
            order.held = 0

    def rehold(self, order: Order) -> None:
        """Release what an order with a limit holds beyond what its rest may cost."""
        if order.list_number and self.links.share(order):
            return
        needed = need(order)
        # A rebate that turns a fee of less than a unit round leaves a need of a unit more: less than the rebate just paid.
        if needed - order.held > (1 if order.maker_rate < 0 else 0):
            raise InvariantBreach(f"order {order.number} holds {order.held} and needs {needed}")
        self.hold(order, needed)

    def hold(self, order: Order, needed: int) -> None:
        """Let an order hold so much, or the orders that share with it what they need."""
        if order.list_number and self.links.share(order):
            return
        if needed != order.held:
            self.ledger.hold(order.account, order.market.pays[order.side], needed - order.held)
            order.held = needed

    def _decrement(self, maker: Order, taker: Order, lots: int) -> None:
        """Both give up lots without a trade."""
        side = self.books[maker.market.symbol].sides[maker.side]
        level = side.reduce(maker, lots)
        maker.account.positions[maker.market.symbol].resting[maker.side] -= lots
        maker.removed_lots += lots
        if not taker.quote_amount:
            taker.removed_lots += lots
        self.record.order(maker)
        if maker.lots == maker.filled_lots + maker.removed_lots:
            self.end(maker, _CANCELLED, _SELF_TRADE)
        else:
            self.rehold(maker)
            if maker.hidden_lots and shows_nothing(maker):
                level = show_more(side, maker, self.next_place())
            self.tell_level(maker.market, maker.side, level)

    def _trade(self, maker: Order, taker: Order, lots: int) -> None:
        """Fill both orders at the maker's price."""
        market = maker.market
        side = self.books[market.symbol].sides[maker.side]
        level = side.reduce(maker, lots)
        maker.account.positions[market.symbol].resting[maker.side] -= lots
        self.record.order(maker)
        deal(self, maker, taker, maker.ticks, lots)
        if self.triggers.watches:
            self.triggers.traded(market)
        taker.status = _PARTIALLY_FILLED
        if maker.lots == maker.filled_lots + maker.removed_lots:
            self._leave(maker)
            self.finish(maker, _CANCELLED if maker.removed_lots else _FILLED, _SELF_TRADE)
            return
        maker.status = _PARTIALLY_FILLED
        self.rehold(maker)
        if maker.hidden_lots and shows_nothing(maker):
            level = show_more(side, maker, self.next_place())
        self.tell_level(market, maker.side, level)

    def tell_level(self, market: Market, side: int, level: Level) -> None:
        """Note that a level of the book changed."""
        market.book_sequence = self.record.sequence
        self.record.events.append(LevelChanged(market, side, level.ticks, level.lots, level.count))

    def set_state(self, market: Market, state: int) -> None:
        """Set what a market takes."""
        market.state = state
        self.record.events.append(MarketChanged(market))
        self.record.fold(state, market.book_sequence)
        if state == _OPEN_MARKET:
            self.triggers.opened(market)
