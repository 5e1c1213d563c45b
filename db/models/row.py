"""What every mapped table starts from, and the types its columns have."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, Numeric, SmallInteger, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator


class Whole(TypeDecorator[int]):
    """An integer of any size in a NUMERIC of scale 0."""

    impl = Numeric
    cache_ok = True

    def __init__(self, digits: int = 38) -> None:
        super().__init__(digits, 0)

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else int(value)


Small = Annotated[int, mapped_column(SmallInteger)]
Count = Annotated[int, mapped_column(Integer)]
Big = Annotated[int, mapped_column(BigInteger)]
# An amount, a price in ticks or a quantity in lots.
Units = Annotated[int, mapped_column(Whole())]
Digest = Annotated[int, mapped_column(Whole(20))]
Time = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Octets = Annotated[bytes, mapped_column(LargeBinary)]
PartitionKey = Annotated[int, mapped_column(Integer, primary_key=True, autoincrement=False)]
BigKey = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=False)]
CountKey = Annotated[int, mapped_column(Integer, primary_key=True, autoincrement=False)]
TextKey = Annotated[str, mapped_column(Text, primary_key=True)]
TimeKey = Annotated[datetime, mapped_column(DateTime(timezone=True), primary_key=True)]


class Row(DeclarativeBase):
    """A table's row. Indexes, checks and grants stand in the migrations; a test compares their columns with these."""

    type_annotation_map = {str: Text}  # noqa: RUF012  # the declarative class reads it as it is
