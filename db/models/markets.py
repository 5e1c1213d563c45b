"""Assets, markets and fee rates."""

from sqlalchemy.orm import Mapped

from db.models.row import Big, Count, PartitionKey, Row, Small, TextKey, Time, Units


class AssetRow(Row):
    """Something that is owned."""

    __tablename__ = "assets"

    partition: Mapped[PartitionKey]
    symbol: Mapped[TextKey]
    scale: Mapped[Small]
    display_scale: Mapped[Small]


class MarketRow(Row):
    """Where base is exchanged for quote; tick and lot size in units of 1e-18."""

    __tablename__ = "markets"

    partition: Mapped[PartitionKey]
    symbol: Mapped[TextKey]
    kind: Mapped[Small]
    state: Mapped[Small]
    base_asset: Mapped[str]
    quote_asset: Mapped[str]
    tick_size: Mapped[Units]
    lot_size: Mapped[Units]
    min_lots: Mapped[Units]
    max_lots: Mapped[Units]
    max_ticks: Mapped[Units]
    last_ticks: Mapped[Units]
    book_sequence: Mapped[Big]
    mark_price: Mapped[Units]
    index_price: Mapped[Units]
    index_time: Mapped[Time]
    hours: Mapped[str]
    next_state_time: Mapped[Time]
    auction_ticks: Mapped[Units]
    auction_lots: Mapped[Units]
    day: Mapped[Count]
    day_ticks: Mapped[Units]


class FeesRow(Row):
    """The rates of a tier in a market, in units of 1e-8 of the notional."""

    __tablename__ = "fees"

    partition: Mapped[PartitionKey]
    symbol: Mapped[TextKey]
    tier: Mapped[TextKey]
    maker_rate: Mapped[Big]
    taker_rate: Mapped[Big]
