"""Answers that are kept for a while: public data that comes from the tables, and nothing else.

An answer is good for its time to live, and only as long as its version is the one asked for: an event that changes the answer
changes its version. For a moment it is good whatever happens: where a market trades a thousand times a second nothing else would
ever be kept, and the tables are as far behind. Who asks for what somebody else is waiting for waits with him (single flight). The
least used go first.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter

AnswerT = TypeVar("AnswerT")
ENTRIES_MAX: Final = 4096
# As long as changes of a book are held back to be told together.
MOMENT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: object
    version: Hashable
    asked: float
    until: float


class CacheMeasures:
    """Reads by cache and outcome: hit, coalesced (somebody else was already asking), miss. Views count as `view`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._reads = Counter(
            "venue_cache_reads", "Reads of public data, by cache and outcome.", ["cache", "outcome"], registry=registry
        )

    def count(self, cache: str, outcome: str) -> None:
        self._reads.labels(cache, outcome).inc()

    def viewed(self) -> None:
        """A read was answered from a view."""
        self._reads.labels("view", "hit").inc()


class ResponseCache:
    """Answers by key."""

    def __init__(
        self, measures: CacheMeasures, *, entries_max: int = ENTRIES_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measures, self._entries_max, self._clock = measures, entries_max, clock
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._asked: dict[tuple[Hashable, Hashable], asyncio.Task[object]] = {}

    async def get(
        self,
        cache: str,
        key: Hashable,
        version: Hashable,
        ttl_s: float,
        make: Callable[[], Coroutine[Any, Any, AnswerT]],
    ) -> AnswerT:
        """The kept answer, or the one that is being made, or a new one. Raises what `make` raises, and keeps nothing then."""
        named = (cache, key)
        kept = self._kept.get(named)
        now = self._clock()
        if kept is not None and now < (kept.until if kept.version == version else kept.asked + MOMENT_S):
            self._kept.move_to_end(named)
            self._measures.count(cache, "hit")
            return cast("AnswerT", kept.answer)
        asking = self._asked.get((named, version))
        self._measures.count(cache, "miss" if asking is None else "coalesced")
        if asking is None:
            asking = asyncio.create_task(self._ask(named, version, now, ttl_s, make))
            self._asked[named, version] = asking
        # Whoever gives up leaves the others what he asked for.
        return cast("AnswerT", await asyncio.shield(asking))

    async def _ask(
        self,
        named: Hashable,
        version: Hashable,
        asked: float,
        ttl_s: float,
        make: Callable[[], Coroutine[Any, Any, object]],
    ) -> object:
        """Its time counts from the question: what happened meanwhile may be missing in the answer."""
        try:
            answer = await make()
        finally:
            del self._asked[named, version]
        self._kept[named] = _Kept(answer, version, asked, asked + ttl_s)
        self._kept.move_to_end(named)
        while len(self._kept) > self._entries_max:
            self._kept.popitem(last=False)
        return answer
