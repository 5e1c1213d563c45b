"""Orders, open and final."""

from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Big, BigKey, PartitionKey, Row, Small, Time, Units, Whole


class OrderRow(Row):
    """An order; price, quantity and quote_amount as given, in 1e-18; the rest in ticks, lots and quote units."""

    __tablename__ = "orders"

    partition: Mapped[PartitionKey]
    number: Mapped[BigKey]
    account_id: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[Small]
    type: Mapped[Small]
    time_in_force: Mapped[Small]
    price: Mapped[Units]
    quantity: Mapped[Units]
    quote_amount: Mapped[Units]
    post_only: Mapped[bool]
    reduce_only: Mapped[bool]
    self_trade_prevention: Mapped[Small]
    client_order_id: Mapped[str]
    request_id: Mapped[str]
    expire_time: Mapped[Time]
    create_time: Mapped[Time]
    ticks: Mapped[Units]
    lots: Mapped[Units]
    filled_lots: Mapped[Units]
    removed_lots: Mapped[Units]
    notional: Mapped[Units]
    maker_rate: Mapped[Big]
    taker_rate: Mapped[Big]
    # Quote units times 1e8.
    fee_accrued: Mapped[int] = mapped_column(Whole(50))
    fee_charged: Mapped[Units]
    held: Mapped[Units]
    status: Mapped[Small]
    reject_reason: Mapped[Small]
    cancel_reason: Mapped[Small]
    priority: Mapped[Big]
    update_time: Mapped[Time]
    update_sequence: Mapped[Big]
    parent_number: Mapped[Big]
    root_number: Mapped[Big]
    tag: Mapped[str]
    display_quantity: Mapped[Units]
    hidden_lots: Mapped[Units]
    stop_price: Mapped[Units]
    trigger_source: Mapped[Small]
    trigger_time: Mapped[Time]
    trailing_amount: Mapped[Units]
    trailing_percent: Mapped[Small]
    best_price: Mapped[Units]
    list_number: Mapped[Big]
    list_role: Mapped[Small]
    exits: Mapped[str]
    session_id: Mapped[str]
