"""What the funding room refuses."""

from servers.domain.errors import FieldViolation, Forbidden, Invalid, NotFound, Refused, Unauthenticated


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


class KycPending(Refused):
    """Another submission of the user waits."""

    reason = "KYC_PENDING"

    def __init__(self) -> None:
        super().__init__("an earlier submission is not decided yet")


class KycLevelHeld(Refused):
    """The user has the level, or a higher one."""

    reason = "KYC_LEVEL_HELD"

    def __init__(self, level: str) -> None:
        super().__init__("the level is held already", level=level)


class KycNotFound(NotFound):
    """No such submission."""

    reason = "KYC_NOT_FOUND"

    def __init__(self, kyc_submission_id: str) -> None:
        super().__init__("submission not found", kyc_submission_id=kyc_submission_id)


class KycDecided(Refused):
    """It was decided before."""

    reason = "KYC_DECIDED"

    def __init__(self, kyc_submission_id: str, state: str) -> None:
        super().__init__("the submission is decided already", kyc_submission_id=kyc_submission_id, state=state)


class OwnSubmission(Forbidden):
    """Nobody decides on what he submitted himself."""

    reason = "OWN_SUBMISSION"

    def __init__(self) -> None:
        super().__init__("somebody else has to decide on it")


class BeneficiaryNotFound(NotFound):
    """No such beneficiary, or somebody else's."""

    reason = "BENEFICIARY_NOT_FOUND"

    def __init__(self, beneficiary_id: str) -> None:
        super().__init__("beneficiary not found", beneficiary_id=beneficiary_id)


class BeneficiaryCooling(Refused):
    """It was added too lately."""

    reason = "BENEFICIARY_COOLING"

    def __init__(self, beneficiary_id: str, active_time: str) -> None:
        super().__init__("the beneficiary is too new", active_time=active_time, beneficiary_id=beneficiary_id)


class WithdrawalLimit(Refused):
    """More than the level allows; amounts in decimal text, in US dollars."""

    reason = "WITHDRAWAL_LIMIT"

    def __init__(self, window: str, limit: str, used: str) -> None:
        super().__init__(f"more than the level allows within {window}", limit=limit, used=used, window=window)


class FundsOwed(Refused):
    """Something that was given back to a payer is owed."""

    reason = "FUNDS_OWED"

    def __init__(self) -> None:
        super().__init__("something is owed of a deposit that was given back")


class WithdrawalNotFound(NotFound):
    """No such withdrawal, or somebody else's."""

    reason = "WITHDRAWAL_NOT_FOUND"

    def __init__(self, withdrawal_id: str) -> None:
        super().__init__("withdrawal not found", withdrawal_id=withdrawal_id)


class WithdrawalNotCancellable(Refused):
    """It is being paid, or has ended."""

    reason = "WITHDRAWAL_NOT_CANCELLABLE"

    def __init__(self, withdrawal_id: str, state: str) -> None:
        super().__init__("the withdrawal cannot be cancelled any more", state=state, withdrawal_id=withdrawal_id)


class WithdrawalNotDecidable(Refused):
    """It does not wait for this decision."""

    reason = "WITHDRAWAL_NOT_DECIDABLE"

    def __init__(self, withdrawal_id: str, state: str) -> None:
        super().__init__("the withdrawal does not wait for this", state=state, withdrawal_id=withdrawal_id)
