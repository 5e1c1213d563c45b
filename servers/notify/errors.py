"""What the notify room refuses."""

from servers.domain.errors import FieldViolation, Invalid


class SecurityMailRequired(Invalid):
    """Mails about security reach everybody."""

    reason = "SECURITY_MAIL_REQUIRED"

    def __init__(self, index: int) -> None:
        what = "mails about security cannot be switched off"
        super().__init__(what, FieldViolation(f"preferences[{index}].mail", what, self.reason))
