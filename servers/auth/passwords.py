"""Passwords: how strong one is, its hash, and whether it matches.

bcrypt reads 72 bytes and stops at NUL, so it is given base64(HMAC-SHA-256(pepper, NFC(password))), 44 bytes that depend on
every byte of the password. A stored hash is the scheme's name, a colon, and bcrypt's text; without a scheme it is bcrypt of the
password itself, as other systems store it. A log-in replaces what is not of today's scheme and cost.
"""

import asyncio
import threading
import time
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final, TypeVar

import bcrypt
from zxcvbn import zxcvbn  # type: ignore[import-untyped]
from zxcvbn.matching import RANKED_DICTIONARIES  # type: ignore[import-untyped]

from servers.auth.errors import PasswordTooWeak
from servers.auth.hashing import Hashers
from servers.domain.errors import Overloaded

SCHEME: Final = "p1"
SCORE_MIN: Final = 2
BCRYPT_BYTES: Final = 72
NICE: Final = 19
# The estimate's time grows steeply with the length (2 s for 72 characters made for it, 0.2 s for 24: as long as one hash), and
# what the beginning is worth the whole is worth.
ESTIMATED_MAX: Final = 24
RETRY_AFTER_S: Final = 1.0
# Nobody is let in to wait longer: the gateway ends a call after five seconds.
WAIT_MAX_S: Final = 4.0
# The weight of the newest in how long jobs take.
NEWEST: Final = 0.5
ADVICE: Final = "is too easy to guess: use several uncommon words, not your name or address"
_ESTIMATE: Final = threading.Lock()

T = TypeVar("T")


class Passwords:
    """Hashes and checks in threads of its own (bcrypt lets go of the interpreter), with a bound on those that wait.

    `share`: each of the threads has a process that hashes and stands back for everybody, as a server's log-ins should, and takes
    so much of a processor while others want it too; None: the threads hash themselves.
    """

    def __init__(
        self, *, pepper: str, cost: int, workers: int, queue_max: int = 32, share: float | None = None
    ) -> None:
        self._pepper = pepper.encode()
        self._cost = cost
        # Well-formed and matched by nothing: what an unknown user's password is checked against.
        self._nobody = bcrypt.gensalt(cost) + b"." * 31
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._hashers = None if share is None else Hashers(share)
        self._hashpw = bcrypt.hashpw if self._hashers is None else self._hashers.hashpw
        # In Python, so it holds the interpreter that answers calls: it must not be one that waits for a processor meanwhile.
        self._estimates = ThreadPoolExecutor(1, thread_name_prefix="estimates")
        self._workers = workers
        self._jobs_max = workers + queue_max
        self._jobs = 0
        # How long a hash takes of late, the rest before it included.
        self._each_s = 0.0
        self._counting = threading.Lock()

    def check_room(self) -> None:
        """Raises Overloaded where another job would not be taken. Asked before anything that costs more than asking."""
        wait_s = self._wait_s()
        if self._jobs >= self._jobs_max or wait_s > WAIT_MAX_S:
            raise Overloaded(max(RETRY_AFTER_S, wait_s - WAIT_MAX_S))

    def _wait_s(self) -> float:
        """Seconds that one more would wait, as far as can be told."""
        if self._jobs >= self._workers:
            return self._jobs * self._each_s / self._workers
        return 0.0 if self._hashers is None else self._hashers.rest_s()

    async def refuse_weak(self, password: str, context: Sequence[str], *, field: str = "password") -> None:
        """Raises PasswordTooWeak, naming `field`, where it is a common one or can be guessed, knowing the words of `context`."""
        if is_often_chosen(password) or await self._run(score, password, context) < SCORE_MIN:
            raise PasswordTooWeak(field, ADVICE)

    async def hash(self, password: str) -> str:
        """What is stored. Raises Overloaded."""
        hashed = await self._run(self._hashpw, self._prepared(password), bcrypt.gensalt(self._cost))
        return f"{SCHEME}:{hashed.decode()}"

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether `stored` is of this password; takes as long for None, and says no. Raises Overloaded."""
        scheme, _, text = (stored or "").rpartition(":")
        prepared = self._prepared(password) if stored is None or scheme == SCHEME else _bare(password)
        hashed = self._nobody if stored is None else text.encode()
        same = compare_digest(await self._run(self._hashpw, prepared, hashed), hashed)
        return same and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made by another scheme, or at a lower cost, than is used now."""
        return not stored.startswith(f"{SCHEME}:") or int(stored.split("$")[2]) < self._cost

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._hashers is not None:
            self._hashers.close()
        self._estimates.shutdown(cancel_futures=True)

    def _prepared(self, password: str) -> bytes:
        return b64encode(hmac_digest(self._pepper, unicodedata.normalize("NFC", password).encode(), sha256))

    async def _run(self, deed: Callable[..., T], *arguments: object) -> T:
        self.check_room()
        with self._counting:
            self._jobs += 1
        pool = self._estimates if deed is score else self._pool
        job: Future[T] = pool.submit(self._timed, deed, *arguments)
        # At the end of the job, not of the call: a call that was given up may leave a hash under way.
        job.add_done_callback(self._leave)
        return await asyncio.wrap_future(job)

    def _timed(self, deed: Callable[..., T], *arguments: object) -> T:
        began = time.monotonic()
        try:
            return deed(*arguments)
        finally:
            if deed is not score:
                with self._counting:
                    self._each_s += NEWEST * (time.monotonic() - began - self._each_s)

    def _leave(self, _: object) -> None:
        with self._counting:
            self._jobs -= 1


def words_of(email: str, display_name: str) -> list[str]:
    """What somebody who guesses at this user's password tries first."""
    return ["venue", email, *email.split("@"), display_name, *display_name.split()]


def is_often_chosen(password: str) -> bool:
    """Whether it is one of the 30,000 passwords that are chosen most, in whatever letter case."""
    return password.casefold() in RANKED_DICTIONARIES["passwords"]


def _bare(password: str) -> bytes:
    return password.encode()[:BCRYPT_BYTES]


def score(password: str, context: Sequence[str]) -> int:
    """How hard to guess, from 0 to 4."""
    words = [word[:ESTIMATED_MAX] for word in context if word]
    # It keeps the words of a call in a dictionary of the module.
    with _ESTIMATE:
        return int(zxcvbn(unicodedata.normalize("NFC", password)[:ESTIMATED_MAX], user_inputs=words)["score"])
