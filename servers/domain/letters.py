"""What is written to users: a name for each kind of letter, and which kinds somebody may do without."""

from enum import StrEnum
from typing import Final


class Template(StrEnum):
    """A kind of letter; its text stands in servers/notify/templates under this name."""

    # A subject and a text that the sender has written.
    NOTICE = "notice"
    PHONE_CODE = "phone_code"
    VERIFY_EMAIL = "verify_email"
    ACCOUNT_EXISTS = "account_exists"
    PASSWORD_RESET = "password_reset"  # noqa: S105  # nosec B105  a name
    PASSWORD_WAS_RESET = "password_was_reset"  # noqa: S105  # nosec B105  a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # nosec B105  a name
    LOGIN_GUESSED = "login_guessed"
    TOTP_ENROLLED = "totp_enrolled"
    TOTP_REMOVED = "totp_removed"
    API_KEY_MADE = "api_key_made"
    WEBHOOK_GONE = "webhook_gone"
    DEPOSIT_CREDITED = "deposit_credited"
    DEPOSIT_FAILED = "deposit_failed"
    DEPOSIT_HELD = "deposit_held"
    DEPOSIT_RELEASED = "deposit_released"
    DEPOSIT_REVERSED = "deposit_reversed"
    BONUS_CREDITED = "bonus_credited"
    WITHDRAWAL_REQUESTED = "withdrawal_requested"
    WITHDRAWAL_SENT = "withdrawal_sent"
    WITHDRAWAL_CANCELLED = "withdrawal_cancelled"
    WITHDRAWAL_REFUSED = "withdrawal_refused"
    KYC_APPROVED = "kyc_approved"
    KYC_REFUSED = "kyc_refused"


class Channel(StrEnum):
    """How a letter goes. One that was asked for by an address has yet to be written, if anybody has the address."""

    MAIL = "MAIL"
    SMS = "SMS"
    ASKED = "ASKED"


class Category(StrEnum):
    """What a user may choose to get or not."""

    SECURITY = "SECURITY"
    FUNDING = "FUNDING"
    INTEGRATION = "INTEGRATION"


# All that are not named here are about security.
CATEGORIES: Final = {
    Template.WEBHOOK_GONE: Category.INTEGRATION,
    Template.DEPOSIT_CREDITED: Category.FUNDING,
    Template.DEPOSIT_FAILED: Category.FUNDING,
    Template.DEPOSIT_HELD: Category.FUNDING,
    Template.DEPOSIT_RELEASED: Category.FUNDING,
    Template.DEPOSIT_REVERSED: Category.FUNDING,
    Template.BONUS_CREDITED: Category.FUNDING,
    Template.WITHDRAWAL_SENT: Category.FUNDING,
    Template.WITHDRAWAL_CANCELLED: Category.FUNDING,
    Template.WITHDRAWAL_REFUSED: Category.FUNDING,
}


# What holds a token, and so never goes by text message.
MAIL_ALONE: Final = frozenset(
    {Template.VERIFY_EMAIL, Template.ACCOUNT_EXISTS, Template.PASSWORD_RESET, Template.LOGIN_GUESSED}
)


def category_of(template: Template) -> Category:
    """What kind of letter it is; those about security reach everybody."""
    return CATEGORIES.get(template, Category.SECURITY)
