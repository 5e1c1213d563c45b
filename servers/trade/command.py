"""`venue trade`: place, cancel and list orders, see balances, watch a book."""

from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

import grpc
import typer
import uvloop
from rich.console import Console

from servers.trade.customer import CALL_S, customer, market_data
from servers.trade.tables import balances_table, book_table, order_table, orders_table
from servers.trade.watch import watch
from servers.transport.caller import CallerError, Credentials, credentials_of, explain
from venue.account.v1 import account_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

SEEDED = "demo@venue.local"
PAGE = 500
app = typer.Typer(help="Trade from the terminal.", no_args_is_help=True)
console = Console()


class SideName(StrEnum):
    buy = "buy"
    sell = "sell"


class TypeName(StrEnum):
    limit = "limit"
    market = "market"
    stop = "stop"
    stop_limit = "stop-limit"
    take_profit = "take-profit"
    take_profit_limit = "take-profit-limit"
    trailing_stop = "trailing-stop"


class TriggerName(StrEnum):
    last = "last"
    mark = "mark"
    # "index" is a method of every str.
    index_ = "index"


class TimeName(StrEnum):
    gtc = "gtc"
    ioc = "ioc"
    fok = "fok"


@dataclass(frozen=True, slots=True)
class Desk:
    """Who trades, and through which gateway."""

    settings: Any
    email: str
    password: str
    account_id: str

    @property
    def target(self) -> str:
        return str(self.settings.gateway_url).partition("//")[2]

    def credentials(self) -> Credentials:
        """Raises CallerError."""
        return credentials_of(self.settings.state.logins, self.email, self.password)

    def run(self, deed: Coroutine[Any, Any, None]) -> None:
        """Raises Exit with what went wrong."""
        try:
            uvloop.run(deed)
        except grpc.aio.AioRpcError as error:
            raise refusal(explain(error, self.target)) from None
        except CallerError as error:
            raise refusal(str(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


@app.callback()
def choose(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="E-mail address.")] = SEEDED,
    password: Annotated[str, typer.Option(help="Not needed for seeded users.")] = "",
    account: Annotated[str, typer.Option(help="The account; else the user's first demo account.")] = "",
) -> None:
    context.obj = Desk(context.obj, user, password, account)


@app.command()
def place(  # noqa: PLR0913, PLR0917  # an argument a flag
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="The market, as ETH-USD.")],
    side: Annotated[SideName, typer.Option()],
    quantity: Annotated[str, typer.Option(help="How much of the base asset.")],
    type_: Annotated[TypeName, typer.Option("--type")] = TypeName.limit,
    price: Annotated[str, typer.Option(help="The limit price.")] = "",
    stop: Annotated[str, typer.Option(help="The price at which a stop or take-profit order is triggered.")] = "",
    trail: Annotated[str, typer.Option(help="A trailing stop's distance: an amount, or a percentage as 1.5%.")] = "",
    trigger: Annotated[TriggerName, typer.Option(help="Which price triggers it.")] = TriggerName.last,
    take_profit: Annotated[str, typer.Option(help="Take profit of what is filled at this price.")] = "",
    stop_loss: Annotated[str, typer.Option(help="Stop the loss of what is filled at this price.")] = "",
    tif: Annotated[TimeName | None, typer.Option(help="Else gtc, and ioc for market orders.")] = None,
    label: Annotated[str, typer.Option(help="Your own client_order_id.")] = "",
    post_only: Annotated[bool, typer.Option("--post-only", help="Rest or be rejected.")] = False,  # noqa: FBT002
) -> None:
    """Place an order."""
    desk: Desk = context.obj
    default = TimeName.ioc if type_ is TypeName.market else TimeName.gtc
    request = order_service_pb2.PlaceOrderRequest(
        symbol=symbol,
        side=type_pb2.Side.Value(f"SIDE_{side.value.upper()}"),
        type=order_pb2.OrderType.Value(f"ORDER_TYPE_{type_.name.upper()}"),
        time_in_force=order_pb2.TimeInForce.Value(f"TIME_IN_FORCE_{(tif or default).value.upper()}"),
        quantity=quantity,
        price=price,
        client_order_id=label,
        post_only=post_only,
        request_id=str(uuid4()),
        stop_price=stop,
    )
    if type_ not in {TypeName.limit, TypeName.market}:
        request.trigger_source = order_pb2.TriggerSource.Value(f"TRIGGER_SOURCE_{trigger.value.upper()}")
    if trail.endswith("%"):
        request.trailing_percent = trail[:-1]
    else:
        request.trailing_amount = trail
    if take_profit:
        request.take_profit.stop_price = take_profit
    if stop_loss:
        request.stop_loss.stop_price = stop_loss
    desk.run(_place(desk, request))


