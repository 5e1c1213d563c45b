"""A stop-loss bot: for everything that an account buys in a market, a stop order that sells it a percentage lower.

    python -m examples.python.stop_loss localhost:8080 EMAIL PASSWORD ETH-USD 2.5

The stop rests at the venue, so it works also when this program does not run. Each is labelled with the trade that it is for: the
same fill seen twice places one stop.
"""

import asyncio
import sys
from contextlib import aclosing
from decimal import ROUND_DOWN, Decimal

from venue_sdk import Client, Fill, Market, OpenOrders, Order, Password


class StopLoss:
    """Guards the purchases of one account in one market, those after it started."""

    def __init__(self, client: Client, account_id: str, market: Market, percent: Decimal) -> None:
        self._client = client
        self._account_id = account_id
        self._market = market
        self._percent = percent
        self._guarded: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aclosing(self._client.order_updates(self._account_id, OpenOrders())) as updates:
            async for order, fills in updates:
                if order.symbol == self._market.symbol and order.side == "BUY":
                    for fill in fills:
                        await self._guard(fill)

    async def _guard(self, fill: Fill) -> None:
        label = f"stop-{fill.trade_id}"
        if label in self._guarded:
            return
        self._guarded.add(label)
        tick = self._market.tick_size
        stop = (fill.price * (100 - self._percent) / 100 / tick).to_integral_value(ROUND_DOWN) * tick
        placed = await self._client.place(
            self._account_id, fill.symbol, "SELL", fill.quantity, stop_price=stop, client_order_id=label
        )
        print(said(placed.order, fill))


def said(order: Order, fill: Fill) -> str:
    if order.status == "REJECTED":
        return f"no stop for {fill.quantity} bought at {fill.price}: {order.reject_reason}"
    return f"{fill.quantity} bought at {fill.price}: sold if the price comes to {order.stop_price}"


async def main(target: str, email: str, password: str, symbol: str, percent: str) -> None:
    async with Client(target, Password(email, password)) as client:
        account_id, market = await client.demo_account(), await client.market(symbol)
        await StopLoss(client, account_id, market, Decimal(percent)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
