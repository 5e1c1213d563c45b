"""What sources of prices told."""

from sqlalchemy.orm import Mapped

from db.models.row import Big, Row, TextKey, TimeKey, Units


class PriceTickRow(Row):
    """A price of a pair in atto, and how old it was when it was heard."""

    __tablename__ = "price_ticks"

    pair: Mapped[TextKey]
    time: Mapped[TimeKey]
    source: Mapped[TextKey]
    price: Mapped[Units]
    age_ms: Mapped[Big]
