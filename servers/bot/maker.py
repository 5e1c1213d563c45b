"""Keeps the demo books alive: every second or so each market's ladder moves, and now and then somebody takes.

Everything goes through the public API under the seeded users' own accounts, so the bot has no rights that a customer lacks.
When a part of the venue is away it waits and starts again: its orders are found by their account, not remembered.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog
from grpc.aio import EOF

from servers.bot.quotes import Ladder, ladder
from servers.bot.walk import Walk
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

log = structlog.get_logger()
Command = order_service_pb2.TradeCommand
CALL_S: Final = 5.0
PAUSE_S: Final = 1.0
RETRY_S: Final = 2.0
# Renewed well before the fifteen minutes of an access token are over.
LOGIN_EVERY_S: Final = 600.0
TAKE_CHANCE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers listen."""

    order: str
    api: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market as the catalogue lists it, in decimal text."""

    symbol: str
    tick_size: str
    lot_size: str
    seed_price: str


class Trader:
    """A logged-in user with a demo account."""

    def __init__(self, addresses: Addresses, email: str, password: str) -> None:
        self._email = email
        self._password = password
        self._order_channel = grpc.aio.insecure_channel(addresses.order)
        self._api_channel = grpc.aio.insecure_channel(addresses.api)
        self._auth = auth_pb2_grpc.AuthServiceStub(self._api_channel)
        self._accounts = account_pb2_grpc.AccountServiceStub(self._api_channel)
        self._orders = order_service_pb2_grpc.OrderServiceStub(self._order_channel)
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._session: Any = None
        self.account_id = ""

    async def log_in(self) -> None:
        """Get a new token, and a demo account at the first time."""
        request = auth_pb2.LoginRequest(email=self._email, password=self._password)
        answer = await self._auth.Login(request, timeout=CALL_S)
        self._metadata = (("authorization", f"Bearer {answer.access_token}"),)
        if not self.account_id:
            self.account_id = await self._demo_account()

    async def _demo_account(self) -> str:
        listed = await self._accounts.ListAccounts(
            account_pb2.ListAccountsRequest(), metadata=self._metadata, timeout=CALL_S
        )
        for account in listed.accounts:
            if account.type == account_pb2.ACCOUNT_TYPE_DEMO:
                return account.account_id
        opened = await self._accounts.CreateAccount(
            account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, name="Demo"),
            metadata=self._metadata,
            timeout=CALL_S,
        )
        return opened.account.account_id

    async def trade(self, commands: list[Command]) -> None:
        """Send commands as one message of the session, which the venue executes as one; wait for their answers.

        Rejects (funds run low, the book moved) are part of the business.
        """
        if self._session is None:
            self._session = self._orders.Trade(metadata=self._metadata)
            start = order_service_pb2.TradeStart(account_id=self.account_id)
            await self._send([Command(start=start)])
        await self._send(commands)
        answered = 0
        while answered < len(commands):
            frame = await self._session.read()
            if frame is EOF or frame.WhichOneof("frame") == "goodbye":
                self.hang_up()
                return
            answered += len(frame.answers.answers)

    async def _send(self, commands: list[Command]) -> None:
        await self._session.write(order_service_pb2.TradeRequest(commands=commands))

    def hang_up(self) -> None:
        """End the session; the next `trade` begins another."""
        if self._session is not None:
            self._session.cancel()
            self._session = None

    async def close(self) -> None:
        """End everything."""
        self.hang_up()
        await self._order_channel.close()
        await self._api_channel.close()


class Quoter:
    """One market: the maker's ladder, and a taker's small orders against it."""

    def __init__(self, instrument: Instrument, source: random.Random) -> None:
        self.symbol = instrument.symbol
        self._source = source
        self._ladder, anchor = ladder(instrument.tick_size, instrument.lot_size, instrument.seed_price)
        self._walk = Walk(anchor, max(anchor // 5_000, 1), anchor // 20)

    async def turn(self, maker: Trader, taker: Trader) -> None:
        """Move the ladder, in one step so that nobody sees an empty book; sometimes take from it."""
        gone = order_service_pb2.CancelAllOrdersRequest(account_id=maker.account_id, symbol=self.symbol)
        quotes = self._quotes(maker, self._ladder, self._walk.next(self._source))
        await maker.trade([Command(cancel_all=gone), *(Command(place=quote) for quote in quotes)])
        if self._source.random() < TAKE_CHANCE:
            await taker.trade([Command(place=self._taking(taker))])

    def _quotes(self, maker: Trader, quotes: Ladder, price_ticks: int) -> list[order_service_pb2.PlaceOrderRequest]:
        return [
            order_service_pb2.PlaceOrderRequest(
                account_id=maker.account_id,
                symbol=self.symbol,
                side=quote.side,  # type: ignore[arg-type]  # the wire's numbers
                type=order_pb2.ORDER_TYPE_LIMIT,
                time_in_force=order_pb2.TIME_IN_FORCE_GTC,
                price=quote.price,
                quantity=quote.quantity,
                post_only=True,
            )
            for quote in quotes.around(price_ticks)
        ]

    def _taking(self, taker: Trader) -> order_service_pb2.PlaceOrderRequest:
        side = self._source.choice((type_pb2.SIDE_BUY, type_pb2.SIDE_SELL))
        quote = self._ladder.around(self._walk.price)[0]
        return order_service_pb2.PlaceOrderRequest(
            account_id=taker.account_id,
            symbol=self.symbol,
            side=side,
            type=order_pb2.ORDER_TYPE_MARKET,
            time_in_force=order_pb2.TIME_IN_FORCE_IOC,
            quantity=quote.quantity,
        )


async def run(addresses: Addresses, logins: Mapping[str, str], instruments: list[Instrument], seed: int) -> None:
    """Quote for ever. `logins` maps the e-mail addresses of maker and taker, in this order, to their passwords."""
    maker, taker = (Trader(addresses, email, password) for email, password in logins.items())
    quoters = [Quoter(instrument, random.Random(f"{seed}:{instrument.symbol}")) for instrument in instruments]
    loop = asyncio.get_running_loop()
    login_at = 0.0
    try:
        while True:
            try:
                if loop.time() >= login_at:
                    await maker.log_in()
                    await taker.log_in()
                    login_at = loop.time() + LOGIN_EVERY_S
                for quoter in quoters:
                    await quoter.turn(maker, taker)
                await asyncio.sleep(PAUSE_S)
            except grpc.aio.AioRpcError as error:
                log.info("the venue is away; waiting", code=error.code().name, details=error.details())
                maker.hang_up()
                taker.hang_up()
                login_at = 0.0
                await asyncio.sleep(RETRY_S)
    finally:
        await maker.close()
        await taker.close()
