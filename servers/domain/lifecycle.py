"""What a market takes and when: its states, set by an operator or by its trading hours.

Hours move a market between PRE_OPEN, OPEN and OUTSIDE_HOURS only: one that an operator has halted, set to take cancels only, or
ended, stays as it is until he says otherwise. A market that goes to OPEN or POST_ONLY first holds an auction where its book is
crossed, so a book is crossed at most from PRE_OPEN until the market trades again.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.auction import set_indication, uncross
from servers.domain.errors import DefinitionInvalid, MarketClosed
from servers.domain.events import MarketChanged
from servers.domain.hours import Hours, Schedule, hours_of, hours_text
from servers.domain.identifiers import age
from servers.domain.model import Market
from servers.domain.placing import Floor
from servers.domain.terms import CancelReason, MarketState, OrderStatus

_PRE_OPEN: Final = int(MarketState.PRE_OPEN)
_OPEN: Final = int(MarketState.OPEN)
_POST_ONLY: Final = int(MarketState.POST_ONLY)
_CLOSED: Final = int(MarketState.CLOSED)
_OUTSIDE: Final = int(MarketState.OUTSIDE_HOURS)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_MARKET_CLOSED: Final = int(CancelReason.MARKET_CLOSED)
# What an operator may set, and what hours may change.
_SETTABLE: Final = frozenset(map(int, MarketState)) - {0, _OUTSIDE}
_BY_HOURS: Final = frozenset({_PRE_OPEN, _OPEN, _POST_ONLY, _OUTSIDE})


def check_settable(state: int) -> None:
    """Raises DefinitionInvalid: no state that an operator may set."""
    if state not in _SETTABLE:
        raise DefinitionInvalid("state", "must be PRE_OPEN, OPEN, POST_ONLY, CANCEL_ONLY, HALTED or CLOSED")


def set_state(floor: Floor, market: Market, state: int) -> None:
    """Set what a market takes, as its operator says. Raises DefinitionInvalid, MarketClosed."""
    check_settable(state)
    if market.state == _CLOSED:
        raise MarketClosed(market.symbol)
    _enter(floor, market, state)


def _enter(floor: Floor, market: Market, state: int) -> None:
    """Let a market go over to a state, with what that brings: an auction, or the end of its orders."""
    if state in {_OPEN, _POST_ONLY}:
        uncross(floor, market)
    if state == _CLOSED:
        mine = [order for order in floor.orders.values() if order.market is market]
        for order in sorted(mine, key=lambda order: age(order.number)):
            # One of a list may have ended with another.
            if order.number in floor.orders:
                floor.end(order, _CANCELLED, _MARKET_CLOSED)
        market.next_state_time = 0
    if state == _PRE_OPEN:
        floor.collecting[market.symbol] = market
        set_indication(floor, market)
    else:
        floor.collecting.pop(market.symbol, None)
        market.auction_ticks = market.auction_lots = 0
    floor.set_state(market, state)


class Calendar:
    """The markets that have trading hours, by when these change their state next.

    Invariant: `due` has an entry for the next change of each; entries of hours that were set anew are dropped when they come up.
    """

    __slots__ = ("due", "floor")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.due: list[tuple[int, str]] = []

    def load(self) -> None:
        """Find the markets that have hours, and those that collect orders."""
        for market in self.floor.markets.values():
            market.schedule = Schedule(hours_of(market.hours)) if market.hours else None
            if market.next_state_time:
                self.due.append((market.next_state_time, market.symbol))
            if market.state == _PRE_OPEN:
                self.floor.collecting[market.symbol] = market
        heapify(self.due)

    def set_hours(self, market: Market, hours: tuple[Hours, ...], now: int) -> None:
        """Set when a market trades, and what it does now; no hours: always. Raises DefinitionInvalid, MarketClosed."""
        if market.state == _CLOSED:
            raise MarketClosed(market.symbol)
        schedule = Schedule(hours) if hours else None
        collects = market.schedule is not None and market.schedule.state_at(now) == _PRE_OPEN
        market.hours, market.schedule = hours_text(hours), schedule
        record = self.floor.record
        record.events.append(MarketChanged(market))
        if schedule is not None:
            record.fold(len(hours), self._follow(market, schedule, now))
        else:
            market.next_state_time = 0
            record.fold(0, 0)
            if market.state == _OUTSIDE or (collects and market.state == _PRE_OPEN):
                _enter(self.floor, market, _OPEN)

    def _follow(self, market: Market, schedule: Schedule, now: int) -> int:
        """Let a market be as its hours say at a time, if they may; when they change it next."""
        market.next_state_time = schedule.next_after(now)
        if market.next_state_time:
            heappush(self.due, (market.next_state_time, market.symbol))
        wanted = schedule.state_at(now)
        if market.state in _BY_HOURS and market.state != wanted and (market.state, wanted) != (_POST_ONLY, _OPEN):
            _enter(self.floor, market, wanted)
        return market.next_state_time

    def next(self) -> int | None:
        """When hours change a market next, or None."""
        due, markets = self.due, self.floor.markets
        while due:
            time, symbol = due[0]
            if markets[symbol].next_state_time == time:
                return time
            heappop(due)
        return None

    def fire(self) -> None:
        """Let the next change happen; of several at one time by symbol."""
        time, symbol = heappop(self.due)
        market = self.floor.markets[symbol]
        assert market.schedule is not None
        self.floor.record.events.append(MarketChanged(market))
        self.floor.record.fold(time // 1_000_000, self._follow(market, market.schedule, time))
