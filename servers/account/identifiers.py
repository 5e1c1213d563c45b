"""Ids of accounts: the environment, which servers route by, and a UUIDv7."""

import secrets
import time
from typing import Final

from servers.domain.terms import Environment

_PREFIX: Final = {Environment.LIVE: "live", Environment.DEMO: "demo"}
_RANDOM_BITS: Final = 74


def new_account_id(environment: Environment, partition: int = 0) -> str:
    """A new id in an environment; partition 0: in its first one."""
    return account_id(environment, time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS), partition)


def account_id(environment: Environment, made_ms: int, drawn: int, partition: int = 0) -> str:
    """The id of 48 bits of time (milliseconds since 1970) and 74 drawn ones, as RFC 9562 lays them out."""
    value = made_ms << 80 | 7 << 76 | (drawn >> 62) << 64 | 2 << 62 | drawn & (1 << 62) - 1
    return f"{_PREFIX[environment]}-{f'{partition}-' if partition else ''}{value:032x}"
