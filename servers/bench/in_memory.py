"""The machine in memory, without journal, tables or network: run as a process of its own, its figures in JSON on stdout.

`python -m servers.bench.in_memory WHAT COUNT`. Pairs of rates are measured in turns, so that both see the same machine.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from db.journal import JournalRow
from servers.bench.book_alone import cancel, place
from servers.bench.book_peer import MIDDLE, Operation, operations
from servers.domain import commands as c
from servers.domain.book import Book
from servers.domain.exchange import RULES_VERSION, Exchange
from servers.domain.model import Order
from servers.domain.terms import Environment, Side
from servers.engine.codec import decode
from servers.engine.replay import Replay
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2, order_service_pb2

PARTITION: Final = 2
START_US: Final = 1_785_000_000_000_000
TURNS: Final = 6
# Of a machine that is compared with a large one.
FEW_ACCOUNTS: Final = 10
ROW_COMMANDS: Final = 200
ORDERS_AN_ACCOUNT: Final = 100_000
TIER: Final = "replay"
# Checked like any others, and met by no load.
LIMITS: Final = order_pb2.Limits(
    position_max="100000000000000", daily_loss_max="100000000000000", open_orders_max=2 * ORDERS_AN_ACCOUNT
)
LEVELS: Final = 10_000
FUNDS: Final = "900000000"
Rates = list[list[float]]


class Bare:
    """A machine, and the stamps of its commands."""

    def __init__(self, markets: int = 1, accounts: int = 2) -> None:
        self.exchange = Exchange(PARTITION, Environment.DEMO)
        self.symbols = [f"C{number}-USD" for number in range(markets)]
        self.accounts = [f"demo-{number}" for number in range(accounts)]
        for message in self.definitions():
            self.run(decode(message))
        self._template = decode(pb.Command(place_order=placement(self.accounts[0], self.symbols[0])))

    def definitions(self) -> Iterator[pb.Command]:
        """Everything there is before the first order."""
        assets = ["USD", *(symbol.partition("-")[0] for symbol in self.symbols)]
        for asset in assets:
            yield pb.Command(define_asset=pb.DefineAsset(symbol=asset, scale=8, display_scale=2))
        for symbol in self.symbols:
            yield pb.Command(define_market=pb.DefineMarket(market=market(symbol)))
        yield pb.Command(set_limits=pb.SetLimits(tier=TIER, limits=LIMITS))
        # Of many markets an account trades a few.
        for number, account_id in enumerate(self.accounts):
            funded = [
                "USD",
                *(assets[1:] if len(self.accounts) <= FEW_ACCOUNTS else [assets[1 + number % len(assets[1:])]]),
            ]
            amounts = [pb.Amount(asset=asset, amount=FUNDS if asset == "USD" else "9000000") for asset in funded]
            opening = pb.OpenAccount(
                account_id=account_id,
                type=account_pb2.ACCOUNT_TYPE_DEMO,
                name="Bench",
                tier=TIER,
                opening=amounts,
            )
            yield pb.Command(user_id=f"user-{account_id}", open_account=opening)

    def run(self, command: c.Command) -> None:
        """Stamp and execute. Raises VenueError."""
        clock = self.exchange.clock
        command.sequence, command.time = clock.sequence + 1, max(clock.time, START_US)
        self.exchange.execute(command)

    def order(self, account: int, symbol: int, *, buy: bool, ticks: int, lots: int) -> c.PlaceOrder:
        """A limit order, not stamped yet."""
        assert isinstance(self._template, c.PlaceOrder)
        account_id = self.accounts[account]
        return replace(
            self._template,
            user_id=f"user-{account_id}",
            account_id=account_id,
            symbol=self.symbols[symbol],
            side=int(Side.BUY if buy else Side.SELL),
            price=ticks * 10**16,
            quantity=lots * 10**13,
        )

    def pairs(self, count: int) -> list[c.Command]:
        """Orders that meet two by two, over all markets and accounts in turn; the book is as before then."""
        made: list[c.Command] = []
        for number in range(count // 2):
            symbol, account = number % len(self.symbols), 2 * number % len(self.accounts)
            for buy, who in ((False, account), (True, (account + 1) % len(self.accounts))):
                made.append(self.order(who, symbol, buy=buy, ticks=MIDDLE, lots=10))
        return made

    def rest(self, count: int) -> None:
        """So many orders on both sides of the middle, which stay."""
        for number in range(count):
            buy = number % 2 == 0
            away = 1 + number // 2 % LEVELS
            ticks = MIDDLE - away if buy else MIDDLE + away
            account = number // ORDERS_AN_ACCOUNT % len(self.accounts)
            self.run(self.order(account, 0, buy=buy, ticks=ticks, lots=1))
        assert len(self.exchange.floor.orders) == count, "orders were rejected"


def market(symbol: str) -> marketdata_pb2.Market:
    return marketdata_pb2.Market(
        symbol=symbol,
        kind=marketdata_pb2.MARKET_KIND_SPOT,
        state=marketdata_pb2.MARKET_STATE_OPEN,
        base_asset=symbol.partition("-")[0],
        quote_asset="USD",
        tick_size="0.01",
        lot_size="0.00001",
        min_quantity="0.00001",
        max_quantity="1000",
        max_price="1000000",
        maker_fee_rate="0.001",
        taker_fee_rate="0.002",
    )


def placement(account_id: str, symbol: str) -> order_service_pb2.PlaceOrderRequest:
    return order_service_pb2.PlaceOrderRequest(
        account_id=account_id,
        symbol=symbol,
        side=1,  # type: ignore[arg-type]
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity="0.001",
        price="6500",
    )


def rate(bare: Bare, commands: list[c.Command]) -> float:
    """Commands a second, of pairs that meet."""
    run, clock = bare.run, bare.exchange.clock
    traded = clock.trade_number
    begun_s = time.perf_counter()
    for command in commands:
        run(command)
    took_s = time.perf_counter() - begun_s
    assert clock.trade_number - traded == len(commands) // 2, "orders were rejected"
    return len(commands) / took_s


def in_turns(large: Bare, small: Bare, count: int) -> Rates:
    """Rates of both, turn by turn; what was made before is left out of searches for cycles, as after a recovery."""
    gc.collect()
    gc.freeze()
    for bare in (large, small):
        rate(bare, bare.pairs(count // 4))
    return [[rate(large, large.pairs(count)), rate(small, small.pairs(count))] for _ in range(TURNS)]


def resident_bytes() -> int:
    """What the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resting(count: int) -> dict[str, object]:
    """The bytes of an order that rests, and rates beside very many of them and beside none."""
    full, empty = Bare(accounts=FEW_ACCOUNTS), Bare(accounts=FEW_ACCOUNTS)
    gc.collect()
    before = resident_bytes()
    full.rest(count)
    gc.collect()
    used = resident_bytes() - before
    return {"bytes": used / count, "rates": in_turns(full, empty, slice_of(count))}


