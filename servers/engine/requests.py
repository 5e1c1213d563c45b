"""Request ids before they reach the machine: which of them its memory can judge, and which must be looked up.

A UUIDv7 tells when it was made: one made after everything that was forgotten cannot have been used before it. Any other id is
looked up in the table, once the projector has written everything that the machine may have forgotten.
"""

import re
from typing import Final

from servers.domain.errors import RequestIdFromFuture

SKEW_US: Final = 60_000_000
_UUID7: Final = re.compile(
    r"([0-9a-fA-F]{8})-([0-9a-fA-F]{4})-7[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII
)


def made_us(request_id: str) -> int | None:
    """When a UUIDv7 was made, in microseconds since 1970; None for any other text."""
    # An item of a batch is named after the batch's id.
    request_id = request_id.partition("#")[0]
    if len(request_id) != 36 or request_id[14] != "7":
        return None
    match = _UUID7.fullmatch(request_id)
    return None if match is None else int(match[1] + match[2], 16) * 1000


def check_future(request_id: str, now_us: int) -> None:
    """Raises RequestIdFromFuture."""
    made = made_us(request_id)
    if made is not None and made > now_us + SKEW_US:
        raise RequestIdFromFuture(request_id)


def needs_look_up(request_id: str, forgotten_us: int) -> bool:
    """True if the machine may have used and forgotten this id; `forgotten_us` 0: it has forgotten nothing."""
    if not forgotten_us:
        return False
    made = made_us(request_id)
    return made is None or made <= forgotten_us + SKEW_US
