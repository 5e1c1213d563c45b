"""A leader in a few lines: executes random commands and appends them to the journal, a row a batch."""

import random
from hashlib import sha256
from uuid import UUID

from db import journal
from db.session import Connection
from servers.domain.errors import VenueError
from servers.domain.events import Event
from servers.domain.exchange import Exchange, scope_of
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
        await self.commit([pb.Command(leader_started=pb.LeaderStarted(epoch=epoch)), *definitions(), *openings()])

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
        if kind < 0.72:
            return self.place()
        if kind < 0.9:
            return self.cancel()
        if kind < 0.93:
            body = order_service_pb2.CancelAllOrdersRequest(account_id=self.random.choice(ACCOUNTS))
            return pb.Command(user_id="", cancel_all_orders=body)
        if kind < 0.98:
            return self.transfer()
        rate = f"0.000{self.random.randint(0, 9)}"
        if kind < 0.99:
            fees = pb.SetFees(symbol=MARKETS[0], tier="default", maker_fee_rate=f"-{rate}", taker_fee_rate="0.002")
            return pb.Command(set_fees=fees)
        state = self.random.choice((marketdata_pb2.MARKET_STATE_OPEN, marketdata_pb2.MARKET_STATE_OPEN, 4))
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
            body.price = f"{self.random.randint(9_900, 10_100) / 100:.2f}"
            if self.random.random() < 0.1:
                body.time_in_force = order_pb2.TIME_IN_FORCE_GTD
                body.expire_time.FromMicroseconds(self.time_us + self.random.randint(1, 30_000_000))
        return pb.Command(user_id=f"user-{account}", place_order=body)

    def cancel(self) -> pb.Command:
        numbers = list(self.exchange.floor.orders)
        number = self.random.choice(numbers) if numbers else 1
        body = order_service_pb2.CancelOrderRequest(order_id=f"{PARTITION}-{number}", request_id=self.request_id())
        return pb.Command(cancel_order=body)

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
                if isinstance(plain := getattr(value, slot), int | str) and slot != "touched"
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
