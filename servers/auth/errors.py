"""What the auth room refuses."""

from servers.domain.errors import FieldViolation, Invalid, NotFound, Refused, Unauthenticated


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


class MailedTokenInvalid(Invalid):
    """Unknown, expired, used before, or mailed for something else."""

    reason = "MAILED_TOKEN_INVALID"

    def __init__(self) -> None:
        violation = FieldViolation("token", "is not valid, has expired or was used before", self.reason)
        super().__init__("the mailed token is not valid: ask for another", violation)


class PasswordWrong(Invalid):
    """The password that was to be changed is another one."""

    reason = "PASSWORD_WRONG"

    def __init__(self) -> None:
        violation = FieldViolation("current_password", "is not the password", self.reason)
        super().__init__("the current password is wrong", violation)


class SessionNotFound(NotFound):
    """Unknown, or somebody else's."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such session")


class PasswordTooWeak(Refused):
    """Too easy to guess; the advice says what would not be."""

    reason = "PASSWORD_TOO_WEAK"

    def __init__(self, field: str, advice: str) -> None:
        super().__init__("the password is too easy to guess")
        self.violations = (FieldViolation(field, advice, self.reason),)


class TotpRequired(Unauthenticated):
    """The password is right, and a code of the second factor is missing."""

    reason = "TOTP_REQUIRED"

    def __init__(self) -> None:
        super().__init__("the second factor is needed too: give its code, or a recovery code")


class TotpInvalid(Unauthenticated):
    """The code is wrong, or was used before."""

    reason = "TOTP_INVALID"

    def __init__(self) -> None:
        super().__init__("the code of the second factor is wrong, or was used before")


class SecondFactorEnrolled(Refused):
    """There is one already."""

    reason = "SECOND_FACTOR_ENROLLED"

    def __init__(self) -> None:
        super().__init__("a second factor is enrolled already: disable it first")


class ApiKeyNotFound(NotFound):
    """No such API key, or somebody else's."""

    reason = "API_KEY_NOT_FOUND"

    def __init__(self, api_key_id: str) -> None:
        super().__init__("API key not found", api_key_id=api_key_id)


class TooManyApiKeys(Refused):
    """The user has all the API keys that one may have."""

    reason = "TOO_MANY_API_KEYS"

    def __init__(self, keys_max: int) -> None:
        super().__init__(f"a user may have at most {keys_max} API keys", keys_max=str(keys_max))


class ClientInvalid(Invalid):
    """No such client, or not with this redirect URI."""

    reason = "CLIENT_INVALID"

    def __init__(self, field: str) -> None:
        violation = FieldViolation(field, "is not one that is registered", self.reason)
        super().__init__("no such client, or not with this redirect URI", violation)


class AuthorizationCodeInvalid(Invalid):
    """Unknown, expired, used before, or for another client, redirect URI or verifier: which of these is for the log only."""

    reason = "AUTHORIZATION_CODE_INVALID"

    def __init__(self) -> None:
        violation = FieldViolation("code", "is not valid, has expired or was used before", self.reason)
        super().__init__("the authorization code is not valid", violation)
