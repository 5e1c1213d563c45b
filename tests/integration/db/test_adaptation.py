"""Numbers cross to PostgreSQL and back unchanged, in both formats and through COPY."""

from decimal import Decimal

import pytest
from psycopg.errors import NumericValueOutOfRange

from db.adaptation import Micros
from db.session import Connection
from tests.integration.db.rows import NOON

WHOLES = [
    *(0, 1, -1, 9999, 10_000, 10_001, -10_000, 100_000_000, 12_345_678_901_234_567_890),
    *(2**63 - 1, -(2**63), 2**64 - 1, 10**37, -(10**37), 10**38 - 1),
]
# 1970 (never), before 2000 (where PostgreSQL counts from), odd microseconds, a leap day, far ahead.
TIMES = [0, 1, 946_684_799_999_999, NOON, NOON + 1, 1_709_210_096_123_456, 253_370_764_800_000_000]


@pytest.mark.parametrize("binary", [False, True])
async def test_whole_numbers_and_times_come_back_as_they_went(connection: Connection, binary: bool) -> None:
    async with connection.cursor(binary=binary) as cursor:
        for whole in WHOLES:
            await cursor.execute("SELECT %s::numeric(38,0)", [whole])
            assert await cursor.fetchone() == (whole,)
        for time in TIMES:
            await cursor.execute("SELECT %s", [Micros(time)])
            assert await cursor.fetchone() == (time,)


@pytest.mark.parametrize("form", ["", "(FORMAT binary)"])
async def test_copy_takes_plain_integers(connection: Connection, form: str) -> None:
    await connection.execute("CREATE TEMP TABLE kept (n bigint, whole numeric(38,0), at timestamptz, text text)")
    rows = [(n, whole, TIMES[n % len(TIMES)], "x") for n, whole in enumerate(WHOLES)]
    async with connection.cursor() as cursor, cursor.copy(f"COPY kept FROM STDIN {form}") as copy:
        copy.set_types(["bigint", "numeric", "timestamptz", "text"])
        for n, whole, time, text in rows:
            await copy.write_row((n, whole, time if form else Micros(time), text))
    found = await connection.execute("SELECT * FROM kept ORDER BY n")
    assert await found.fetchall() == rows


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("number", ["1.5", "0.1", "NaN"])
async def test_a_fraction_is_an_error_not_a_rounding(connection: Connection, binary: bool, number: str) -> None:
    async with connection.cursor(binary=binary) as cursor:
        await cursor.execute("SELECT %s::numeric", [Decimal(number)])
        with pytest.raises(ValueError, match=r"whole number|invalid literal"):
            await cursor.fetchone()


async def test_what_does_not_fit_is_refused(connection: Connection) -> None:
    with pytest.raises(NumericValueOutOfRange):
        await connection.execute("SELECT %s::numeric(38,0)", [10**38])
