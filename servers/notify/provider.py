"""A way that mails go, and what is known of how it goes."""

import time
from dataclasses import dataclass
from typing import Final, Protocol

from servers.notify.writing import Mail

# From the third failure in a row on a provider is left alone for 2, 4, 8 ... 300 s, while the next one does its work.
OPENS_AFTER: Final = 3
PAUSE_MAX_S: Final = 300.0


class MailNotTaken(Exception):
    """The mail did not go out. `lasting`: it never will, whoever is asked, as its address is none. `unheard`: it may have gone
    out all the same, as whoever was asked did not say.
    """

    def __init__(self, cause: str, *, lasting: bool = False, unheard: bool = False) -> None:
        super().__init__(cause)
        self.lasting = lasting
        self.unheard = unheard


class Provider(Protocol):
    """A company, a server or a folder that takes mails."""

    @property
    def name(self) -> str: ...

    async def send(self, mail: Mail) -> None:
        """Returns once somebody else is answerable for the mail. Raises MailNotTaken."""


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. Time is in seconds of the monotonic clock."""

    failures: int = 0
    retry_at: float = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self.retry_at

    def failed(self) -> None:
        self.failures += 1
        if self.failures >= OPENS_AFTER:
            self.retry_at = time.monotonic() + min(PAUSE_MAX_S, 2.0 ** min(self.failures - OPENS_AFTER + 1, 16))

    def worked(self) -> None:
        self.failures, self.retry_at = 0, 0.0
