"""The bus as the projector sees it, in memory, and what its readers would notice: entries that are wrong, or gaps."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextvars import Context
from random import Random

from db.streams import AccountEntry, AccountFields, BusError, MarketEntry


class Bus:
    """Streams of a partition. It may be away, lose an answer, or lose everything."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.trouble = 0.0
        self.down = False
        self.sequence: int | None = None
        self.markets: dict[str, list[MarketEntry]] = defaultdict(list)
        self.accounts: dict[str, list[AccountEntry]] = defaultdict(list)
        # Entries in the order they came, for who checks them.
        self.news: list[MarketEntry | AccountEntry] = []
        self._server = Context()

    def flush(self) -> None:
        """Lose everything."""
        self.sequence = None
        self.markets.clear()
        self.accounts.clear()

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _pass(self) -> bool:
        """Time on the way; False: the answer will be lost. Raises BusError."""
        await asyncio.sleep(0.0005 * self.random.random())
        unlucky = self.random.random() < self.trouble
        if self.down or (unlucky and self.random.random() < 0.4):
            raise BusError("the bus is away")
        return not unlucky

    async def find_published(self, bus: object, partition: int) -> int | None:
        if not await self._pass():
            raise BusError("no answer")
        return self.sequence

    async def last_market_ids(self, bus: object, partition: int, symbols: Iterable[str]) -> dict[str, int]:
        if not await self._pass():
            raise BusError("no answer")
        return {symbol: self.markets[symbol][-1].sequence if self.markets[symbol] else 0 for symbol in symbols}

    async def publish(
        self,
        bus: object,
        partition: int,
        before: int | None,
        sequence: int,
        markets: list[MarketEntry],
        accounts: list[AccountFields],
    ) -> int | None:
        told = await self._pass()
        found = self.sequence
        if found == before:
            self._add(sequence, markets, accounts)
        if not told:
            raise BusError("no answer")
        return found

    def _add(self, sequence: int, markets: list[MarketEntry], accounts: list[AccountFields]) -> None:
        self.sequence = sequence
        for market in markets:
            stream = self.markets[market.symbol]
            if not stream or (stream[-1].sequence, stream[-1].part) < (market.sequence, market.part):
                stream.append(market)
                self.news.append(market)
        for account in map(AccountEntry._make, accounts):
            entries = self.accounts[account.account_id]
            if not entries or entries[-1].sequence < account.sequence:
                entries.append(account)
                self.news.append(account)
