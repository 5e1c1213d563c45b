"""P6, P8, the replay of P9 and the order of P12: the machine alone, in processes of its own."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from servers import native
from servers.bench import book_peer
from servers.bench.errors import BenchError
from servers.bench.figures import Figure, Measure
from servers.bench.rivals import INSTALL_S, output_of

IN_MEMORY: Final = "servers.bench.in_memory"
PEER: Final = "litebook"
PEER_VERSION: Final = "0.0.1"
RUN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the machines are."""

    operations: int
    orders: int
    markets: int
    accounts: int


FULL: Final = Sizes(200_000, 1_000_000, 1_000, 100_000)
QUICK: Final = Sizes(5_000, 10_000, 20, 200)


async def child(command: list[str]) -> dict[str, Any]:
    """What a process told in JSON. Raises BenchError."""
    code, told = await output_of(command, RUN_S)
    if code:
        raise BenchError(f"{' '.join(command[-3:])} failed: {told[-500:]}")
    found: dict[str, Any] = json.loads(told)
    return found


async def machine(what: str, count: int) -> dict[str, Any]:
    """On the rules that the venue runs here: compiled ones where there are some."""
    return await child([sys.executable, "-m", IN_MEMORY, what, str(count)])


async def source(what: str, count: int) -> dict[str, Any]:
    """On the source of the rules, whatever has been compiled."""
    return await child([sys.executable, "-m", "servers.bench.source", IN_MEMORY, what, str(count)])


async def prepare_peer(folder: Path) -> Path | str:
    """A Python that has the peer, or in a line why there is none."""
    environment = folder / "book-environment"
    code, told = await output_of([sys.executable, "-m", "venv", str(environment)], INSTALL_S)
    if not code:
        program = str(environment / "bin" / "pip")
        code, told = await output_of([program, "install", "-q", f"{PEER}=={PEER_VERSION}"], INSTALL_S)
    if code:
        shutil.rmtree(environment, ignore_errors=True)
        return f"{PEER} {PEER_VERSION} cannot be installed: {told.splitlines()[-1] if told else code}"
    return environment / "bin" / "python"


async def compare_books(python: Path, measure: Measure, count: int) -> None:
    """One round. Raises BenchError where the books did not do the same."""
    ours = await machine("book", count)
    theirs = await child([str(python), str(Path(book_peer.__file__)), str(count)])
    if ours["fills"] != theirs["fills"]:
        raise BenchError(f"the books did not do the same: {ours['fills']} fills, {PEER} {theirs['fills']}")
    measure.add(count / ours["seconds"], count / theirs["seconds"])


async def run(
    sizes: Sizes,
    rounds: int,
    measures: Mapping[str, Measure],
    figures: Mapping[str, Figure],
    peer: Path | None,
    tell: Callable[[str], None],
) -> None:
    """All of it. Raises BenchError."""
    tell("P6, P9a: the machine alone")
    for _ in range(rounds):
        if peer is not None:
            await compare_books(peer, measures["P6a"], sizes.operations)
        figures["P6b"].ours.append((await source("execute", sizes.operations))["rate"])
        if native.compiled():
            figures["P6c"].ours.append((await machine("execute", sizes.operations))["rate"])
        figures["P9a"].ours.append((await machine("replay", sizes.operations))["rate"])
    for number, what, count in (
        ("P8a", "resting", sizes.orders),
        ("P8b", "markets", sizes.markets),
        ("P8c", "accounts", sizes.accounts),
    ):
        tell(f"{number}: {measures[number].what}")
        found = await source(what, count)
        for large, small in found["rates"]:
            measures[number].add(large, small)
        if "bytes" in found:
            figures["P12a"].ours.append(found["bytes"])
