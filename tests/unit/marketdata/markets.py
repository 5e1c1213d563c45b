"""A market and what the bus says of it, in few words."""

from servers.marketdata.open_candles import OpenCandles
from servers.marketdata.view import View
from servers.marketdata.window import Window
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import type_pb2

SYMBOL = "ETH-USD"


def market(state: pb.MarketState.ValueType = pb.MARKET_STATE_OPEN) -> pb.Market:
    return pb.Market(
        symbol=SYMBOL,
        environment=type_pb2.ENVIRONMENT_DEMO,
        state=state,
        base_asset="ETH",
        quote_asset="USD",
        tick_size="0.01",
        lot_size="0.001",
    )


def level(price: str, quantity: str, count: int = 1) -> pb.BookLevel:
    return pb.BookLevel(price=price, quantity=quantity, order_count=count if quantity != "0" else 0)


def trade(number: int, price: str, quantity: str, second: int, sequence: int = 0) -> pb.Trade:
    made = pb.Trade(trade_id=f"2-t{number}", symbol=SYMBOL, price=price, quantity=quantity, sequence=sequence or number)
    made.trade_time.seconds = second
    return made


def record(sequence: int, previous: int, **parts: object) -> engine_pb2.MarketRecord:
    return engine_pb2.MarketRecord(
        symbol=SYMBOL,
        sequence=sequence,
        previous_sequence=previous,
        **parts,  # type: ignore[arg-type]
    )


def opened(position: int = 10) -> View:
    """A view with an empty book and no trade, as a server has it that has just started."""
    view = View(market())
    view.restore(pb.GetOrderBookResponse(symbol=SYMBOL), position, trades_lost=True)
    assert view.bridge([]) is False
    view.begin([], Window(), OpenCandles())
    return view
