"""The `venue` command as a person types it, each time in a process of its own: a copy of one that has loaded its code.

Loading takes a command a second, and tests type a hundred. What a command line is without that is seen where tests start
`python -m servers.cli` itself.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unittest import mock

from servers import cli

ROOT: Final = Path(__file__).resolve().parents[2]
# Of the tables that are printed: what loads the code looks once how wide they may be.
COLUMNS: Final = "200"
LOADED: Final = [__name__, *cli.ROOMS.values(), "servers.admin.markets"]
CALL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Done:
    """What a command that has ended left."""

    returncode: int
    stdout: str
    stderr: str


def run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Done:
    """Raises AssertionError where it takes too long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with TemporaryDirectory() as folder:
        printed, complained = Path(folder, "stdout"), Path(folder, "stderr")
        process = context.Process(target=typed, args=(arguments, dict(environment), str(printed), str(complained)))
        with mock.patch.dict(os.environ, {"COLUMNS": COLUMNS}):
            process.start()
        process.join(CALL_S)
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"venue {' '.join(arguments)} does not end")
        return Done(process.exitcode, printed.read_text(), complained.read_text())


def typed(arguments: tuple[str, ...], environment: Mapping[str, str], *outputs: str) -> None:
    """In the copy: be the command."""
    for number, path in enumerate(outputs, 1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["venue", *arguments]
    cli.main()