async def _place(desk: Desk, request: order_service_pb2.PlaceOrderRequest) -> None:
    async with customer(desk.target, desk.credentials(), desk.account_id, desk.settings.trust) as mine:
        request.account_id = mine.account_id
        answer = await mine.orders.PlaceOrder(request, metadata=mine.metadata, timeout=CALL_S)
    if answer.order.status == order_pb2.ORDER_STATUS_REJECTED:
        reason = order_pb2.RejectReason.Name(answer.order.reject_reason).removeprefix("REJECT_REASON_")
        raise CallerError(f"rejected: {reason.lower().replace('_', ' ')} ({reason})")
    console.print(order_table(answer.order, answer.fills))


@app.command()
def cancel(context: typer.Context, order_id: Annotated[str, typer.Argument()]) -> None:
    """Cancel an open order."""
    desk: Desk = context.obj
    desk.run(_cancel(desk, order_id))


async def _cancel(desk: Desk, order_id: str) -> None:
    async with customer(desk.target, desk.credentials(), desk.account_id, desk.settings.trust) as mine:
        request = order_service_pb2.CancelOrderRequest(order_id=order_id, request_id=str(uuid4()))
        answer = await mine.orders.CancelOrder(request, metadata=mine.metadata, timeout=CALL_S)
    console.print(order_table(answer.order, ()))


@app.command()
def orders(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="Only of this market.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Final ones too.")] = False,  # noqa: FBT002
) -> None:
    """List the open orders, newest first."""
    desk: Desk = context.obj
    opened = (
        order_pb2.ORDER_STATUS_PENDING_TRIGGER,
        order_pb2.ORDER_STATUS_OPEN,
        order_pb2.ORDER_STATUS_PARTIALLY_FILLED,
    )
    request = order_service_pb2.ListOrdersRequest(symbol=symbol, status=() if every else opened, page_size=PAGE)
    desk.run(_orders(desk, request))


async def _orders(desk: Desk, request: order_service_pb2.ListOrdersRequest) -> None:
    async with customer(desk.target, desk.credentials(), desk.account_id, desk.settings.trust) as mine:
        request.account_id = mine.account_id
        answer = await mine.orders.ListOrders(request, metadata=mine.metadata, timeout=CALL_S)
    console.print(orders_table(answer.orders) if answer.orders else "no orders")
    if answer.next_page_token:
        console.print(f"only the newest {PAGE} are shown")


@app.command()
def balances(context: typer.Context) -> None:
    """Show what the account has of each asset."""
    desk: Desk = context.obj
    desk.run(_balances(desk))


async def _balances(desk: Desk) -> None:
    async with customer(desk.target, desk.credentials(), desk.account_id, desk.settings.trust) as mine:
        request = account_pb2.ListBalancesRequest(account_id=mine.account_id)
        answer = await mine.accounts.ListBalances(request, metadata=mine.metadata, timeout=CALL_S)
    console.print(f"account {mine.account_id}", highlight=False)
    console.print(balances_table(answer.balances))


@app.command()
def book(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="The market, as ETH-USD.")],
    watching: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,  # noqa: FBT002
    depth: Annotated[int, typer.Option(min=1, max=100, help="Levels of each side.")] = 10,
) -> None:
    """Show a market's book."""
    desk: Desk = context.obj
    desk.run(_watch(desk, symbol, depth) if watching else _book(desk, symbol, depth))


async def _book(desk: Desk, symbol: str, depth: int) -> None:
    async with market_data(desk.target, desk.settings.trust) as stub:
        request = marketdata_pb2.GetOrderBookRequest(symbol=symbol, depth=depth)
        answer = await stub.GetOrderBook(request, timeout=CALL_S)
    console.print(book_table(symbol, answer.bids, answer.asks, depth))


async def _watch(desk: Desk, symbol: str, depth: int) -> None:
    async with market_data(desk.target, desk.settings.trust) as stub:
        await watch(stub, symbol, depth, console)
