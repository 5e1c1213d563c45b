"""What every source of prices offers, and what it tells."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Observation:
    """A price of a pair (BASE-QUOTE) in atto, and how old it was when it arrived, in seconds."""

    pair: str
    price: int
    age_s: float = 0.0


class Source(Protocol):
    """A source. `stale_s`: how old its prices may get before they say nothing any more."""

    @property
    def name(self) -> str: ...

    @property
    def stale_s(self) -> float: ...

    def read(self) -> AsyncGenerator[list[Observation], None]:
        """What it tells, for as long as it works. Raises SourceFault; ends never by itself."""
        ...
