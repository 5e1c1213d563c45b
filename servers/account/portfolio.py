"""What an account is worth, what it cost and what was made of it, in a reporting asset: its ledger folded, priced by the markets.

The fold is kept as far as it got, so that the next call goes on from there; what is kept is never more than the ledger says.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from db import projections
from db.candles import FAR_US
from db.entries import EntryRecord
from db.session import Pool
from db.statements import Stretch, next_entries
from servers.account.pricing import Prices
from servers.account.views import accounts_of
from servers.domain.costs import Cost, Costs
from servers.domain.errors import PartUnavailable
from servers.domain.identifiers import position_text
from servers.domain.money import ATTO_SCALE, format_units
from servers.domain.terms import EntryKind
from servers.domain.transfer_errors import AssetUnknown
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import timestamp
from servers.transport.call import Call
from venue.account.v1 import portfolio_pb2 as pb

DEFAULT: Final = "USD"
ROWS: Final = 5000
KEPT_MAX: Final = 1000
_EXCHANGES: Final = {int(kind) for kind in (EntryKind.TRADE, EntryKind.FEE, EntryKind.CONVERSION)}


@dataclass(slots=True)
class Kept:
    """The fold of an account up to a sequence; one call at a time takes it on."""

    costs: Costs
    sequence: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Portfolios:
    """Values accounts of every partition."""

    def __init__(self, pool: Pool, fence: Fence, markets: Markets) -> None:
        self._pool = pool
        self._fence = fence
        self._markets = markets
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()

    async def get(self, engine: Engine, request: pb.GetPortfolioRequest, call: Call) -> pb.GetPortfolioResponse:
        """Raises AccountNotFound, AssetUnknown, PositionInvalid, PartUnavailable."""
        reporting = request.reporting_asset or DEFAULT
        await accounts_of(engine, request.account_id, "", call)
        await self._fence.pass_through(engine, request.min_position, call.timeout_s)
        try:
            scale = await self._markets.scale(engine.partition, reporting)
        except LookupError:
            raise AssetUnknown(reporting) from None
        prices = Prices(engine, self._pool, reporting, call)
        async with self._pool.connection() as connection:
            position = await projections.find_projection(connection, engine.partition, projections.TABLES)
        if position is None:
            raise PartUnavailable("the tables")
        kept = self._of(request.account_id, reporting)
        async with kept.lock:
            stretch = Stretch(engine.partition, request.account_id, "", 0, FAR_US, position.sequence)
            await self._fold(kept, stretch, prices, scale)
            sequence = max(kept.sequence, position.sequence)
            assets = {asset: Cost(mine.held, mine.cost, mine.realized) for asset, mine in kept.costs.assets.items()}
        answer = pb.GetPortfolioResponse(
            reporting_asset=reporting,
            position=position_text(engine.partition, position.epoch, sequence),
            price_time=timestamp(time.time_ns() // 1000),
        )
        await self._value(answer, engine.partition, assets, prices, scale)
        return answer

    def _of(self, account_id: str, reporting: str) -> Kept:
        key = (account_id, reporting)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = Kept(Costs(reporting))
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return kept

    async def _fold(self, kept: Kept, stretch: Stretch, prices: Prices, scale: int) -> None:
        """Take the fold on, a command at a time: it is whole whenever the caller's patience ends."""
        waiting: list[EntryRecord] = []
        after = (kept.sequence, 2**31 - 1)
        while True:
            async with self._pool.connection() as connection:
                rows = await next_entries(connection, stretch, after, ROWS)
            waiting += rows
            last = len(rows) < ROWS
            if rows:
                after = rows[-1].sequence, rows[-1].n
            # What else the last command has may be on the next page.
            whole = waiting if last else [row for row in waiting if row.sequence < after[0]]
            waiting = waiting[len(whole) :]
            for _, entries in by_command(whole):
                # What must be asked for first: then nothing stops halfway.
                worth = {
                    row.n: await self._worth(row, stretch.partition, prices, scale) for row in entries if comes_in(row)
                }
                fold(kept.costs, entries, worth)
                kept.sequence = entries[0].sequence
            if last:
                return

    async def _worth(self, row: EntryRecord, partition: int, prices: Prices, scale: int) -> int:
        """What came in was worth then, in units of the reporting asset; nothing where no market ever priced it."""
        price = await prices.then(row.asset, row.time)
        units = await self._markets.scale(partition, row.asset)
        return 0 if price is None else int(price * row.amount * Fraction(10**scale, 10**units) // 1)

    async def _value(
        self, answer: pb.GetPortfolioResponse, partition: int, assets: dict[str, Cost], prices: Prices, scale: int
    ) -> None:
        values = costs = realized = 0
        for asset, mine in sorted(assets.items()):
            units = await self._markets.scale(partition, asset)
            price = await prices.now(asset)
            realized += mine.realized
            holding = answer.holdings.add(
                asset=asset,
                quantity=format_units(mine.held, units),
                realized_profit=format_units(mine.realized, scale),
                cost=format_units(mine.cost, scale),
            )
            if asset == answer.reporting_asset:
                mine.cost = mine.held
                holding.cost = format_units(mine.held, scale)
            if mine.held:
                average = (2 * mine.cost * 10**units + mine.held) // (2 * mine.held)
                holding.average_cost = format_units(average, scale)
            if price is None:
                answer.unpriced_assets.append(asset)
                continue
            value = int(price * mine.held * Fraction(10**scale, 10**units) // 1)
            holding.price = format_units(int(price * 10**ATTO_SCALE // 1), ATTO_SCALE)
            holding.value = format_units(value, scale)
            holding.unrealized_profit = format_units(value - mine.cost, scale)
            values, costs = values + value, costs + mine.cost
        answer.value, answer.cost = format_units(values, scale), format_units(costs, scale)
        answer.unrealized_profit = format_units(values - costs, scale)
        answer.realized_profit = format_units(realized, scale)


def by_command(rows: list[EntryRecord]) -> list[tuple[int, list[EntryRecord]]]:
    """Entries of each command together, in order."""
    found: dict[int, list[EntryRecord]] = {}
    for row in rows:
        found.setdefault(row.sequence, []).append(row)
    return list(found.items())


def comes_in(row: EntryRecord) -> bool:
    """Whether it is more of an asset without having been exchanged for another one."""
    return row.kind not in _EXCHANGES and row.amount > 0


def fold(costs: Costs, entries: list[EntryRecord], worth: dict[int, int]) -> None:
    """Fold one command's entries in; `worth` has what those that come in are worth, by their n."""
    exchanges: dict[str, dict[str, int]] = {}
    for row in entries:
        if row.kind in _EXCHANGES:
            # A trade and its fee have one reference, as both halves of a conversion have.
            changes = exchanges.setdefault(row.reference, {})
            changes[row.asset] = changes.get(row.asset, 0) + row.amount
        elif row.amount > 0:
            costs.receive(row.asset, row.amount, worth[row.n])
        else:
            costs.give(row.asset, -row.amount)
    for changes in exchanges.values():
        costs.exchange(changes)
