"""A market maker: keeps a bid and an ask around the middle of a market's book, within a bound of inventory.

    python -m examples.python.market_maker localhost:8080 EMAIL PASSWORD ETH-USD 0.01

It quotes post-only, moves its quotes when the middle moves by more than a third of its spread, and cancels all it has at its end.
A dead-man's switch takes its orders off if it dies.
"""

import asyncio
import sys
from contextlib import aclosing
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from google.protobuf.duration_pb2 import Duration

from venue.order.v1.order_service_pb2 import CancelAllAfterRequest
from venue_sdk import Client, Market, MarketState, OpenOrders, Password

# Of the middle, each side.
SPREAD: Final = Decimal("0.001")
# In quantities of a quote: beyond, only the side that brings it back is quoted.
INVENTORY_MAX: Final = 5
DEAD_S: Final = 30


class MarketMaker:
    """Quotes one market for one account."""

    def __init__(self, client: Client, account_id: str, market: Market, quantity: Decimal) -> None:
        self._client = client
        self._account_id = account_id
        self._market = market
        self._quantity = quantity
        self._quoted: Decimal | None = None
        self.inventory = Decimal(0)

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_fills())
                tasks.create_task(self._stay_alive())
                tasks.create_task(self._follow_book())
        finally:
            await self._client.cancel_all(self._account_id, self._market.symbol)

    async def _follow_book(self) -> None:
        state = MarketState(depth=10)
        async with aclosing(self._client.market_changes([self._market.symbol], ["BOOK"], state)) as changes:
            async for change in changes:
                bids, asks = state.books[change.symbol].levels(1)
                if bids and asks:
                    await self._quote((bids[0].price + asks[0].price) / 2)

    async def _quote(self, middle: Decimal) -> None:
        if self._quoted is not None and abs(middle - self._quoted) < middle * SPREAD / 3:
            return
        self._quoted = middle
        await self._client.cancel_all(self._account_id, self._market.symbol)
        bound = INVENTORY_MAX * self._quantity
        if self.inventory < bound:
            await self._place("BUY", self._on_tick(middle * (1 - SPREAD), ROUND_DOWN))
        if self.inventory > -bound:
            await self._place("SELL", self._on_tick(middle * (1 + SPREAD), ROUND_UP))

    async def _place(self, side: str, price: Decimal) -> None:
        placed = await self._client.place(
            self._account_id, self._market.symbol, side, self._quantity, price=price, post_only=True
        )
        if placed.order.status == "REJECTED":
            print(f"{side} at {price}: {placed.order.reject_reason}")

    def _on_tick(self, price: Decimal, rounding: str) -> Decimal:
        return (price / self._market.tick_size).to_integral_value(rounding) * self._market.tick_size

    async def _follow_fills(self) -> None:
        async with aclosing(self._client.order_updates(self._account_id, OpenOrders())) as updates:
            async for order, fills in updates:
                for fill in fills:
                    self.inventory += fill.quantity if order.side == "BUY" else -fill.quantity
                    self._quoted = None
                    print(f"{order.side} {fill.quantity} at {fill.price}, inventory {self.inventory}")

    async def _stay_alive(self) -> None:
        request = CancelAllAfterRequest(account_id=self._account_id, timeout=Duration(seconds=DEAD_S))
        while True:
            await self._client.orders.CancelAllAfter(request)
            await asyncio.sleep(DEAD_S / 3)


async def main(target: str, email: str, password: str, symbol: str, quantity: str) -> None:
    async with Client(target, Password(email, password)) as client:
        account_id, market = await client.demo_account(), await client.market(symbol)
        await MarketMaker(client, account_id, market, Decimal(quantity)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
