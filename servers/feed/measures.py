"""What a feed process counts, for Prometheus."""

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from servers.transport.breaker import State

BREAKER: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class FeedMeasures:
    """By source, and by market."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.observations = Counter(
            "venue_feed_observations", "Prices that a source told.", ["source"], registry=registry
        )
        self.faults = Counter("venue_feed_faults", "Failures of a source.", ["source", "cause"], registry=registry)
        self.breaker = Gauge(
            "venue_feed_breaker", "A source's breaker: 0 closed, 1 half-open, 2 open.", ["source"], registry=registry
        )
        self.leads = Gauge("venue_feed_leads", "1 while this process has the lease.", ["lease"], registry=registry)
        self.score = Gauge(
            "venue_feed_score", "How reliable a source was of late, 0 to 1000.", ["source"], registry=registry
        )
        self.age = Gauge(
            "venue_feed_quote_age_seconds", "How old a source's newest price is.", ["source"], registry=registry
        )
        self.used = Gauge(
            "venue_feed_index_sources",
            "How many sources make a market's index price; 0: it has none.",
            ["environment", "symbol"],
            registry=registry,
        )
        self.commands = Counter(
            "venue_feed_commands", "Index prices sent to an engine.", ["environment", "outcome"], registry=registry
        )

        self.ticks_lost = Counter(
            "venue_feed_ticks_lost", "Raw ticks that the database was away for too long for.", registry=registry
        )

    def told(self, source: str, count: int) -> None:
        self.observations.labels(source).inc(count)

    def failed(self, source: str, cause: str) -> None:
        self.faults.labels(source, cause).inc()

    def stands(self, source: str, state: State) -> None:
        self.breaker.labels(source).set(BREAKER[state])
