"""What an asset is worth in another: now by the markets' own prices, and then by the candles that are kept."""

from fractions import Fraction
from typing import Final

from db.candles import MINUTE_S, first_candle, list_candles
from db.session import Pool
from servers.account.views import ask
from servers.domain.conversion import Leg, Listing, way
from servers.domain.money import ATTO, parse
from servers.engine.client import Engine
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

_MINUTE_US: Final = MINUTE_S * 1_000_000


class Prices:
    """Prices in one reporting asset by the spot markets of one partition, for one call."""

    def __init__(self, engine: Engine, pool: Pool, reporting: str, call: Call) -> None:
        self._engine = engine
        self._pool = pool
        self._reporting = reporting
        self._call = call
        self._markets: dict[str, marketdata_pb2.Market] | None = None

    async def now(self, asset: str) -> Fraction | None:
        """What one is worth: by index price, else mark price, else the last minute that had a trade; None: nobody knows."""
        price = Fraction(1)
        legs = await self._way(asset)
        if legs is None:
            return None
        for leg in legs:
            market = (await self._spot())[leg.listing.symbol]
            told = market.index_price or market.mark_price
            found = Fraction(parse(told), ATTO) if told else await self._closed(market, None)
            if found is None:
                return None
            price = price * found if leg.sells else price / found
        return price

    async def then(self, asset: str, time_us: int) -> Fraction | None:
        """What one was worth at a time: by the last minute with a trade that had ended, else by the first one, else as now."""
        price = Fraction(1)
        legs = await self._way(asset)
        if legs is None:
            return None
        for leg in legs:
            found = await self._closed((await self._spot())[leg.listing.symbol], time_us // _MINUTE_US * _MINUTE_US)
            if found is None:
                return await self.now(asset)
            price = price * found if leg.sells else price / found
        return price

    async def _way(self, asset: str) -> tuple[Leg, ...] | None:
        """The markets to the reporting asset, none for that one itself; None where there are none."""
        if asset == self._reporting:
            return ()
        spot = list((await self._spot()).values())
        told = {each.symbol for each in spot if each.index_price or each.mark_price}
        listings = [Listing(each.symbol, each.base_asset, each.quote_asset) for each in spot]
        return way(listings, asset, self._reporting, told) or None

    async def _spot(self) -> dict[str, marketdata_pb2.Market]:
        if self._markets is None:
            query = engine_pb2.QueryRequest(markets=engine_pb2.MarketsQuery())
            found = (await ask(self._engine, query, "", self._call)).markets
            self._markets = {each.symbol: each for each in found if each.kind == marketdata_pb2.MARKET_KIND_SPOT}
        return self._markets

    async def _closed(self, market: marketdata_pb2.Market, before: int | None) -> Fraction | None:
        """The close of the last minute with a trade (that began before a time), else the open of the first of all."""
        partition, tick = self._engine.partition, Fraction(parse(market.tick_size), ATTO)
        async with self._pool.connection() as connection:
            more = {} if before is None else {"before": before}
            rows = await list_candles(connection, partition, market.symbol, MINUTE_S, limit=1, **more)
            if rows:
                return rows[0].close_ticks * tick
            first = None if before is None else await first_candle(connection, partition, market.symbol, MINUTE_S)
            if first is None:
                return None
            rows = await list_candles(
                connection, partition, market.symbol, MINUTE_S, start=first, before=first + 1, limit=1
            )
            return rows[0].open_ticks * tick
