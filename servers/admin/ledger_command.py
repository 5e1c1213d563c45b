"""`venue ledger`: proves the ledger, from the machine that has the state folder."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from db import session
from db.explained import Explained, explained
from db.session import SERVICES, open_pool
from servers.admin.audit_command import run
from servers.admin.verify_ledger import Verdict, prove_all
from servers.domain.money import format_units
from servers.domain.terms import EntryKind
from servers.transport.auditing import operator

app = typer.Typer(help="Prove the ledger.", no_args_is_help=True)
console = Console()
NAME = "venue ledger"


@app.callback()
def commands() -> None:
    """Prove the ledger."""


@app.command()
def verify(context: typer.Context) -> None:
    """Prove chain, double entry and balances of every partition. Ends with 1 where something differs, and names it."""
    settings = context.obj

    async def proved() -> list[Verdict]:
        engine = session.engine(settings.database, application_name=NAME, role=SERVICES)
        pool = await open_pool(settings.database, application_name=NAME, role=SERVICES)
        try:
            return await prove_all(pool, engine, sorted(settings.partitions), operator())
        finally:
            await pool.close()
            await engine.dispose()

    verdicts = run(proved)
    table = Table(
        "partition", "journal rows", "up to", "chain", "balances", "as of", "differing", "holds off", "assets off zero"
    )
    for each in verdicts:
        chain = f"broken at {each.chain.broken_sequence}" if each.chain.broken_sequence else "good"
        off = [total.asset for total in each.books.totals if total.entries or total.balances]
        numbers = (each.partition, each.chain.rows, each.chain.last_sequence)
        table.add_row(
            *map(str, numbers), chain, str(each.books.balances), str(each.books.sequence),
            str(len(each.books.differing)), str(len(each.books.holding)), " ".join(off),
        )  # fmt: skip
    console.print(table)
    for each in verdicts:
        for one in each.books.differing:
            has, entries = format_units(one.balance, one.scale), format_units(one.entries, one.scale)
            said = f"{one.account_id} has {has} {one.asset}, its entries sum to {entries}"
            console.print(f"partition {each.partition}: {said}", highlight=False)
        for hold in each.books.holding:
            held, orders, transfers = (
                format_units(units, hold.scale) for units in (hold.held, hold.orders, hold.transfers)
            )
            said = (
                f"{hold.account_id} holds {held} {hold.asset}, its orders {orders}, its pending transfers {transfers}"
            )
            console.print(f"partition {each.partition}: {said}", highlight=False)
    if not all(each.holds for each in verdicts):
        raise typer.Exit(1)


@app.command()
def explain(
    context: typer.Context,
    account_id: Annotated[str, typer.Argument(help="The account.")],
    asset: Annotated[str, typer.Argument(help="The asset's symbol.")],
    limit: Annotated[int, typer.Option(min=1, help="How many entries at most, the newest first.")] = 50,
) -> None:
    """Say what a balance is made of: its entries, what was there after each, and what caused it."""
    settings = context.obj

    async def told() -> list[Explained]:
        pool = await open_pool(settings.database, application_name=NAME, role=SERVICES)
        try:
            async with pool.connection() as connection:
                return await explained(connection, account_id, asset, limit)
        finally:
            await pool.close()

    found = run(told)
    if not found:
        console.print(f"no entries of {asset} in {account_id}", highlight=False, markup=False)
        raise typer.Exit(1)
    table = Table("time", "kind", "amount", "total after it", "because of", "entry")
    for each in found:
        amount, total = (format_units(units, each.scale) for units in (each.entry.amount, each.total))
        place = f"{each.entry.sequence}-{each.entry.n}"
        moment = datetime.fromtimestamp(each.entry.time / 1e6, UTC).isoformat(sep=" ", timespec="milliseconds")
        table.add_row(moment, EntryKind(each.entry.kind).name, amount, total, each.because, place)
    console.print(table)
