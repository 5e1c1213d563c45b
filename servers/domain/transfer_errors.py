"""Why a movement of funds makes no sense, whatever there is: one class a reason, as in errors.py."""

from servers.domain.errors import FieldViolation, Invalid


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
