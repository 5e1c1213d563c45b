"""UUIDv7 (RFC 9562): what makes a mutation safe to repeat, and tells the venue when it was made."""

import secrets
import time
import uuid


def request_id(now_ms: int | None = None) -> str:
    """A new id: 48 bits of milliseconds since 1970, then chance."""
    at = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    bits = (at & (1 << 48) - 1) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=bits))
