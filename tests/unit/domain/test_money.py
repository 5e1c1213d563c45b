"""Decimal text: what is taken, what is refused, and how it is written."""

import time

import pytest

from servers.domain.money import NotDecimal, format_units, parse, rescale

DIGITS = "9" * 10_000


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("0", 8, 0),
        ("1", 0, 1),
        ("50000.25", 2, 5_000_025),
        ("50000.25", 18, 50_000_250_000_000_000_000_000),
        ("0.00000001", 8, 1),
        ("1.10", 1, 11),
        ("1.000000000000000000", 0, 1),
        ("007", 0, 7),
        ("-0.001", 8, -100_000),
        ("-1", 0, -1),
        ("999999999999999999.999999999999999999", 18, 10**36 - 1),
    ],
)
def test_plain_notation_is_taken_exactly(text: str, scale: int, units: int) -> None:
    assert parse(text, scale) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1e400",
        "1e-400",
        "1E5",
        DIGITS,
        "0." + DIGITS,
        DIGITS + "x",
        "1" * 19,
        "0." + "1" * 19,
        "NaN",
        "nan",
        "sNaN",
        "Infinity",
        "-Infinity",
        "inf",
        "-0",
        "-0.0",
        "-00.000",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "\t1",
        "1_000",
        "0x10",
        "0b1",
        ",",
        "1,5",
        "1.000,5",
        "1'000",
        ".",
        ".5",
        "5.",
        "1..2",
        "1.2.3",
        "--1",
        "1-",
        "-",
        "$1",
        "1%",
        "1/2",
        "1j",
        "\u0661\u0662\u0663",  # Arabic digits
        "\uff11",  # full width
        "\u00b2",  # superscript
        "1\u00a0000",
        "\u22121",  # the minus sign of typography
        "1\0",
        "null",
        "true",
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_anything_else_is_refused_in_less_than_a_millisecond(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(NotDecimal):
        parse(text)
    fastest = time.perf_counter() - began
    for _ in range(5):
        began = time.perf_counter()
        with pytest.raises(NotDecimal):
            parse(text)
        fastest = min(fastest, time.perf_counter() - began)
    assert fastest < 0.001


@pytest.mark.parametrize(
    ("text", "scale"), [("1.000000001", 8), ("0.1", 0), ("0.010", 1), ("1.0000000000000000001", 18)]
)
def test_a_text_finer_than_the_scale_is_refused(text: str, scale: int) -> None:
    with pytest.raises(NotDecimal):
        parse(text, scale)


def test_a_refused_text_is_not_repeated_at_length() -> None:
    with pytest.raises(NotDecimal) as refused:
        parse(DIGITS)
    assert len(str(refused.value)) <= 64


@pytest.mark.parametrize(
    ("units", "scale", "text"),
    [
        (0, 0, "0"),
        (0, 8, "0"),
        (1, 8, "0.00000001"),
        (10, 8, "0.0000001"),
        (100_000_000, 8, "1"),
        (150_000_000, 8, "1.5"),
        (12_300, 0, "12300"),
        (-1, 8, "-0.00000001"),
        (-150_000_000, 8, "-1.5"),
        (10**36 - 1, 18, "999999999999999999.999999999999999999"),
        (2**127, 18, "170141183460469231731.687303715884105728"),
    ],
)
def test_text_is_canonical(units: int, scale: int, text: str) -> None:
    assert format_units(units, scale) == text


@pytest.mark.parametrize(
    ("atto", "scale", "units"),
    [(10**18, 8, 10**8), (10**10, 8, 1), (10**10 - 1, 8, None), (1, 18, 1), (10**18 + 1, 0, None), (0, 0, 0)],
)
def test_rescaling_is_exact_or_nothing(atto: int, scale: int, units: int | None) -> None:
    assert rescale(atto, scale) == units
