"""What a person sees of a venue that should be running: whether each process answers, and what is halted."""

import time
from collections.abc import Callable, Mapping

import psycopg
from rich.console import Console
from rich.table import Table

from db.halted import reasons
from servers.embedded import processes
from servers.embedded.state import State

# Of each process its port, and whether it answers.
Asked = Mapping[str, tuple[int | None, Callable[[], bool]]]


def show(console: Console, state: State, asked: Asked, database: str) -> bool:
    """Print it. Returns whether all is well."""
    table = Table("process", "pid", "up", "port", "health")
    good = True
    for name, (port, answers) in asked.items():
        known = processes.alive(state, name)
        answering = known is not None and answers()
        good = good and answering
        pid, age = (str(known[0]), age_text(time.time() - known[1])) if known else ("-", "-")
        table.add_row(name, pid, age, str(port or "-"), "[green]ok[/green]" if answering else "[red]down[/red]")
    console.print(table)
    halts = halted(database)
    for line in halts:
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    return good and not halts


def halted(database: str) -> list[str]:
    """A line for each halted partition, or one where that is not known."""
    try:
        return [f"partition {partition} is halted: {reason}" for partition, reason in reasons(database).items()]
    except psycopg.Error as error:
        return [f"whether a partition is halted is not known: {str(error).splitlines()[0]}"]


def age_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
