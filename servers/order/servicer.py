"""OrderService: what each RPC is done by."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

from servers.engine.client import Engine, Engines
from servers.engine.markets import Markets
from servers.engine.missed import Past
from servers.engine.trading import TradingEngine
from servers.order.amend_orders import amend_order, amend_orders, replace_order
from servers.order.cancel_orders import cancel_all_after, cancel_all_orders, cancel_order, cancel_orders
from servers.order.history import History
from servers.order.list_orders import list_fills, list_orders
from servers.order.place_oco import place_oco
from servers.order.place_orders import place_order, place_orders
from servers.order.presence import Presences
from servers.order.preview_order import preview_order
from servers.order.request_outcome import get_request_outcome
from servers.order.stream_orders import OrderStream
from servers.order.trade import Session
from servers.transport.call import Call
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.validation import validates_itself
from venue.order.v1 import order_service_pb2 as pb


class OrderServicer:
    """Serves orders of every partition, whoever leads it."""

    def __init__(
        self,
        engines: Engines[TradingEngine],
        past: Past,
        markets: Markets,
        tokens: PageTokens,
        limits: Limits,
        silence_s: float,
    ) -> None:
        self._engines = engines
        self._past = past
        self._history = History(past.pool, past.fence, markets)
        self._tokens = tokens
        self._limits = limits
        self._silence_s = silence_s
        self._presences = Presences()

    def _engine(self, order_id: str, account_id: str) -> Engine:
        return self._engines.for_order(order_id) if order_id else self._engines.for_account(account_id)

    def PlaceOrder(self, request: pb.PlaceOrderRequest, call: Call) -> Coroutine[Any, Any, bytes]:
        # Not a coroutine around a coroutine: it is what most calls are for.
        return place_order(self._engines, request, call)

    async def PlaceOrders(self, request: pb.PlaceOrdersRequest, call: Call) -> bytes:
        return await place_orders(self._engines, request, call)

    async def PlaceOco(self, request: pb.PlaceOcoRequest, call: Call) -> bytes:
        return await place_oco(self._engines, request, call)

    async def PreviewOrder(self, request: pb.PreviewOrderRequest, call: Call) -> pb.PreviewOrderResponse:
        return await preview_order(self._engines, request, call)

    async def AmendOrder(self, request: pb.AmendOrderRequest, call: Call) -> bytes:
        return await amend_order(self._engines, self._history, request, call)

    async def AmendOrders(self, request: pb.AmendOrdersRequest, call: Call) -> bytes:
        return await amend_orders(self._engines, self._history, request, call)

    async def ReplaceOrder(self, request: pb.ReplaceOrderRequest, call: Call) -> bytes:
        return await replace_order(self._engines, self._history, request, call)

    async def CancelOrder(self, request: pb.CancelOrderRequest, call: Call) -> bytes:
        return await cancel_order(self._engines, self._history, request, call)

    async def CancelOrders(self, request: pb.CancelOrdersRequest, call: Call) -> bytes:
        return await cancel_orders(self._engines, self._history, request, call)

    async def CancelAllOrders(self, request: pb.CancelAllOrdersRequest, call: Call) -> bytes:
        return await cancel_all_orders(self._engines, request, call)

    async def CancelAllAfter(self, request: pb.CancelAllAfterRequest, call: Call) -> bytes:
        return await cancel_all_after(self._engines, request, call)

    async def GetOrder(self, request: pb.GetOrderRequest, call: Call) -> pb.GetOrderResponse:
        engine = self._engine(request.order_id, request.account_id)
        return pb.GetOrderResponse(order=await self._history.get(engine, request, call))

    async def ListOrders(self, request: pb.ListOrdersRequest, call: Call) -> pb.ListOrdersResponse:
        engine = self._engines.for_account(request.account_id)
        return await list_orders(engine, self._history, self._tokens, request, call)

    async def ListFills(self, request: pb.ListFillsRequest, call: Call) -> pb.ListFillsResponse:
        engine = self._engines.for_account(request.account_id)
        return await list_fills(engine, self._history, self._tokens, request, call)

    async def GetRequestOutcome(self, request: pb.GetRequestOutcomeRequest, call: Call) -> bytes:
        engine = self._engines.for_account(request.account_id)
        return await get_request_outcome(engine, self._history, request, call)

    async def StreamOrders(self, request: pb.StreamOrdersRequest, call: Call) -> AsyncIterator[pb.StreamOrdersResponse]:
        engine = self._engines.for_account(request.account_id)
        stream = OrderStream(engine, self._past, request, self._silence_s)
        async with aclosing(stream.frames(call)) as frames:
            async for frame in frames:
                yield frame

    def _session(self) -> Session:
        return Session(
            self._engines, self._past, self._history, self._limits, self._presences, silence_s=self._silence_s
        )

    @validates_itself
    async def Trade(self, requests: AsyncIterator[pb.TradeRequest], call: Call) -> AsyncIterator[bytes]:
        async with aclosing(self._session().frames(requests, call)) as frames:
            async for frame in frames:
                yield frame
