"""What the account room refuses."""

from servers.domain.errors import Refused


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
