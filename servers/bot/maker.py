"""Keeps the demo books alive: every second or so each market's ladder moves, and now and then somebody takes.

Everything goes through the public API under two demo accounts of one user, so the bot has no rights that a customer lacks.
When a part of the venue is away it waits and starts again: its orders are found by their account, not remembered.
"""

import asyncio
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import grpc
import structlog
from grpc.aio import EOF

from servers.bot.index import IndexReader
from servers.bot.measures import BotMeasures
from servers.bot.quotes import Ladder, affordable, ladder
from servers.bot.walk import Walk
from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.transport.papers import Papers, open_channel
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

log = structlog.get_logger()
MATCHING: Final[dict[int, int]] = {type_pb2.SIDE_BUY: type_pb2.SIDE_SELL, type_pb2.SIDE_SELL: type_pb2.SIDE_BUY}
Command = order_service_pb2.TradeCommand
CALL_S: Final = 5.0
# Hashes of passwords stand back for everything else on a busy machine.
LOGIN_S: Final = 20.0
PAUSE_S: Final = 1.0
# Until it has what it needs to begin; after a failure twice as long each time, up to RETRY_S. While it waits for a venue that is
# only just starting, a person waits for it (servers/embedded/launch.py).
SOON_S: Final = 0.1
FIRST_RETRY_S: Final = 0.3
RETRY_S: Final = 2.0
RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# Renewed well before the fifteen minutes of an access token are over.
LOGIN_EVERY_S: Final = 600.0
TAKE_CHANCE: Final = 0.6
# A taker pays fees: small orders last for long.
TAKE_PART: Final = 20
BALANCES_EVERY_S: Final = 30.0
# The rest is for fees and for what trades between two looks at the balances.
USABLE: Final = Decimal("0.9")
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers listen."""

    order: str
    api: str
    marketdata: str
    papers: Papers | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market as the catalogue lists it, in decimal text."""

    symbol: str
    tick_size: str
    lot_size: str
    seed_price: str

    @property
    def assets(self) -> tuple[str, str]:
        """Base and quote asset."""
        base, quote, *_ = self.symbol.split("-")
        return base, quote


