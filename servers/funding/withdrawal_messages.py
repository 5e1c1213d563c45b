"""Rows of withdrawals, beneficiaries and submissions as messages."""

from db.models.kyc import KycSubmissionRow
from db.models.withdrawals import BeneficiaryRow, WithdrawalRow
from servers.funding.messages import stamp, text
from venue.funding.v1 import kyc_pb2, withdrawal_pb2


def withdrawal_message(row: WithdrawalRow) -> withdrawal_pb2.Withdrawal:
    return withdrawal_pb2.Withdrawal(
        withdrawal_id=row.withdrawal_id,
        user_id=row.user_id,
        account_id=row.account_id,
        asset=row.asset,
        amount=text(row.amount),
        beneficiary_id=row.beneficiary_id,
        provider=withdrawal_pb2.PayoutProvider.Value(f"PAYOUT_PROVIDER_{row.provider}"),
        state=withdrawal_pb2.WithdrawalState.Value(f"WITHDRAWAL_STATE_{row.state}"),
        failure_reason=row.failure,
        needs_approval=row.needs_approval,
        transfer_id=row.transfer_id,
        create_time=stamp(row.create_time),
        update_time=stamp(row.update_time),
    )


def beneficiary_message(row: BeneficiaryRow) -> withdrawal_pb2.Beneficiary:
    return withdrawal_pb2.Beneficiary(
        beneficiary_id=row.beneficiary_id,
        label=row.label,
        account_number_end=row.number_end,
        create_time=stamp(row.create_time),
        active_time=stamp(row.active_time),
    )


def submission_message(row: KycSubmissionRow) -> kyc_pb2.KycSubmission:
    return kyc_pb2.KycSubmission(
        kyc_submission_id=row.kyc_submission_id,
        user_id=row.user_id,
        level=row.level,  # type: ignore[arg-type]  # the table's numbers are the wire's
        state=kyc_pb2.KycState.Value(f"KYC_STATE_{row.state}"),
        create_time=stamp(row.create_time),
        decide_time=None if row.decide_time is None else stamp(row.decide_time),
        decision_reason=row.decision_reason,
    )


def screening_message(score: int, findings: list[str]) -> kyc_pb2.Screening:
    return kyc_pb2.Screening(risk_score=score, findings=findings)
