"""Why funds do not move: one class a reason, as in errors.py."""

from servers.domain.errors import FieldViolation, Invalid, Refused


class AmountInvalid(Invalid):
    """An amount of a movement of funds that is zero or less, or finer than its asset."""

    reason = "AMOUNT_INVALID"

    def __init__(self) -> None:
        description = "must be greater than zero and a whole number of the asset's smallest unit"
        super().__init__(f"amount {description}", FieldViolation("amount", description, self.reason))


class AssetUnknown(Invalid):
    """An asset that is not defined."""

    reason = "ASSET_UNKNOWN"

    def __init__(self, asset: str) -> None:
        violation = FieldViolation("asset", "is not defined", self.reason)
        super().__init__("asset is not defined", violation, asset=asset)


class AccountsSame(Invalid):
    """A transfer from an account to itself."""

    reason = "ACCOUNTS_SAME"

    def __init__(self, account_id: str) -> None:
        violation = FieldViolation("credit_account_id", "must not be the account that pays", self.reason)
        super().__init__("credit_account_id must not be the account that pays", violation, account_id=account_id)


class QuoteExpired(Refused):
    """The time of a conversion's quote is over."""

    reason = "QUOTE_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the quote has expired: ask for another one")


class AccountNotEmpty(Refused):
    """An account that is to be closed and still has something."""

    reason = "ACCOUNT_NOT_EMPTY"

    def __init__(self, account_id: str, what: str) -> None:
        super().__init__(f"the account still has {what}", account_id=account_id, what=what)
