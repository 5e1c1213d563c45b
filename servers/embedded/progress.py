"""What a person sees while a venue starts: each step with the time it took, then where everything is."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from servers.embedded.plan import Embedding


@contextmanager
def step(console: Console, label: str) -> Iterator[None]:
    """Show the label with running time while the body runs, and the time it took afterwards."""
    begun = time.monotonic()
    columns = (TextColumn(" "), SpinnerColumn("line"), TextColumn("{task.description}"), TimeElapsedColumn())
    outcome = "[red]failed[/red]"
    # Where nobody looks, a spinner is only noise in a file.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(label)
        try:
            yield
            outcome = "[green]ok[/green]    "
        finally:
            took_s = time.monotonic() - begun
            console.print(f"  {outcome}  {label}  [dim]{took_s:.1f} s[/dim]", highlight=False)


def banner(console: Console, embedding: Embedding) -> None:
    """Addresses, logins, where the state lies, and how to end it."""
    url = embedding.gateway_url
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    rows.add_row("browser", f"{url}  (administration: {embedding.admin_url})")
    rows.add_row("REST", f"{url}/v1")
    rows.add_row(
        "gRPC", f"{url.partition('//')[2]}  ({'TLS 1.3' if embedding.trust else 'plaintext'}; reflection is on)"
    )
    rows.add_row("gRPC-web", url)
    rows.add_row("admin", f"{embedding.admin_url}/v1/admin  (REST, gRPC and gRPC-web, from this machine alone)")
    rows.add_row("health", f"{url}/healthz")
    if embedding.trust is not None:
        rows.add_row("trust", f"{embedding.trust.chain}")
    for name, at in embedding.processes.items():
        rows.add_row(
            "metrics" if name == next(iter(embedding.processes)) else "", metrics(embedding, name, at.metrics_port)
        )
    for email, password in logins(embedding):
        rows.add_row("login", f"{email}  {password}")
    rows.add_row("state", f"{embedding.state.root}  (stays when the venue stops)")
    rows.add_row("logs", f"{embedding.state.root / 'log'}")
    rows.add_row("stop", "Ctrl-C, or `make down` from anywhere in this checkout")
    rows.add_row("wipe", "`make reset` deletes the state, once stopped")
    console.print()
    console.print(rows, highlight=False)
    console.print()


def metrics(embedding: Embedding, name: str, port: int) -> str:
    return f"http://{embedding.host}:{port}/metrics  ({name})"


def logins(embedding: Embedding) -> list[tuple[str, str]]:
    """E-mail and password of each seeded user; nothing where they were not seeded here."""
    try:
        found = json.loads(embedding.state.logins.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    entries = found.items() if isinstance(found, dict) else ((entry["email"], entry["password"]) for entry in found)
    return [(str(email), str(password)) for email, password in entries]
