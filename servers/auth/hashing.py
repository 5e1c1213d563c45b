"""Hashing in processes of its own: `python -m servers.auth.hashing`, one for each thread that asks.

Linux shares processors between sessions first, and between threads then. A hash in a server's own session is paid for by the
whole venue, however nice its thread is; so it has a session of its own, which counts a third of another. And where others want
the processors too it rests between hashes (`Pace`), so that orders hardly feel a flood of log-ins (docs/decisions/0029). A line
in, base64 of the text and the salt; a line out, the hash, or `!` where the salt is none, and the seconds of rest that follow.
"""

import os
import subprocess
import sys
import threading
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

import bcrypt
import structlog

NICE: Final = 19
# Of the session: with the least share a log-in takes minutes on a machine whose processors are never idle.
SESSION_NICE: Final = 5
AUTOGROUP: Final = Path("/proc/self/autogroup")
# "1": sessions are groups.
GROUPED: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")
# A hash that took so much longer than it worked had to wait for a processor.
CONTESTED: Final = 1.1
# Processor seconds of contested hashes without a rest: ten at bcrypt's cost 12, forty where passwords are right. A new venue
# makes its own four users, and somebody registers two and logs them in, while the rules are compiled beside it.
AT_ONCE_S: Final = 2.0
# Of wrong passwords: two. The rest of it is kept for others, or the first seconds of a flood were felt by every order.
WRONG_AT_ONCE_S: Final = 0.4
# Of a password that is right, as those of a flood hardly are: it counts a quarter.
MATCHED: Final = 0.25
# As long as what bcrypt makes: a salt alone is shorter.
HASH_LENGTH: Final = 60
BAD_SALT: Final = b"!"
STOP_S: Final = 5.0
log = structlog.get_logger()


class Found(Enum):
    """What a hash has told of a password; of a new one nothing."""

    NEW = "new"
    RIGHT = "right"
    WRONG = "wrong"


class Pace:
    """How long a process rests after a hash: of what others want too it takes `share` of a processor in the long run.

    What nobody else wanted costs no rest, a password that was right a quarter. Who comes after wrong ones finds most of what may
    be had at once. `now` in seconds of any clock that goes on.
    """

    __slots__ = ("_left_s", "_share", "_since")

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self._left_s = AT_ONCE_S
        self._since = now

    def rest_s(self, now: float, took_s: float, worked_s: float, found: Found) -> float:
        """Seconds, after a hash that ended now: it took so long, and had a processor for so much of that."""
        self._left_s = min(AT_ONCE_S, self._left_s + (now - self._since) * self._share)
        self._since = now
        if took_s <= worked_s * CONTESTED:
            return 0.0
        self._left_s -= worked_s * MATCHED if found is Found.RIGHT else worked_s
        owed_s = max(0.0, -self._left_s)
        if found is Found.WRONG:
            # What others took before is not for it to pay.
            owed_s = max(owed_s, min(AT_ONCE_S - WRONG_AT_ONCE_S - self._left_s, worked_s))
        return owed_s / self._share


class Hashers:
    """Asked by threads; each has a process, which is started when it is needed, and again where it has ended.

    `share` of a processor is what each takes while others want it too (`Pace`).
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._mine = threading.local()
        self._lock = threading.Lock()
        # The moment until which each rests.
        self._running: dict[subprocess.Popen[bytes], float] = {}

    def hashpw(self, text: bytes, salt: bytes) -> bytes:
        """As bcrypt.hashpw. Raises ValueError: the salt is none; RuntimeError: no process lives long enough."""
        line = b64encode(text) + b" " + salt + b"\n"
        for _ in range(2):
            process = self._process()
            told, _, rest_s = _ask(process, line).partition(b" ")
            if told:
                with self._lock:
                    self._running[process] = time.monotonic() + float(rest_s)
            if told == BAD_SALT:
                raise ValueError("invalid salt")
            if told:
                return told
            log.warning("a hashing process ended", returncode=process.poll())
            self._end(process)
        raise RuntimeError("hashing processes end at once")

    def rest_s(self) -> float:
        """Seconds that who asks now may wait for a process that rests; below 0 where none does."""
        with self._lock:
            return max((until - time.monotonic() for until in self._running.values()), default=0.0)

    def close(self) -> None:
        """End all processes; nobody may be asking."""
        for process in list(self._running):
            self._end(process)

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._mine, "process", None)
        if process is None or process not in self._running:
            command = [sys.executable, "-m", "servers.auth.hashing", str(self._share)]
            process = subprocess.Popen(  # noqa: S603  this program itself
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
            self._mine.process = process
            with self._lock:
                self._running[process] = 0.0
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.pop(process, None)
        process.kill()
        with process:
            process.wait(STOP_S)


def _ask(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Empty where the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(line)
    except BrokenPipeError:
        return b""
    told = process.stdout.readline()
    # One that ends while it writes has told nothing.
    return told.strip() if told.endswith(b"\n") else b""


def step_back() -> None:
    """Come after all others. Elsewhere than on Linux the process is nice, and no more."""
    os.nice(NICE)
    if sys.platform == "linux":
        with suppress(OSError):
            AUTOGROUP.write_text(str(SESSION_NICE))
        if not sessions_are_groups():
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def sessions_are_groups() -> bool:
    """Whether Linux shares processors between sessions first.

    Then SCHED_IDLE does harm: who wakes up takes a processor that only such a process has for an idle one, and waits there until
    the session's turn is over.
    """
    try:
        return GROUPED.read_text().strip() == "1"
    except OSError:
        return False


def main(share: float) -> None:
    """Until nobody asks any more. Who asks while it rests waits."""
    step_back()
    pace = Pace(share, time.monotonic())
    for line in sys.stdin.buffer:
        text, salt = line.split()
        began, worked = time.monotonic(), time.thread_time()
        try:
            told = bcrypt.hashpw(b64decode(text), salt)
        except ValueError:
            told = BAD_SALT
        now = time.monotonic()
        found = Found.RIGHT if told == salt else Found.WRONG if len(salt) == HASH_LENGTH else Found.NEW
        rest_s = pace.rest_s(now, now - began, time.thread_time() - worked, found)
        sys.stdout.buffer.write(b"%s %.3f\n" % (told, rest_s))
        sys.stdout.buffer.flush()
        time.sleep(rest_s)


if __name__ == "__main__":
    main(float(sys.argv[1]))
