"""Ids of users and sessions: a prefix and a UUIDv7, so that they sort by the time they were given."""

import secrets
import time
from uuid import UUID


def new_id(prefix: str) -> str:
    milliseconds = time.time_ns() // 1_000_000
    drawn = secrets.randbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (drawn >> 62) << 64 | 2 << 62 | drawn & (1 << 62) - 1
    return f"{prefix}-{UUID(int=value)}"
