"""Numbers of strangers: exact, bounded, and never floats."""

from decimal import Decimal
from typing import Any

import pytest

from servers.domain.money import ATTO
from servers.feed.conversion import Price, on_tick, price_for
from servers.feed.faults import Cause, SourceFault
from servers.feed.reading import age_of, field, price_of, read_json, seconds_of


@pytest.mark.parametrize(
    ("value", "atto"),
    [
        ("65000.01", 6_500_001 * ATTO // 100),
        (65000, 65000 * ATTO),
        (Decimal("0.1"), ATTO // 10),
        (Decimal("1.2e-5"), 12 * ATTO // 10**6),
        (Decimal("6.5E+4"), 65000 * ATTO),
        # What a float would have made 65000.009999999995.
        (read_json('{"p": 65000.01}')["p"], 6_500_001 * ATTO // 100),
        (Decimal("1.0000000000000000005"), ATTO),
    ],
)
def test_a_price_is_exact(value: Any, atto: int) -> None:
    assert price_of(value) == atto


@pytest.mark.parametrize(
    "value",
    [
        "", "NaN", "1e5", "+1", "-1", " 1", "1_000", "٣", "0", "0.0000000000001", "1" * 18, "1." + "1" * 19, "9" * 5000,
        0, -5, 10**9, 10**400, True, None, [], {}, 1.5,
        Decimal("NaN"), Decimal("Infinity"), Decimal("1e400"), Decimal(-1), Decimal("1e-400"), Decimal("1e9"),
    ],
)  # fmt: skip
def test_what_is_no_price_is_malformed(value: Any) -> None:
    with pytest.raises(SourceFault) as raised:
        price_of(value)
    assert raised.value.cause is Cause.MALFORMED
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", '{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, "1" * 5000, b" " * (2**20 + 1)],
)
def test_what_is_no_json_is_malformed(body: str | bytes) -> None:
    with pytest.raises(SourceFault) as raised:
        read_json(body)
    assert raised.value.cause is Cause.MALFORMED


def test_a_path_that_is_not_there_is_named() -> None:
    found = read_json('{"a": [{"b": 1}], "n": null}')
    assert field(found, "a", 0, "b") == 1
    for path in (("a", 1), ("a", "b"), ("n",), ("a", 0, "b", "c"), ("x",)):
        with pytest.raises(SourceFault, match=r"no " + r"\.".join(map(str, path))):
            field(found, *path)


def test_times_are_whole_numbers_and_not_ahead() -> None:
    assert seconds_of(1_700_000_000_500, per_second=1000) == 1_700_000_000.5
    for wrong in ("1700000000", 1.5, True, 0, -1, 2**60, None):
        with pytest.raises(SourceFault):
            seconds_of(wrong)
    assert age_of(100.0, 130.0) == 30
    assert age_of(100.0, 95.0) == 0
    with pytest.raises(SourceFault) as raised:
        age_of(120.0, 100.0)
    assert raised.value.cause is Cause.CLOCK


ONE = Price(ATTO, 0, 0)
CHEAP = Price(98 * ATTO // 100, 4_000, 2_000)
BITCOIN = Price(50_000 * ATTO, 700, 300)


@pytest.mark.parametrize(
    ("pair", "told", "tether", "price"),
    [
        ("BTC-USD", {"BTC-USD": BITCOIN}, None, BITCOIN),
        # Its own pair goes before what could be converted.
        ("BTC-USD", {"BTC-USD": BITCOIN, "BTC-USDT": Price(1, 0, 0)}, ONE, BITCOIN),
        ("BTC-USD", {"BTC-USDT": BITCOIN}, ONE, BITCOIN),
        ("BTC-USD", {"BTC-USDT": BITCOIN}, CHEAP, Price(49_000 * ATTO, 4_000, 2_000)),
        ("BTC-USDT", {"BTC-USD": Price(49_000 * ATTO, 700, 300)}, CHEAP, Price(50_000 * ATTO, 4_000, 2_000)),
        # The rate is asked for and not known.
        ("BTC-USD", {"BTC-USDT": BITCOIN}, None, None),
        ("BTC-EUR", {"BTC-USDT": BITCOIN}, ONE, None),
        ("USDT-USD", {"USDT-USDT": ONE}, ONE, None),
        ("ETH-USD", {"BTC-USD": BITCOIN}, ONE, None),
    ],
)
def test_tether_becomes_dollars(pair: str, told: dict[str, Price], tether: Price | None, price: Price | None) -> None:
    assert price_for(pair, told, tether) == price


@pytest.mark.parametrize(("price", "tick", "on"), [(104, 10, 100), (105, 10, 110), (1, 10, 10), (110, 10, 110)])
def test_an_index_lies_on_the_tick(price: int, tick: int, on: int) -> None:
    assert on_tick(price, tick) == on
