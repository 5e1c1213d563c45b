"""What the notify room refuses."""

from servers.domain.errors import FieldViolation, Invalid, OverLimit, Refused


class SecurityMailRequired(Invalid):
    """Mails about security reach everybody."""

    reason = "SECURITY_MAIL_REQUIRED"

    def __init__(self, index: int) -> None:
        what = "mails about security cannot be switched off"
        super().__init__(what, FieldViolation(f"preferences[{index}].mail", what, self.reason))


class SmsUnavailable(Refused):
    """Nobody is set up who sends text messages."""

    reason = "SMS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the venue sends no text messages")


class PhoneCodeLimit(OverLimit):
    """Too many codes were sent."""

    reason = "PHONE_CODE_LIMIT"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many codes were sent to phones of yours", retry_after_s)


class PhoneCodeWrong(Invalid):
    """Not the code that was sent, or not any more."""

    reason = "PHONE_CODE_WRONG"

    def __init__(self) -> None:
        what = "is not the code that was sent, or is good no more"
        super().__init__(f"the code {what}", FieldViolation("code", what, self.reason))


class PhoneNumberUnconfirmed(Refused):
    """Text messages need a number."""

    reason = "PHONE_NUMBER_UNCONFIRMED"

    def __init__(self) -> None:
        super().__init__("text messages need a number that was confirmed")
