"""Why the transport itself refuses a call, before any servicer saw it."""

from collections.abc import Sequence

from servers.domain.errors import (
    DeadlineExceeded,
    FieldViolation,
    Forbidden,
    Invalid,
    NotFound,
    OverLimit,
    Refused,
    Unauthenticated,
    VenueError,
)


class NotAuthenticated(Unauthenticated):
    """No credential, or one that is not valid. Which of its checks failed is for the log only."""

    reason = "UNAUTHENTICATED"

    def __init__(self, cause: str) -> None:
        super().__init__("a valid access token is needed")
        self.cause = cause


class SignatureStale(Unauthenticated):
    """A good signature of another time: only who holds the key is told so."""

    reason = "SIGNATURE_STALE"

    def __init__(self, server_time_s: int) -> None:
        super().__init__("the signature is not of this time: set the clock", server_time=str(server_time_s))


class SignatureReplayed(Unauthenticated):
    """A good signature that was there before."""

    reason = "SIGNATURE_REPLAYED"

    def __init__(self) -> None:
        super().__init__("a call with this nonce was there before")


class NotPermitted(Forbidden):
    """The credential is valid and does not allow this."""

    reason = "NOT_PERMITTED"

    def __init__(self, **metadata: str) -> None:
        super().__init__("the credential does not allow this", **metadata)


class StepUpRequired(Forbidden):
    """The last authentication of the session is too long ago. `by` says with what to repeat it: "totp" or "password"."""

    reason = "STEP_UP_REQUIRED"
    precondition = "SECOND_FACTOR"

    def __init__(self, by: str) -> None:
        super().__init__("a fresh authentication is needed: step up, then repeat with the new token", by=by)


class SecondFactorMissing(Refused):
    """The user has no second factor, and this needs one."""

    reason = "SECOND_FACTOR_MISSING"

    def __init__(self) -> None:
        super().__init__("this needs a second factor, and none is enrolled")


class KycRequired(Forbidden):
    """The user has not the level of KYC that this needs."""

    reason = "KYC_REQUIRED"
    precondition = "KYC"

    def __init__(self, level: int) -> None:
        super().__init__("the venue has to know who you are first", level=str(level))


class InvalidField(Invalid):
    """Fields break constraints of the contract."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        super().__init__(f"{first.field}: {first.description}", *violations)


class MalformedMessage(Invalid):
    """The bytes are not a message of the expected type."""

    reason = "MALFORMED_MESSAGE"

    def __init__(self, expected: str) -> None:
        super().__init__(f"the bytes are not a {expected}", expected=expected)


class PageTokenInvalid(Invalid):
    """A page token that was not issued for this list, filter and caller."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        sentence = "was not issued for this list and filter"
        super().__init__(f"page_token {sentence}", FieldViolation("page_token", sentence, self.reason))


class RateLimited(OverLimit):
    """Too many calls."""

    reason = "RATE_LIMITED"

    def __init__(self, bucket: str, retry_after_s: float) -> None:
        super().__init__("too many calls", retry_after_s, bucket=bucket)


class MessageTooLarge(VenueError):
    """Coming again does not help, so this is no OverLimit."""

    code = "RESOURCE_EXHAUSTED"
    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the message is larger than {bytes_max} bytes", bytes_max=str(bytes_max))


class PathNotFound(NotFound):
    """No such path, or not with this method. The gateway says it, no server does."""

    reason = "PATH_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such path")


class TimedOut(DeadlineExceeded):
    """The caller's deadline comes, or the gateway's patience ends; the outcome is unknown."""

    reason = "TIMED_OUT"

    def __init__(self) -> None:
        super().__init__("the service took too long; the outcome is unknown")
