"""Rows as messages of funding."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from db.deposits import OPEN, PAID, PENDING, RELEASED, SUCCEEDED
from db.models.deposits import DepositRow, ReversalRow
from db.reversals import REFUND, RELEASE
from servers.domain.money import ATTO_SCALE, format_units
from venue.funding.v1 import funding_pb2 as pb


def stamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def text(amount: int) -> str:
    return format_units(amount, ATTO_SCALE)


def deposit_message(row: DepositRow, reversals: Sequence[ReversalRow], instructions: str) -> pb.Deposit:
    """A deposit; `reversals` may be of others too."""
    mine = [each for each in reversals if each.deposit_id == row.deposit_id and each.state != RELEASED]
    wanted = [each for each in mine if each.decision != RELEASE and row.state in {PAID, SUCCEEDED}]
    return pb.Deposit(
        deposit_id=row.deposit_id,
        user_id=row.user_id,
        account_id=row.account_id,
        asset=row.asset,
        amount=text(row.amount),
        provider=pb.DepositProvider.Value(f"DEPOSIT_PROVIDER_{row.provider}"),
        state=pb.DepositState.Value(f"DEPOSIT_STATE_{row.state}"),
        checkout_url=row.checkout_url if row.state == PENDING else "",
        payment_reference=row.payment_reference,
        payment_instructions=instructions if row.payment_reference and row.state == PENDING else "",
        failure_reason=row.failure,
        transfer_id=row.transfer_id,
        refunded_amount=text(sum(each.amount for each in mine if each.kind == REFUND)),
        disputed_amount=text(sum(each.amount for each in mine if each.kind != REFUND)),
        owed_amount=text(sum(each.amount for each in wanted if each.state == OPEN)),
        create_time=stamp(row.create_time),
        update_time=stamp(row.update_time),
        expire_time=stamp(row.expire_time),
    )
