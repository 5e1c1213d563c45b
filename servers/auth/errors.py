"""What the auth room refuses."""

from servers.domain.errors import FieldViolation, Invalid, Refused, Unauthenticated


class CredentialsInvalid(Unauthenticated):
    """The same for unknown, frozen and unverified users and for wrong passwords, so that nobody can tell which it is."""

    reason = "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__("e-mail or password are wrong")


class RefreshTokenInvalid(Unauthenticated):
    """Unknown, expired, revoked, or used before."""

    reason = "REFRESH_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid: log in again")


class VerificationTokenInvalid(Invalid):
    """Unknown, expired, or used before."""

    reason = "VERIFICATION_TOKEN_INVALID"

    def __init__(self) -> None:
        violation = FieldViolation("token", "is not valid, has expired or was used before", self.reason)
        super().__init__("the verification token is not valid", violation)


class PasswordTooWeak(Refused):
    """Too easy to guess; the advice says what would not be."""

    reason = "PASSWORD_TOO_WEAK"

    def __init__(self, advice: str) -> None:
        super().__init__("the password is too easy to guess")
        self.violations = (FieldViolation("password", advice, self.reason),)
