"""Page tokens: a cursor, signed together with the list, the filter and the caller it was made for."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence

from servers.transport.refusals import PageTokenInvalid

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500
SEAL_BYTES = 16

Cursor = list[int | str]


def page_size(asked: int) -> int:
    """0 means 50, and more than 500 means 500."""
    return min(asked, PAGE_SIZE_MAX) if asked > 0 else PAGE_SIZE


class PageTokens:
    """Makes and reads tokens with one secret key, the same in every process of the venue."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, scope: Sequence[object], cursor: Cursor) -> str:
        """A token for the next page. `scope`: the list's name, the caller, and every field of the filter."""
        body = json.dumps(cursor, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._seal(scope, body) + body).decode().rstrip("=")

    def read(self, scope: Sequence[object], token: str) -> Cursor | None:
        """The cursor to go on from; None for the first page. Raises PageTokenInvalid."""
        if not token:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise PageTokenInvalid from None
        seal, body = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(scope, body)):
            raise PageTokenInvalid
        cursor: Cursor = json.loads(body)
        return cursor

    def _seal(self, scope: Sequence[object], body: bytes) -> bytes:
        sealed = json.dumps([str(part) for part in scope]).encode() + b"\n" + body
        return hmac.digest(self._key, sealed, hashlib.sha256)[:SEAL_BYTES]
