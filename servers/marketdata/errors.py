"""What the market data room refuses."""

from servers.domain.errors import NotFound, OverLimit


class StreamNotFound(NotFound):
    """No stream has the id: it ended, or never was."""

    reason = "STREAM_NOT_FOUND"

    def __init__(self, stream_id: str) -> None:
        super().__init__("no such stream", stream_id=stream_id)


class TooManySubscriptions(OverLimit):
    """A stream would have more subscriptions than it may."""

    reason = "TOO_MANY_SUBSCRIPTIONS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a stream has at most {limit} subscriptions", 1.0, limit=str(limit))
