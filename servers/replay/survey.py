"""A first look through a file, before the first order is sent: it is whole and well formed, or the first bad line is named."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path

from servers.replay.flow import Action, Count, read_flow


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file has. `actions` are those that will be played."""

    path: Path
    source: str
    count: Count
    actions: int
    limit: int

    def play(self) -> Iterator[Action]:
        """The actions, at most `limit` of them where it is not 0."""
        return islice(read_flow(self.path, Count()), self.limit or None)


def survey(path: Path, limit: int) -> Survey:
    """Raises FlowInvalid, OSError."""
    count = Count()
    with path.open("rb") as file:
        source = file_digest(file, "sha256").hexdigest()
    actions = sum(1 for _ in read_flow(path, count))
    return Survey(path, source, count, min(actions, limit or actions), limit)