class Trader:
    """A logged-in user with a demo account, found by its name. `funds` is what it has of each asset, held or not."""

    def __init__(self, addresses: Addresses, email: str, password: str, name: str) -> None:
        self._name = name
        self._email = email
        self._password = password
        self._order_channel = open_channel(addresses.order, RECONNECT, addresses.papers)
        self._api_channel = open_channel(addresses.api, RECONNECT, addresses.papers)
        self._auth = auth_pb2_grpc.AuthServiceStub(self._api_channel)
        self._accounts = account_pb2_grpc.AccountServiceStub(self._api_channel)
        self._orders = order_service_pb2_grpc.OrderServiceStub(self._order_channel)
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._session: Any = None
        self.account_id = ""
        self.funds: dict[str, Decimal] = {}

    async def token(self) -> str:
        """A new token of the user."""
        request = auth_pb2.LoginRequest(email=self._email, password=self._password)
        return str((await self._auth.Login(request, timeout=LOGIN_S)).access_token)

    async def log_in(self, token: str) -> None:
        """Go on with a new token, and get a demo account at the first time."""
        self._metadata = (("authorization", f"Bearer {token}"),)
        if not self.account_id:
            self.account_id = await self._demo_account()

    async def _demo_account(self) -> str:
        asked = account_pb2.ListAccountsRequest(page_size=PAGE)
        listed = await self._accounts.ListAccounts(asked, metadata=self._metadata, timeout=CALL_S)
        for account in listed.accounts:
            if account.type == account_pb2.ACCOUNT_TYPE_DEMO and account.name == self._name:
                return account.account_id
        opened = await self._accounts.CreateAccount(
            account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, name=self._name),
            metadata=self._metadata,
            timeout=CALL_S,
        )
        return opened.account.account_id

    async def look(self) -> None:
        """Read the balances."""
        request = account_pb2.ListBalancesRequest(account_id=self.account_id)
        answer = await self._accounts.ListBalances(request, metadata=self._metadata, timeout=CALL_S)
        self.funds = {balance.asset: Decimal(balance.total) for balance in answer.balances}

    def usable(self, asset: str) -> Decimal:
        return self.funds.get(asset, Decimal(0)) * USABLE

    async def trade(self, commands: list[Command]) -> list[order_service_pb2.TradeAnswer]:
        """Send commands as one message of the session, which the venue executes as one. Returns its answers, none where it ended.

        Rejects (funds run low, the book moved) are part of the business.
        """
        try:
            return await self._answers(commands)
        except asyncio.InvalidStateError:
            # It was over before it was written to: gRPC says so in another way than while it waits for an answer.
            self.hang_up()
            return []

    async def _answers(self, commands: list[Command]) -> list[order_service_pb2.TradeAnswer]:
        if self._session is None:
            self._session = self._orders.Trade(metadata=self._metadata)
            start = order_service_pb2.TradeStart(account_id=self.account_id)
            await self._send([Command(start=start)])
        await self._send(commands)
        answers: list[order_service_pb2.TradeAnswer] = []
        while len(answers) < len(commands):
            frame = await self._session.read()
            if frame is EOF or frame.WhichOneof("frame") == "goodbye":
                self.hang_up()
                return []
            answers += frame.answers.answers
        return answers

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
    """One market: the maker's ladder, and a taker's small orders against it. `sharing` markets have the quote asset."""

    def __init__(self, instrument: Instrument, source: random.Random, sharing: int) -> None:
        self.symbol = instrument.symbol
        self._assets = instrument.assets
        self._sharing = sharing
        self._source = source
        self._ladder, anchor = ladder(instrument.tick_size, instrument.lot_size, instrument.seed_price)
        self._small = format_units(max(self._ladder.lots // TAKE_PART, 1) * self._ladder.lot_size, ATTO_SCALE)
        self._walk = Walk(anchor, max(anchor // 5_000, 1), anchor // 20)

    async def turn(self, maker: Trader, taker: Trader, index: str | None) -> int | None:
        """Move the ladder, in one step so that nobody sees an empty book; sometimes take from it.

        To the index price where there is one, else a step of its own walk. Returns how many quotes the venue took, None where it
        did not answer.
        """
        ticks = parse(index) // self._ladder.tick_size if index else 0
        price = self._walk.follow(ticks) if ticks else self._walk.next(self._source)
        gone = order_service_pb2.CancelAllOrdersRequest(account_id=maker.account_id, symbol=self.symbol)
        quotes = self._quotes(maker, self._ladder, price)
        answers = await maker.trade([Command(cancel_all=gone), *(Command(place=quote) for quote in quotes)])
        # Only what somebody can pay for, and what the maker still quotes.
        quoted = {quote.side for quote in quotes}
        sides = [side for side in self._payable(taker) if MATCHING[side] in quoted]
        if sides and self._source.random() < TAKE_CHANCE:
            await taker.trade([Command(place=self._taking(taker, self._source.choice(sides)))])
        return sum(rests(answer) for answer in answers) if answers else None

    def _payable(self, taker: Trader) -> list[int]:
        base, quote = self._assets
        best = self._ladder.around(self._walk.price)[:2]
        most = Decimal(self._small) * max(Decimal(each.price) for each in best)
        sides: list[int] = [type_pb2.SIDE_BUY] if most <= taker.usable(quote) / self._sharing else []
        return sides + ([type_pb2.SIDE_SELL] if Decimal(self._small) <= taker.usable(base) else [])

    def _quotes(self, maker: Trader, quotes: Ladder, price_ticks: int) -> list[order_service_pb2.PlaceOrderRequest]:
        base, asset = self._assets
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
            for quote in affordable(quotes.around(price_ticks), maker.usable(base), maker.usable(asset) / self._sharing)
        ]

    def _taking(self, taker: Trader, side: int) -> order_service_pb2.PlaceOrderRequest:
        return order_service_pb2.PlaceOrderRequest(
            account_id=taker.account_id,
            symbol=self.symbol,
            side=side,  # type: ignore[arg-type]  # the wire's numbers
            type=order_pb2.ORDER_TYPE_MARKET,
            time_in_force=order_pb2.TIME_IN_FORCE_IOC,
            quantity=self._small,
        )


def rests(answer: order_service_pb2.TradeAnswer) -> bool:
    """Whether it tells of an order that is in the book."""
    return answer.HasField("placed") and answer.placed.order.status == order_pb2.ORDER_STATUS_OPEN


def quoters_of(instruments: list[Instrument], seed: int) -> list[Quoter]:
    """One a market; markets of one quote asset share the funds of it evenly."""
    shared = [instrument.assets[1] for instrument in instruments]
    return [
        Quoter(instrument, random.Random(f"{seed}:{instrument.symbol}"), shared.count(instrument.assets[1]))
        for instrument in instruments
    ]


async def run(
    addresses: Addresses, email: str, password: str, instruments: list[Instrument], measures: BotMeasures, seed: int
) -> None:
    """Quote for ever, with two accounts of one user."""
    maker, taker = (Trader(addresses, email, password, name) for name in ("Maker", "Taker"))
    quoters = quoters_of(instruments, seed)
    index = IndexReader(addresses.marketdata, addresses.papers)
    loop = asyncio.get_running_loop()
    login_at = look_at = 0.0
    retry_s, begun = SOON_S, False
    try:
        while True:
            try:
                if loop.time() >= login_at:
                    token = await maker.token()
                    await maker.log_in(token)
                    await taker.log_in(token)
                    login_at = loop.time() + LOGIN_EVERY_S
                if loop.time() >= look_at:
                    await maker.look()
                    await taker.look()
                    # The funds of an account that was just opened show a moment later.
                    look_at = loop.time() + (BALANCES_EVERY_S if maker.funds and taker.funds else 0.0)
                await index.look()
                for quoter in quoters:
                    resting = await quoter.turn(maker, taker, index.price(quoter.symbol))
                    if maker.funds and resting is not None:
                        measures.turned(quoter.symbol, resting)
                        begun = True
                retry_s = SOON_S
                await asyncio.sleep(PAUSE_S if maker.funds and taker.funds else SOON_S)
            except grpc.aio.AioRpcError as error:
                log.info("the venue is away; waiting", code=error.code().name, details=error.details())
                maker.hang_up()
                taker.hang_up()
                login_at = look_at = 0.0
                await asyncio.sleep(retry_s)
                starting = error.code() is grpc.StatusCode.UNAVAILABLE and not begun
                retry_s = min(2 * retry_s, FIRST_RETRY_S if starting else RETRY_S)
    finally:
        await maker.close()
        await taker.close()
        await index.close()
