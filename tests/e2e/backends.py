"""Small servers that stand behind the gateway in tests of the gateway alone: `python -m tests.e2e.backends KEY ORDER API DATA`.

They speak the contract over the venue's own transport, and do on demand what no real server does: stay silent, or end badly.
KEY is the file of the signing key whose public half they publish; the rest are the ports to listen on.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from servers.auth.keys import read_key
from servers.domain.errors import MarketNotFound, OrderClosed, Overloaded, PartUnavailable
from servers.embedded import certificates
from servers.transport.call import Call
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.papers import Papers
from servers.transport.server import Server, Service, build_server
from servers.transport.telemetry import Metrics
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import stream_pb2, type_pb2

# `refuses` or `hangs`: what PlaceOrder does of a server that says that it is well.
ILL = os.environ.get("BACKENDS_ILL", "")
FRAMES = 4
# A market whose stream says something only when somebody has asked for its definition.
STEPPED = "STEPPED"
# Longer than the gateway lets a unary call take.
SILENCE_S = 6.5


def heard(call: Call) -> str:
    """The metadata that came with a call, as JSON pairs."""
    return json.dumps([[name, str(value)] for name, value in call._context.invocation_metadata()])


class Auth:
    def __init__(self, jwk: dict[str, str]) -> None:
        self.jwk = jwk

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest, _call: Call) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.Jwk(**self.jwk)])

    async def WhoAmI(self, _request: auth_pb2.WhoAmIRequest, call: Call) -> auth_pb2.WhoAmIResponse:
        user = auth_pb2.User(user_id=call.user_id, display_name=call.peer)
        return auth_pb2.WhoAmIResponse(user=user, session_id=call.request_id)


class Accounts:
    async def StreamAccount(
        self, request: account_pb2.StreamAccountRequest, _call: Call
    ) -> AsyncGenerator[account_pb2.StreamAccountResponse, None]:
        yield account_pb2.StreamAccountResponse(stream_id=request.account_id, ready=stream_pb2.Ready())
        await asyncio.sleep(SILENCE_S)
        yield account_pb2.StreamAccountResponse(stream_id=request.account_id, heartbeat=stream_pb2.Heartbeat())


class Orders:
    async def PlaceOrder(
        self, request: order_service_pb2.PlaceOrderRequest, _call: Call
    ) -> order_service_pb2.PlaceOrderResponse:
        if ILL == "refuses":
            raise PartUnavailable("the engine")
        if ILL == "hangs":
            await asyncio.sleep(60)
        order = order_pb2.Order(
            order_id="1-7", account_id=request.account_id, symbol=request.symbol, side=request.side, sequence=2**63 + 1
        )
        return order_service_pb2.PlaceOrderResponse(order=order, position="1.1.7")

    async def CancelOrder(self, request: order_service_pb2.CancelOrderRequest, _call: Call) -> None:
        raise OrderClosed(request.order_id)

    async def CancelAllOrders(self, _request: order_service_pb2.CancelAllOrdersRequest, _call: Call) -> None:
        raise Overloaded(2.0)

    async def GetOrder(self, request: order_service_pb2.GetOrderRequest, _call: Call) -> None:
        raise RuntimeError(f"secret of {request.order_id}")

    async def ListFills(
        self, _request: order_service_pb2.ListFillsRequest, _call: Call
    ) -> order_service_pb2.ListFillsResponse:
        await asyncio.sleep(SILENCE_S)
        return order_service_pb2.ListFillsResponse()

    async def ListOrders(
        self, _request: order_service_pb2.ListOrdersRequest, call: Call
    ) -> order_service_pb2.ListOrdersResponse:
        return order_service_pb2.ListOrdersResponse(next_page_token=heard(call))

    async def StreamOrders(
        self, request: order_service_pb2.StreamOrdersRequest, _call: Call
    ) -> AsyncGenerator[order_service_pb2.StreamOrdersResponse, None]:
        yield order_service_pb2.StreamOrdersResponse(stream_id=request.account_id, ready=stream_pb2.Ready())

    async def Trade(
        self, requests: AsyncIterator[order_service_pb2.TradeRequest], _call: Call
    ) -> AsyncGenerator[order_service_pb2.TradeResponse, None]:
        async for request in requests:
            answers = [order_service_pb2.TradeAnswer(correlation_id=each.correlation_id) for each in request.commands]
            yield order_service_pb2.TradeResponse(answers=order_service_pb2.TradeAnswers(answers=answers))


class Engine:
    async def Query(self, _request: engine_pb2.QueryRequest, _call: Call) -> engine_pb2.QueryResponse:
        return engine_pb2.QueryResponse()


class MarketData:
    def __init__(self) -> None:
        self._step = asyncio.Event()

    async def GetMarket(
        self, request: marketdata_pb2.GetMarketRequest, _call: Call
    ) -> marketdata_pb2.GetMarketResponse:
        if request.symbol == "NO-SUCH":
            raise MarketNotFound(request.symbol)
        if request.symbol == STEPPED:
            self._step.set()
        market = marketdata_pb2.Market(symbol=request.symbol, environment=type_pb2.ENVIRONMENT_DEMO)
        return marketdata_pb2.GetMarketResponse(market=market)

    async def ListMarkets(
        self, _request: marketdata_pb2.ListMarketsRequest, call: Call
    ) -> marketdata_pb2.ListMarketsResponse:
        return marketdata_pb2.ListMarketsResponse(next_page_token=call.user_id)

    async def GetOrderBook(
        self, request: marketdata_pb2.GetOrderBookRequest, _call: Call
    ) -> marketdata_pb2.GetOrderBookResponse:
        levels = [marketdata_pb2.BookLevel(price=str(n + 1), quantity="1", order_count=1) for n in range(request.depth)]
        return marketdata_pb2.GetOrderBookResponse(symbol=request.symbol, asks=levels)

    async def ListTrades(
        self, _request: marketdata_pb2.ListTradesRequest, call: Call
    ) -> marketdata_pb2.ListTradesResponse:
        return marketdata_pb2.ListTradesResponse(next_page_token=heard(call))

    async def Subscribe(
        self, request: marketdata_pb2.SubscribeRequest, _call: Call
    ) -> AsyncGenerator[marketdata_pb2.SubscribeResponse, None]:
        symbol = request.symbols[0]
        if symbol == "NO-SUCH":
            raise MarketNotFound(symbol)
        self._step.clear()
        yield marketdata_pb2.SubscribeResponse(stream_id="s", ready=stream_pb2.Ready())
        if symbol == "ENDS-BADLY":
            raise MarketNotFound(symbol)
        for sequence in range(1, FRAMES):
            if symbol == STEPPED:
                await self._step.wait()
                self._step.clear()
            event = marketdata_pb2.MarketEvent(symbol=symbol)
            yield marketdata_pb2.SubscribeResponse(stream_id="s", sequence=sequence, event=event)


def services(jwk: dict[str, str]) -> tuple[list[Service], list[Service], list[Service]]:
    """Of the processes order, api and marketdata."""

    def of(module: object, name: str, servicer: object) -> Service:
        return module.DESCRIPTOR.services_by_name[name], servicer  # type: ignore[attr-defined]

    order = [of(order_service_pb2, "OrderService", Orders()), of(engine_pb2, "EngineService", Engine())]
    api = [of(auth_pb2, "AuthService", Auth(jwk)), of(account_pb2, "AccountService", Accounts())]
    return order, api, [of(marketdata_pb2, "MarketDataService", MarketData())]


async def serve(key_file: Path, ports: list[int], papers: Papers | None) -> None:
    jwk = read_key(key_file).jwk()

    async def keys() -> dict[str, list[dict[str, str]]]:
        return {"keys": [jwk]}

    verifier = TokenVerifier(keys)
    await verifier.start()
    guard = Guard(verifier, Limits(), Metrics())
    servers: list[Server] = []
    for offered, port in zip(services(jwk), ports, strict=True):
        server = build_server(offered, guard, internal=True)
        server.add_port(f"127.0.0.1:{port}", papers)
        await server.start()
        servers.append(server)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    for server in servers:
        await server.stop(0.5)
    await verifier.stop()


if __name__ == "__main__":
    key, *listening = sys.argv[1:5]
    # With a folder of certificates: TLS of both sides.
    shown = certificates.papers(*certificates.issued(Path(sys.argv[5]), "server")) if sys.argv[5:] else None
    asyncio.run(serve(Path(key), [int(port) for port in listening], shown))
