"""A leader in a few lines: executes random commands and appends them to the journal, a row a batch."""

import random
from hashlib import sha256
from uuid import UUID

from db import journal
from db.session import Connection
from servers.domain.errors import VenueError
from servers.domain.events import Event
from servers.domain.exchange import RULES_VERSION, Exchange, scope_of
from servers.domain.identifiers import order_id as order_id_of
from servers.domain.state import state_hash
from servers.domain.terms import Environment
from servers.engine.codec import decode
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

PARTITION = 2
START_US = 1_785_000_000_000_000
ASSETS = {"USD": 8, "BTC": 8, "ETH": 8}
MARKETS = ("BTC-USD", "ETH-USD")
ACCOUNTS = [f"demo-{index}" for index in range(8)]
LEASE_S = 60.0


def describe(event: Event) -> str:
    """An event with its values, comparable between two machines."""
    return repr(event)


class Leader:
    """Leads PARTITION without leases to speak of."""

    def __init__(self, connection: Connection, seed: int, *, requests: int = 200_000) -> None:
        self.connection = connection
        self.random = random.Random(seed)
        self.exchange = Exchange(PARTITION, Environment.DEMO, requests)
        self.chain = bytes(32)
        self.epoch = 0
        self.time_us = START_US
        self.transfers: list[str] = []
        self.trace: dict[int, str] = {}

    async def begin(self) -> None:
        """Take the lead and define what there is to trade, in one row."""
        await journal.ensure_partition(self.connection, PARTITION, int(Environment.DEMO))
        epoch = await journal.take_over(self.connection, PARTITION, "test", "", LEASE_S)
        assert epoch is not None
        self.epoch = epoch
        rules = pb.Command(change_rules=pb.ChangeRules(rules_version=RULES_VERSION))
        await self.commit([pb.Command(leader_started=pb.LeaderStarted(epoch=epoch)), rules])
        await self.commit([*definitions(), *openings()])

    async def commit(self, commands: list[pb.Command]) -> journal.JournalRow:
        """Execute commands and append those that were not refused."""
        first = self.exchange.clock.sequence + 1
        taken = [command for command in commands if self.execute(command)]
        assert taken
        raw = pb.CommandBatch(commands=taken).SerializeToString()
        self.chain = sha256(self.chain + raw).digest()
        clock = self.exchange.clock
        row = journal.JournalRow(
            PARTITION, first, clock.sequence, self.epoch, clock.rules_version, raw, b"", clock.digest, self.chain
        )
        assert await journal.append(self.connection, row, LEASE_S)
        return row

    def execute(self, message: pb.Command) -> bool:
        self.time_us += self.random.choice((0, 10, 1_000, 300_000))
        message.sequence = self.exchange.clock.sequence + 1
        message.time_us = self.time_us
        try:
            command = decode(message)
            if command.request_id and self.exchange.find_request(
                scope_of(command), command.request_id, command.fingerprint
            ):
                return False
            events = self.exchange.execute(command)
        except VenueError:
            return False
        self.trace[message.sequence] = trace(events)
        return True

    async def run(self, batches: int, size_max: int = 30) -> None:
        """Append batches of random commands."""
        for _ in range(batches):
            size = self.random.randint(1, size_max)
            await self.commit([pb.Command(advance=pb.Advance()), *(self.command() for _ in range(size))])

    def request_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def command(self) -> pb.Command:
        """A random command; it may well be refused."""
        kind = self.random.random()
        if kind < 0.5:
            return self.place()
        if kind < 0.61:
            return self.conditional()
        if kind < 0.65:
            return self.linked()
        if kind < 0.66:
            mark = pb.SetReferencePrices(symbol=MARKETS[0], mark_price=self.price())
            return pb.Command(set_reference_prices=mark)
        if kind < 0.74:
            return self.change()
        if kind < 0.9:
            return self.cancel()
        if kind < 0.93:
            return self.cancel_all()
        if kind < 0.98:
            return self.transfer()
        rate = f"0.000{self.random.randint(0, 9)}"
        if kind < 0.99:
            fees = pb.SetFees(symbol=MARKETS[0], tier="default", maker_fee_rate=f"-{rate}", taker_fee_rate="0.002")
            return pb.Command(set_fees=fees)
        return self.market_change()

    def market_change(self) -> pb.Command:
        """Another state of the second market, or hours for it."""
        if self.random.random() < 0.2:
            hours = marketdata_pb2.TradingHours(weekday=self.random.randint(1, 7), close_second=86_400)
            return pb.Command(set_trading_hours=pb.SetTradingHours(symbol=MARKETS[1], hours=[hours]))
        # Half of them open it again: 1 collects for an auction, 4 takes cancels only.
        state = self.random.choice((2, 2, 4, 1))
        return pb.Command(set_market_state=pb.SetMarketState(symbol=MARKETS[1], state=state))  # type: ignore[arg-type]

    def place(self) -> pb.Command:
        market = self.random.random() < 0.15
        account = self.random.choice(ACCOUNTS)
        body = order_service_pb2.PlaceOrderRequest(
            account_id=account,
            symbol=self.random.choice(MARKETS),
            side=self.random.choice((type_pb2.SIDE_BUY, type_pb2.SIDE_SELL)),
            type=order_pb2.ORDER_TYPE_MARKET if market else order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_IOC if market else order_pb2.TIME_IN_FORCE_GTC,
            client_order_id=self.random.choice(("", f"label-{self.random.randint(0, 40)}")),
            self_trade_prevention=self.random.randint(0, 4),  # type: ignore[arg-type]
        )
        if self.random.random() < 0.8:
            body.request_id = self.request_id()
        if market and self.random.random() < 0.5:
            body.quote_amount = str(self.random.randint(1, 400))
        else:
            body.quantity = f"0.{self.random.randint(1, 999):04d}"
        if not market:
            if self.random.random() < 0.1:
                body.display_quantity = "0.0100"
            body.price = f"{self.random.randint(9_900, 10_100) / 100:.2f}"
            if self.random.random() < 0.1:
                body.time_in_force = order_pb2.TIME_IN_FORCE_GTD
                body.expire_time.FromMicroseconds(self.time_us + self.random.randint(1, 30_000_000))
        return pb.Command(user_id=f"user-{account}", place_order=body)

    def price(self) -> str:
        return f"{self.random.randint(9_900, 10_100) / 100:.2f}"

    def conditional(self) -> pb.Command:
        """An order that waits for a price, or the entry of a bracket."""
        command = self.place()
        body = command.place_order
        body.quantity, body.quote_amount = body.quantity or "0.05", ""
        chosen = self.random.randint(2, 7)
        body.type = chosen  # type: ignore[assignment]  # an order type by its number
        body.time_in_force = order_pb2.TIME_IN_FORCE_GTC
        body.ClearField("expire_time")
        body.price = self.price() if chosen in {2, 4, 6} else ""
        if chosen == order_pb2.ORDER_TYPE_TRAILING_STOP:
            body.trailing_amount = "0.20"
        elif chosen != order_pb2.ORDER_TYPE_LIMIT:
            body.stop_price = self.price()
            body.trigger_source = self.random.choice((0, 1, 2))  # type: ignore[assignment]
        if chosen in {2, 3, 4}:
            body.take_profit.stop_price = self.price()
            body.stop_loss.MergeFrom(order_service_pb2.ExitOrder(stop_price=self.price(), price=self.price()))
        return command

    def linked(self) -> pb.Command:
        """Two orders of which one cancels the other."""
        command = self.conditional()
        stop = command.place_order
        stop.type, stop.price, stop.stop_price, stop.trailing_amount = order_pb2.ORDER_TYPE_STOP, "", self.price(), ""
        for name in ("take_profit", "stop_loss", "request_id", "client_order_id", "trigger_source"):
            stop.ClearField(name)
        limit = order_service_pb2.PlaceOrderRequest()
        limit.CopyFrom(stop)
        limit.type, limit.price, limit.stop_price = order_pb2.ORDER_TYPE_LIMIT, self.price(), ""
        both = order_service_pb2.PlaceOcoRequest(orders=[limit, stop], request_id=self.request_id())
        return pb.Command(user_id=command.user_id, place_oco=both)

    def open_order(self) -> int:
        return self.random.choice(list(self.exchange.floor.orders) or [1])

    def cancel(self) -> pb.Command:
        order_id = order_id_of(PARTITION, self.open_order())
        body = order_service_pb2.CancelOrderRequest(order_id=order_id, request_id=self.request_id())
        return pb.Command(cancel_order=body)

    def cancel_all(self) -> pb.Command:
        account_id = self.random.choice(ACCOUNTS)
        if self.random.random() < 0.3:
            body = order_service_pb2.CancelAllOrdersRequest(account_id=account_id)
            return pb.Command(cancel_all_orders=body)
        after = order_service_pb2.CancelAllAfterRequest(account_id=account_id)
        after.timeout.FromSeconds(self.random.choice((0, 1, 5, 20)))
        return pb.Command(cancel_all_after=after)

    def change(self) -> pb.Command:
        """Amend an open order, or put another in its place."""
        number = self.open_order()
        order = self.exchange.floor.orders.get(number)
        order_id, request_id = order_id_of(PARTITION, number), self.request_id()
        if order is None or self.random.random() < 0.6:
            body = order_service_pb2.AmendOrderRequest(
                order_id=order_id,
                quantity=self.random.choice(("", f"0.{self.random.randint(1, 999):04d}")),
                price=self.random.choice(("", f"{self.random.randint(9_900, 10_100) / 100:.2f}")),
                request_id=request_id,
            )
            return pb.Command(amend_order=body)
        placing = self.place().place_order
        placing.account_id, placing.symbol = order.account.account_id, order.market.symbol
        placing.side = order.side  # type: ignore[assignment]  # the domain's numbers are the wire's
        placing.quantity, placing.quote_amount = placing.quantity or "0.05", ""
        replace = order_service_pb2.ReplaceOrderRequest(order_id=order_id, order=placing, request_id=request_id)
        return pb.Command(replace_order=replace)

    def transfer(self) -> pb.Command:
        if self.transfers and self.random.random() < 0.4:
            void = self.random.random() < 0.5
            chosen = self.random.choice(self.transfers)
            amount = "" if void else self.random.choice(("", "1"))
            return pb.Command(resolve_transfer=pb.ResolveTransfer(transfer_id=chosen, void=void, amount=amount))
        debit, credit = self.random.sample([*ACCOUNTS, "venue:paper"], 2)
        body = pb.Transfer(
            transfer_id=self.request_id(),
            debit_account_id=debit,
            credit_account_id=credit,
            asset=self.random.choice(list(ASSETS)),
            amount=str(self.random.randint(1, 5)),
            kind=account_pb2.ENTRY_KIND_TRANSFER,
            pending=self.random.random() < 0.5,
        )
        self.transfers.append(body.transfer_id)
        return pb.Command(transfer=body)

    @property
    def hash(self) -> str:
        return state_hash(self.exchange)


