"""`venue ledger`: proves the ledger, from the machine that has the state folder."""

import typer
from rich.console import Console
from rich.table import Table

from db import session
from db.session import SERVICES, open_pool
from servers.admin.audit_command import run
from servers.admin.verify_ledger import Verdict, prove_all
from servers.domain.money import format_units
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
    table = Table("partition", "journal rows", "up to", "chain", "balances", "as of", "differing", "assets off zero")
    for each in verdicts:
        chain = f"broken at {each.chain.broken_sequence}" if each.chain.broken_sequence else "good"
        off = [total.asset for total in each.books.totals if total.entries or total.balances]
        numbers = (each.partition, each.chain.rows, each.chain.last_sequence)
        table.add_row(
            *map(str, numbers), chain, str(each.books.balances), str(each.books.sequence),
            str(len(each.books.differing)), " ".join(off),
        )  # fmt: skip
    console.print(table)
    for each in verdicts:
        for one in each.books.differing:
            has, entries = format_units(one.balance, one.scale), format_units(one.entries, one.scale)
            said = f"{one.account_id} has {has} {one.asset}, its entries sum to {entries}"
            console.print(f"partition {each.partition}: {said}", highlight=False)
    if not all(each.holds for each in verdicts):
        raise typer.Exit(1)
