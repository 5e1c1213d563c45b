"""What only the venue itself may do (markets, limits, accounts, prices from outside), done through the engine's own service."""

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from db.session import SERVICES, open_pool
from servers.config import Settings
from servers.domain.errors import VenueError
from servers.domain.terms import EntryKind, MarketKind, MarketState
from servers.engine.remote import RemoteEngine
from tests.e2e.launching import Venue
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2

PARTITION = 2
CALL_S = 20.0


class Operator:
    """Speaks to the leader of the demo partition."""

    def __init__(self, runner: asyncio.Runner, engine: RemoteEngine) -> None:
        self._runner = runner
        self._engine = engine

    def do(self, **body: Any) -> bytes:
        """Carry out a command; its answer. Raises VenueError."""
        (outcome,) = self._runner.run(self._engine.submit((pb.Command(**body),), CALL_S))
        if isinstance(outcome, VenueError):
            raise outcome
        return outcome

    def define(self, symbol: str) -> None:
        """A market of whole and half dollars, of at least two coins an order, in which nobody trades but the test.

        Its base asset is its own: no feed knows a price of it.
        """
        base = symbol.partition("-")[0]
        self.do(define_asset=pb.DefineAsset(symbol=base, scale=8, display_scale=4))
        market = marketdata_pb2.Market(
            symbol=symbol,
            kind=int(MarketKind.SPOT),  # type: ignore[arg-type]  # the domain's numbers are the wire's
            state=int(MarketState.OPEN),  # type: ignore[arg-type]
            base_asset=base,
            quote_asset="USD",
            tick_size="0.5",
            lot_size="0.01",
            min_quantity="0.02",
            max_quantity="1000",
            max_price="10000",
            maker_fee_rate="0.001",
            taker_fee_rate="0.002",
        )
        self.do(define_market=pb.DefineMarket(market=market))

    def grant(self, account_id: str, asset: str, amount: str) -> None:
        """Pay an account paper funds."""
        kind: Any = int(EntryKind.PAPER)
        transfer = pb.Transfer(
            transfer_id=f"{PARTITION}-{uuid.uuid4().hex}",
            debit_account_id="venue:paper",
            credit_account_id=account_id,
            asset=asset,
            amount=amount,
            kind=kind,
        )
        self.do(transfer=transfer)

    def state(self, symbol: str, state: MarketState) -> None:
        number: Any = int(state)
        self.do(set_market_state=pb.SetMarketState(symbol=symbol, state=number))

    def outside_hours(self, symbol: str) -> None:
        """Trading hours of another day than today, by UTC."""
        weekday = (time.gmtime().tm_wday + 3) % 7 + 1
        hours = marketdata_pb2.TradingHours(weekday=weekday, open_second=0, close_second=60)
        self.do(set_trading_hours=pb.SetTradingHours(symbol=symbol, hours=[hours]))

    def always_open(self, symbol: str) -> None:
        self.do(set_trading_hours=pb.SetTradingHours(symbol=symbol))

    def limit(self, account_id: str, **limits: Any) -> None:
        """Limits of an account; none: those of everybody."""
        self.do(set_limits=pb.SetLimits(account_id=account_id, limits=order_pb2.Limits(**limits)))

    def freeze(self, account_id: str, *, thaw: bool = False) -> None:
        status: Any = 1 if thaw else 2
        self.do(set_account_status=pb.SetAccountStatus(account_id=account_id, status=status))


@contextmanager
def operating(venue: Venue) -> Iterator[Operator]:
    """Someone at the machine that has the state folder."""
    with mock.patch.dict(os.environ, venue.environment()):
        settings = Settings.load()
        database, secret = settings.database, settings.state.secret("internal")
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(database, application_name="operator", role=SERVICES))
        engine = RemoteEngine(PARTITION, pool, secret)
        try:
            yield Operator(runner, engine)
        finally:
            runner.run(engine.close())
            runner.run(pool.close())