def trace(events: list[Event]) -> str:
    """Events by kind and by the stored values of what they point to."""
    return "; ".join(f"{type(event).__name__}{_values(event)}" for event in events)


def _values(event: object) -> list[object]:
    found: list[object] = []
    for name in event.__slots__:  # type: ignore[attr-defined]
        value = getattr(event, name)
        if hasattr(value, "__slots__"):
            value = [
                plain
                for slot in value.__slots__
                if isinstance(plain := getattr(value, slot), int | str) and slot not in {"touched", "born"}
            ]
        found.append(value)
    return found


def definitions() -> list[pb.Command]:
    assets = [
        pb.Command(define_asset=pb.DefineAsset(symbol=symbol, scale=scale, display_scale=2))
        for symbol, scale in ASSETS.items()
    ]
    markets = [
        pb.Command(
            define_market=pb.DefineMarket(
                market=marketdata_pb2.Market(
                    symbol=symbol,
                    kind=marketdata_pb2.MARKET_KIND_SPOT,
                    state=marketdata_pb2.MARKET_STATE_OPEN,
                    base_asset=symbol.partition("-")[0],
                    quote_asset="USD",
                    tick_size="0.01",
                    lot_size="0.0001",
                    min_quantity="0.0001",
                    max_quantity="1000",
                    max_price="1000000",
                    maker_fee_rate="0.001",
                    taker_fee_rate="0.002",
                )
            )
        )
        for symbol in MARKETS
    ]
    return assets + markets


def openings() -> list[pb.Command]:
    funds = [pb.Amount(asset=asset, amount="10000") for asset in ASSETS]
    return [
        pb.Command(
            user_id=f"user-{account}",
            open_account=pb.OpenAccount(
                account_id=account, type=account_pb2.ACCOUNT_TYPE_DEMO, name="A\tname\\\n", opening=funds
            ),
        )
        for account in ACCOUNTS
    ]
