"""Trades, and the candles made of them."""

from sqlalchemy.orm import Mapped

from db.models.row import Big, BigKey, CountKey, PartitionKey, Row, Small, TextKey, TimeKey, Units


class TradeRow(Row):
    """One execution: a maker's order met a taker's. Fees in quote units, negative for a rebate."""

    __tablename__ = "trades"

    partition: Mapped[PartitionKey]
    number: Mapped[BigKey]
    sequence: Mapped[Big]
    time: Mapped[TimeKey]
    symbol: Mapped[str]
    ticks: Mapped[Units]
    lots: Mapped[Units]
    notional: Mapped[Units]
    taker_side: Mapped[Small]
    maker_order: Mapped[Big]
    taker_order: Mapped[Big]
    maker_account_id: Mapped[str]
    taker_account_id: Mapped[str]
    maker_fee: Mapped[Units]
    taker_fee: Mapped[Units]


class CandleRow(Row):
    """Prices and volume of one second or one minute in which something traded."""

    __tablename__ = "candles"

    partition: Mapped[PartitionKey]
    symbol: Mapped[TextKey]
    interval_s: Mapped[CountKey]
    open_time: Mapped[TimeKey]
    open_ticks: Mapped[Units]
    high_ticks: Mapped[Units]
    low_ticks: Mapped[Units]
    close_ticks: Mapped[Units]
    lots: Mapped[Units]
    notional: Mapped[Units]
    trade_count: Mapped[Big]
