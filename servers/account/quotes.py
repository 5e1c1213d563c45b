"""Quotes as their holders keep them: all that was promised, sealed, so that nothing has to be stored to keep a promise.

A quote is good once because the conversion that it becomes has an id made of it, and the machine takes an id once.
"""

import base64
import binascii
import hashlib
import hmac
import json
import uuid
from dataclasses import asdict, dataclass
from typing import Final

from servers.account.errors import QuoteNotFound

SEAL_BYTES: Final = 16
_SCOPE: Final = b"conversion-quote\n"
_NAMES: Final = uuid.UUID("2f4c4f57-5a6d-4d0e-8a3b-6c2a5b4b5c0e")


@dataclass(frozen=True, slots=True)
class Promise:
    """What a quote says: amounts as decimal text, the time in microseconds since 1970; `made` tells equal ones apart."""

    user_id: str
    account_id: str
    from_asset: str
    from_amount: str
    to_asset: str
    to_amount: str
    expire_time: int
    made: str


class Quotes:
    """Makes and reads ids of quotes with one secret key, the same in every process of the venue."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, promise: Promise) -> str:
        body = json.dumps(list(asdict(promise).values()), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._seal(body) + body).decode().rstrip("=")

    def read(self, quote_id: str) -> Promise:
        """Raises QuoteNotFound."""
        try:
            raw = base64.b64decode(quote_id + "=" * (-len(quote_id) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise QuoteNotFound from None
        seal, body = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(body)):
            raise QuoteNotFound
        return Promise(*json.loads(body))

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _SCOPE + body, hashlib.sha256)[:SEAL_BYTES]


def conversion_id(partition: int, promise: Promise) -> str:
    """The one id of what a quote becomes."""
    drawn = uuid.uuid5(_NAMES, "/".join(str(value) for value in asdict(promise).values()))
    return f"{partition}-{drawn.hex}"
