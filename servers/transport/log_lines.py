"""Where log lines go: a descriptor that may refuse them, without whoever writes a line learning of it.

Nothing of a venue depends on its logs: on a full disk, or into a pipe that nobody reads any more, a line is dropped and
counted, and what comes next begins with how many were lost.
"""

import io
import os
import threading
from collections.abc import Callable


class LogLines(io.TextIOBase):
    """Text onto a descriptor, unbuffered; `write` never raises OSError. `told` makes the line that tells how many were lost."""

    def __init__(self, descriptor: int, told: Callable[[int], str]) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._told = told
        self._torn = False
        # A process logs from more than one thread.
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """All of it, or it counts as lost."""
        with self._lock:
            before = ("\n" if self._torn else "") + (self._told(self.lost) if self.lost else "")
            self._write((before + text).encode(errors="backslashreplace"))
        return len(text)

    def _write(self, line: bytes) -> None:
        done = 0
        try:
            while done < len(line):
                done += os.write(self._descriptor, line[done:])
        except OSError:
            self.lost += 1
            # The last block of a full disk takes a part of a line; what follows it begins a line of its own.
            self._torn = line[done - 1 : done] != b"\n" if done else self._torn
        else:
            self.lost, self._torn = 0, False
