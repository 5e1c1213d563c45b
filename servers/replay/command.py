"""`venue replay`: recorded order flow through the public API."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import uvloop
from rich.console import Console

from servers.domain.errors import VenueError
from servers.replay.flow import FlowInvalid
from servers.replay.play import Plan, play
from servers.replay.steps import ACCOUNTS_MAX
from servers.transport.caller import CallerError, explain

SYMBOL = "BTC-USD-REPLAY"


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Recorded order flow: .csv or .csv.xz.")],
    market: Annotated[str, typer.Option(help="The demo market to play on.")] = SYMBOL,
    accounts: Annotated[int, typer.Option(min=2, max=ACCOUNTS_MAX, help="How many accounts trade.")] = 40,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many orders and cancels; 0: play all.")] = 0,
    speed: Annotated[str, typer.Option(help="How many times as fast as recorded, or max.")] = "max",
    target: Annotated[str, typer.Option(help="host:port of the orders' gRPC server; the gateway if not given.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the market's last run.")] = False,  # noqa: FBT002
) -> None:
    """Play recorded order flow on a demo market, from many accounts, and check the ledger afterwards.

    Killed half-way, the client or the venue, it goes on with --resume as if nothing had happened.
    """
    settings: Any = context.obj
    gateway = settings.gateway_url.partition("//")[2]
    plan = Plan(
        file=file,
        symbol=market,
        accounts=accounts - accounts % 2,
        limit=limit,
        speed=pace(speed),
        resume=resume,
        target=target or gateway,
        login_target=gateway,
        database=settings.database,
        internal_key=settings.state.secret("internal"),
        papers=settings.papers(),
        trust=settings.trust,
        partition=demo_partition(settings.partitions),
        folder=settings.state.root / "replay",
    )
    console = Console(soft_wrap=False)
    try:
        holds = uvloop.run(play(plan, console))
    except grpc.aio.AioRpcError as error:
        raise refusal(explain(error, plan.target)) from None
    except CallerError as error:
        raise refusal(str(error)) from None
    except FlowInvalid as error:
        raise refusal(f"{file}: {error}") from None
    except OSError as error:
        raise refusal(f"{file}: {error.strerror or error}") from None
    except VenueError as error:
        raise refusal(f"{error.message} ({error.reason})") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise refusal("stopped; go on with --resume") from None
    if not holds:
        raise typer.Exit(1)


def pace(speed: str) -> float:
    """How many times as fast as recorded; 0: as fast as can be. Raises BadParameter."""
    if speed == "max":
        return 0.0
    try:
        times = float(speed)
    except ValueError:
        times = 0.0
    if not 0 < times < 1e6:
        raise typer.BadParameter("give a number above 0, or max", param_hint="--speed")
    return times


def demo_partition(partitions: dict[int, str]) -> int:
    """Raises Exit: nothing here trades with paper funds."""
    for number, environment in partitions.items():
        if environment == "DEMO":
            return number
    raise refusal("this deployment has no demo environment (VENUE_PARTITIONS)")


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)
