"""What may go wrong with a source, as one exception with a cause that metrics and people can read."""

from enum import StrEnum


class Cause(StrEnum):
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    CLOSED = "closed"
    LIMITED = "limited"
    REFUSED = "refused"
    MALFORMED = "malformed"
    CLOCK = "clock"


class SourceFault(Exception):
    """A source failed. `retry_after_s`: it asked not to be called before; 0 if it said nothing."""

    def __init__(self, cause: Cause, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail[:200]
        self.retry_after_s = retry_after_s
