"""One case for each reason that a placement is rejected for: what has to be so, and the order that is rejected then; and the same
for changes of orders, and for orders that would take the place of one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format

from servers.domain.terms import MarketState, RejectReason
from tests.e2e.operator import Operator
from tests.e2e.people import Person
from tests.e2e.rest import Json
from tests.e2e.ways import CALL_S, Way, as_json, bearer
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc

PLACE = "order.v1.OrderService.PlaceOrder"
FOK = "TIME_IN_FORCE_FOK"
STOP: Json = {"type": "ORDER_TYPE_STOP", "price": None, "stopPrice": "150"}
# The terms of an exit with a label.
ONE: Json = {"stopPrice": "120", "clientOrderId": "one"}
MARKET: Json = {"type": "ORDER_TYPE_MARKET", "timeInForce": "TIME_IN_FORCE_IOC", "price": None}


@dataclass(frozen=True, slots=True)
class Stage:
    """Who trades where, in which way: `taker` is rejected, `maker` is on the other side."""

    way: Way
    operator: Operator
    symbol: str
    taker: Person
    maker: Person

    def order(self, person: Person, **changed: Any) -> Json:
        """A purchase of one at 100, unless it is changed; None takes a field away."""
        made = person.order("BUY", "100", "1", symbol=self.symbol) | changed
        return {name: value for name, value in made.items() if value is not None}

    def place(self, person: Person, **changed: Any) -> Json:
        found: Json = self.way.call(PLACE, self.order(person, **changed), person.token)["order"]
        return found

    def cancel_all(self, person: Person) -> None:
        self.way.call("order.v1.OrderService.CancelAllOrders", {"accountId": person.account_id}, person.token)


Condition = Callable[[Stage], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """What the rejected order has unlike one that is accepted, and what must be so meanwhile."""

    changed: Json = field(default_factory=dict)
    so: Condition = lambda stage: nullcontext()


def market_is(state: MarketState) -> Condition:
    @contextmanager
    def so(stage: Stage) -> Iterator[None]:
        stage.operator.state(stage.symbol, state)
        yield
        stage.operator.state(stage.symbol, MarketState.OPEN)

    return so


def limited(**limits: Any) -> Condition:
    @contextmanager
    def so(stage: Stage) -> Iterator[None]:
        stage.operator.limit(stage.taker.account_id, **limits)
        yield
        stage.operator.limit(stage.taker.account_id)

    return so


@contextmanager
def closed_by_hours(stage: Stage) -> Iterator[None]:
    stage.operator.outside_hours(stage.symbol)
    yield
    stage.operator.always_open(stage.symbol)


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    stage.operator.freeze(stage.taker.account_id)
    yield
    stage.operator.freeze(stage.taker.account_id, thaw=True)


def resting(who: str, **changed: Any) -> Condition:
    @contextmanager
    def so(stage: Stage) -> Iterator[None]:
        person = getattr(stage, who)
        assert stage.place(person, **changed)["status"] == "ORDER_STATUS_OPEN"
        yield
        stage.cancel_all(person)

    return so


@contextmanager
def one_rests_and_no_more_may(stage: Stage) -> Iterator[None]:
    with resting("taker")(stage), limited(open_orders_max=1)(stage):
        yield


@contextmanager
def traded_at_a_price(stage: Stage) -> Iterator[None]:
    """The price of a trade is what a band is measured from, and its fee is a loss; the position is closed again afterwards."""
    for side, other in (("BUY", "SELL"), ("SELL", "BUY")):
        if side == "SELL":
            yield
        stage.place(stage.maker, side=f"SIDE_{other}")
        taken = stage.place(stage.taker, side=f"SIDE_{side}", timeInForce="TIME_IN_FORCE_IOC")
        assert taken["status"] == "ORDER_STATUS_FILLED"


@contextmanager
def lost_too_much(stage: Stage) -> Iterator[None]:
    with traded_at_a_price(stage), limited(daily_loss_max="0.01")(stage):
        yield


@contextmanager
def banded(stage: Stage) -> Iterator[None]:
    with traded_at_a_price(stage), limited(price_band_percent="5")(stage):
        yield


R = RejectReason
CASES: dict[RejectReason, Case] = {
    R.ACCOUNT_NOT_ACTIVE: Case(so=frozen),
    R.MARKET_HALTED: Case(so=market_is(MarketState.HALTED)),
    R.MARKET_CLOSED: Case(so=closed_by_hours),
    R.MARKET_CANCEL_ONLY: Case(so=market_is(MarketState.CANCEL_ONLY)),
    R.MARKET_POST_ONLY: Case(so=market_is(MarketState.POST_ONLY)),
    R.MARKET_PRE_OPEN: Case(MARKET, market_is(MarketState.PRE_OPEN)),
    R.SYMBOL_NOT_ALLOWED: Case(so=limited(symbols_allowed=["BTC-USD"])),
    R.PRICE_OFF_TICK: Case({"price": "100.25"}),
    R.PRICE_OUT_OF_RANGE: Case({"price": "10000.5"}),
    R.PRICE_OUT_OF_BAND: Case({"price": "120"}, banded),
    R.QUANTITY_OFF_LOT: Case({"quantity": "1.001"}),
    R.QUANTITY_TOO_SMALL: Case({"quantity": "0.01"}),
    R.QUANTITY_TOO_LARGE: Case({"quantity": "1000.01"}),
    R.NOTIONAL_TOO_LARGE: Case(so=limited(notional_max="99")),
    R.EXPIRE_TIME_PAST: Case({"timeInForce": "TIME_IN_FORCE_GTD", "expireTime": "2001-01-01T00:00:00Z"}),
    R.DUPLICATE_CLIENT_ORDER_ID: Case({"clientOrderId": "one"}, resting("taker", clientOrderId="one")),
    R.TOO_MANY_OPEN_ORDERS: Case(so=one_rests_and_no_more_may),
    # Nobody sets a mark price where there is no margin; an index comes by itself.
    R.TRIGGER_PRICE_UNKNOWN: Case(STOP | {"triggerSource": "TRIGGER_SOURCE_MARK"}),
    R.NOT_REDUCING: Case({"reduceOnly": True}),
    R.POSITION_LIMIT: Case(so=limited(position_max="99")),
    R.DAILY_LOSS_LIMIT: Case(so=lost_too_much),
    R.POST_ONLY_WOULD_TRADE: Case({"postOnly": True}, resting("maker", side="SIDE_SELL")),
    R.NO_LIQUIDITY: Case(MARKET),
    R.NOT_FILLABLE: Case({"timeInForce": FOK}),
    R.INSUFFICIENT_FUNDS: Case({"price": "9000", "quantity": "1000"}),
}
AMOUNT: Json = MARKET | {"quantity": None}
# Other orders that are rejected for the same reasons: by amount, that wait, with exits, beyond what the account may.
VARIANTS: list[tuple[RejectReason, Case]] = [
    (R.MARKET_PRE_OPEN, Case({"postOnly": True}, market_is(MarketState.PRE_OPEN))),
    (R.PRICE_OFF_TICK, Case(STOP | {"stopPrice": "150.25"})),
    (R.PRICE_OFF_TICK, Case({"stopLoss": {"stopPrice": "90.25"}})),
    (R.PRICE_OUT_OF_RANGE, Case(STOP | {"stopPrice": "10000.5"})),
    (R.QUANTITY_OFF_LOT, Case(AMOUNT | {"quoteAmount": "10.000000001"})),
    (R.QUANTITY_TOO_SMALL, Case(AMOUNT | {"quoteAmount": "0.5"}, resting("maker", side="SIDE_SELL"))),
    (R.QUANTITY_TOO_LARGE, Case({"quantity": "2"}, limited(quantity_max="1.99"))),
    (R.NOTIONAL_TOO_LARGE, Case(AMOUNT | {"quoteAmount": "100"}, limited(notional_max="99"))),
    (R.DUPLICATE_CLIENT_ORDER_ID, Case({"takeProfit": ONE, "stopLoss": ONE | {"stopPrice": "90"}})),
    (R.DUPLICATE_CLIENT_ORDER_ID, Case({"takeProfit": ONE}, resting("taker", clientOrderId="one"))),
    (R.NOT_REDUCING, Case({"side": "SIDE_SELL", "reduceOnly": True})),
    (R.NO_LIQUIDITY, Case(AMOUNT | {"quoteAmount": "100"})),
    (R.NOT_FILLABLE, Case(MARKET | {"quantity": "2", "timeInForce": FOK}, resting("maker", side="SIDE_SELL"))),
    (R.INSUFFICIENT_FUNDS, Case({"side": "SIDE_SELL", "quantity": "100.01"})),
    (R.INSUFFICIENT_FUNDS, Case(STOP | {"stopPrice": "9000", "quantity": "1000"})),
]
# What an order that rests may be changed to, so that the change is refused for the reason an order would be.
CHANGES: dict[RejectReason, Case] = {
    R.ACCOUNT_NOT_ACTIVE: Case({"price": "101"}, frozen),
    R.MARKET_CANCEL_ONLY: Case({"price": "101"}, market_is(MarketState.CANCEL_ONLY)),
    R.MARKET_POST_ONLY: Case({"price": "101"}, market_is(MarketState.POST_ONLY)),
    R.MARKET_CLOSED: Case({"price": "101"}, closed_by_hours),
    R.SYMBOL_NOT_ALLOWED: Case({"price": "101"}, limited(symbols_allowed=["BTC-USD"])),
    R.PRICE_OFF_TICK: Case({"price": "100.25"}),
    R.PRICE_OUT_OF_RANGE: Case({"stopPrice": "100"}),
    R.PRICE_OUT_OF_BAND: Case({"price": "120"}, banded),
    R.QUANTITY_OFF_LOT: Case({"quantity": "0.999"}),
    R.QUANTITY_TOO_SMALL: Case({"quantity": "0.01"}),
    R.QUANTITY_TOO_LARGE: Case({"quantity": "1000.01"}),
    R.NOTIONAL_TOO_LARGE: Case({"quantity": "2"}, limited(notional_max="101")),
    R.POSITION_LIMIT: Case({"quantity": "2"}, limited(position_max="101")),
    R.DAILY_LOSS_LIMIT: Case({"price": "101"}, lost_too_much),
    R.INSUFFICIENT_FUNDS: Case({"price": "9000", "quantity": "1000"}),
}
# Of an order that waits for its stop price.
CHANGES_OF_A_STOP: dict[RejectReason, Case] = {
    R.ACCOUNT_NOT_ACTIVE: Case({"stopPrice": "151"}, frozen),
    R.MARKET_CLOSED: Case({"stopPrice": "151"}, closed_by_hours),
    R.MARKET_CANCEL_ONLY: Case({"quantity": "1.5"}, market_is(MarketState.CANCEL_ONLY)),
    R.MARKET_POST_ONLY: Case({"stopPrice": "151"}, market_is(MarketState.POST_ONLY)),
    R.MARKET_PRE_OPEN: Case({"stopPrice": "151"}, market_is(MarketState.PRE_OPEN)),
    R.SYMBOL_NOT_ALLOWED: Case({"stopPrice": "151"}, limited(symbols_allowed=["BTC-USD"])),
    R.PRICE_OFF_TICK: Case({"stopPrice": "150.25"}),
    # It has no limit price.
    R.PRICE_OUT_OF_RANGE: Case({"price": "150"}),
    R.QUANTITY_OFF_LOT: Case({"quantity": "0.999"}),
    R.QUANTITY_TOO_SMALL: Case({"quantity": "0.01"}),
    R.QUANTITY_TOO_LARGE: Case({"quantity": "2"}, limited(quantity_max="1.5")),
    R.NOTIONAL_TOO_LARGE: Case({"stopPrice": "152"}, limited(notional_max="151")),
    R.INSUFFICIENT_FUNDS: Case({"stopPrice": "9000", "quantity": "1000"}),
}
# An order that would take another's place is checked as any is; where its market is halted, the replacement itself is refused.
REPLACEMENTS: dict[RejectReason, Case] = {reason: case for reason, case in CASES.items() if reason != R.MARKET_HALTED}
# Two of which one cancels the other, and what rejects both: what the first is, ...
TWO: tuple[Json, Json] = ({}, STOP)
FIRSTS: dict[RejectReason, Case] = {
    reason: case
    for reason, case in CASES.items()
    # Neither of the two is filled at once, and the first waits for no price.
    if reason not in {R.NO_LIQUIDITY, R.NOT_FILLABLE, R.TRIGGER_PRICE_UNKNOWN, R.MARKET_PRE_OPEN}
} | {R.MARKET_PRE_OPEN: Case(so=market_is(MarketState.PRE_OPEN))}
# ... or the second.
SECONDS: dict[RejectReason, Case] = {
    R.MARKET_HALTED: Case(so=market_is(MarketState.HALTED)),
    R.PRICE_OFF_TICK: Case({"stopPrice": "150.25"}),
    R.QUANTITY_TOO_LARGE: Case({"quantity": "1000.01"}),
    R.DUPLICATE_CLIENT_ORDER_ID: Case({"clientOrderId": "two"}, resting("taker", clientOrderId="two")),
    R.TOO_MANY_OPEN_ORDERS: Case(so=limited(open_orders_max=1)),
    R.TRIGGER_PRICE_UNKNOWN: Case({"triggerSource": "TRIGGER_SOURCE_MARK"}),
    R.INSUFFICIENT_FUNDS: Case({"quantity": "1000", "stopPrice": "9000"}),
}
# Of a plain order that rests no reason of these can come: they are about what a change cannot ask for.
NOT_OF_CHANGES = {
    "MARKET_HALTED": "the change itself is refused with it, as a cancel is",
    "MARKET_PRE_OPEN": "a case of its own: it takes a post-only order",
    "EXPIRE_TIME_PAST": "a change has none",
    "DUPLICATE_CLIENT_ORDER_ID": "it keeps its own",
    "TOO_MANY_OPEN_ORDERS": "it is one of them",
    "TRIGGER_PRICE_UNKNOWN": "it waited for it",
    "NO_LIQUIDITY": "it has a price",
    "NOT_FILLABLE": "it rests",
    "NOT_REDUCING": "a case of its own: it takes a position",
    "POST_ONLY_WOULD_TRADE": "a case of its own: it takes a post-only order",
}


def session(target: str, person: Person, commands: list[Json]) -> dict[str, Json]:
    """What a trading session answers to commands that are sent together, by their correlation ids."""
    start: list[Json] = [{"start": {"accountId": person.account_id}}]
    given = [json_format.ParseDict({"commands": each}, order_service_pb2.TradeRequest()) for each in (start, commands)]
    wanted = {command["correlationId"] for command in commands}
    found: dict[str, Json] = {}
    with grpc.insecure_channel(target) as channel:
        done = threading.Event()

        def requests() -> Iterator[order_service_pb2.TradeRequest]:
            yield from given
            done.wait(CALL_S)

        trade = order_service_pb2_grpc.OrderServiceStub(channel).Trade
        for response in trade(requests(), metadata=tuple(bearer(person.token).items()), timeout=CALL_S):
            for answer in response.answers.answers:
                found[answer.correlation_id] = as_json(answer)
            if wanted <= found.keys():
                done.set()
                break
    return found
