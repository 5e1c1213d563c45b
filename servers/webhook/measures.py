"""What is counted of webhooks, for Prometheus."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from servers.webhook.posting import Answer


class WebhookMeasures:
    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.attempts = Counter("venue_webhook_attempts", "Attempts to deliver.", ["outcome"], registry=registry)
        self.seconds = Histogram("venue_webhook_attempt_seconds", "How long attempts took.", registry=registry)
        self.dead = Counter("venue_webhook_dead", "Messages that were given up.", registry=registry)
        self.lanes = Gauge("venue_webhook_lanes", "Endpoints that something is due for.", registry=registry)
        self.works = Gauge("venue_webhook_works", "1 while this process is the one that delivers.", registry=registry)

    def attempted(self, answer: Answer, took_s: float) -> None:
        self.attempts.labels(
            "taken" if answer.is_taken else f"status {answer.status}" if answer.status else "none"
        ).inc()
        self.seconds.observe(took_s)
