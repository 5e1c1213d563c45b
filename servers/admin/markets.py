"""Markets as administration sees them."""

from servers.domain.errors import MarketNotFound
from servers.engine.client import Engine
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2


async def market_of(engine: Engine, symbol: str) -> marketdata_pb2.Market:
    """A market as it is now. Raises MarketNotFound, PartUnavailable."""
    found = (await engine.query(engine_pb2.QueryRequest(markets=engine_pb2.MarketsQuery()))).markets
    for market in found:
        if market.symbol == symbol:
            return market
    raise MarketNotFound(symbol)


def state_name(state: int) -> str:
    """The word of a market's state, as HALTED."""
    name = marketdata_pb2.MarketState.DESCRIPTOR.values_by_number[state].name
    return str(name).removeprefix("MARKET_STATE_")
