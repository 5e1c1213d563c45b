"""How busy the thread is that a partition's whole order path runs on."""

import time
from typing import Final

# Looked at no more often than so: a shorter time says little.
WINDOW_S: Final = 0.05


class Effort:
    """The share of its time that the calling thread has worked of late, 0 to 1."""

    __slots__ = ("_share", "_since", "_used")

    def __init__(self) -> None:
        self._share = 0.0
        self._since, self._used = time.monotonic(), time.thread_time()

    def look(self) -> float:
        """The share since it was last looked at, or the one before where that was a moment ago."""
        now = time.monotonic()
        if now - self._since >= WINDOW_S:
            used = time.thread_time()
            self._share = (used - self._used) / (now - self._since)
            self._since, self._used = now, used
        return self._share
