"""Money that comes in. Amounts count units of 1e-18."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Octets, Row, TextKey, Time, Units


class DepositRow(Row):
    """A deposit. `session_id` and `payment_id` are what the company calls the page and the payment."""

    __tablename__ = "deposits"

    deposit_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    account_id: Mapped[str]
    asset: Mapped[str]
    amount: Mapped[Units]
    provider: Mapped[str]
    state: Mapped[str]
    request_id: Mapped[str]
    fingerprint: Mapped[Octets]
    transfer_id: Mapped[str]
    session_id: Mapped[str]
    payment_id: Mapped[str]
    checkout_url: Mapped[str]
    payment_reference: Mapped[str]
    failure: Mapped[str]
    create_time: Mapped[Time]
    update_time: Mapped[Time]
    expire_time: Mapped[Time]


class ProviderEventRow(Row):
    """An event of a company that has been dealt with."""

    __tablename__ = "provider_events"

    provider: Mapped[TextKey]
    event_id: Mapped[TextKey]
    type: Mapped[str]
    deposit_id: Mapped[str]
    receive_time: Mapped[Time]


class ReversalRow(Row):
    """What a deposit was given back of. `decision` is what is to become of it once it is held."""

    __tablename__ = "reversals"

    reversal_id: Mapped[TextKey]
    deposit_id: Mapped[str] = mapped_column(ForeignKey("deposits.deposit_id"))
    kind: Mapped[str]
    amount: Mapped[Units]
    state: Mapped[str]
    decision: Mapped[str]
    transfer_id: Mapped[str]
    try_time: Mapped[Time]
    create_time: Mapped[Time]
    update_time: Mapped[Time]


class SignupBonusRow(Row):
    """The bonus of a user's first deposit."""

    __tablename__ = "signup_bonuses"

    user_id: Mapped[TextKey] = mapped_column(ForeignKey("users.user_id"))
    deposit_id: Mapped[str] = mapped_column(ForeignKey("deposits.deposit_id"))
    asset: Mapped[str]
    amount: Mapped[Units]
    transfer_id: Mapped[str]
    state: Mapped[str]
    create_time: Mapped[Time]
