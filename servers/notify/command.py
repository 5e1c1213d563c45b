"""`venue mail`: letters as they would be sent."""

from typing import Annotated

import typer
from rich.console import Console

from servers.domain.letters import Template
from servers.notify.writing import SAMPLES, write

app = typer.Typer(help="Look at the letters that the venue writes.", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)


@app.callback()
def mail() -> None:
    """Look at the letters that the venue writes."""


@app.command()
def preview(
    template: Annotated[Template | None, typer.Argument(help="Which one; without it their names are listed.")] = None,
    *,
    html: Annotated[bool, typer.Option("--html", help="The HTML form in place of the plain one.")] = False,
) -> None:
    """Show a letter with made-up values in it."""
    if template is None:
        for each in Template:
            console.print(each.value, markup=False)
        return
    written = write("somebody@example.com", template, SAMPLES)
    if html:
        console.print(written.html, markup=False, end="")
    else:
        console.print(f"Subject: {written.subject}\n\n{written.text}", markup=False, end="")
