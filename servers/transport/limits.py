"""How much a caller may ask for: rates by bucket and caller, calls in flight, open streams."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import NamedTuple

from servers.domain.errors import Overloaded
from servers.transport.refusals import RateLimited
from servers.transport.sharing import Shares, Store
from venue.option.v1 import access_pb2

CALLERS_MAX = 100_000
ROUNDING_S = 1e-9
ADDRESS = "ADDRESS"


class Rate(NamedTuple):
    """Calls a second in the long run, and how many may come at once."""

    per_s: float
    burst: float


# Of a deployment for one machine: far above what honest clients need, so that only runaways meet them.
GENEROUS: Mapping[int, Rate] = {
    access_pb2.BUCKET_PUBLIC: Rate(2_000, 4_000),
    access_pb2.BUCKET_LOGIN: Rate(20, 200),
    access_pb2.BUCKET_READ: Rate(2_000, 4_000),
    access_pb2.BUCKET_ORDER: Rate(100_000, 200_000),
    access_pb2.BUCKET_CANCEL: Rate(100_000, 200_000),
    access_pb2.BUCKET_STREAM: Rate(200, 2_000),
    # People at a desk, and what one of them does all day: 30 a minute.
    access_pb2.BUCKET_ADMIN: Rate(0.5, 30),
}


class Use(NamedTuple):
    """What is left of a limit: `limit` at once, `remaining` of them now, all of them again in `reset_s`; a whole limit comes back
    in `window_s`.
    """

    limit: int
    remaining: int
    reset_s: float
    window_s: float


class Bucket:
    """One rate, counted for each caller apart.

    Of a caller only the moment is kept at which its account would be full again (the generic cell rate algorithm). With a `store`
    all servers that have it count together.
    """

    def __init__(self, name: str, rate: Rate, store: Store | None = None) -> None:
        self.name = name
        self._interval_s = 1.0 / rate.per_s
        self._burst_s = rate.burst / rate.per_s
        self._full_at: dict[str, float] = {}
        self._shares = None if store is None else Shares(store, name, self._interval_s, self._burst_s, CALLERS_MAX)

    async def count(self, caller: str, count: int = 1) -> None:
        """Take calls of what this server has for the caller, and of what all have. Raises RateLimited."""
        self.take(caller, count)
        if self._shares is not None and (wait_s := await self._shares.take(caller, count)):
            self._full_at[caller] -= count * self._interval_s
            raise RateLimited(self.name, wait_s)

    async def look(self, caller: str) -> Use:
        """As `use`, others asked."""
        if self._shares is not None:
            await self._shares.look(caller)
        return self.use(caller)

    def take(self, caller: str, count: int = 1) -> None:
        """Raises RateLimited. More than a whole burst is let through to a caller who has been quiet."""
        now = time.monotonic()
        full_at = self._full_at.get(caller, now)
        if full_at <= now:
            if len(self._full_at) >= CALLERS_MAX:
                self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}
            self._full_at[caller] = now + count * self._interval_s
            return
        after = full_at + count * self._interval_s
        if after - now > self._burst_s + ROUNDING_S:
            raise RateLimited(self.name, after - now - self._burst_s)
        self._full_at[caller] = after

    def use(self, caller: str) -> Use:
        """What is left for a caller; asking takes nothing."""
        reset_s = max(0.0, self._full_at.get(caller, 0.0) - time.monotonic())
        if self._shares is not None:
            reset_s = max(reset_s, self._shares.reset_s(caller))
        used = ceil(reset_s / self._interval_s - ROUNDING_S)
        limit = round(self._burst_s / self._interval_s)
        return Use(limit, max(0, limit - used), reset_s, self._burst_s)


class Limits:
    """All limits of one process. Calls in flight and streams are counted here too, of this process alone."""

    def __init__(
        self,
        rates: Mapping[int, Rate] = GENEROUS,
        *,
        anonymous: Rate | None = None,
        store: Store | None = None,
        in_flight_max: int = 2_000,
        streams_max: int = 2_000,
    ) -> None:
        names = access_pb2.Bucket.DESCRIPTOR.values_by_number
        self._buckets = {
            number: Bucket(names[number].name.removeprefix("BUCKET_"), rate, store) for number, rate in rates.items()
        }
        # Calls of one address without a credential, whatever they ask for; the gateway counts them too, each gateway by itself.
        self.anonymous = None if anonymous is None else Bucket(ADDRESS, anonymous, store)
        self._in_flight_max = in_flight_max
        self._streams_max = streams_max
        self._streams: defaultdict[str, int] = defaultdict(int)
        self.in_flight = 0
        # What is counted by account: given a user and an account (empty: all), account and use of each.
        self.of_accounts: Callable[[str, str], Iterable[tuple[int, str, Use]]] = lambda _user_id, _account_id: ()

    def uses(self) -> Iterable[tuple[int, Bucket]]:
        """Every limit by its number in the contract."""
        return self._buckets.items()

    def bucket(self, number: int) -> Bucket | None:
        """None where nothing is counted."""
        return self._buckets.get(number)

    def check_in_flight(self) -> None:
        """Raises Overloaded."""
        if self.in_flight >= self._in_flight_max:
            raise Overloaded

    def open_stream(self, caller: str) -> None:
        """Counts a stream of the caller; `close_stream` gives it back. Raises RateLimited."""
        if self._streams[caller] >= self._streams_max:
            raise RateLimited("STREAM", 1.0)
        self._streams[caller] += 1

    def close_stream(self, caller: str) -> None:
        self._streams[caller] -= 1
        if not self._streams[caller]:
            del self._streams[caller]
