"""The wiring diagram: a file a process, which says what servers run in it and what each is given.

A process imports its own file alone: what it does not serve costs it nothing at the start.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, cast

from servers.wiring.parts import Builder, Process

NAMES: Final = ("order", "replica", "marketdata", "api", "bot", "feed", "notify")


def _of(name: str) -> Builder:
    def build(process: Process) -> AbstractAsyncContextManager[None]:
        module = importlib.import_module(f"servers.wiring.{name}")
        return cast("Builder", module.build)(process)

    return build


def load() -> None:
    """Import what every process serves: for one that others are copied from."""
    for name in NAMES:
        importlib.import_module(f"servers.wiring.{name}")


BUILDERS: Final[Mapping[str, Builder]] = {name: _of(name) for name in NAMES}
