"""What the account room refuses."""

from servers.domain.errors import NotFound, Refused


class EmailNotVerified(Refused):
    """Real funds need an address that its owner has proved."""

    reason = "EMAIL_NOT_VERIFIED"

    def __init__(self) -> None:
        super().__init__("verify your e-mail address first, then refresh your access token")


class TooManyAccounts(Refused):
    """The user has as many accounts of a type as are allowed."""

    reason = "TOO_MANY_ACCOUNTS"

    def __init__(self, accounts_max: int) -> None:
        super().__init__(f"at most {accounts_max} accounts of a type", accounts_max=str(accounts_max))


class QuoteNotFound(NotFound):
    """An id of a quote that this venue did not give to this caller."""

    reason = "QUOTE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such quote")


class QuoteUsed(Refused):
    """A quote that was accepted with another request_id."""

    reason = "QUOTE_USED"

    def __init__(self) -> None:
        super().__init__("the quote was accepted already: ask for another one")


class QuoteUnavailable(Refused):
    """Nobody prices an exchange."""

    reason = "QUOTE_UNAVAILABLE"

    def __init__(self, why: str, **metadata: str) -> None:
        super().__init__(f"no quote: {why}", **metadata)
