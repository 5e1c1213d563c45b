"""How far a run is, on disk: what it takes to go on after the client or the venue was killed.

It is written only while nothing is under way, so everything before `next` is answered and counted, and sending again what
follows is safe: the ids are the same, and what was executed already answers as it did.
"""

import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from servers.replay.steps import Book
from servers.replay.tally import Tally


@dataclass(slots=True)
class RunRecord:
    """A run: its market, the file it plays (by SHA-256), and the number of the first action that is not answered."""

    path: Path
    run_id: str
    symbol: str
    source: str
    accounts: int
    begun_ms: int
    next: int = 0
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def begin(cls, folder: Path, symbol: str, source: str, accounts: int) -> Self:
        """A new run, in place of the market's last one."""
        run = cls(_path(folder, symbol), uuid.uuid4().hex, symbol, source, accounts, time.time_ns() // 1_000_000)
        run.save()
        return run

    @classmethod
    def find(cls, folder: Path, symbol: str) -> Self | None:
        """The market's last run."""
        path = _path(folder, symbol)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(path, **{**stored, "tally": Tally.from_json(stored["tally"])})

    @property
    def book(self) -> Book:
        return Book(self.run_id, self.symbol, self.accounts, self.begun_ms)

    def save(self) -> None:
        """Whole or not at all."""
        stored = {
            "run_id": self.run_id,
            "symbol": self.symbol,
            "source": self.source,
            "accounts": self.accounts,
            "begun_ms": self.begun_ms,
            "next": self.next,
            "tally": self.tally.to_json(),
        }
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        made.write_text(json.dumps(stored), encoding="utf-8")
        made.replace(self.path)


def _path(folder: Path, symbol: str) -> Path:
    return folder / f"{symbol}.json"
