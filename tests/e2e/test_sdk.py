"""The Python SDK against the whole venue, through the gateway, where the network loses answers and cuts streams."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from examples.python import candles as candles_example
from examples.python.exact_book import ExactBook
from examples.python.market_maker import MarketMaker
from examples.python.stop_loss import StopLoss
from tests.e2e.fault_proxy import Fault, FaultProxy
from tests.e2e.launching import Venue
from tests.e2e.people import PASSWORD, Person, join
from tests.e2e.ways import Rest
from venue.auth.v1 import auth_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2
from venue_sdk import (
    ApiKey,
    Client,
    Invalid,
    NotFound,
    OpenOrders,
    OrderRejected,
    OutcomeUnknown,
    Password,
    Patience,
    SigningKey,
    Unauthenticated,
)

SOON_S = 30.0
FAR = Decimal("2.50")


@pytest.fixture(scope="module")
def ruth(rest: Rest) -> Person:
    return join(rest, "ruth")


@pytest.fixture
def proxy(venue: Venue) -> Iterator[FaultProxy]:
    made = FaultProxy(venue.port("GATEWAY"))
    yield made
    made.close()


@asynccontextmanager
async def trading(
    target: str, person: Person, patience: Patience | None = None, credential: Password | None = None
) -> AsyncIterator[Client]:
    async with Client(target, credential or Password(person.email, PASSWORD), patience=patience) as client:
        await client.auth.WhoAmI(auth_pb2.WhoAmIRequest())
        yield client


async def eventually(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not ready():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.02)


async def test_orders_are_placed_in_decimals_and_refused_by_type(venue: Venue, ruth: Person) -> None:
    async with trading(venue.target, ruth) as client:
        assert await client.demo_account() == ruth.account_id
        placed = await client.place(ruth.account_id, "ETH-USD", "BUY", Decimal("0.50"), price=FAR)
        order = placed.accepted()
        assert (order.status, order.quantity, order.price) == ("OPEN", Decimal("0.5"), Decimal("2.5"))
        held = (await client.balances(ruth.account_id, placed.position))["USD"].held
        assert held == Decimal("1.2525")
        assert (await client.cancel(order.order_id)).status == "CANCELLED"
        off_tick = await client.place(ruth.account_id, "ETH-USD", "BUY", 1, price="2.501")
        with pytest.raises(OrderRejected, match="TICK"):
            off_tick.accepted()
        with pytest.raises(Invalid) as wrong:
            await client.place(ruth.account_id, "ETH-USD", "BUY", "0.5", price=FAR, client_order_id="no spaces")
        assert [each.field for each in wrong.value.violations] == ["client_order_id"]
        with pytest.raises(NotFound) as missing:
            await client.market("NO-SUCH")
        assert missing.value.reason == "MARKET_NOT_FOUND"
        with pytest.raises(TypeError, match="float"):
            await client.place(ruth.account_id, "ETH-USD", "BUY", 0.5, price=FAR)  # type: ignore[arg-type]


async def test_a_token_is_renewed_once_for_all_calls_and_after_a_refusal(venue: Venue, ruth: Person) -> None:
    credential = Password(ruth.email, PASSWORD)
    async with trading(venue.target, ruth, credential=credential) as client:
        before = credential._refresh
        credential._renew_at = 0.0
        answers = await asyncio.gather(*(client.auth.WhoAmI(auth_pb2.WhoAmIRequest()) for _ in range(10)))
        assert {answer.user.email for answer in answers} == {ruth.email}
        after = credential._refresh
        assert after != before
        # Were the family's token used twice, it would be ended, and this refused.
        credential._access = credential._access[:-4] + "AAAA"
        await client.auth.WhoAmI(auth_pb2.WhoAmIRequest())
        assert credential._refresh != after


async def test_an_api_key_trades(venue: Venue, ruth: Person) -> None:
    async with trading(venue.target, ruth) as client:
        asked = auth_pb2.CreateApiKeyRequest(
            name="bot", scopes=[access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADE], account_id=ruth.account_id
        )
        made = await client.auth.CreateApiKey(asked)
    async with Client(venue.target, ApiKey(f"{made.api_key.api_key_id}.{made.secret}")) as bot:
        order = (await bot.place(ruth.account_id, "ETH-USD", "BUY", 1, price=FAR)).accepted()
        assert (await bot.cancel(order.order_id)).status == "CANCELLED"
    async with Client(venue.target, ApiKey(f"{made.api_key.api_key_id}.wrong")) as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.balances(ruth.account_id)


async def test_s14_a_key_that_signs_trades_and_streams(venue: Venue, ruth: Person) -> None:
    private = Ed25519PrivateKey.generate()
    async with trading(venue.target, ruth) as client:
        scopes = [access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADE]
        asked = auth_pb2.CreateApiKeyRequest(name="bot", scopes=scopes, signing=auth_pb2.API_KEY_SIGNING_HMAC_SHA256)
        first = await client.auth.CreateApiKey(asked)
        asked.signing, asked.public_key = auth_pb2.API_KEY_SIGNING_ED25519, private.public_key().public_bytes_raw()
        second = await client.auth.CreateApiKey(asked)
    for credential in (
        SigningKey.hmac(first.api_key.api_key_id, first.secret),
        SigningKey.ed25519(second.api_key.api_key_id, private.sign),
    ):
        async with Client(venue.target, credential) as bot:
            told: set[str] = set()

            async def listen(bot: Client = bot, told: set[str] = told) -> None:
                async with aclosing(bot.order_updates(ruth.account_id, OpenOrders())) as updates:
                    async for update, _ in updates:
                        told.add(f"{update.order_id} {update.status}")

            listening = asyncio.create_task(listen())
            async with asyncio.timeout(SOON_S):
                ended: set[str] = set()
                # What was there before the stream began is in its snapshot alone.
                while not ended & told:
                    order = (await bot.place(ruth.account_id, "ETH-USD", "BUY", 1, price=FAR)).accepted()
                    ended.add(f"{order.order_id} {(await bot.cancel(order.order_id)).status}")
                    await asyncio.sleep(0.05)
            listening.cancel()
            mine = (*await credential.metadata(bot._plain), *credential.signed_http("GET", "/v1/auth/me", "", b""))
            async with httpx.AsyncClient() as http:
                me = await http.get(f"{venue.url}/v1/auth/me", headers=dict(mine))
            assert me.json()["apiKeyId"] == credential.api_key_id


async def seen(rest: Rest, ruth: Person, label: str) -> list[str]:
    """The ids of the orders with that label, once there is one."""
    while True:
        request = {"accountId": ruth.account_id}
        listed = await asyncio.to_thread(rest.call, "order.v1.OrderService.ListOrders", request, ruth.token)
        if found := [order["orderId"] for order in listed["orders"] if order["clientOrderId"] == label]:
            return found
        await asyncio.sleep(0.05)


async def test_an_order_whose_answer_was_lost_is_sent_again_and_is_one_order(
    venue: Venue, rest: Rest, ruth: Person, proxy: FaultProxy
) -> None:
    async with trading(f"127.0.0.1:{proxy.port}", ruth) as client, asyncio.timeout(SOON_S):
        proxy.fault = Fault.UNANSWERED
        placing = asyncio.create_task(
            client.place(ruth.account_id, "ETH-USD", "BUY", 1, price=FAR, client_order_id="lost")
        )
        await seen(rest, ruth, "lost")
        assert not placing.done()
        proxy.fault = Fault.NONE
        proxy.reset_all()
        placed = await placing
        assert placed.replayed
        assert await seen(rest, ruth, "lost") == [placed.order.order_id]
        await client.cancel_all(ruth.account_id)


async def test_where_nobody_answers_in_time_the_outcome_can_be_asked_for(
    venue: Venue, rest: Rest, ruth: Person, proxy: FaultProxy
) -> None:
    patience = Patience(total_s=2.0, attempt_s=1.0)
    async with trading(f"127.0.0.1:{proxy.port}", ruth, patience) as client, asyncio.timeout(SOON_S):
        request = order_service_pb2.PlaceOrderRequest(
            account_id=ruth.account_id,
            symbol="ETH-USD",
            side=type_pb2.SIDE_BUY,
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            quantity="1",
            price="2.5",
            client_order_id="unheard",
        )
        proxy.fault = Fault.UNANSWERED
        with pytest.raises(OutcomeUnknown) as unknown:
            await client.orders.PlaceOrder(request)
        found = await seen(rest, ruth, "unheard")
        proxy.fault = Fault.NONE
        proxy.reset_all()
        outcome = await client.outcome(ruth.account_id, unknown.value.request_id)
        assert outcome is not None
        assert [outcome.placed.order.order_id] == found
        assert await client.outcome(ruth.account_id, "018f5b5e-7c1a-7000-8000-00000000beef") is None
        await client.cancel_all(ruth.account_id)


async def test_order_updates_come_once_each_through_cut_connections(
    venue: Venue, ruth: Person, proxy: FaultProxy
) -> None:
    async with trading(f"127.0.0.1:{proxy.port}", ruth) as client, trading(venue.target, ruth) as other:
        state, told = OpenOrders(), []

        async def listen() -> None:
            async with aclosing(client.order_updates(ruth.account_id, state)) as updates:
                async for order, _ in updates:
                    told.append((order.client_order_id, order.status))

        listening = asyncio.create_task(listen())
        await eventually(lambda: bool(state.position))
        for number in range(6):
            await other.place(ruth.account_id, "ETH-USD", "BUY", 1, price=FAR, client_order_id=f"cut-{number}")
            if number % 2:
                proxy.reset_all()
        await eventually(lambda: len(told) >= 6)
        assert told == [(f"cut-{number}", "OPEN") for number in range(6)]
        # A position that the venue cannot know: it starts over with a snapshot.
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        state.position = "1.1.99999999999"
        state.orders.clear()
        again = asyncio.create_task(listen())
        await eventually(lambda: len(state.orders) == 6)
        await other.cancel_all(ruth.account_id)
        await eventually(lambda: not state.orders)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def test_a_book_stays_exact_through_cut_connections(venue: Venue, proxy: FaultProxy) -> None:
    async with Client(f"127.0.0.1:{proxy.port}") as client, asyncio.timeout(4 * SOON_S):
        book = ExactBook(client, "ETH-USD", 20, every_s=0.0)
        async with aclosing(book.proofs()) as proofs:
            for cuts in range(1, 4):
                proven = await anext(proofs)
                proxy.reset_all()
                # Until proofs are of what came after: a gap was told, and another snapshot.
                while len(book.state.gaps) < cuts:
                    assert await anext(proofs) >= proven
                assert await anext(proofs) >= proven
            # The market maker may be between two quotes.
            while not all(book.state.books["ETH-USD"].levels(1)):
                await anext(proofs)
        bids, asks = book.state.books["ETH-USD"].levels(1)
        assert isinstance(bids[0].price, Decimal)
        assert bids[0].price < asks[0].price


async def test_the_examples_trade(venue: Venue, ruth: Person, capsys: pytest.CaptureFixture[str]) -> None:
    async with trading(venue.target, ruth) as client:
        market, state = await client.market("ETH-USD"), OpenOrders()

        async def listen() -> None:
            async with aclosing(client.order_updates(ruth.account_id, state)) as updates:
                async for _ in updates:
                    pass

        maker = asyncio.create_task(MarketMaker(client, ruth.account_id, market, Decimal("0.01")).run())
        tasks = [asyncio.create_task(listen()), maker]
        await eventually(lambda: {order.side for order in state.orders.values()} == {"BUY", "SELL"})
        maker.cancel()
        await eventually(lambda: not state.orders)
        tasks.append(asyncio.create_task(StopLoss(client, ruth.account_id, market, Decimal(10)).run()))
        await asyncio.sleep(0)
        while not any(order.type == "STOP" for order in state.orders.values()):
            await client.place(ruth.account_id, "ETH-USD", "BUY", Decimal("0.01"))
            await asyncio.sleep(0.2)
        stop = next(order for order in state.orders.values() if order.type == "STOP")
        assert (stop.side, stop.status) == ("SELL", "PENDING_TRIGGER")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.cancel_all(ruth.account_id)
    await candles_example.main(venue.target, "ETH-USD", "1M", "5")
    printed = capsys.readouterr().out
    assert "bought at" in printed
    assert re.search(r"^open_time .*\n\d{4}-\d\d-\d\d \d\d:\d\d:00\+00:00 ", printed, re.MULTILINE), printed


async def test_candles_become_a_table_of_exact_numbers(venue: Venue) -> None:
    async with Client(venue.target) as client:
        candles = await client.candles("ETH-USD", "1M", 5)
    table = candles_example.table(candles)
    assert list(table.columns) == ["open", "high", "low", "close", "volume", "trade_count"]
    assert table["close"].tolist() == [candle.close for candle in candles]
    assert isinstance(table["close"].iloc[-1], Decimal)
    assert table.index.is_monotonic_increasing
    assert table.astype(float)["high"].max() == max(float(candle.high) for candle in candles)
