"""Where the engine meets the outside: its database, bus, clocks and dice, in the hands of a simulation while it runs."""

import asyncio
import gc
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from db import journal, partitions, projecting, projections, requests, session, snapshot, streams, transfers
from tests.simulation.bus import Bus
from tests.simulation.database import Database
from tests.simulation.loop import PROCESS

START_US: Final = 1_700_000_000_000_000
OF_DATABASE: Final[tuple[tuple[ModuleType, tuple[str, ...]], ...]] = (
    (session, ("connect",)),
    (partitions, ("ensure_partitions",)),
    (
        journal,
        (
            "append",
            "read_row",
            "read_after",
            "ensure_partition",
            "find_partition",
            "take_over",
            "renew",
            "release",
            "halt",
        ),
    ),
    (projections, ("find_projection",)),
    (projecting, ("open_projection", "write_cut")),
    (snapshot, ("load_snapshot",)),
    (requests, ("find_request",)),
    (transfers, ("find_transfer",)),
)
OF_BUS: Final = ("find_published", "last_market_ids", "publish")


class Clocks:
    """The module `time` as a simulated process sees it: its monotonic clock and its own wall clock."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    @staticmethod
    def monotonic_ns() -> int:
        return round(asyncio.get_running_loop().time() * 1_000_000) * 1000

    @staticmethod
    def thread_time() -> float:
        """A second of work and one of leisure in turn: rows wait for callers in one, and for nobody in the other."""
        rounds, moment = divmod(asyncio.get_running_loop().time(), 2.0)
        return rounds + min(moment, 1.0)

    def time_ns(self) -> int:
        process = PROCESS.get()
        return self.monotonic_ns() + (START_US + (process.wall_offset_us if process is not None else 0)) * 1000


class Collector:
    """The module `gc`: what a simulated process does with its memory is not to be felt by the whole simulation."""

    def freeze(self) -> None:
        """Nothing."""

    unfreeze = disable = enable = freeze


class Alarms:
    """A log that keeps what must not be said: faults of the rules, partitions that stop."""

    EXPECTED: Final = frozenset({"the wall clock jumped; timers are suspended"})

    def __init__(self) -> None:
        self.raised: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        """Of no interest."""

    debug = warning = error = info

    def critical(self, event: str, **fields: Any) -> None:
        if event not in self.EXPECTED:
            self.raised.append(f"{event}: {fields}")

    def exception(self, event: str, **fields: Any) -> None:
        self.raised.append(f"{event}: {fields}: {sys.exc_info()[1]!r}")


@contextmanager
def standing_in(database: Database, bus: Bus, dice: random.Random, alarms: Alarms) -> Iterator[None]:
    """Put the simulation's parties in place of the real ones, wherever the engine has them by name."""
    replaced: dict[int, tuple[object, object]] = {}
    for module, names in OF_DATABASE:
        for name in names:
            original = getattr(module, name)
            replaced[id(original)] = (original, getattr(database, name))
    for name in OF_BUS:
        original = getattr(streams, name)
        replaced[id(original)] = (original, getattr(bus, name))
    replaced[id(streams.open_bus)] = (streams.open_bus, lambda _: bus)
    replaced[id(time)] = (time, Clocks())
    replaced[id(random)] = (random, dice)
    replaced[id(gc)] = (gc, Collector())
    replaced |= {id(log): (log, alarms) for log in _logs()}
    undo: list[tuple[ModuleType, str, object]] = []
    for module in _modules():
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                undo.append((module, name, value))
                setattr(module, name, replaced[id(value)][1])
    try:
        yield
    finally:
        for module, name, value in undo:
            setattr(module, name, value)


def _modules() -> list[ModuleType]:
    """The modules whose names are looked at: the engine's and the database's."""
    return [module for name, module in sys.modules.items() if name.startswith(("servers.engine.", "db."))]


def _logs() -> list[object]:
    return [vars(module)["log"] for module in _modules() if "log" in vars(module)]
