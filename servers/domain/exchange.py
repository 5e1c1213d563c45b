"""The state machine of one partition: execute(command) -> events, pure and deterministic.

No clock, no I/O, no randomness, no floats: time and ids are stamped on the command. A command first decides (it may raise a
VenueError and then changed nothing), then applies (and may not fail). An InvariantBreach says that the machine itself is wrong.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from servers.domain import commands as c
from servers.domain.amending import amend, decide_amend, decide_replace, put_in_place
from servers.domain.auction import indicate
from servers.domain.definitions import (
    close_account,
    define_asset,
    define_market,
    open_account,
    rename_account,
    set_fees,
    set_limits,
    set_references,
    set_status,
    set_terms,
)
from servers.domain.errors import (
    MarketHalted,
    MarketNotFound,
    OrderNotFound,
    RequestIdReused,
    TransferIdReused,
)
from servers.domain.events import Event, RequestRemembered
from servers.domain.expiry import Expiry
from servers.domain.hours import Schedule
from servers.domain.identifiers import order_id
from servers.domain.leases import Leases
from servers.domain.ledger import InvariantBreach, Ledger
from servers.domain.lifecycle import Calendar, set_state
from servers.domain.linking import check_oco
from servers.domain.model import Clockwork, Market, Order, Request
from servers.domain.placing import Floor
from servers.domain.record import Record
from servers.domain.sessions import Sessions
from servers.domain.terms import CancelReason, Environment, MarketState, OrderStatus
from servers.domain.transfers import Transfers

RULES_VERSION: Final = 4
REQUEST_MEMORY: Final = 200_000
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_FINAL: Final = int(OrderStatus.FILLED)
_HALTED: Final = int(MarketState.HALTED)
_CLOSED: Final = int(MarketState.CLOSED)
_REQUESTED: Final = int(CancelReason.REQUESTED)
_ADMINISTRATIVE: Final = int(CancelReason.ADMINISTRATIVE)
TRANSFER_SCOPE: Final = "transfer"


class Timer(Protocol):
    """Something that happens by itself when its time has come."""

    def next(self) -> int | None:
        """When it has something to do next (microseconds since 1970), or None."""
        ...

    def fire(self) -> None:
        """Do the next thing."""
        ...


class Exchange:
    """A partition's machine; the only writer of what it holds."""

    __slots__ = (
        "_handlers",
        "calendar",
        "clock",
        "environment",
        "expiry",
        "floor",
        "leases",
        "ledger",
        "partition",
        "record",
        "request_memory",
        "requests",
        "sessions",
        "timers",
        "transfers",
    )

    def __init__(self, partition: int, environment: Environment, request_memory: int = REQUEST_MEMORY) -> None:
        self.partition = partition
        self.environment = environment
        self.request_memory = request_memory
        self.clock = Clockwork()
        self.record = Record(self.clock)
        self.ledger = Ledger(self.record)
        self.floor = Floor(partition, self.clock, self.record, self.ledger)
        self.transfers = Transfers(self.ledger, self.record)
        self.expiry = Expiry(self.floor)
        self.leases = Leases(self.floor)
        self.calendar = Calendar(self.floor)
        self.sessions = Sessions(self.floor)
        # What is due at one time happens in this order.
        self.timers: tuple[Timer, ...] = (self.expiry, self.leases, self.calendar, self.sessions)
        # Used request ids, oldest first.
        self.requests: dict[tuple[str, str], Request] = {}
        self._handlers: dict[type[c.Command], Callable[[Any], None]] = {
            c.PlaceOrder: self._place_order,
            c.CancelOrder: self._cancel_order,
            c.CancelAllOrders: self._cancel_all_orders,
            c.PlaceOco: self._place_oco,
            c.AmendOrder: self._amend_order,
            c.ReplaceOrder: self._replace_order,
            c.CancelAllAfter: self._cancel_all_after,
            c.OpenSession: self._open_session,
            c.EndSession: self._end_session,
            c.OpenAccount: self._open_account,
            c.RenameAccount: self._rename_account,
            c.CloseAccount: self._close_account,
            c.MakeTransfer: self._make_transfer,
            c.Convert: self._convert,
            c.ResolveTransfer: self._resolve_transfer,
            c.DefineAsset: self._define_asset,
            c.DefineMarket: self._define_market,
            c.SetMarketState: self._set_market_state,
            c.SetReferencePrices: self._set_reference_prices,
            c.SetTradingHours: self._set_trading_hours,
            c.SetFees: self._set_fees,
            c.SetLimits: self._set_limits,
            c.SetAccountStatus: self._set_account_status,
            c.SetAccountTerms: self._set_account_terms,
            c.BeginBatch: self._begin_batch,
            c.Advance: self._advance,
            c.LeaderStarted: self._leader_started,
            c.ChangeRules: self._change_rules,
        }

    def execute(self, command: c.Command) -> list[Event]:
        """Carry out a command stamped with the next sequence and a time not before the last.

        Raises VenueError: refused, nothing changed, the sequence is not used. Raises InvariantBreach: stop.
        """
        clock, record = self.clock, self.record
        if command.sequence != clock.sequence + 1 or command.time < clock.time:
            raise InvariantBreach(f"stamp {command.sequence} at {command.time} after {clock.sequence} at {clock.time}")
        record.sequence = command.sequence
        record.time = command.time
        # A new list: the one handed out before stays as it is.
        record.events = []
        self._handlers[type(command)](command)
        floor = self.floor
        if floor.triggers.due:
            floor.triggers.run()
        if floor.collecting:
            indicate(floor)
        clock.sequence = command.sequence
        clock.time = command.time
        record.fold(command.sequence, command.time)
        return record.events

    def find_request(self, scope: str, request_id: str, fingerprint: bytes) -> int:
        """The sequence that answered this request before, or 0.

        Raises RequestIdReused (or TransferIdReused): it was another body.
        """
        request = self.requests.get((scope, request_id))
        if request is None:
            return 0
        if request.fingerprint != fingerprint:
            raise TransferIdReused(request_id) if scope == TRANSFER_SCOPE else RequestIdReused(request_id)
        return request.sequence

    def next_deadline(self) -> int | None:
        """The time (microseconds since 1970) at which Advance has something to do, or None."""
        soonest = None
        for timer in self.timers:
            time = timer.next()
            if time is not None and (soonest is None or time < soonest):
                soonest = time
        return soonest

    def market(self, symbol: str) -> Market:
        """A market. Raises MarketNotFound."""
        market = self.floor.markets.get(symbol)
        if market is None:
            raise MarketNotFound(symbol)
        return market

    def order(self, number: int, account_id: str, client_order_id: str, user_id: str) -> Order:
        """An open order of the user: by number, or (number 0) by account and label. Raises OrderNotFound."""
        order = self.floor.orders.get(number) if number else self._labelled(account_id, client_order_id, user_id)
        mine = order is not None and (not user_id or order.account.user_id == user_id)
        if order is None or not mine or (account_id and order.account.account_id != account_id):
            raise OrderNotFound(order_id(self.partition, number) if number else client_order_id)
        return order

    def _labelled(self, account_id: str, client_order_id: str, user_id: str) -> Order | None:
        return self.ledger.account(account_id, user_id).labels.get(client_order_id)

    def _remember(self, command: c.Command) -> None:
        if not command.request_id:
            return
        scope = scope_of(command)
        key = (scope, command.request_id)
        if key in self.requests:
            raise InvariantBreach(f"request {key} executed twice")
        request = Request(scope, command.request_id, command.fingerprint, command.sequence, command.time)
        self.requests[key] = request
        if len(self.requests) > self.request_memory:
            oldest = self.requests.pop(next(iter(self.requests)))
            self.clock.forgotten_time = oldest.time
        self.record.events.append(RequestRemembered(request))

    def _begin_batch(self, command: c.BeginBatch) -> None:
        self._remember(command)

    def _place_order(self, command: c.PlaceOrder) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        market = self.floor.markets.get(command.symbol) or self.market(command.symbol)
        if command.request_id:
            self._remember(command)
        order = self.floor.place(command, account, market)
        if order.expire_time:
            self.expiry.add(order)

    def _place_oco(self, command: c.PlaceOco) -> None:
        account, _ = (self.ledger.account(order.account_id, command.user_id) for order in command.orders)
        check_oco(command)
        market = self.market(command.orders[0].symbol)
        self._remember(command)
        for order in self.floor.links.place_oco(command, account, market):
            self.expiry.add(order)

    def _amend_order(self, command: c.AmendOrder) -> None:
        order = self.order(command.number, command.account_id, command.client_order_id, command.user_id)
        amended, found = decide_amend(self.floor, command, order)
        self._remember(command)
        amend(self.floor, order, amended, found)

    def _replace_order(self, command: c.ReplaceOrder) -> None:
        old = self.order(command.number, command.order.account_id, "", command.user_id)
        decided = decide_replace(self.floor, command, old)
        self._remember(command)
        put_in_place(self.floor, old, decided, _REQUESTED if command.user_id else _ADMINISTRATIVE)
        if decided is not None:
            self.expiry.add(decided[0])

    def _cancel_all_after(self, command: c.CancelAllAfter) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        self.leases.set(account, command.tag, command.time + command.timeout if command.timeout else 0)

    def _open_session(self, command: c.OpenSession) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        self.sessions.open(account, command.session_id, command.sequence)

    def _end_session(self, command: c.EndSession) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        if command.lost:
            self.sessions.lose(account, command.session_id, command.opened, command.time)
        else:
            self.sessions.end(account, command.session_id, command.opened)

    def _cancel_order(self, command: c.CancelOrder) -> None:
        order = self.order(command.number, command.account_id, command.client_order_id, command.user_id)
        if order.market.state == _HALTED:
            raise MarketHalted(order.market.symbol)
        self._remember(command)
        self.floor.end(order, _CANCELLED, _REQUESTED if command.user_id else _ADMINISTRATIVE)

    def _cancel_all_orders(self, command: c.CancelAllOrders) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        if command.symbol:
            self.market(command.symbol)
        self._remember(command)
        for order in list(account.orders.values()):
            # One of a list may have ended with another.
            if (
                order.status < _FINAL
                and (not command.symbol or order.market.symbol == command.symbol)
                and (not command.side or order.side == command.side)
                and (not command.tag or order.tag == command.tag)
                and order.market.state != _HALTED
            ):
                self.floor.end(order, _CANCELLED, _REQUESTED if command.user_id else _ADMINISTRATIVE)

    def _open_account(self, command: c.OpenAccount) -> None:
        open_account(self.ledger, command)
        self._remember(command)

    def _make_transfer(self, command: c.MakeTransfer) -> None:
        self.transfers.make(command)
        self._remember(command)

    def _rename_account(self, command: c.RenameAccount) -> None:
        account = self.ledger.account(command.account_id, command.user_id)
        rename_account(self.ledger, account, command.name)
        self._remember(command)

    def _close_account(self, command: c.CloseAccount) -> None:
        close_account(self.ledger, self.ledger.account(command.account_id, command.user_id))
        self._remember(command)

    def _convert(self, command: c.Convert) -> None:
        self.transfers.convert(command)
        self._remember(command)

    def _resolve_transfer(self, command: c.ResolveTransfer) -> None:
        self.transfers.resolve(command)

    def _define_asset(self, command: c.DefineAsset) -> None:
        define_asset(self.ledger, command)

    def _define_market(self, command: c.DefineMarket) -> None:
        # Raises before anything is changed.
        Schedule(command.hours)
        define_market(self.floor, command)
        if command.hours and command.state != _CLOSED:
            self.calendar.set_hours(self.market(command.symbol), command.hours, command.time)

    def _set_market_state(self, command: c.SetMarketState) -> None:
        set_state(self.floor, self.market(command.symbol), command.state)
        self._remember(command)

    def _set_trading_hours(self, command: c.SetTradingHours) -> None:
        market = self.market(command.symbol)
        self.calendar.set_hours(market, command.hours, command.time)
        self.expiry.follow_hours(market, command.time)

    def _set_reference_prices(self, command: c.SetReferencePrices) -> None:
        set_references(self.floor, self.market(command.symbol), command)

    def _set_fees(self, command: c.SetFees) -> None:
        set_fees(self.floor, self.market(command.symbol), command.tier, command.maker_rate, command.taker_rate)

    def _set_limits(self, command: c.SetLimits) -> None:
        set_limits(self.floor, command)
        self._remember(command)

    def _set_account_status(self, command: c.SetAccountStatus) -> None:
        set_status(self.ledger, command)

    def _set_account_terms(self, command: c.SetAccountTerms) -> None:
        set_terms(self.floor, command)
        self._remember(command)

    def _advance(self, command: c.Advance) -> None:
        """Let happen what has its time come, in the order of times."""
        while (due := self.next_deadline()) is not None and due <= command.time:
            next(timer for timer in self.timers if timer.next() == due).fire()
            # Before the next thing: a market that opened may close again.
            if self.floor.triggers.due:
                self.floor.triggers.run()

    def _leader_started(self, command: c.LeaderStarted) -> None:
        self.clock.epoch = command.epoch
        self.leases.extend(command.time)
        self.sessions.extend(command.time)

    def _change_rules(self, command: c.ChangeRules) -> None:
        self.clock.rules_version = command.rules_version


def scope_of(command: c.Command) -> str:
    """What a command's request_id is unique within: its user, or all that moves funds."""
    return TRANSFER_SCOPE if isinstance(command, (c.MakeTransfer, c.Convert)) else command.user_id
