"""What the funding room refuses."""

from servers.domain.errors import FieldViolation, Invalid, NotFound, Refused, Unauthenticated


class ProviderUnavailable(Refused):
    """No such way for this account or asset: another environment, or not set up."""

    reason = "PROVIDER_UNAVAILABLE"

    def __init__(self, provider: str, why: str) -> None:
        super().__init__(f"the provider is not there for this: {why}", provider=provider)


class DepositNotFound(NotFound):
    """No such deposit, or somebody else's."""

    reason = "DEPOSIT_NOT_FOUND"

    def __init__(self, deposit_id: str) -> None:
        super().__init__("deposit not found", deposit_id=deposit_id)


class DepositRefused(Refused):
    """The payment company did not take it as it was asked for."""

    reason = "DEPOSIT_REFUSED"

    def __init__(self, deposit_id: str) -> None:
        super().__init__("the payment company refused it", deposit_id=deposit_id)


class SignatureInvalid(Unauthenticated):
    """The signature of an event is missing, wrong or too old."""

    reason = "SIGNATURE_INVALID"

    def __init__(self) -> None:
        super().__init__("the signature is missing, wrong, or older than 5 minutes")


class EventMalformed(Invalid):
    """An event that is signed, and that nobody can read."""

    reason = "EVENT_MALFORMED"

    def __init__(self, what: str) -> None:
        super().__init__(f"the event {what}", FieldViolation("body", what, self.reason))


class DepositNotConfirmable(Refused):
    """No bank transfer, or one that is not waited for any more."""

    reason = "DEPOSIT_NOT_CONFIRMABLE"

    def __init__(self, deposit_id: str, state: str) -> None:
        super().__init__("the deposit does not wait for a bank transfer", deposit_id=deposit_id, state=state)
