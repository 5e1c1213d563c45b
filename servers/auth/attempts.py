"""Slows down guessing: log-ins that did not succeed are counted by account, by network address, and by both together.

They are counted in Redis, for all servers, and in this process too: where Redis is away what this process saw is the limit, so
there always is one. Nobody is locked out for good, and nobody can lock out somebody else: a place that the user was at before
(`db.login_places`) has its own count alone, with a pause that grows to a minute. Unknown addresses of mail are counted like known
ones, so a wait says nothing about them.
"""

import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final

import structlog

from db.guesses import Guesses, GuessesAway, Rule
from servers.transport.refusals import RateLimited

BUCKET: Final = "LOGIN"
# OWASP ASVS 6.3.1 asks for limits against guessing, 6.1.1 that they lock nobody out.
ACCOUNT: Final = Rule(limits=((10, 60.0), (100, 3600.0)), kept_s=3600.0)
ADDRESS: Final = Rule(limits=((100, 60.0), (1000, 3600.0)), kept_s=3600.0)
PAIR: Final = Rule(limits=((30, 900.0),), kept_s=900.0, free=10)
KEYS_MAX: Final = 50_000
AWAY_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    account: Rule = ACCOUNT
    address: Rule = ADDRESS
    pair: Rule = PAIR


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was let in, and what it is counted under; the pair comes last."""

    attempt_id: str
    keys: tuple[str, ...]


class Attempts:
    """Tries that have not succeeded. `secret` hides addresses of mail from whoever reads the keys in Redis."""

    def __init__(
        self,
        guesses: Guesses | None,
        *,
        secret: str,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guesses = guesses
        self._secret = secret.encode()
        self._rules = rules or Rules()
        self._clock = clock
        self._local = LocalWindows(clock)
        self._away_until = float("-inf")

    async def begin(self, account: str, network: str, *, known: bool) -> Attempt:
        """Count a try as wrong before it is checked, or many at once would all be free. Raises RateLimited.

        `known`: the user proved to be at this place before, so the guesses of others do not stand in the way.
        """
        pair = self._key("pair", f"{account}\n{network}")
        keys: tuple[str, ...] = (pair,)
        rules: tuple[Rule, ...] = (self._rules.pair,)
        if not known:
            keys = (self._key("account", account), self._key("address", network), pair)
            rules = (self._rules.account, self._rules.address, self._rules.pair)
        attempt = Attempt(secrets.token_hex(8), keys)
        wait = self._local.begin(keys, rules, attempt.attempt_id)
        if wait == 0.0 and self._asks():
            try:
                wait = await self._guesses.begin(keys, rules, attempt.attempt_id)  # type: ignore[union-attr]
            except GuessesAway as error:
                self._note_away(error)
            if wait > 0.0:
                self._local.take_back(keys, attempt.attempt_id)
        if wait > 0.0:
            raise RateLimited(BUCKET, wait)
        return attempt

    async def succeed(self, attempt: Attempt) -> None:
        """The password was right: the try counts no longer, nor do earlier ones of the same account from the same place."""
        pair = attempt.keys[-1]
        self._local.take_back(attempt.keys, attempt.attempt_id)
        self._local.forget(pair)
        if self._asks():
            try:
                await self._guesses.take_back(attempt.keys, attempt.attempt_id)  # type: ignore[union-attr]
                await self._guesses.forget(pair)  # type: ignore[union-attr]
            except GuessesAway as error:
                self._note_away(error)

    async def undo(self, attempt: Attempt) -> None:
        """The try was not checked after all."""
        self._local.take_back(attempt.keys, attempt.attempt_id)
        if self._asks():
            try:
                await self._guesses.take_back(attempt.keys, attempt.attempt_id)  # type: ignore[union-attr]
            except GuessesAway as error:
                self._note_away(error)

    async def clear(self, account: str) -> None:
        """Forget what was tried at an account, for a person who helps its owner. Raises GuessesAway."""
        key = self._key("account", account)
        self._local.forget(key)
        if self._guesses is not None:
            await self._guesses.forget(key)

    def _key(self, kind: str, value: str) -> str:
        return f"{kind}:{hmac_digest(self._secret, f'{kind}:{value}'.encode(), sha256).hex()[:32]}"

    def _asks(self) -> bool:
        return self._guesses is not None and self._clock() >= self._away_until

    def _note_away(self, error: Exception) -> None:
        self._away_until = self._clock() + AWAY_S
        log.warning("guesses are counted in this process alone", cause=type(error).__name__)


class LocalWindows:
    """The same windows for one process. Bounded: of too many keys the one that was tried longest ago is forgotten."""

    def __init__(self, clock: Callable[[], float], *, keys_max: int = KEYS_MAX) -> None:
        self._clock = clock
        self._keys_max = keys_max
        # key -> (moment, try) of each, the oldest first
        self._tries: OrderedDict[str, list[tuple[float, str]]] = OrderedDict()

    def begin(self, keys: Sequence[str], rules: Sequence[Rule], attempt_id: str) -> float:
        """As `Guesses.begin`."""
        now = self._clock()
        wait = max(self._wait_s(key, rule, now) for key, rule in zip(keys, rules, strict=True))
        if wait > 0.0:
            return wait
        for key in keys:
            self._tries.setdefault(key, []).append((now, attempt_id))
            self._tries.move_to_end(key)
        while len(self._tries) > self._keys_max:
            self._tries.popitem(last=False)
        return 0.0

    def take_back(self, keys: Sequence[str], attempt_id: str) -> None:
        for key in keys:
            self._tries[key] = [made for made in self._tries.get(key, ()) if made[1] != attempt_id]
            if not self._tries[key]:
                del self._tries[key]

    def forget(self, key: str) -> None:
        self._tries.pop(key, None)

    def _wait_s(self, key: str, rule: Rule, now: float) -> float:
        tries = self._tries.get(key)
        if tries is None:
            return 0.0
        tries[:] = [made for made in tries if made[0] > now - rule.kept_s]
        moments = [moment for moment, _ in tries]
        waits = [moments[-count] + within - now for count, within in rule.limits if len(moments) >= count]
        if rule.free is not None and moments and (over := len(moments) - rule.free) >= 0:
            # The exponent is bounded: a float has an end.
            waits.append(moments[-1] + min(rule.last_wait_s, rule.first_wait_s * 2.0 ** min(over, 10)) - now)
        return max(0.0, *waits) if waits else 0.0


def network_of(address: str) -> str:
    """What one customer of a provider has: an IPv4 address, or the /64 that an IPv6 address is in."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
