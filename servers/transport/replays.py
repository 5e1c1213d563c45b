"""Whether a signed call was there before: by its nonce, in Redis for all servers, and in this process too.

Where Redis is away, or was emptied, what this process saw still counts, and a signature is over after seconds.
"""

import time
from collections import OrderedDict
from typing import Final

import structlog

from db.nonces import Nonces, NoncesAway
from servers.transport.refusals import SignatureReplayed
from servers.transport.signatures import REMEMBERED_S

AWAY_S: Final = 1.0
log = structlog.get_logger()


class Replays:
    """`nonces`: None counts in this process alone."""

    def __init__(self, nonces: Nonces | None = None) -> None:
        self._nonces = nonces
        # nonce -> until when, on the clock that only goes forward; the oldest first
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._away_until = 0.0

    async def refuse_second(self, nonce: str) -> None:
        """Raises SignatureReplayed."""
        now = time.monotonic()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        if nonce in self._seen:
            raise SignatureReplayed
        # Before anything is waited for: of two at once one is the second.
        self._seen[nonce] = now + REMEMBERED_S
        if self._nonces is None or now < self._away_until:
            return
        try:
            first = await self._nonces.take(nonce, REMEMBERED_S)
        except NoncesAway as error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("nonces are remembered in this process alone", cause=type(error).__name__)
            return
        if not first:
            raise SignatureReplayed
