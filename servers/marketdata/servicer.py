"""MarketDataService: what each RPC is done by."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import psycopg
from prometheus_client import CollectorRegistry

from servers.domain.errors import VenueError
from servers.domain.terms import Environment
from servers.marketdata.get_order_book import get_order_book
from servers.marketdata.lasting import of_candles, of_trades
from servers.marketdata.list_book_snapshots import list_book_snapshots
from servers.marketdata.list_candles import list_candles
from servers.marketdata.list_market_statistics import list_market_statistics
from servers.marketdata.list_markets import list_markets
from servers.marketdata.list_trades import list_trades
from servers.marketdata.market_data import MarketData
from servers.marketdata.market_statistics import market_statistics
from servers.marketdata.peers import Peers
from servers.marketdata.response_cache import CacheMeasures, ResponseCache
from servers.marketdata.subscribe import session, subscribe, update_subscriptions
from servers.marketdata.tail import Tail
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb


class MarketDataServicer:
    """Serves the markets of every environment."""

    def __init__(self, data: MarketData, tokens: PageTokens, peers: Peers, reads: CacheMeasures | None = None) -> None:
        self._reads = reads or CacheMeasures(CollectorRegistry())
        self._cache = ResponseCache(self._reads)
        self._data = data
        self._tokens = tokens
        self._peers = peers

    async def warm_up(self) -> None:
        """Ask beforehand what every page asks first: candles and statistics of each market. A part that is away is left cold."""
        for environment in (Environment.LIVE, Environment.DEMO):
            with suppress(VenueError, psycopg.Error):
                for view in self._data.tails(environment).listed():
                    market = {"symbol": view.symbol, "environment": int(environment)}
                    minutes = pb.ListCandlesRequest(interval=pb.CANDLE_INTERVAL_1M, **market)  # type: ignore[arg-type]
                    await self.ListCandles(minutes, None)
                    await self.GetMarketStatistics(pb.GetMarketStatisticsRequest(**market), None)  # type: ignore[arg-type]

    async def ListMarkets(self, request: pb.ListMarketsRequest, call: Call) -> pb.ListMarketsResponse:
        self._reads.viewed()
        return list_markets(self._data.tails(request.environment), self._tokens, request)

    async def GetMarket(self, request: pb.GetMarketRequest, call: Call) -> pb.GetMarketResponse:
        self._reads.viewed()
        return pb.GetMarketResponse(
            market=self._data.tail(request.environment, request.symbol).view(request.symbol).market
        )

    async def GetOrderBook(self, request: pb.GetOrderBookRequest, call: Call) -> pb.GetOrderBookResponse:
        self._reads.viewed()
        return await get_order_book(self._data.tail(request.environment, request.symbol), request, call)

    async def ListBookSnapshots(self, request: pb.ListBookSnapshotsRequest, call: Call) -> pb.ListBookSnapshotsResponse:
        return await list_book_snapshots(
            self._data.tail(request.environment, request.symbol), self._data.pool, self._tokens, request
        )

    async def ListTrades(self, request: pb.ListTradesRequest, call: Call) -> pb.ListTradesResponse:
        tail = self._data.tail(request.environment, request.symbol)
        lasting = of_trades(tail.view(request.symbol), request)
        return await self._cache.get(
            "trades",
            _asked(tail, request),
            lasting.version,
            lasting.ttl_s,
            lambda: list_trades(tail, self._data.pool, self._tokens, request),
        )

    async def ListCandles(self, request: pb.ListCandlesRequest, call: Call | None) -> pb.ListCandlesResponse:
        data, tail = self._data, self._data.tail(request.environment, request.symbol)
        lasting = of_candles(tail.view(request.symbol), request)
        return await self._cache.get(
            "candles",
            _asked(tail, request),
            lasting.version,
            lasting.ttl_s,
            lambda: list_candles(tail, data.pool, data.markets, self._tokens, request),
        )

    async def GetTicker(self, request: pb.GetTickerRequest, call: Call) -> pb.GetTickerResponse:
        self._reads.viewed()
        view = self._data.tail(request.environment, request.symbol).view(request.symbol)
        return pb.GetTickerResponse(ticker=view.ticker(time.time_ns() // 1000))

    async def ListTickers(self, request: pb.ListTickersRequest, call: Call) -> pb.ListTickersResponse:
        self._reads.viewed()
        now_us = time.time_ns() // 1000
        views = self._data.tails(request.environment).listed()
        return pb.ListTickersResponse(tickers=[view.ticker(now_us) for view in views])

    async def GetMarketStatistics(
        self, request: pb.GetMarketStatisticsRequest, call: Call | None
    ) -> pb.GetMarketStatisticsResponse:
        data, tail = self._data, self._data.tail(request.environment, request.symbol)
        view = tail.view(request.symbol)
        statistics = await market_statistics(tail, view, data.pool, data.markets, self._cache, request.days)
        return pb.GetMarketStatisticsResponse(statistics=statistics)

    async def ListMarketStatistics(
        self, request: pb.ListMarketStatisticsRequest, call: Call
    ) -> pb.ListMarketStatisticsResponse:
        self._reads.viewed()
        return list_market_statistics(self._data.tails(request.environment), self._tokens, request)

    def Subscribe(self, request: pb.SubscribeRequest, call: Call) -> AsyncGenerator[bytes, None]:
        data = self._data
        return subscribe(data.fan_out, data.tails(request.environment), data.pool, request, call)

    async def UpdateSubscriptions(
        self, request: pb.UpdateSubscriptionsRequest, call: Call
    ) -> pb.UpdateSubscriptionsResponse:
        subscriber = self._data.fan_out.find_stream(request.stream_id)
        if subscriber is None:
            return await self._peers.update_subscriptions(request, call)
        tails = self._data.tails(subscriber.rhythm.sources.environment)
        return update_subscriptions(tails, subscriber, request.add, request.remove)

    async def Session(self, requests: AsyncIterator[pb.SessionRequest], call: Call) -> AsyncGenerator[bytes, None]:
        async for first in requests:
            data = self._data
            frames = session(data.fan_out, data.tails(first.environment), data.pool, first, requests, call)
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
            return


def _asked(tail: Tail, request: pb.ListTradesRequest | pb.ListCandlesRequest) -> tuple[int, bytes]:
    """What two requests have in common that have the same answer: however the environment and the usual page are said."""
    plain = type(request)()
    plain.CopyFrom(request)  # type: ignore[arg-type]  # its own kind
    plain.ClearField("environment")
    plain.page_size = page_size(request.page_size)
    return tail.engine.partition, plain.SerializeToString(deterministic=True)
