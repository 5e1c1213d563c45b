"""Accounts, balances, transfers, and the record of what happened to an account."""

from sqlalchemy.orm import Mapped

from db.models.row import Big, BigKey, Count, CountKey, Octets, PartitionKey, Row, Small, TextKey, Time, TimeKey, Units


class AccountRow(Row):
    """A customer's account, or one of the venue's own."""

    __tablename__ = "accounts"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    user_id: Mapped[str]
    type: Mapped[Small]
    name: Mapped[str]
    tier: Mapped[str]
    self_trade_group: Mapped[str]
    status: Mapped[Small]
    create_time: Mapped[Time]
    last_event_sequence: Mapped[Big]
    lease_time: Mapped[Time]
    # A JSON object of tag and time.
    tag_leases: Mapped[str]


class BalanceRow(Row):
    """What an account has of an asset, in the asset's units. Below zero only for the venue's own accounts."""

    __tablename__ = "balances"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    asset: Mapped[TextKey]
    available: Mapped[Units]
    held: Mapped[Units]


class PositionRow(Row):
    """What an account's orders bought less what they sold in a market: lots, and quote units."""

    __tablename__ = "positions"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    symbol: Mapped[TextKey]
    lots: Mapped[Units]
    cost: Mapped[Units]
    realized: Mapped[Units]
    day: Mapped[Count]
    day_start: Mapped[Units]
    update_sequence: Mapped[Big]


class LimitsRow(Row):
    """Limits of an account, a tier, a market or everybody; -1: not said, 0: none. Amounts in units of 1e-18."""

    __tablename__ = "limits"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    tier: Mapped[TextKey]
    symbol: Mapped[TextKey]
    quantity_max: Mapped[Units]
    notional_max: Mapped[Units]
    open_orders_max: Mapped[Count]
    position_max: Mapped[Units]
    daily_loss_max: Mapped[Units]
    price_band: Mapped[Big]
    symbols_allowed: Mapped[str]


class TradingSessionRow(Row):
    """A trading session that has not ended; its orders are cancelled at `cancel_time`, 1970: it is connected."""

    __tablename__ = "trading_sessions"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    session_id: Mapped[TextKey]
    open_sequence: Mapped[Big]
    cancel_time: Mapped[Time]


class TransferRow(Row):
    """Funds moved, or held for a move, in the asset's units."""

    __tablename__ = "transfers"

    partition: Mapped[PartitionKey]
    transfer_id: Mapped[TextKey]
    debit_account_id: Mapped[str]
    credit_account_id: Mapped[str]
    asset: Mapped[str]
    amount: Mapped[Units]
    posted: Mapped[Units]
    kind: Mapped[Small]
    state: Mapped[Small]
    sequence: Mapped[Big]
    receiver_account_id: Mapped[str]


class PostingRow(Row):
    """Both halves of a double entry: an amount went from debit to credit."""

    __tablename__ = "postings"

    partition: Mapped[PartitionKey]
    sequence: Mapped[BigKey]
    n: Mapped[CountKey]
    time: Mapped[TimeKey]
    debit_account_id: Mapped[str]
    credit_account_id: Mapped[str]
    asset: Mapped[str]
    amount: Mapped[Units]
    kind: Mapped[Small]
    reference: Mapped[str]


class AccountEventRow(Row):
    """What one command changed for one account; the row before is that of `previous_sequence`."""

    __tablename__ = "account_events"

    partition: Mapped[PartitionKey]
    account_id: Mapped[TextKey]
    sequence: Mapped[BigKey]
    n: Mapped[CountKey]
    previous_sequence: Mapped[Big]
    type: Mapped[Small]
    payload: Mapped[Octets]
    time: Mapped[TimeKey]