def markets(count: int) -> dict[str, object]:
    return {"rates": in_turns(Bare(markets=count), Bare(), slice_of(count * 20))}


def accounts(count: int) -> dict[str, object]:
    return {"rates": in_turns(Bare(accounts=count), Bare(accounts=FEW_ACCOUNTS), slice_of(count))}


def slice_of(count: int) -> int:
    """How many commands a turn measures: enough to last, not so many that the turns of a pair lie far apart."""
    return max(min(count // 5, 20_000), 1_000) // 2 * 2


def run_book(todo: list[Operation]) -> tuple[float, int]:
    """The book and its matching alone: seconds, and how many fills there were. Orders are made before, here and in the peer."""
    book, orders = Book(), drafts(todo)
    coming, fills = iter(orders), 0
    begun_s = time.perf_counter()
    for operation in todo:
        if operation.cancels >= 0:
            cancel(book, orders[operation.cancels])
        else:
            fills += len(place(book, next(coming)))
    return time.perf_counter() - begun_s, fills


def drafts(todo: list[Operation]) -> list[Order]:
    """The orders of operations, as the machine would hand them to the book."""
    bare = Bare()
    floor = bare.exchange.floor
    traded = floor.markets[bare.symbols[0]]
    users = [bare.exchange.ledger.accounts[account_id] for account_id in bare.accounts]
    made: list[Order] = []
    for operation in todo:
        if operation.cancels < 0:
            buy, ticks, lots = operation.buy, operation.ticks, operation.lots
            order = floor.draft(bare.order(buy, 0, buy=buy, ticks=ticks, lots=lots), users[buy], traded)
            order.number, order.ticks, order.lots = len(made) + 1, ticks, lots
            made.append(order)
    return made


def book(count: int) -> dict[str, object]:
    took_s, fills = run_book(operations(count))
    return {"seconds": took_s, "fills": fills}


def execute(count: int) -> dict[str, object]:
    """The same operations as commands: risk, holds, ledger, fees and events too. All that can be made before is."""
    bare, todo = Bare(), operations(count)
    given: list[c.PlaceOrder | c.CancelOrder] = [
        c.CancelOrder(0, 0, "", "", b"", 0, "", "")
        if o.cancels >= 0
        else bare.order(o.buy, 0, buy=o.buy, ticks=o.ticks, lots=o.lots)
        for o in todo
    ]
    for command in given:
        command.time = START_US
    numbers: list[int] = []
    machine = bare.exchange
    run, clock, open_orders, done = machine.execute, machine.clock, machine.floor.orders, clock_of(bare)
    begun_s = time.perf_counter()
    for operation, command in zip(todo, given, strict=True):
        command.sequence = clock.sequence + 1
        if isinstance(command, c.PlaceOrder):
            numbers.append(command.sequence)
        elif numbers[operation.cancels] in open_orders:
            command.number = numbers[operation.cancels]
        else:
            # It was filled, or cancelled before: the machine would refuse, and no command were done.
            continue
        run(command)
    took_s = time.perf_counter() - begun_s
    assert open_orders, "orders were rejected"
    return {"rate": (clock.sequence - done) / took_s}


def clock_of(bare: Bare) -> int:
    """The last sequence."""
    return bare.exchange.clock.sequence


def replay(count: int) -> dict[str, object]:
    """Rows of a journal executed again and checked: commands a second."""
    bare = Bare()
    rows = list(journal(bare, count))
    machine = Replay(today(Exchange(PARTITION, Environment.DEMO)), bytes(32))
    gc.collect()
    gc.freeze()
    begun_s = time.perf_counter()
    for row in rows:
        machine.skip(row)
    return {"rate": machine.sequence / (time.perf_counter() - begun_s)}


def today(machine: Exchange) -> Exchange:
    """A machine with the rules of today, as one is after the first command of its leader."""
    machine.clock.rules_version = RULES_VERSION
    return machine


def journal(bare: Bare, count: int) -> Iterator[JournalRow]:
    """The rows of a machine that begins with the definitions of another and takes orders that meet."""
    leader, chain = today(Exchange(PARTITION, Environment.DEMO)), bytes(32)
    orders = [placement(account_id, bare.symbols[0]) for account_id in bare.accounts]
    for number, request in enumerate(orders):
        request.side = 1 + number % 2  # type: ignore[assignment]
    rules = pb.Command(change_rules=pb.ChangeRules(rules_version=RULES_VERSION))
    messages = [rules, *bare.definitions()]
    messages += [
        pb.Command(user_id=f"user-{orders[number % 2].account_id}", place_order=orders[number % 2])
        for number in range(count)
    ]
    for at in range(0, len(messages), ROW_COMMANDS):
        batch = messages[at : at + ROW_COMMANDS]
        first = leader.clock.sequence + 1
        for message in batch:
            message.sequence, message.time_us = leader.clock.sequence + 1, START_US + at
            leader.execute(decode(message))
        raw = pb.CommandBatch(commands=batch).SerializeToString()
        chain = sha256(chain + raw).digest()
        clock = leader.clock
        yield JournalRow(PARTITION, first, clock.sequence, 1, RULES_VERSION, raw, b"", clock.digest, chain)


WHAT: Final[dict[str, Callable[[int], dict[str, object]]]] = {
    "book": book,
    "execute": execute,
    "replay": replay,
    "resting": resting,
    "markets": markets,
    "accounts": accounts,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(WHAT[sys.argv[1]](int(sys.argv[2]))))
