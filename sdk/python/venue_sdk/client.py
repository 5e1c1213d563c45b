"""The client: every stub of the contract with credential, retries and typed errors, and the common calls in Decimal."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.protobuf.message import Message

from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.auth.v1 import auth_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2
from venue_sdk.credentials import Credential, Metadata
from venue_sdk.errors import NotFound, OutcomeUnknown
from venue_sdk.market import Change, MarketState, StreamBrokenError
from venue_sdk.orders import OpenOrders
from venue_sdk.retries import Patience, Retrying
from venue_sdk.streams import resumed
from venue_sdk.values import Balance, Candle, Fill, Market, Order, Placed, placed, read, text

if TYPE_CHECKING:
    from venue.account.v1.account_pb2_grpc import AccountServiceAsyncStub
    from venue.auth.v1.auth_pb2_grpc import AuthServiceAsyncStub
    from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceAsyncStub
    from venue.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

Number = Decimal | int | str
OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
PAGE: Final = 500
# After a placement whose answer was lost, so long it is asked what became of it.
OUTCOME_S: Final = 15.0


class Client:
    """An async context manager. `auth`, `accounts`, `orders` and `marketdata` are the contract's own stubs.

    `target` is HOST:PORT of the gateway. `tls` gives channel credentials; without them the connection is plain.
    """

    auth: "AuthServiceAsyncStub"
    accounts: "AccountServiceAsyncStub"
    orders: "OrderServiceAsyncStub"
    marketdata: "MarketDataServiceAsyncStub"

    def __init__(
        self,
        target: str,
        credential: Credential | None = None,
        *,
        patience: Patience | None = None,
        tls: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._credential = credential
        # Log-in and streams go without the interceptor: it would wait for itself, or has nothing to say.
        self._plain = _channel(target, tls, ())
        self._channel = _channel(target, tls, (Retrying(self._plain, credential, self._patience),))
        self.auth = auth_pb2_grpc.AuthServiceStub(self._channel)
        self.accounts = account_pb2_grpc.AccountServiceStub(self._channel)
        self.orders = order_service_pb2_grpc.OrderServiceStub(self._channel)
        self.marketdata = marketdata_pb2_grpc.MarketDataServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()
        await self._plain.close()

    async def demo_account(self) -> str:
        """The oldest demo account's id; one is opened where there is none."""
        listed = await self.accounts.ListAccounts(account_pb2.ListAccountsRequest(page_size=PAGE))
        for account in listed.accounts:
            if account.type == account_pb2.ACCOUNT_TYPE_DEMO:
                return account.account_id
        opening = account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, name="Demo")
        return (await self.accounts.CreateAccount(opening)).account.account_id

    async def market(self, symbol: str) -> Market:
        answer = await self.marketdata.GetMarket(marketdata_pb2.GetMarketRequest(symbol=symbol))
        return read(Market, answer.market)

    async def balances(self, account_id: str, min_position: str = "") -> dict[str, Balance]:
        """By asset, at least as new as the position."""
        request = account_pb2.ListBalancesRequest(account_id=account_id, min_position=min_position)
        answer = await self.accounts.ListBalances(request)
        return {each.asset: read(Balance, each) for each in answer.balances}

    async def candles(self, symbol: str, interval: str = "1M", count: int = PAGE) -> list[Candle]:
        """The last so many, oldest first. `interval` is 1S, 1M, 5M, 15M, 1H, 4H or 1D."""
        found: list[Candle] = []
        request = marketdata_pb2.ListCandlesRequest(
            symbol=symbol, interval=marketdata_pb2.CandleInterval.Value(f"CANDLE_INTERVAL_{interval}")
        )
        while len(found) < count:
            request.page_size = min(PAGE, count - len(found))
            answer = await self.marketdata.ListCandles(request)
            found += [read(Candle, each) for each in answer.candles]
            request.page_token = answer.next_page_token
            if not answer.next_page_token:
                break
        return found[::-1]

    async def place(
        self,
        account_id: str,
        symbol: str,
        side: str,
        quantity: Number,
        *,
        price: Number | None = None,
        stop_price: Number | None = None,
        time_in_force: str = "",
        post_only: bool = False,
        client_order_id: str = "",
    ) -> Placed:
        """Place an order: a limit order with a price, a market order without, each a stop where `stop_price` is given.

        `side` is BUY or SELL. Repeated by its request_id until the answer is known, at last by GetRequestOutcome. Raises
        VenueError, OutcomeUnknown where nobody said in time; a rejected order is no error: see Placed.accepted.
        """
        kind = ("STOP_" if stop_price is not None else "") + ("MARKET" if price is None else "LIMIT")
        kind = kind.replace("STOP_MARKET", "STOP")
        waits = price is not None or stop_price is not None
        request = order_service_pb2.PlaceOrderRequest(
            account_id=account_id,
            symbol=symbol,
            side=type_pb2.Side.Value(f"SIDE_{side}"),
            type=order_pb2.OrderType.Value(f"ORDER_TYPE_{kind}"),
            time_in_force=order_pb2.TimeInForce.Value(f"TIME_IN_FORCE_{time_in_force or ('GTC' if waits else 'IOC')}"),
            quantity=text(quantity),
            price="" if price is None else text(price),
            stop_price="" if stop_price is None else text(stop_price),
            post_only=post_only,
            client_order_id=client_order_id,
        )
        if stop_price is not None:
            request.trigger_source = order_pb2.TRIGGER_SOURCE_LAST
        return await self.send(request)

    async def send(self, request: order_service_pb2.PlaceOrderRequest) -> Placed:
        """As `place`, with every field of the contract."""
        try:
            return placed(await self.orders.PlaceOrder(request))
        except OutcomeUnknown as error:
            outcome = await self.outcome(request.account_id, error.request_id)
            if outcome is None:
                raise
            return placed(outcome.placed)

    async def outcome(
        self, account_id: str, request_id: str, within_s: float = OUTCOME_S
    ) -> order_service_pb2.GetRequestOutcomeResponse | None:
        """What became of a mutation whose answer was lost. None: nothing is known of it; repeating it is safe."""
        asked = order_service_pb2.GetRequestOutcomeRequest(account_id=account_id, request_id=request_id)
        try:
            return await self.orders.GetRequestOutcome(asked, timeout=within_s)
        except NotFound as error:
            if error.reason != "REQUEST_NOT_FOUND":
                raise
            return None

    async def cancel(self, order_id: str) -> Order:
        answer = await self.orders.CancelOrder(order_service_pb2.CancelOrderRequest(order_id=order_id))
        return read(Order, answer.order)

    async def cancel_all(self, account_id: str, symbol: str = "") -> None:
        await self.orders.CancelAllOrders(
            order_service_pb2.CancelAllOrdersRequest(account_id=account_id, symbol=symbol)
        )

    async def order_updates(
        self, account_id: str, state: OpenOrders
    ) -> AsyncGenerator[tuple[Order, tuple[Fill, ...]], None]:
        """Every change of the account's orders, for ever; `state` has the open ones. Goes on after `state.position`."""
        stub = order_service_pb2_grpc.OrderServiceStub(self._plain)

        def open_(position: str, headers: Metadata) -> object:
            request = order_service_pb2.StreamOrdersRequest(account_id=account_id, resume_after=position)
            signed = self._signed("order.v1.OrderService/StreamOrders", request)
            return stub.StreamOrders(request, metadata=(*headers, *signed))

        while True:
            async with aclosing(self._frames(open_, state.position)) as frames:
                try:
                    async for frame in frames:
                        for update in state.take(frame):
                            yield update
                except StreamBrokenError:
                    state.position = ""
            await asyncio.sleep(self._patience.first_s)

    async def market_changes(
        self, symbols: Sequence[str], channels: Sequence[str], state: MarketState
    ) -> AsyncGenerator[Change, None]:
        """Every change of the markets, for ever; `state` has books, tickers and so on. `channels`: BOOK, TRADES, TICKER ..."""
        stub = marketdata_pb2_grpc.MarketDataServiceStub(self._plain)
        wanted = [marketdata_pb2.Channel.Value(f"CHANNEL_{channel}") for channel in channels]

        def open_(position: str, headers: Metadata) -> object:
            request = marketdata_pb2.SubscribeRequest(
                symbols=symbols, channels=wanted, depth=state.depth, resume_after=position
            )
            signed = self._signed("marketdata.v1.MarketDataService/Subscribe", request)
            return stub.Subscribe(request, metadata=(*headers, *signed))

        while True:
            async with aclosing(self._frames(open_, state.position)) as frames:
                try:
                    async for frame in frames:
                        for change in state.take(frame):
                            yield change
                except StreamBrokenError:
                    state.position = ""
            await asyncio.sleep(self._patience.first_s)

    def _signed(self, method: str, request: Message) -> Metadata:
        if self._credential is None:
            return ()
        return self._credential.signed(f"/venue.{method}", request.SerializeToString())

    def _frames(self, open_: Any, position: str) -> Any:  # noqa: ANN401  of any stream
        return resumed(open_, self._plain, self._credential, self._patience, position)


def _channel(
    target: str, tls: grpc.ChannelCredentials | None, interceptors: Sequence[grpc.aio.ClientInterceptor]
) -> grpc.aio.Channel:
    if tls is not None:
        return grpc.aio.secure_channel(target, tls, OPTIONS, interceptors=interceptors)
    return grpc.aio.insecure_channel(target, OPTIONS, interceptors=interceptors)
