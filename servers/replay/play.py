"""One run from end to end: survey, log-in, accounts, the flow, the check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg_pool import PoolTimeout
from rich.console import Console

from db import session
from db.session import SERVICES, Pool
from servers.engine.remote import RemoteEngine
from servers.replay import report
from servers.replay.accounts import cancel_left_over, find_market, log_in, open_accounts
from servers.replay.dispatch import Dispatcher
from servers.replay.ledger_check import check_ledger
from servers.replay.patience import query
from servers.replay.run_record import RunRecord
from servers.replay.steps import steps
from servers.replay.survey import Survey, survey
from servers.transport.caller import CallerError, channel_to, reached
from servers.transport.papers import Papers, Trust
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1.order_service_pb2_grpc import OrderServiceStub

SHOW_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play and where. `login_target` is where AuthService answers, `target` where OrderService does."""

    file: Path
    symbol: str
    accounts: int
    limit: int
    speed: float
    resume: bool
    target: str
    login_target: str
    database: str
    internal_key: str
    papers: Papers | None
    # Of the gateway, which every target is that is not given.
    trust: Trust | None
    partition: int
    folder: Path


async def play(plan: Plan, console: Console) -> bool:
    """Whether the ledger check holds.

    Raises FlowInvalid, OSError, CallerError, VenueError, AioRpcError.
    """
    seen = survey(plan.file, plan.limit)
    report.print_survey(console, seen)
    last = RunRecord.find(plan.folder, plan.symbol)
    resumed = resumable(last, plan, seen) if plan.resume else None
    known = plan.trust if plan.target == plan.login_target else plan.papers
    async with channel_to(plan.login_target, plan.trust) as login_channel, channel_to(plan.target, known) as channel:
        stub = OrderServiceStub(channel)
        await reached(channel, plan.target)
        login = await log_in(login_channel, plan.folder / "login.json")
        async with engine_of(plan) as (pool, engine):
            market = await find_market(engine, plan.symbol)
            if resumed is None:
                if last is not None:
                    console.print("cancelling what the last run left in the book", highlight=False)
                    await cancel_left_over(stub, login, last)
                run = RunRecord.begin(plan.folder, plan.symbol, seen.source, plan.accounts)
            else:
                run = resumed
                console.print(f"going on after {run.next:,} of {seen.actions:,} orders and cancels", highlight=False)
            await open_accounts(engine, run.book, market, login.user_id)
            dispatcher = Dispatcher(run, stub, login, plan.target, plan.speed)
            with report.progress(console, seen.actions) as show:
                showing = asyncio.ensure_future(_show(dispatcher, run, show))
                try:
                    await dispatcher.play(steps(seen.play(), run.book))
                finally:
                    showing.cancel()
            check = await check_ledger(pool, engine, run.book)
            answer = await query(engine, pb.QueryRequest(book=pb.BookQuery(symbol=plan.symbol)))
            report.print_outcome(console, run.tally, dispatcher.timing, market, check)
            report.print_book(console, answer.book)
            return check.holds


def resumable(last: RunRecord | None, plan: Plan, seen: Survey) -> RunRecord:
    """Raises CallerError: there is nothing to go on with."""
    if last is None:
        raise CallerError(f"there is no run of {plan.symbol} to resume; leave out --resume")
    if last.source != seen.source:
        raise CallerError(f"the last run of {plan.symbol} was of another file; leave out --resume to begin a new one")
    return last


async def _show(dispatcher: Dispatcher, run: RunRecord, show: report.Show) -> None:
    while True:
        show(run.next, dispatcher.timing.per_s(), dispatcher.is_waiting)
        await asyncio.sleep(SHOW_S)


@asynccontextmanager
async def engine_of(plan: Plan) -> AsyncIterator[tuple[Pool, RemoteEngine]]:
    """The partition's engine, found through the database. Raises CallerError."""
    try:
        pool = await session.open_pool(plan.database, application_name="venue replay", role=SERVICES, size_max=2)
    except PoolTimeout:
        raise CallerError("PostgreSQL does not answer: start the venue with `venue up`") from None
    engine = RemoteEngine(plan.partition, pool, plan.internal_key, plan.papers)
    try:
        yield pool, engine
    finally:
        await engine.close()
        await pool.close()
