"""When a message is attempted again (Standard Webhooks 1.0, "Deliverability and reliability"). Pure: randomness and time are
arguments.
"""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_HOUR: Final = 3600.0
# What lies before the first, the second, ... attempt: 75 h 35 min in all.
SCHEDULE_S: Final = (
    0.0, 5.0, 300.0, 1800.0, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
ATTEMPTS_MAX: Final = len(SCHEDULE_S)
# No message is tried for longer, however long it waited behind others: the schedule, each pause of it the longest, and what
# `Retry-After` may add to it once.
LIFE_S: Final = 110 * _HOUR
# Many that failed together do not come together again.
JITTER: Final = 0.1
# Whoever asks us to stay away longer is asked again after a day all the same.
RETRY_AFTER_MAX_S: Final = 24 * _HOUR


def wait_s(attempts: int, retry_after_s: float, source: random.Random) -> float | None:
    """How long to wait after so many attempts, all of which failed; None: that was the last one."""
    if attempts >= ATTEMPTS_MAX:
        return None
    planned = SCHEDULE_S[attempts] * source.uniform(1 - JITTER, 1 + JITTER)
    return max(planned, min(retry_after_s, RETRY_AFTER_MAX_S))


def retry_after_s(header: str | None, now: datetime) -> float:
    """What a Retry-After header asks for: seconds, or a date (RFC 9110, 10.2.3); 0 where it says nothing that can be read."""
    if not header:
        return 0.0
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        at = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
